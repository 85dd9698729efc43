"""A forge of commits that are only names: the stateful fake of Forge."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from orch.errors import GitFenced, GitMissing, GitMoved, GitRefused, GitUnreachable
from orch.ports import Cut, Landed, Remote, Turn


class MemoryForge:
    """Keeps a graph of commits and the branches of one remote; fails when told to."""

    def __init__(self, default: str = "main") -> None:
        self.default = default
        self.parents: dict[str, tuple[str, ...]] = {}
        self.branches: dict[str, str] = {}
        self.offered: dict[str, str] = {}
        self.turns: dict[str, Turn] = {}
        """Whose turn it is in each workspace; without one, offers are fenced."""
        self.down = False
        """While true the remote is away."""
        self.refuses = False
        """While true the remote takes no push."""
        self.before_push: Callable[[], object] | None = None
        """Called once, right before the next push."""
        self.branches[default] = self.commit()

    def commit(self, *parents: str) -> str:
        """A new commit on these."""
        sha = hashlib.sha1(str(len(self.parents)).encode(), usedforsecurity=False).hexdigest()
        self.parents[sha] = parents
        return sha

    def tip(self, remote: Remote) -> str:
        """The commit at which the default branch is now."""
        self._reach()
        return self.branches[self.default]

    def offer(self, cut: Cut, head_sha: str) -> None:
        """Set the topic branch to this head, over nothing but what was offered before."""
        self._insist(cut)
        if head_sha not in self.parents:
            raise GitMissing(f"The commit {head_sha} is not known.")
        expected = self.offered.get(cut.branch, "")
        there = self._push(cut.branch, expected, head_sha)
        if there not in (expected, head_sha):
            if not there:
                raise GitMissing(f"Somebody deleted {cut.branch}.", branch=cut.branch)
            raise _moved(cut.branch, expected, there)
        self.offered[cut.branch] = head_sha

    def land(self, cut: Cut, tested_sha: str, expected_base: str, title: str = "") -> Landed:
        """Merge exactly this head into the default branch, which must be exactly there."""
        self._insist(cut)
        self._reach()
        if tested_sha == expected_base or not self._descends(tested_sha, expected_base):
            raise GitRefused(f"{tested_sha} does not stand on {expected_base}, or is it.")
        if any(len(self.parents[sha]) > 1 for sha in self._since(expected_base, tested_sha)):
            raise GitRefused(f"{tested_sha} holds a merge commit.")
        tip = self.branches[self.default]
        if self._descends(tip, tested_sha):
            return self._found(tested_sha, expected_base, anew=False)
        topic = self.branches.get(cut.branch)
        if tip == expected_base and topic is None:
            raise GitMissing(f"The branch {cut.branch} is not at the remote.", branch=cut.branch)
        if tip == expected_base and topic is not None and topic != tested_sha:
            raise _moved(cut.branch, tested_sha, topic)
        merge = self.commit(expected_base, tested_sha)
        there = self._push(self.default, expected_base, merge)
        if there != expected_base:
            raise _moved(self.default, expected_base, there)
        return self._found(tested_sha, expected_base, anew=True)

    def contains(self, remote: Remote, sha: str) -> bool:
        """Whether the default branch contains this commit."""
        return self._descends(self.tip(remote), sha)

    def withdraw(self, cut: Cut) -> bool:
        """Delete the topic branch if it is as offered; whether it is gone."""
        self._reach()
        there = self.branches.get(cut.branch)
        if there is not None and there == self.offered.get(cut.branch):
            del self.branches[cut.branch]
            there = None
        if there is None:
            self.offered.pop(cut.branch, None)
        return there is None

    def _push(self, branch: str, expected: str, new: str) -> str:
        """Move a branch if it is where it is expected; where it was."""
        self._reach()
        acting, self.before_push = self.before_push, None
        if acting is not None:
            acting()
        if self.refuses:
            raise GitRefused("The remote takes no push.")
        there = self.branches.get(branch, "")
        if there == expected:
            self.branches[branch] = new
        return there

    def _found(self, tested: str, base: str, *, anew: bool) -> Landed:
        at = self.branches[self.default]
        while at != tested and self._descends(self.parents[at][0], tested):
            at = self.parents[at][0]
        return Landed(base if at == tested else self.parents[at][0], tested, at, anew)

    def _since(self, base: str, head: str) -> set[str]:
        return self._history(head) - self._history(base)

    def _descends(self, head: str, ancestor: str) -> bool:
        return ancestor in self._history(head)

    def _history(self, head: str) -> set[str]:
        found, waiting = set(), [head]
        while waiting:
            sha = waiting.pop()
            if sha not in found:
                found.add(sha)
                waiting += self.parents.get(sha, ())
        return found

    def _insist(self, cut: Cut) -> None:
        if self.turns.get(cut.work_item) != cut.turn:
            raise GitFenced(work_item=cut.work_item)

    def _reach(self) -> None:
        if self.down:
            raise GitUnreachable()


def _moved(branch: str, expected: str, actual: str) -> GitMoved:
    message = f"{branch} is at {actual}, not at {expected}."
    return GitMoved(message, branch=branch, expected=expected, actual=actual)
