"""The folders in which agents work, cut from a shared repository."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Remote:
    """Where the shared repository of a repo is."""

    repo: str
    url: str
    """As `orch.names.remote_url` takes it: it holds no password."""
    default_branch: str = ""
    """The branch that work is cut from and lands on; empty is the one the remote names."""


@dataclass(frozen=True)
class Turn:
    """Which claim works in a workspace, so that an older one can be told from it."""

    number: int
    """Never falls from one claim of a task to the next."""
    token: str


@dataclass(frozen=True)
class Cut:
    """A task's workspace: a folder with its own repository, on the task's own branch."""

    remote: Remote
    """With the default branch filled in."""
    work_item: str
    path: Path
    branch: str
    base_sha: str
    """The commit of the default branch that the task's commits stand on."""
    turn: Turn


@dataclass(frozen=True)
class Tree:
    """What is in a workspace. Paths are relative; bytes that are no UTF-8 are shown as `\\xNN`."""

    head_sha: str
    branch: str
    """The branch that is checked out; empty when none is."""
    dirty: tuple[str, ...]
    """Paths with changes that no commit holds, and untracked ones that are not ignored."""
    on_base: bool
    """Whether the head descends from the base."""
    commits: int
    merges: int
    """Commits since the base, and how many of them are merges."""
    changed: tuple[str, ...]
    """Paths that differ between base and head."""
    escaping_symlinks: tuple[str, ...]
    """Changed links that lead out of the tree, into `.git`, or cannot be shown not to."""
    oversize: tuple[str, ...]
    """Changed or untracked files above the limit."""
    submodules: tuple[str, ...]
    """Changed submodules, and `.gitmodules`."""

    @property
    def empty(self) -> bool:
        """Whether the commits, if there are any, change nothing."""
        return not self.changed


@dataclass(frozen=True)
class Rebased:
    """Where the task's commits stand now."""

    base_sha: str
    head_sha: str
    moved: bool
    """False when they stood on the newest default branch already."""


@dataclass(frozen=True)
class Commit:
    """One commit of a task, for people."""

    sha: str
    author: str
    at: datetime
    subject: str


@dataclass(frozen=True)
class Change:
    """What a task's commits change, as text for prompts and pages."""

    commits: tuple[Commit, ...]
    """Newest first, at most 200."""
    text: str
    truncated: bool


class Workspaces(Protocol):
    """Folders in which agents work, one per task. Every verb may raise a GitError."""

    def cut(
        self, remote: Remote, work_item: str, turn: Turn, *, known: str = "", fresh: bool = False
    ) -> Cut:
        """The task's workspace, put right or made, and taken over by this turn.

        A new one is cut from the default branch as it is now, or from the topic branch if orch had
        offered it. `known` is the head last offered as the store has it, for a machine that has
        not seen the task yet. `fresh` throws away what no offer holds. Raises GitFenced when a
        later turn has it, GitRefused when the topic branch holds commits that are not orch's,
        GitMissing when somebody deleted it.
        """
        ...

    def inspect(self, cut: Cut, *, file_limit: int = 100_000_000) -> Tree:
        """What is in the workspace; `file_limit` is in bytes. Nothing in it is executed."""
        ...

    def rebase(self, cut: Cut) -> Rebased:
        """Carry the task's commits over to the default branch as it is now.

        Raises GitConflict with `files` and `hunks`, the workspace as it was; GitRefused when there
        are uncommitted changes, merges, or another branch checked out.
        """
        ...

    def diff(self, cut: Cut, limit: int = 200_000) -> Change:
        """The task's commits and what they change; `limit` is in bytes."""
        ...

    def discard(self, cut: Cut, *, force: bool = False) -> bool:
        """Remove the workspace and what orch keeps of the task's branch; False if there is none.

        Raises GitRefused when work would be lost that is neither landed nor offered, unless forced.
        """
        ...


@dataclass(frozen=True)
class DiskUse:
    """Bytes taken by one repo, and bytes that are left."""

    depot: int
    workspaces: int
    free: int


class Upkeep(Protocol):
    """What keeps the disk from filling unseen."""

    def workspaces(self, repo: str) -> list[str]:
        """The work items that have a workspace here."""
        ...

    def disk_use(self, repo: str) -> DiskUse:
        """What the repo takes on disk."""
        ...
