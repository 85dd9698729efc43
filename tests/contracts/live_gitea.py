"""The Forge's contract at a real Gitea, in a repo that may be written over."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from orch.adapters.git.command import Access
from orch.adapters.git.credentials import by_token
from orch.adapters.gitea import GiteaPulls, Way
from orch.adapters.hosted import HostedForge
from orch.ports import Cut, Forge, Remote, Turn
from orch.rest import Service
from tests.contracts.forge_worlds import TOPIC
from tests.git_bench import ENVIRONMENT, PATH, GitBench, commit, git


@dataclass(frozen=True)
class Live:
    """Where it is, as whom, and which repo."""

    url: str
    token: str
    repo: str


class LiveGiteaWorld:
    """What a live service cannot be made to do is skipped."""

    def __init__(self, folder: Path, template: Path, live: Live) -> None:
        url = f"{live.url}/{live.repo}.git"
        self.header = by_token(url, lambda: live.token)
        self.person = folder / "live"
        self.person.mkdir()
        git(self.person, "init", "-q", "-b", "main")
        git(self.person, "remote", "add", "origin", url)
        self._as_person("fetch", "-q", "origin")
        if self.at(TOPIC):
            self._as_person("push", "-q", "origin", f":refs/heads/{TOPIC}")
        git(self.person, "reset", "-q", "--hard", "origin/main")
        bench = GitBench(folder, template)
        bench.remote = self.remote = Remote("acme/shop", url)
        protocols = ("file", "http", "https")
        access = Access(protocols, path=PATH, credential=self.header, network_timeout=60)
        bench.use(access)
        self.bench, self.access, self.count = bench, access, 0
        self.cut = bench.cut()
        service = Service(f"{live.url}/api/v1")
        waiting = threading.Event().wait
        self.pulls = GiteaPulls(service, Way(live.repo), lambda: live.token, waiting)
        self.forge: Forge = HostedForge(bench.forge, self.pulls)

    def work(self, *, merge: bool = False) -> str:
        self.count += 1
        if merge:
            git(self.cut.path, "checkout", "-q", "-b", f"side-{self.count}")
        head = commit(self.cut.path, {f"work-{self.count}": self.cut.base_sha})
        if merge:
            git(self.cut.path, "checkout", "-q", TOPIC)
            git(self.cut.path, "merge", "-q", "--no-ff", "-m", "Merge", head)
        return self.bench.workspaces.inspect(self.cut).head_sha

    def take_over(self) -> Cut:
        return self.bench.cut(turn=Turn(2, "second"))

    def at(self, branch: str) -> str:
        return self._as_person("ls-remote", "origin", f"refs/heads/{branch}").partition("\t")[0]

    def parents(self, sha: str) -> tuple[str, ...]:
        self._as_person("fetch", "-q", "origin")
        return tuple(git(self.bench.depot, "rev-parse", f"{sha}^@").split())

    def somebody_pushes(self) -> str:
        self.count += 1
        self._as_person("fetch", "-q", "origin")
        git(self.person, "reset", "-q", "--hard", "origin/main")
        head = commit(self.person, {f"other-{self.count}": git(self.person, "rev-parse", "HEAD")})
        self._as_person("push", "-q", "origin", "HEAD:main")
        return head

    def somebody_sets(self, branch: str, sha: str) -> None:
        self._as_person("fetch", "-q", str(self.bench.depot), "+refs/orch/*:refs/orch/*")
        self._as_person("push", "-q", "--force", "origin", f"{sha}:refs/heads/{branch}")

    def before_push(self, act: Callable[[], object]) -> None:
        pytest.skip("nobody is quick enough at a live service")

    def go_down(self) -> None:
        pytest.skip("a live service is not taken down")

    def come_up(self) -> None:
        """It never went down."""

    def refuse(self) -> None:
        pytest.skip("a live service is not given a hook")

    def _as_person(self, *arguments: str) -> str:
        pairs = list(self.header().items())
        env = {**ENVIRONMENT, "GIT_CONFIG_COUNT": str(len(pairs))}
        for number, (key, value) in enumerate(pairs):
            env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.person,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout.strip()
