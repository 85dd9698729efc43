"""The ledger for reading: forwards to follow it, backwards to look into the past."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final

from orch import mirror
from orch.errors import NotFound
from orch.line import Line
from orch.store import history
from orch.store.session import Connection
from orch.store.work import task_by_work_item


@dataclass(frozen=True)
class Wanted:
    """Which events are asked for. With `after` the oldest come first, otherwise the newest."""

    work_item: str | None = None
    repo: str | None = None
    kind: str | None = None
    after: int | None = None
    before: int | None = None
    limit: int = 100
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    """What the reason holds, in whatever case."""


@dataclass(frozen=True)
class Found:
    """A page of events that were looked for, newest first."""

    events: list[dict[str, Any]]
    before: int | None
    """To look further back from; None when there is nothing further back."""
    looked_back_to: datetime | None = None
    """Set when the page is not full although there is more to look through."""


WINDOW: Final = 20_000
"""Events that one look goes through: what is rare in a long ledger is found in several."""
ROOM: Final = timedelta(hours=1)
"""By how much the order of ids may differ from that of times."""


def search(line: Line, wanted: Wanted) -> Found:
    """One page, newest first, of what all of the filters let through. Raises UnknownTask.

    It reads by id, a bounded stretch of the ledger, however rare what is looked for.
    """
    return line.store.read(lambda conn: _search(conn, line, wanted))


def _search(conn: Connection, line: Line, wanted: Wanted) -> Found:
    asked = _filter(conn, wanted)
    top = history.event_horizon(conn, line.now())
    if wanted.until is not None:
        top = min(top, history.event_near(conn, wanted.until + ROOM))
    if wanted.before is not None:
        top = min(top, wanted.before - 1)
    floor = 0 if wanted.since is None else history.event_near(conn, wanted.since - ROOM)
    # The events of one task have an index of their own.
    low = floor if asked.task_id is not None else max(floor, top - WINDOW)
    rows = history.events_page(conn, replace(asked, after=None, before=None, beyond=low), top)
    found = [dict(row) for row in rows]
    if len(found) == wanted.limit:
        return Found(found, found[-1]["id"])
    if low <= floor:
        return Found(found, None)
    return Found(found, low + 1, history.event_time(conn, low + 1))


def everything(line: Line, wanted: Wanted) -> Iterator[list[dict[str, Any]]]:
    """All that the filters let through, newest first, a batch at a time; nothing is held between.

    What is written meanwhile is not among it.
    """
    before = wanted.before
    while True:
        found = search(line, replace(wanted, before=before, limit=BATCH))
        yield found.events
        if found.before is None:
            return
        before = found.before


BATCH: Final = 500


def page(line: Line, wanted: Wanted) -> dict[str, Any]:
    """One page, with `last` to go on from and `before` to look further back. Raises UnknownTask.

    Whoever goes on with `after=last` meets every event exactly once, however many programs write.
    """

    def look(conn: Connection) -> dict[str, Any]:
        asked = _filter(conn, wanted)
        if wanted.after is not None and history.last_event(conn) <= wanted.after:
            return {"events": [], "last": wanted.after, "more": False}  # what followers find mostly
        horizon = history.event_horizon(conn, line.now())
        found = [dict(row) for row in history.events_page(conn, asked, horizon)]
        full = len(found) == wanted.limit
        if wanted.after is None:
            before = found[-1]["id"] if full else None
            last = found[0]["id"] if found and wanted.before is None else horizon
            return {"events": found, "last": last, "before": before}
        last = found[-1]["id"] if full else max(horizon, wanted.after)
        return {"events": found, "last": last, "more": full}

    return line.store.read(look)


def newest(line: Line) -> int:
    """The id to follow the ledger from, for who wants only what happens from now on."""
    return line.store.read(lambda conn: history.event_horizon(conn, line.now()))


def revision(line: Line, bucket: float) -> str:
    """A short text that changes with everything a snapshot shows, and every `bucket` seconds.

    Time itself opens gates and ends freezes without a write; the bucket bounds how late that shows.
    """
    stale = line.limits.worker_stale
    found = line.store.read(lambda conn: history.revision(conn, line.now(), stale))
    *numbers, moment, alive, slots = found
    parts = [*numbers, alive, slots, int(moment.timestamp() // bucket), line.gate.layers]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]


def require_repos(line: Line, wanted: tuple[str, ...]) -> None:
    """Raise NotFound, with names that look like it, for a repo nobody has heard of."""

    def look(conn: Connection) -> None:
        for name in history.unknown_repos(conn, wanted):
            raise NotFound(
                f"No repo is known as {name}.",
                suggested_fix="Check the spelling; a repo is known from its first task or freeze.",
                did_you_mean=difflib.get_close_matches(name, history.some_repos(conn)),
            )

    if wanted:
        line.store.read(look)


def _filter(conn: Connection, wanted: Wanted) -> history.EventFilter:
    task_id = None
    if wanted.work_item is not None:
        task = task_by_work_item(conn, wanted.work_item)
        if task is None:
            raise mirror.unknown(conn, wanted.work_item)
        task_id = task["id"]
    same = {each.name: getattr(wanted, each.name) for each in fields(wanted)}
    del same["work_item"]
    return history.EventFilter(task_id=task_id, **same)
