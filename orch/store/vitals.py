"""The numbers behind healthz and /metrics. They are read by no rule."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, func, select

from orch import serial_gate
from orch.jobs import ENDED
from orch.serial_gate import Gate
from orch.store import fleet
from orch.store.moments import Moment, later
from orch.store.schema import LIVE, QUEUED, among, beats, counters, jobs, workers
from orch.store.session import Row

SAMPLE: Final = 1000
"""How many of the oldest waiting jobs are asked for their reasons: all would be too many."""


def beats_now(conn: Connection) -> dict[str, Row]:
    """When each periodic thing last happened, and what it said."""
    rows = conn.execute(select(beats.c.name, beats.c.at, beats.c.detail)).mappings()
    return {row["name"]: row for row in rows}


def counted(conn: Connection) -> list[Row]:
    """The counters of all processes."""
    statement = select(counters.c.name, counters.c.label, counters.c.value)
    return list(conn.execute(statement.order_by(counters.c.name, counters.c.label)).mappings())


def stuck_claims(conn: Connection, now: Moment, older: float, stale: float) -> list[Row]:
    """Per agent with live workers: claims nobody has started for so long, and the oldest."""
    alive = select(func.replace(workers.c.queue, "agent.", "")).where(fleet.is_alive(now, stale))
    statement = (
        select(
            jobs.c.agent,
            func.count().label("claims"),
            func.min(jobs.c.claimed_at).label("oldest"),
        )
        .where(
            LIVE,
            jobs.c.status == "claimed",
            jobs.c.claimed_at < later(now, -older),
            jobs.c.agent.in_(alive),
        )
        .group_by(jobs.c.agent)
        .order_by(jobs.c.agent)
    )
    return list(conn.execute(statement).mappings())


def live_workers(conn: Connection, now: Moment, stale: float) -> list[Row]:
    """Workers heard of lately, control workers included."""
    columns = (
        workers.c.name,
        workers.c.queue,
        workers.c.concurrency,
        workers.c.version,
        workers.c.heartbeat_at,
    )
    statement = select(*columns).where(fleet.is_alive(now, stale)).order_by(workers.c.name)
    return list(conn.execute(statement.limit(500)).mappings())


def waiting(conn: Connection) -> Row:
    """How many jobs wait, in how many repos, and since when the oldest does."""
    statement = select(
        func.count().label("jobs"),
        func.count(jobs.c.repo.distinct()).label("repos"),
        func.min(jobs.c.created_at).label("oldest"),
    ).where(QUEUED)
    return conn.execute(statement).mappings().one()


def sampled_reasons(conn: Connection, gate: Gate, now: Moment) -> dict[str, int]:
    """How many of the oldest waiting jobs wait for which reason; `none`: they may start."""
    statement = serial_gate.snapshot(gate, now).order_by(jobs.c.id).limit(SAMPLE)
    found: dict[str, int] = {}
    for row in conn.execute(statement).mappings():
        reason = serial_gate.reason(row) or "none"
        found[reason] = found.get(reason, 0) + 1
    return found


def ended_jobs(conn: Connection) -> dict[str, int]:
    """How many jobs ended, by outcome: the failure's class, or `succeeded`."""
    outcome = func.coalesce(jobs.c.failure, jobs.c.status)
    statement = select(outcome, func.count()).where(among(jobs.c.status, ENDED)).group_by(outcome)
    return dict(conn.execute(statement).tuples().all())
