"""Commits that are only names: the stateful fakes of Forge and Workspaces, over one graph."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from orch.errors import GitConflict, GitFenced, GitMissing, GitMoved, GitRefused, GitUnreachable
from orch.ports import (
    Change,
    Commit,
    Cut,
    DiskUse,
    Landed,
    Outlook,
    Pull,
    Rebased,
    Remote,
    Showing,
    Tree,
    Turn,
)


class MemoryForge:
    """Keeps a graph of commits and the branches of one remote; fails when told to."""

    def __init__(self, default: str = "main") -> None:
        self.default = default
        self.parents: dict[str, tuple[str, ...]] = {}
        self.paths: dict[str, tuple[str, ...]] = {}
        """What each commit changes."""
        self.branches: dict[str, str] = {}
        self.offered: dict[str, str] = {}
        self.pulls: dict[str, Pull] = {}
        """What shows a branch, where a service shows it."""
        self.showings: dict[str, Showing] = {}
        """What was last shown with each branch."""
        self.turns: dict[str, Turn] = {}
        """Whose turn it is in each workspace; without one, offers are fenced."""
        self.down = False
        """While true the remote is away."""
        self.refuses = False
        """While true the remote takes no push."""
        self.before_push: Callable[[], object] | None = None
        """Called once, right before the next push."""
        self.branches[default] = self.commit()

    def commit(self, *parents: str, paths: Iterable[str] = ()) -> str:
        """A new commit on these, changing these paths."""
        sha = hashlib.sha1(str(len(self.parents)).encode(), usedforsecurity=False).hexdigest()
        self.parents[sha], self.paths[sha] = parents, tuple(paths)
        return sha

    def tip(self) -> str:
        """The commit at which the default branch is."""
        self._reach()
        return self.branches[self.default]

    def look(self, remote: Remote, branches: Sequence[str] = ()) -> Outlook:
        """The default branch as it is now, and these topic branches with what shows them."""
        return Outlook(self.tip(), {name: self._pull(name) for name in branches})

    def _pull(self, branch: str) -> Pull:
        there = self.branches.get(branch, "")
        known = self.pulls.get(branch)
        return Pull(branch, there) if known is None else replace(known, head_sha=there)

    def offer(self, cut: Cut, head_sha: str, showing: Showing | None = None) -> Pull:
        """Set the topic branch to this head, over nothing but what was offered before."""
        self.insist(cut)
        if head_sha not in self.parents:
            raise GitMissing(f"The commit {head_sha} is not known.")
        expected = self.offered.get(cut.branch, "")
        there = self._push(cut.branch, expected, head_sha)
        if there not in (expected, head_sha):
            if not there:
                raise GitMissing(f"Somebody deleted {cut.branch}.", branch=cut.branch)
            raise GitMoved.between(cut.branch, expected, there)
        self.offered[cut.branch] = head_sha
        if showing is not None:
            self.showings[cut.branch] = showing
        return self._pull(cut.branch)

    def land(self, cut: Cut, tested_sha: str, expected_base: str, title: str = "") -> Landed:
        """Merge exactly this head into the default branch, which must be exactly there."""
        found = self.landed(cut, tested_sha, expected_base)
        if found is not None:
            return found
        merge = self.commit(expected_base, tested_sha)
        there = self._push(self.default, expected_base, merge)
        if there != expected_base:
            raise GitMoved.between(self.default, expected_base, there)
        return self._found(tested_sha, expected_base, anew=True)

    def landed(self, cut: Cut, tested_sha: str, expected_base: str) -> Landed | None:
        """What has become of this landing; None when nothing has, and nothing is in its way."""
        self.insist(cut)
        self._reach()
        if tested_sha == expected_base or not self.descends(tested_sha, expected_base):
            raise GitRefused(f"{tested_sha} does not stand on {expected_base}, or is it.")
        if any(len(self.parents[sha]) > 1 for sha in self.since(expected_base, tested_sha)):
            raise GitRefused(f"{tested_sha} holds a merge commit.")
        tip = self.branches[self.default]
        if self.descends(tip, tested_sha):
            return self._found(tested_sha, expected_base, anew=False)
        if tip != expected_base:
            raise GitMoved.between(self.default, expected_base, tip)
        topic = self.branches.get(cut.branch)
        if topic is None:
            raise GitMissing(f"The branch {cut.branch} is not at the remote.", branch=cut.branch)
        if topic != tested_sha:
            raise GitMoved.between(cut.branch, tested_sha, topic)
        return None

    def merge(self, branch: str, sha: str) -> str:
        """Merge a branch at this commit as a service does; the merge. Who is faster wins."""
        base = self.branches[self.default]
        merge = self.commit(base, sha)
        there = self._push(self.default, base, merge)
        if there != base:
            raise GitMoved.between(self.default, base, there)
        return merge

    def contains(self, remote: Remote, sha: str) -> bool:
        """Whether the default branch contains this commit."""
        return self.descends(self.tip(), sha)

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
        while at != tested and self.descends(self.parents[at][0], tested):
            at = self.parents[at][0]
        return Landed(base if at == tested else self.parents[at][0], tested, at, anew)

    def since(self, base: str, head: str) -> set[str]:
        """The commits that one has and the other has not."""
        return self._history(head) - self._history(base)

    def descends(self, head: str, ancestor: str) -> bool:
        """Whether this commit is that one or comes after it."""
        return ancestor in self._history(head)

    def _history(self, head: str) -> set[str]:
        found, waiting = set(), [head]
        while waiting:
            sha = waiting.pop()
            if sha not in found:
                found.add(sha)
                waiting += self.parents.get(sha, ())
        return found

    def insist(self, cut: Cut) -> None:
        """Raises GitFenced when it is another turn's workspace."""
        if self.turns.get(cut.work_item) != cut.turn:
            raise GitFenced(work_item=cut.work_item)

    def _reach(self) -> None:
        if self.down:
            raise GitUnreachable()


