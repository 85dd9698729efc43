"""GitHub's side alone: one branch at a real bare repository, and the adapter before the stub."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

from orch.adapters.github.api import Gateway
from orch.adapters.github.credentials import Credentials, UserToken
from orch.adapters.github.forge import GitHubPulls
from orch.ports import Message, Page
from tests.contracts.github_state import PullState
from tests.contracts.github_stub import NOW, TOKEN, GitHubStub
from tests.contracts.stubs import Call
from tests.git_bench import git

TOPIC = "feature/ACME-1"
MESSAGE = Message("ACME-1: land feature/ACME-1 on main", "“Sell more”")


class AppForTests:
    """Comes as an App whose token is there already."""

    app_id = 5

    def token(self, repository: str) -> str:
        return TOKEN

    def forget(self, repository: str) -> bool:
        return False


class Hub:
    """The stub, the adapter, and a branch with one commit."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.bare = folder / "remote.git"
        shutil.copytree(template / "remote.git", self.bare)
        self.github = GitHubStub(self.bare)
        self.stub = self.github.stub
        self.base = self.at("main")
        self.head = self.commit(self.base)
        self.move(TOPIC, self.head)
        self.now = NOW
        self.waits: list[float] = []
        self.come_as_user()

    @property
    def one(self) -> PullState:
        """The pull request there is."""
        return self.github.pulls[0]

    def come_as(self, credentials: Credentials, *reviewers: str) -> None:
        """As this from now on."""
        gateway = Gateway(self.stub.url, credentials, lambda: self.now)
        self.pulls = GitHubPulls(gateway, "acme/shop", wait=self.waits.append, reviewers=reviewers)

    def come_as_user(self, *reviewers: str) -> None:
        self.come_as(UserToken(lambda: TOKEN), *reviewers)

    def come_as_app(self) -> None:
        self.come_as(AppForTests())

    def open(self) -> PullState:
        """A pull request that is ready."""
        if not self.github.pulls:
            self.pulls.show(Page(TOPIC, "main", "ACME-1", "", ready=True), None)
        return self.one

    def merge(self, message: Message = MESSAGE) -> None:
        """Merge it as it was tested."""
        self.open()
        self.pulls.merge(self.pulls.find("main", [TOPIC])[TOPIC], self.head, message)

    def commit(self, parent: str) -> str:
        """Another commit at the remote that stands on this one."""
        self.count = getattr(self, "count", 0) + 1
        blob = git(self.bare, "hash-object", "-w", "--stdin", stdin=str(self.count).encode())
        tree = git(self.bare, "mktree", stdin=f"100644 blob {blob}\twork-{self.count}\n".encode())
        return git(self.bare, "commit-tree", tree, "-p", parent, "-m", f"Work {self.count}")

    def move(self, branch: str, sha: str) -> None:
        """Somebody moves a branch there; to nowhere is deleting it."""
        orders = (f"refs/heads/{branch}", sha) if sha else ("-d", f"refs/heads/{branch}")
        git(self.bare, "update-ref", *orders)

    def at(self, branch: str) -> str:
        return self.github.at(branch)

    def parents(self, branch: str) -> list[str]:
        return git(self.bare, "rev-parse", f"{branch}^@").split()

    def writes(self) -> list[Call]:
        """The requests that changed something."""
        return [call for call in self.stub.calls if call.method != "GET"]

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
