"""Pull requests without a service: the stateful fake of PullRequests, over anybody's branches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from orch.errors import GitHeld, GitMissing, GitMoved, GitUnreachable
from orch.ports import Mark, Message, Page, Pull


class MemoryPulls:
    """Keeps pull requests and marks; people may close and merge them, and it may hold them up."""

    def __init__(
        self, head_of: Callable[[str], str], merge: Callable[[str, str, Message], object]
    ) -> None:
        """`head_of` says where a branch is now, `merge` merges a branch at a commit, or raises."""
        self._head_of = head_of
        self._merge = merge
        self.pulls: list[Pull] = []
        self.pages: dict[int, Page] = {}
        """What each shows now."""
        self.marks: defaultdict[str, list[Mark]] = defaultdict(list)
        """By commit, oldest first."""
        self.messages: list[Message] = []
        self.down = False
        """While true the service gives no answer."""
        self.held = ""
        """Why nothing is merged, for now."""
        self.loses_answers = False
        """While true merges are done, and nobody is told."""

    def find(self, base: str, branches: Sequence[str]) -> Mapping[str, Pull]:
        """The open pull request of each, or else the newest."""
        self._reach()
        known = {pull.branch: pull for pull in self.pulls}
        known |= {pull.branch: pull for pull in self.pulls if pull.state == "open"}
        return {name: self._now(known[name]) for name in branches if name in known}

    def show(self, page: Page, known: Pull | None) -> Pull:
        """Bring one up to this page, or open it."""
        self._reach()
        found = self.find(page.base, (page.branch,)).get(page.branch)
        if found is None or found.state != "open":
            number = len(self.pulls) + 1
            url = f"https://forge.example.org/pulls/{number}"
            found = Pull(page.branch, self._head_of(page.branch), "open", number, url)
            self.pulls.append(found)
        self.pages[found.number or 0] = page
        return found

    def mark(self, sha: str, marks: Sequence[Mark]) -> None:
        """Put these beside a commit."""
        self._reach()
        self.marks[sha] += marks

    def merge(self, pull: Pull, sha: str, message: Message) -> None:
        """Merge an open one whose head is exactly this commit."""
        self._reach()
        if self.held:
            raise GitHeld(self.held)
        now = self.find("", (pull.branch,)).get(pull.branch)
        if now is None or now.state != "open":
            raise GitMissing(f"{pull.branch} has no open pull request.", branch=pull.branch)
        if now.head_sha != sha:
            raise GitMoved(branch=pull.branch, expected=sha, actual=now.head_sha)
        self._merge(pull.branch, sha, message)
        self.messages.append(message)
        self._set(now, replace(now, state="merged"))
        if self.loses_answers:
            raise GitUnreachable()

    def close(self, pull: Pull) -> None:
        """Close one without merging it."""
        self._reach()
        self._set(pull, replace(self._now(pull), state="closed"))

    def said(self, sha: str) -> dict[str, str]:
        """The newest state of each mark of a commit, by name."""
        return {mark.name: mark.state for mark in self.marks[sha]}

    def somebody_closes(self, branch: str) -> None:
        """A person closes the open one of this branch."""
        self.close(self.find("", (branch,))[branch])

    def somebody_merges(self, branch: str) -> str:
        """A person merges whatever the open one of this branch has as its head; that head."""
        now = self.find("", (branch,))[branch]
        self._merge(branch, now.head_sha, Message(f"Merge {branch}"))
        self._set(now, replace(now, state="merged"))
        return now.head_sha

    def _now(self, pull: Pull) -> Pull:
        """With the newest head while it is open; a closed one keeps its last."""
        if pull.state != "open":
            return pull
        return replace(pull, head_sha=self._head_of(pull.branch) or pull.head_sha)

    def _set(self, old: Pull, new: Pull) -> None:
        self.pulls = [new if pull.number == old.number else pull for pull in self.pulls]

    def _reach(self) -> None:
        if self.down:
            raise GitUnreachable()