@dataclass
class Space:
    """What is in one workspace."""

    base: str
    head: str
    branch: str
    dirty: set[str] = field(default_factory=set)


class MemoryWorkspaces:
    """Makes the folders, and keeps what would be in their repositories: Workspaces and Upkeep."""

    def __init__(self, forge: MemoryForge, root: Path) -> None:
        self.forge = forge
        self.root = root
        self.spaces: dict[str, Space] = {}

    def commit(self, cut: Cut, *paths: str, merge: bool = False) -> str:
        """What an agent does: commit these paths, clean or not; the new head."""
        space = self.spaces[cut.work_item]
        side = [self.forge.commit(space.head)] if merge else []
        space.head = self.forge.commit(space.head, *side, paths=paths)
        space.dirty -= set(paths)
        return space.head

    def cut(
        self, remote: Remote, work_item: str, turn: Turn, *, known: str = "", fresh: bool = False
    ) -> Cut:
        """The task's workspace, kept or made, and taken over by this turn."""
        holder = self.forge.turns.get(work_item)
        if holder is not None and holder.number > turn.number:
            raise GitFenced(work_item=work_item)
        self.forge.turns[work_item] = turn
        branch = f"feature/{work_item}"
        space = self.spaces.get(work_item)
        if space is None or fresh:
            space = self.spaces[work_item] = self._start(remote, branch, known)
        path = self.root / "work" / remote.repo.replace("/", "+") / work_item
        path.mkdir(parents=True, exist_ok=True)
        filled = replace(remote, default_branch=self.forge.default)
        return Cut(filled, work_item, path, branch, space.base, turn)

    def inspect(self, cut: Cut, *, file_limit: int = 100_000_000) -> Tree:
        """What is in the workspace."""
        space = self._space(cut)
        found = self.forge.since(space.base, space.head)
        return Tree(
            head_sha=space.head,
            branch=space.branch,
            dirty=tuple(sorted(space.dirty)),
            on_base=self.forge.descends(space.head, space.base),
            commits=len(found),
            merges=sum(len(self.forge.parents[sha]) > 1 for sha in found),
            changed=tuple(sorted({path for sha in found for path in self.forge.paths[sha]})),
            escaping_symlinks=(),
            oversize=(),
            submodules=(),
        )

    def rebase(self, cut: Cut) -> Rebased:
        """Carry the task's commits over; two that change one path conflict."""
        self.forge.insist(cut)
        tree, space = self.inspect(cut), self._space(cut)
        if tree.dirty or tree.merges or tree.branch != cut.branch or not tree.on_base:
            raise GitRefused(f"The workspace of {cut.work_item} cannot be rebased.")
        tip = self.forge.tip()
        if tip == space.base:
            return Rebased(tip, space.head, moved=False)
        theirs = {path for sha in self.forge.since(space.base, tip) for path in self._paths(sha)}
        files = tuple(sorted(theirs & set(tree.changed)))
        if files:
            raise GitConflict(f"{files[0]} conflicts.", files=files, hunks="<<<<<<< " + files[0])
        head = tip
        for sha in self._line(space):
            head = self.forge.commit(head, paths=self._paths(sha))
        space.base, space.head = tip, head
        return Rebased(tip, head, moved=True)

    def diff(self, cut: Cut, limit: int = 200_000) -> Change:
        """The task's commits, and the names of what they change."""
        space = self._space(cut)
        at = datetime.fromtimestamp(0, UTC)
        line = [Commit(sha, "Ann", at, "Work") for sha in reversed(self._line(space))]
        text = "".join(f"+++ b/{path}\n" for path in self.inspect(cut).changed)
        return Change(tuple(line), text[:limit], len(text) > limit)

    def discard(self, cut: Cut, *, force: bool = False) -> bool:
        """Forget the workspace, unless work would be lost; its folder stays."""
        space = self.spaces.get(cut.work_item)
        if space is None:
            return False
        offered = self.forge.offered.get(cut.branch, space.base)
        landed = space.head != space.base and self.forge.contains(cut.remote, space.head)
        kept = not space.dirty and self.forge.descends(offered, space.head)
        if not (force or landed or kept):
            raise GitRefused(f"The workspace of {cut.work_item} holds work that would be lost.")
        del self.spaces[cut.work_item]
        return True

    def workspaces(self, repo: str) -> list[str]:
        """The work items that have a workspace, sorted: there is one repo."""
        return sorted(self.spaces)

    def disk_use(self, repo: str) -> DiskUse:
        """A byte for each commit and each workspace, and nothing left."""
        return DiskUse(depot=len(self.forge.parents), workspaces=len(self.spaces), free=0)

    def _start(self, remote: Remote, branch: str, known: str) -> Space:
        tip, there = self.forge.tip(), self.forge.branches.get(branch)
        ours = {self.forge.offered.get(branch), known} - {None, ""}
        if there is None and ours:
            raise GitMissing(f"Somebody deleted {branch}.", branch=branch)
        if there is not None and there not in ours:
            raise GitRefused(f"{branch} is not orch's.", branch=branch, actual=there)
        return Space(tip, tip if there is None else there, branch)

    def _space(self, cut: Cut) -> Space:
        if cut.work_item not in self.spaces:
            raise GitMissing(f"The workspace of {cut.work_item} is not there any more.")
        return self.spaces[cut.work_item]

    def _line(self, space: Space) -> list[str]:
        """The commits of a workspace, oldest first; there are no merges among them."""
        line, at = [], space.head
        while not self.forge.descends(space.base, at):
            line.append(at)
            at = self.forge.parents[at][0]
        return line[::-1]

    def _paths(self, sha: str) -> tuple[str, ...]:
        return self.forge.paths[sha]
