"""A tracker that only remembers: the stateful fake of Tracker, with everything that goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from orch.errors import TrackerGone, TrackerRefused, TrackerUnavailable
from orch.ports.tracker import (
    GROUPS,
    PHASES,
    Item,
    Priority,
    Readiness,
    Remark,
    StateGroup,
    Telling,
)

BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
MYSELF: Final = "orch"


@dataclass
class Faults:
    """What goes wrong from now on, until it is taken back."""

    away: bool = False
    """Nobody answers."""
    retry_after: float | None = None
    """Too many requests, and when to come again, in seconds."""
    refused: str = ""
    """Nothing is allowed, and why."""
    lose_answers: int = 0
    """So many writes happen, and nobody hears of it."""
    broken_items: set[str] = field(default_factory=set)
    """Items that cannot be read one by one."""
    pages_shift: bool = False
    """The list comes in another order, and with items twice."""
    next_calls: list[bool] = field(default_factory=list)
    """Whether each of the next calls is left without an answer."""


class MemoryTracker:
    """Items, remarks and what was told, as a tracker would keep them."""

    def __init__(self, *, detailed: bool = False) -> None:
        self.detailed = detailed
        """Whether the list tells relations and who moved an item."""
        self.faults = Faults()
        self.calls: list[str] = []
        self.told: list[Telling] = []
        """Each that arrived, repetitions included."""
        self.comments: dict[str, list[str]] = {}
        """What people see of it below each item."""
        self.states: dict[str, StateGroup] = dict(GROUPS)
        self._items: dict[str, Item] = {}
        self._gone: dict[str, Item] = {}
        self._remarks: dict[str, list[Remark]] = {}
        self._seen: set[str] = set()
        self._clock = BEGIN

    # --- what people do there

    def add(
        self,
        item_id: str,
        title: str = "",
        state: str = "Todo",
        *,
        by: str = "ann",
        priority: Priority = "none",
        labels: tuple[str, ...] = (),
    ) -> None:
        """Make an item; people call it by its id in capitals."""
        self._items[item_id] = Item(
            item_id=item_id,
            work_item_id=item_id.upper(),
            title=title or f"The title of {item_id}",
            state=state,
            group=self.states[state],
            updated_at=self._tick(),
            description=f"What {item_id} is about.",
            priority=priority,
            labels=labels,
            blocked_by=(),
            moved_by=by,
        )

    def move(self, item_id: str, state: str, by: str = "ann") -> None:
        """Put an item into a state."""
        self._put(item_id, state=state, group=self.states[state], moved_by=by)

    def retitle(self, item_id: str, title: str) -> None:
        """Call it something else."""
        self._put(item_id, title=title)

    def weigh(self, item_id: str, priority: Priority) -> None:
        """Give it another priority."""
        self._put(item_id, priority=priority)

    def relate(self, item_id: str, *blockers: str) -> None:
        """Say what it is blocked by: exactly these. As with Plane, it counts as no change."""
        self._items[item_id] = replace(self._items[item_id], blocked_by=blockers)

    def remark(self, item_id: str, text: str, by: str = "ann") -> None:
        """Write something below it."""
        said = self._remarks.setdefault(item_id, [])
        said.append(Remark(f"{item_id}-{len(said)}", by, text, self._tick()))

    def drop(self, item_id: str) -> None:
        """Delete or archive it."""
        self._gone[item_id] = self._items.pop(item_id)

    def restore(self, item_id: str) -> None:
        """Take it out of the archive again."""
        self._items[item_id] = replace(self._gone.pop(item_id), updated_at=self._tick())

    def state_of(self, item_id: str) -> str:
        """The state in which people see it."""
        return self._items[item_id].state

    # --- the port

    def items(self) -> Sequence[Item]:
        """Every item that is there."""
        self._answer("items")
        found = list(self._items.values())
        if self.faults.pages_shift:
            found = [*found[::-1], *found[:2]]
        if self.detailed:
            return found
        return [replace(item, blocked_by=None, moved_by=None) for item in found]

    def item(self, item_id: str) -> Item | None:
        """One item with everything."""
        self._answer("item")
        if item_id in self.faults.broken_items:
            raise TrackerUnavailable(f"{item_id} cannot be read.")
        return self._items.get(item_id)

    def remarks(self, item_id: str, after: datetime | None = None) -> Sequence[Remark]:
        """What people wrote below it since, oldest first."""
        self._answer("remarks")
        said = self._remarks.get(item_id, [])
        return [each for each in said if after is None or each.at >= after]

    def tell(self, telling: Telling) -> None:
        """Take it down, once for each uid."""
        self._answer("tell")
        if telling.item_id not in self._items:
            raise TrackerGone(f"{telling.item_id} is not there any more.")
        state = PHASES.get(telling.phase) if telling.phase else None
        if state is not None and state not in self.states:
            raise TrackerRefused(f"There is no state {state} any more.")
        self.told.append(telling)
        if telling.text and telling.uid not in self._seen:
            self.comments.setdefault(telling.item_id, []).append(telling.text)
        self._seen.add(telling.uid)
        if state is not None and state != self._items[telling.item_id].state:
            self.move(telling.item_id, state, MYSELF)
        if self.faults.lose_answers:
            self.faults.lose_answers -= 1
            raise TrackerUnavailable("The answer was lost on its way.")

    def prepare(self, *, make: bool = False) -> Readiness:
        """Ready, as far as it lets anybody in."""
        self._answer("prepare")
        return Readiness(MYSELF)

    def _answer(self, verb: str) -> None:
        self.calls.append(verb)
        faults = self.faults
        if faults.away or (faults.next_calls and faults.next_calls.pop(0)):
            raise TrackerUnavailable("The tracker does not answer.")
        if faults.retry_after is not None:
            raise TrackerUnavailable("Too many requests.", retry_after=faults.retry_after)
        if faults.refused:
            raise TrackerRefused(faults.refused)

    def _put(self, item_id: str, **changes: Any) -> None:
        changed = replace(self._items[item_id], **changes)
        self._items[item_id] = replace(changed, updated_at=self._tick())

    def _tick(self) -> datetime:
        self._clock += timedelta(seconds=1)
        return self._clock
