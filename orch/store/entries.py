"""The ledger read from end to end, once by each reader, and what each stretch of a job began with.

A reader's place is a row of `beats`. Who counts advances it in the transaction in which he counts;
who tells others advances it after they have heard.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Integer,
    bindparam,
    case,
    null,
    select,
    update,
)

from orch.store.lists import is_any_of
from orch.store.moments import Moment, at, later
from orch.store.schema import among, beats, events, jobs, tasks
from orch.store.session import Row, insert_unless_there

SETTLED_SECONDS: Final = 10.0
"""How old an entry must be to be read. Ids are drawn before they are committed, so that one below
may come to light later; a transaction of orch lasts no such time."""
BEGIN: Final = ("job.queued", "job.claimed", "job.released", "job.reaped")
"""What a stretch of a job begins with."""
END: Final = ("job.claimed", "job.released", "job.reaped", "job.succeeded", "job.failed",
              "job.cancelled")  # fmt: skip
"""What a stretch of a job ends with."""
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


def place(conn: Connection, reader: str) -> int | None:
    """The id of the last entry this reader has seen; None before it has begun."""
    detail = conn.scalar(select(beats.c.detail).where(beats.c.name == reader))
    return None if detail is None else int(detail.get("event", 0))


def begin(conn: Connection, reader: str, after: int) -> None:
    """Let a reader begin after this entry, unless it has begun."""
    row = {"name": reader, "at": _NEVER, "detail": {"event": after}}
    insert_unless_there(conn, beats, [row])


def hold(conn: Connection, reader: str, now: Moment) -> int:
    """The same as `place`, from the beginning of the ledger, and nobody else's until the
    transaction is over."""
    begin(conn, reader, 0)
    mine = update(beats).where(beats.c.name == reader).values(at=at(now))
    detail = conn.execute(mine.returning(beats.c.detail)).scalar_one()
    return int(detail.get("event", 0))


def advance(conn: Connection, reader: str, now: Moment, seen: int) -> None:
    """This reader has seen the ledger up to here."""
    moved = {"at": at(now), "detail": {"event": seen}}
    conn.execute(update(beats).where(beats.c.name == reader).values(**moved))


def read_on(conn: Connection, now: Moment, after: int, most: int) -> list[dict[str, Any]]:
    """The next settled entries with the job and the task of each.

    `before` is the entry with which the stretch began that this one ends, or None: that of a job
    another program wrote has none.
    """
    unread = _next(now, SETTLED_SECONDS)
    found = conn.execute(unread, {"after": after, "most": most}).mappings().all()
    settled = [place for place, row in enumerate(found, 1) if row["settled"]]
    rows = [dict(row) for row in found[: max(settled, default=0)]]
    earlier = _entries(conn, [row["before_id"] for row in rows if row["before_id"] is not None])
    for row in rows:
        row["before"] = earlier.get(row["before_id"])
    return rows


def _entries(conn: Connection, ids: list[int]) -> dict[int, Row]:
    if not ids:
        return {}
    return {row["id"]: row for row in conn.execute(_BY_ID, {"ids": ids}).mappings()}


_BY_ID: Final = select(events.c.id, events.c.kind, events.c.at, events.c.reason).where(
    is_any_of(events.c.id, "ids")
)


@lru_cache(maxsize=4)
def _next(now: Moment, age: float) -> Any:
    earlier = events.alias()
    began = (
        select(earlier.c.id)
        .where(
            earlier.c.task_id == events.c.task_id,
            earlier.c.id < events.c.id,
            earlier.c.job_id == events.c.job_id,
            among(earlier.c.kind, BEGIN),
        )
        .order_by(earlier.c.task_id.desc(), earlier.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    asked = among(events.c.kind, (*END, "task.landed"))
    source = events.outerjoin(jobs, jobs.c.id == events.c.job_id).outerjoin(
        tasks, tasks.c.id == events.c.task_id
    )
    columns = (
        *(events.c[name] for name in ("id", "at", "kind", "task_id", "job_id", "repo", "reason")),
        *(events.c[name] for name in ("actor", "to_state", "data")),
        *(jobs.c[name] for name in ("agent", "stage", "attempt", "status", "failure", "usage")),
        jobs.c.created_at.label("queued_at"),
        tasks.c.work_item_id,
        tasks.c.created_at.label("task_at"),
        case((asked, began), else_=null()).label("before_id"),
        (events.c.at <= later(now, -age)).label("settled"),
    )
    unread = events.c.id > bindparam("after", type_=Integer)
    first = select(*columns).select_from(source).where(unread).order_by(events.c.id)
    return first.limit(bindparam("most", type_=Integer))


def behind(conn: Connection, reader: str) -> int | None:
    """How many entries at most this reader has yet to see; None before it has begun."""
    seen = place(conn, reader)
    if seen is None:
        return None
    newest = select(events.c.id).where(events.c.id > seen).order_by(events.c.id.desc()).limit(1)
    return (conn.scalar(newest) or seen) - seen
