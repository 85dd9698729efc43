"""GitHub as the contract of the Forge is tried on it: the stub over a real bare repository, which
git reaches over smart HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from orch.adapters.git.credentials import by_token
from orch.adapters.git.forge import PlainForge
from orch.adapters.github.api import HEADERS, Gateway
from orch.adapters.github.credentials import UserToken
from orch.adapters.github.forge import GitHubPulls
from orch.adapters.hosted import HostedForge
from orch.ports import Remote
from orch.rest import Service
from tests.contracts.forge_worlds import IMPATIENT, TOPIC, PlainWorld
from tests.contracts.github_stub import NOW, TOKEN, GitHubStub
from tests.contracts.smart_http import SmartHttp
from tests.git_bench import GitBench


class GitHubWorld(PlainWorld):
    """Git and pull requests at GitHub; what people do, they do to the same repository."""

    def __init__(self, bench: GitBench, github: GitHubStub) -> None:
        self.github, self.stub = github, github.stub
        self.http = SmartHttp(bench.bare, "/acme/shop.git", TOKEN)
        self.stub.bare["/acme/shop.git"] = self.http
        url = f"{self.stub.url}/acme/shop.git"
        bench.remote = Remote("acme/shop", url)
        credential = by_token(url, lambda: TOKEN)
        bench.use(replace(bench.access, protocols=("file", "http"), credential=credential))
        super().__init__(bench)
        self.waits: list[float] = []
        self.now = NOW
        self.gateway = gateway = Gateway(self.stub.url, UserToken(lambda: TOKEN), lambda: self.now)
        self.pulls = GitHubPulls(gateway, "acme/shop", wait=self.waits.append)
        self.forge = HostedForge(PlainForge(bench.command, bench.data), self.pulls)

    def before_push(self, act: Callable[[], object]) -> None:
        """Right before the merge. What GitHub offers against that are strict checks."""
        self.github.require("ci", strict=True)
        self.github.mark(self.at(TOPIC), "ci", "success")
        self.stub.meanwhile("PUT", "/merge", act)

    def fail(self, fault: str) -> None:
        if fault == "git-down":
            super().fail(fault)
            return
        if fault == "timeout":
            self.gateway.rest = Service(self.stub.url, HEADERS, read=IMPATIENT)
            self.gateway.graph = self.gateway.rest
        self.stub.fail(fault)  # type: ignore[arg-type]

    def mend(self) -> None:
        super().mend()
        self.stub.mend()
        self.now += timedelta(seconds=7)

    def go_down(self) -> None:
        self.http.down = True
        self.stub.fail("reset", times=None)

    def come_up(self) -> None:
        self.http.down = False
        self.stub.mend()
