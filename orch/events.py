"""The ledger for reading: forwards to follow it, backwards to look into the past."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from typing import Any

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
    return history.EventFilter(
        task_id, wanted.repo, wanted.kind, wanted.after, wanted.before, wanted.limit
    )
