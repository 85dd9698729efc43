"""Agents and the workers that serve them: who is alive, and how many slots are free."""

from __future__ import annotations

from sqlalchemy import Connection, and_, func, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from orch import stages
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
    slots = _slots(conn, now, stale)
    if not slots:
        return {}
    usable = select(agents.c.name).where(
        agents.c.name.in_(sorted(slots)),
        or_(agents.c.suspended_until.is_(None), agents.c.suspended_until <= at(now)),
    )
    if conn.dialect.name != "sqlite":
        usable = usable.order_by(agents.c.name).with_for_update(key_share=True)
    usable_names = list(conn.scalars(usable))
    busy = dict(
        conn.execute(
            select(jobs.c.agent, func.count())
            .where(LIVE, jobs.c.agent.in_(usable_names))
            .group_by(jobs.c.agent)
        )
        .tuples()
        .all()
    )
    return {name: max(0, slots.get(name, 0) - busy.get(name, 0)) for name in usable_names}


def _slots(conn: Connection, now: Moment, stale: float) -> dict[str, int]:
    rows = conn.execute(
        select(workers.c.queue, func.sum(workers.c.concurrency))
        .where(is_alive(now, stale), workers.c.queue != stages.CONTROL_QUEUE)
        .group_by(workers.c.queue)
    ).tuples()
    return {queue.removeprefix("agent."): int(total) for queue, total in rows}


def is_alive(now: Moment, stale: float) -> ColumnElement[bool]:
    """A worker that has been heard of lately and has not said goodbye."""
    return and_(workers.c.stopped_at.is_(None), workers.c.heartbeat_at > later(now, -stale))


def note_beat(conn: Connection, name: str, now: Moment, **detail: object) -> None:
    """Write down when something periodic last happened, for healthz."""
    put(conn, beats, {"name": name}, {"at": at(now), "detail": detail})
