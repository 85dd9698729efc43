"""One round of asking a tracker what is new: the list is the truth, hints only say where to begin.

What changed is read in detail, within a bound; relations change without notice, so that of the open
items a few are read again in each round, in turn. What was read is written item by item: a fault in
between loses nothing that was written before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from orch import stages
from orch.errors import TrackerError, TrackerUnavailable
from orch.line import Line
from orch.outside import bonds, items, replies
from orch.outside.feeds import Answered
from orch.outside.source import Source, facts
from orch.ports.tracker import Item, Tracker
from orch.store import tracked
from orch.store.session import Connection, Row

DETAILS: Final = 12
"""Items read one by one in a round."""
IN_TURN: Final = 3
"""Of these so many that nothing is said to have changed in."""
BATCH: Final = 200
"""Items written in one transaction where nothing follows from them."""
HINTS: Final = 1000
"""Hints looked after in a round; several of one item count as one reading."""
TRIES: Final = 3
"""So often a hinted item that cannot be seen yet is looked for; then it is left to the list."""
SOON: Final = 5.0
"""Seconds until the next round where this one left something over."""
BROKEN: Final = 2
"""So many items that cannot be read end a round: it is the tracker then, and not they."""


@dataclass
class _Round:
    line: Line
    source: Source
    tracker: Tracker
    rows: Mapping[str, Row]
    done: list[str] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    broken: int = 0
    """Items that could not be read."""
    fault: TrackerError | None = None
    """What ends the round: it is the tracker, and not an item."""
    left: int = 0


def ask(line: Line, source: Source, tracker: Tracker, notes: Mapping[str, Any]) -> Answered:
    """Do one round; `notes` are those of the round before. Raises TrackerError where nothing could
    be read at all."""
    hints = line.store.write(partial(_taken_hints, line=line, kind=source.settings.kind))
    ids = [row["id"] for row in hints]
    try:
        listed = {item.item_id: item for item in tracker.items()}
    except TrackerError:
        line.store.write(lambda conn: tracked.give_back(conn, ids))
        raise
    rows = line.store.read(lambda conn: tracked.rows(conn, source.name))
    now = _Round(line, source, tracker, rows)
    hinted = list(dict.fromkeys(row["subject"] for row in hints if row["subject"]))
    unseen = _unseen(hinted, notes.get("unseen", {}), listed, rows)
    _write_light(now, _light(now, listed))
    _read(now, listed, hinted)
    now.done += bonds.tie_all(line, source)
    if now.fault is None:
        _hear(now, hinted)
    if now.fault is not None:
        line.store.write(lambda conn: tracked.give_back(conn, ids))
    if now.done:
        line.opened(line)
    wait = SOON if now.left or unseen or len(hints) == HINTS else None
    return Answered(now.done, wait, {"myself": source.myself, "unseen": unseen}, now.fault)


def _taken_hints(conn: Connection, line: Line, kind: str) -> list[Row]:
    """Taken before anything is asked: what happens while it is answered waits as a hint anew."""
    found = tracked.hints(conn, kind, HINTS)
    tracked.take_hints(conn, [row["id"] for row in found], line.now(), "looked")
    return found


def _unseen(
    hinted: Iterable[str],
    before: Mapping[str, int],
    listed: Collection[str],
    rows: Collection[str],
) -> dict[str, int]:
    """Hinted items that are not in the list, and how often they were looked for."""
    wanted = dict.fromkeys(hinted, 0) | dict(before)
    return {
        item_id: tries + 1
        for item_id, tries in wanted.items()
        if item_id not in listed and item_id not in rows and tries + 1 < TRIES
    }


def _hear(now: _Round, hinted: list[str]) -> None:
    try:
        now.done += replies.take(now.line, now.source, now.tracker, hinted)
    except TrackerError as error:
        now.fault = error


# --- which, and in what order -----------------------------------------------------------------


def _changed(source: Source, item: Item, row: Row | None) -> bool:
    if row is None or row["missing_since"] is not None:
        return True
    known = row["facts"]
    return (known["updated_at"], known["rules"]) != (item.updated_at.isoformat(), source.rules)


def _is_whole(item: Item) -> bool:
    return item.blocked_by is not None and item.moved_by is not None


def _is_open(row: Row | None) -> bool:
    return bool(row and row["task_id"] is not None and row["task_stage"] not in stages.TERMINAL)


def _matters(source: Source, item: Item, row: Row | None) -> bool:
    """Whether a task follows from it, or may."""
    has_task = row is not None and row["task_id"] is not None
    return _is_open(row) if has_task else source.starts(item)


def _light(now: _Round, listed: Mapping[str, Item]) -> list[Item]:
    return [
        item
        for item_id, item in listed.items()
        if _changed(now.source, item, now.rows.get(item_id))
        and not _matters(now.source, item, now.rows.get(item_id))
    ]


def _write_light(now: _Round, light: list[Item]) -> None:
    """Note items from which nothing follows, many at a time."""

    def note(conn: Connection, batch: list[Item]) -> None:
        for item in batch:
            now.done.extend(items.settle(conn, now.line, now.source, item))

    for begin in range(0, len(light), BATCH):
        now.line.store.write(partial(note, batch=light[begin : begin + BATCH]))


def _read(now: _Round, listed: Mapping[str, Item], hinted: list[str]) -> None:
    """Read what changed, what was hinted at, what is missing, and some of the others."""
    wanted = _wanted(now, listed, hinted)
    for item_id in wanted:
        item = listed.get(item_id)
        if item is not None and _is_whole(item):
            _settle(now, item_id, item)
        elif len(now.read) >= DETAILS or now.fault is not None:
            now.left += 1
        else:
            _read_one(now, item_id)


def _wanted(now: _Round, listed: Mapping[str, Item], hinted: list[str]) -> list[str]:
    rows, source = now.rows, now.source
    changed = [
        item
        for item_id, item in listed.items()
        if _changed(source, item, rows.get(item_id)) and _matters(source, item, rows.get(item_id))
    ]
    # In the order they came in there, as people call them: that is their order in the line.
    changed.sort(key=lambda item: (not _is_open(rows.get(item.item_id)), _number(item)))
    missing = [
        item_id
        for item_id, row in rows.items()
        if item_id not in listed and row["missing_since"] is None
    ]
    known = [item_id for item_id in hinted if item_id in listed or item_id in rows]
    wanted = [*known, *(item.item_id for item in changed), *missing]
    return list(dict.fromkeys([*wanted, *_in_turn(now, listed, set(wanted))]))


def _number(item: Item) -> tuple[int, str]:
    digits = item.work_item_id.rpartition("-")[2]
    return (int(digits) if digits.isdecimal() else 0, item.work_item_id)


def _in_turn(now: _Round, listed: Mapping[str, Item], wanted: Collection[str]) -> list[str]:
    """Open items whose relations were read longest ago."""
    others = [
        (row["read_at"], item_id)
        for item_id, row in now.rows.items()
        if item_id in listed and item_id not in wanted and _is_open(row)
    ]
    whole = [item_id for _, item_id in others if _is_whole(listed[item_id])]
    oldest = sorted(each for each in others if each[1] not in whole)
    return [*whole, *(item_id for _, item_id in oldest[:IN_TURN])]


def _read_one(now: _Round, item_id: str) -> None:
    now.read.add(item_id)
    try:
        item = now.tracker.item(item_id)
    except TrackerUnavailable as error:
        now.broken += 1
        now.done.append(f"{item_id} could not be read: {error.message}")
        if error.facts.get("retry_after") or now.broken >= BROKEN:
            now.fault = error
        return
    _settle(now, item_id, item)


def _settle(now: _Round, item_id: str, item: Item | None) -> None:
    def write(conn: Connection) -> list[str]:
        if item is None:
            return items.gone(conn, now.line, now.source, item_id)
        return items.settle(conn, now.line, now.source, item)

    row = now.rows.get(item_id)
    if item is None or row is None or _is_news(now.source, item, row):
        now.done += now.line.store.write(write)
    elif not _is_whole(item) or item_id in now.read:
        moment: datetime = now.line.store.read(lambda conn: tracked.now_of(conn, now.line.now()))
        now.line.store.write(
            lambda conn: tracked.change(conn, now.source.name, item_id, read_at=moment)
        )


def _is_news(source: Source, item: Item, row: Row) -> bool:
    """Whether it says anything that is not written down yet."""
    return _changed(source, item, row) or facts(item, row, source) != row["facts"]
