"""Agents and the workers that serve them: who is alive, and how many slots are free."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
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


def capacity(conn: Connection, now: Moment, stale: float, *, lock: bool = True) -> dict[str, int]:
    """Free slots per agent with live workers: what they can run, less what is live already.

    The agents' rows are locked first, so that two dispatchers cannot fill one slot twice; who fills
    none, as in a rehearsal, needs no `lock`. A suspended agent has none.
    """
    locks = lock and conn.dialect.name != "sqlite"
    slots = {row.name: int(row.slots) for row in conn.execute(_usable(now, stale, locks))}
    if not slots:
        return {}
    busy = dict(conn.execute(_BUSY).tuples().all())
    return {name: max(0, count - busy.get(name, 0)) for name, count in slots.items()}


@lru_cache(maxsize=16)
def _usable(now: Moment, stale: float, locks: bool) -> Any:
    served = (
        select(func.sum(workers.c.concurrency))
        .where(is_alive(now, stale), workers.c.queue == literal("agent.") + agents.c.name)
        .scalar_subquery()
    )
    usable = select(agents.c.name, served.label("slots")).where(
        served.is_not(None),
        or_(agents.c.suspended_until.is_(None), agents.c.suspended_until <= at(now)),
    )
    if not locks:
        return usable
    return usable.order_by(agents.c.name).with_for_update(key_share=True, of=agents)


_BUSY: Final = select(jobs.c.agent, func.count()).where(LIVE).group_by(jobs.c.agent)


def workers_known(conn: Connection, now: Moment, stale: float, most: int = 500) -> list[Any]:
    """Workers by name, those that are silent or gone for a day or less included."""
    statement = (
        select(*workers.c, is_alive(now, stale).label("alive"))
        .where(workers.c.heartbeat_at > later(now, -DAY))
        .order_by(workers.c.queue, workers.c.name)
    )
    return list(conn.execute(statement.limit(most)).mappings())


def is_alive(now: Moment, stale: float) -> ColumnElement[bool]:
    """A worker that has been heard of lately and has not said goodbye."""
    return and_(workers.c.stopped_at.is_(None), workers.c.heartbeat_at > later(now, -stale))


DAY: Final = 86400.0
SUSPENSION: Final = 900.0
"""Seconds for which an agent is suspended when nobody said until when."""


def suspend(  # noqa: PLR0913 - one row of facts, and how near is the same
    conn: Connection,
    agent: str,
    until: datetime | None,
    reason: str,
    now: Moment,
    *,
    actor: str = "orch",
    near: float = 0.0,
) -> bool:
    """Give an agent nothing to do until then, whichever task it is of; what runs goes on.

    False, and nothing is changed, when it is suspended for as long already, or less than `near`
    seconds shorter, or that time is over.
    The agent's row may be locked last, also under a repo's lock: whoever holds it waits for no
    repo. No mark is needed for the end: what waits is noted by the first look at it, and every
    tick goes by the notes of those agents that have slots.
    """
    end = later(now, SUSPENSION) if until is None else at(until)
    insert_unless_there(conn, agents, [{"name": agent}])
    clearly = (
        later(now, SUSPENSION - near) if until is None else at(until - timedelta(seconds=near))
    )
    longer = or_(agents.c.suspended_until.is_(None), agents.c.suspended_until < clearly)
    changed = conn.execute(
        update(agents)
        .where(agents.c.name == agent, longer, end > at(now))
        .values(suspended_until=end, suspended_reason=reason)
        .returning(agents.c.suspended_until)
    ).scalar_one_or_none()
    if changed is not None:
        told = {"agent": agent, "until": changed.isoformat()}
        ledger.record(conn, now, "agent.suspended", actor=actor, reason=reason, data=told)
    return changed is not None


def lift(
    conn: Connection, agent: str, now: Moment, *, actor: str = "orch", reason: str = ""
) -> bool:
    """End the suspension of an agent. False if it is not suspended."""
    lifted = _lifted(conn, now, actor, reason, agents.c.name == agent, is_suspended(now))
    return bool(lifted)


def clear_expired(conn: Connection, now: Moment) -> int:
    """Write down that suspensions ran out; how many did."""
    return _lifted(conn, now, "orch", "its time was over", agents.c.suspended_until <= at(now))


def is_suspended(now: Moment) -> ColumnElement[bool]:
    """The agent is suspended, and its time is not over."""
    return and_(agents.c.suspended_until.is_not(None), agents.c.suspended_until > at(now))


def _lifted(
    conn: Connection, now: Moment, actor: str, reason: str, *where: ColumnElement[bool]
) -> int:
    lifting = update(agents).where(*where).values(suspended_until=None, suspended_reason="")
    ended = list(conn.scalars(lifting.returning(agents.c.name)))
    for name in ended:
        told = {"agent": name}
        ledger.record(conn, now, "agent.resumed", actor=actor, reason=reason, data=told)
    return len(ended)


def note_beat(conn: Connection, name: str, now: Moment, **detail: object) -> None:
    """Write down when something periodic last happened, for healthz."""
    put(conn, beats, {"name": name}, {"at": at(now), "detail": detail})


_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


def take_turn(conn: Connection, name: str, now: Moment, every: float) -> bool:
    """Whether something periodic is due, and ours to do: of all who ask, one in `every` seconds."""
    insert_unless_there(conn, beats, [{"name": name, "at": _NEVER}])
    due = update(beats).where(beats.c.name == name, beats.c.at <= later(now, -every))
    return bool(conn.execute(due.values(at=at(now))).rowcount)
