"""The shared repository: where work is offered, shown to people, and landed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from orch.ports.workspaces import Cut, Remote


@dataclass(frozen=True)
class Landed:
    """A task's work on the default branch."""

    base_sha: str
    """The default branch right before."""
    tested_sha: str
    merge_sha: str
    """The first commit of the default branch that contains the tested head."""
    anew: bool
    """False when it had landed before: the answer was lost, or a person merged it."""


MarkState = Literal["pending", "passed", "failed"]


@dataclass(frozen=True)
class Mark:
    """What one of orch's checks found, as the forge shows it beside a commit."""

    name: str
    """The context under which the newest mark of a commit counts, such as `orch/re-test`."""
    state: MarkState
    said: str = ""
    """One line for people."""
    link: str = ""
    """A page with more of it; empty is none."""


@dataclass(frozen=True)
class Showing:
    """What people are shown with a head that is offered. Its texts may hold anybody's words."""

    title: str = ""
    """One line; empty is the work item's name alone."""
    text: str = ""
    ready: bool = False
    """Whether it is on its way to land; until then the forge marks it as unfinished."""
    marks: tuple[Mark, ...] = ()


PullState = Literal["none", "open", "merged", "closed"]


@dataclass(frozen=True)
class Pull:
    """A topic branch at the forge, and the pull request that shows it."""

    branch: str
    head_sha: str
    """Where the branch is at the remote; empty when it is not there."""
    state: PullState = "none"
    """`none` where no pull request was ever opened, and always on plain git."""
    number: int | None = None
    url: str = ""
    """The page of the pull request."""
    merge_sha: str = ""
    """The commit by which it was merged, as the forge names it."""


@dataclass(frozen=True)
class Outlook:
    """What stands at the forge at one moment."""

    tip: str
    """The commit at which the default branch is."""
    pulls: Mapping[str, Pull] = field(default_factory=dict)
    """By the branches that were asked for."""


class Forge(Protocol):
    """The shared repository: where work is offered, shown to people, and lands.

    Every verb may raise GitUnreachable or GitTimeout, and may then simply be called again.
    """

    def look(self, remote: Remote, branches: Sequence[str] = ()) -> Outlook:
        """The default branch as it is now, and these topic branches with their pull requests."""
        ...

    def offer(self, cut: Cut, head_sha: str, showing: Showing | None = None) -> Pull:
        """Push this head as the topic branch, over nothing but what orch itself put there, and
        show it. The same call again changes nothing; without `showing` nothing shown is changed.

        Raises GitFenced when a later turn has the workspace, GitMoved when somebody else changed
        the branch, GitMissing when somebody deleted it or closed its pull request, GitRefused when
        the remote says no.
        """
        ...

    def land(self, cut: Cut, tested_sha: str, expected_base: str, title: str = "") -> Landed:
        """Merge exactly this head into the default branch, which must be exactly there.

        The same call again finds what it did before. Raises GitMoved (`branch`, `expected`,
        `actual`) when the default or the topic branch is elsewhere, GitRefused when there is
        nothing to land, when the head does not stand on that base, or holds merges, GitHeld while
        the forge wants something else first: a check, a review, its own queue.
        """
        ...

    def contains(self, remote: Remote, sha: str) -> bool:
        """Whether the default branch, read anew, contains this commit."""
        ...

    def withdraw(self, cut: Cut) -> bool:
        """Delete the topic branch if it is as orch offered it, and close what shows it; whether it
        is gone."""
        ...
