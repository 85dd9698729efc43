"""Agents and the workers that serve them: who is alive, and how many slots are free."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, and_, func, literal, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from orch import stages
from orch.store import ledger
from orch.store.moments import Moment, at, later
from orch.store.schema import LIVE, agents, beats, jobs, workers
from orch.store.session import insert_unless_there, put


def register(
    conn: Connection, name: str, queue: str, concurrency: int, version: str, now: Moment
) -> None:
    """A worker says that it serves a queue with so many slots. Said again, the last word counts."""
    if queue != stages.CONTROL_QUEUE:
        insert_unless_there(conn, agents, [{"name": queue.removeprefix("agent.")}])
    put(
        conn,
        workers,
        {"name": name},
        {
            "queue": queue,
            "concurrency": concurrency,
            "version": version,
            "started_at": at(now),
            "heartbeat_at": at(now),
            "stopped_at": None,
        },
    )


def beat(conn: Connection, name: str, now: Moment) -> bool:
    """A worker says that it is alive. False if it has to register first."""
    alive = conn.execute(
        update(workers).where(workers.c.name == name).values(heartbeat_at=at(now), stopped_at=None)
    )
    return bool(alive.rowcount)


def leave(conn: Connection, name: str, now: Moment) -> None:
    """A worker says that it takes no more work."""
    conn.execute(update(workers).where(workers.c.name == name).values(stopped_at=at(now)))


def capacity(conn: Connection, now: Moment, stale: float) -> dict[str, int]:
    """Free slots per agent with live workers: what they can run, less what is live already.

    The agents' rows are locked first, so that two dispatchers cannot fill one slot twice. A
    suspended agent has none.
    """
    slots = {
        row.name: int(row.slots) for row in conn.execute(_usable(now, stale, conn.dialect.name))
    }
    if not slots:
        return {}
    busy = dict(conn.execute(_BUSY).tuples().all())
    return {name: max(0, count - busy.get(name, 0)) for name, count in slots.items()}


@lru_cache(maxsize=16)
def _usable(now: Moment, stale: float, dialect: str) -> Any:
    served = (
        select(func.sum(workers.c.concurrency))
        .where(is_alive(now, stale), workers.c.queue == literal("agent.") + agents.c.name)
        .scalar_subquery()
    )
    usable = select(agents.c.name, served.label("slots")).where(
        served.is_not(None),
        or_(agents.c.suspended_until.is_(None), agents.c.suspended_until <= at(now)),
    )
    if dialect == "sqlite":
        return usable
    return usable.order_by(agents.c.name).with_for_update(key_share=True, of=agents)


_BUSY: Final = select(jobs.c.agent, func.count()).where(LIVE).group_by(jobs.c.agent)


def is_alive(now: Moment, stale: float) -> ColumnElement[bool]:
    """A worker that has been heard of lately and has not said goodbye."""
    return and_(workers.c.stopped_at.is_(None), workers.c.heartbeat_at > later(now, -stale))


def note_beat(conn: Connection, name: str, now: Moment, **detail: object) -> None:
    """Write down when something periodic last happened, for healthz."""
    put(conn, beats, {"name": name}, {"at": at(now), "detail": detail})


SUSPENSION: Final = 900.0
"""Seconds for which an agent is suspended when nobody said until when."""


def suspend(conn: Connection, agent: str, until: datetime | None, reason: str, now: Moment) -> None:
    """Give an agent nothing to do until then, whichever task it is of."""
    end = later(now, SUSPENSION) if until is None else at(until)
    put(conn, agents, {"name": agent}, {"suspended_until": end, "suspended_reason": reason})
    ledger.record(conn, now, "agent.suspended", reason=reason, data={"agent": agent})
