"""The tracker: where people say what is to be done, and are told what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol

StateGroup = Literal["backlog", "unstarted", "started", "completed", "cancelled"]
"""What a state means, whatever a project calls it."""
Priority = Literal["urgent", "high", "medium", "low", "none"]


@dataclass(frozen=True)
class Item:
    """A work item as the tracker has it. Its texts are anybody's words."""

    item_id: str
    """The tracker's own id, which never changes; `tasks.plane_id` of its task."""
    work_item_id: str
    """What people call it, such as `ORCH-12`; `tasks.work_item_id` of its task."""
    title: str
    state: str
    """The name of its state, as people see it."""
    group: StateGroup
    updated_at: datetime
    """By the tracker's clock: only ever compared with the tracker's own times."""
    description: str = ""
    """Plain text."""
    priority: Priority = "none"
    labels: tuple[str, ...] = ()
    url: str = ""
    """Its page; empty where there is none."""
    blocked_by: tuple[str, ...] | None = None
    """Ids of the items that come first; None where this answer does not tell."""
    moved_by: str | None = None
    """Who put it into its state, as the tracker names people; None where this answer does not
    tell, and empty where the tracker does not know."""


@dataclass(frozen=True)
class Remark:
    """What a person wrote below a work item."""

    remark_id: str
    author: str
    """As the tracker names people: what the allow list holds."""
    text: str
    """Plain text."""
    at: datetime
    """By the tracker's clock."""


Phase = Literal["taken", "working", "parked", "asking", "frozen", "landed", "cancelled"]
"""What orch has to say of an item, in orch's words; the adapter knows which state that is."""
GROUPS: Final[Mapping[str, StateGroup]] = {
    "Backlog": "backlog",
    "Todo": "unstarted",
    "In Progress": "started",
    "Blocked": "started",
    "Needs Input": "started",
    "Done": "completed",
    "Cancelled": "cancelled",
}
"""The states of a tracker that has none of its own, each with what it means."""
PHASES: Final[Mapping[Phase, str]] = {
    "working": "In Progress",
    "parked": "Blocked",
    "frozen": "Blocked",
    "asking": "Needs Input",
    "landed": "Done",
    "cancelled": "Cancelled",
}
"""Which of them says how far the task is."""


@dataclass(frozen=True)
class Telling:
    """One thing to tell about an item."""

    uid: str
    """The same however often it is told: by it the tracker shows the comment once."""
    item_id: str
    phase: Phase | None
    """The state to move the item to; None leaves it where it is."""
    text: str = ""
    """A comment in plain text, links included; empty is none."""


@dataclass(frozen=True)
class Readiness:
    """What stands in the way of working with a tracker or a forge, in words a person can act
    on."""

    myself: str = ""
    """As whom orch is known there."""
    problems: tuple[str, ...] = ()
    """Empty when all is well."""
    notes: tuple[str, ...] = ()
    """What was found or made: states, projects, rates."""
    moment: datetime | None = None
    """What its clock said a moment ago, to a second; None where it has none of its own."""
    advice: tuple[str, ...] = ()
    """What had better be otherwise, though orch can work so."""


class Tracker(Protocol):
    """A project of a tracker.

    Every verb may raise TrackerUnavailable (`retry_after` in seconds where it was stated) when a
    later try may help, TrackerRefused when only a person can help.
    """

    def items(self) -> Sequence[Item]:
        """Every item of the project that is neither deleted nor archived, read so that none is
        missed by somebody's edit in between."""
        ...

    def item(self, item_id: str) -> Item | None:
        """One item with all that is known of it; None when it is gone."""
        ...

    def remarks(self, item_id: str, after: datetime | None = None) -> Sequence[Remark]:
        """What others than orch wrote below it since, oldest first; all without `after`."""
        ...

    def tell(self, telling: Telling) -> None:
        """Show it on the item: at most one comment for one `uid`, and the state it goes with.

        Raises TrackerGone when the item is not there any more.
        """
        ...

    def prepare(self, *, make: bool = False) -> Readiness:
        """Look whether orch can work here; with `make`, make the states that are missing."""
        ...
