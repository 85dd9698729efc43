"""How many wait. One rule for every number shown: a job waits when it is queued and its task is
not parked.

Few tasks are parked and an index knows them, so they are counted and subtracted: to look at the
task of each of a hundred thousand queued jobs would cost many times as much.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, exists, func, literal_column, select

from orch.serial_gate import Gate
from orch.store.schema import LIVE, QUEUED, jobs, tasks


def listed_counts(conn: Connection, names: Sequence[str]) -> dict[str, int]:
    """How many jobs are queued in each of these repos, those of parked tasks among them."""
    counted = (
        select(jobs.c.repo, func.count())
        .where(QUEUED, jobs.c.repo.in_(list(names)))
        .group_by(jobs.c.repo)
    )
    return dict(conn.execute(counted).tuples().all())


def waiting_counts(conn: Connection, gate: Gate, names: Sequence[str]) -> dict[str, int]:
    """How many jobs wait in each of these repos."""
    listed = listed_counts(conn, names)
    parked = _parked(conn, gate, names) if listed else {}
    return {name: count - parked.get(name, 0) for name, count in listed.items()}


def state_counts(conn: Connection, gate: Gate) -> dict[str, int]:
    """How many jobs run and wait, and how many tasks are parked; `parked` is missing while a pause
    cannot be read. What still runs of a parked task counts as running alone."""
    running = conn.scalar(select(func.count()).select_from(jobs).where(LIVE)) or 0
    queued = conn.scalar(select(func.count()).select_from(jobs).where(QUEUED)) or 0
    if "paused" in gate.degraded:
        return {"running": running, "waiting": queued}
    at_rest = select(func.count()).select_from(tasks).where(_IS_PARKED, ~_has_job("live"))
    waits_not = sum(_parked(conn, gate).values())
    parked = conn.scalar(at_rest) or 0
    return {"running": running, "waiting": queued - waits_not, "parked": parked}


_IS_PARKED = tasks.c.paused_at.is_not(None)


def _parked(conn: Connection, gate: Gate, names: Sequence[str] | None = None) -> dict[str, int]:
    """How many queued jobs of parked tasks there are in each repo; none while a pause cannot be
    read."""
    if "paused" in gate.degraded:
        return {}
    counted = select(tasks.c.repo, func.count()).where(_IS_PARKED, _has_job("queued"))
    if names is not None:
        counted = counted.where(tasks.c.repo.in_(list(names)))
    return dict(conn.execute(counted.group_by(tasks.c.repo)).tuples().all())


def _has_job(which: str) -> ColumnElement[bool]:
    own = jobs.alias()
    states = ("queued",) if which == "queued" else ("claimed", "running")
    is_so = own.c.status.in_([literal_column(f"'{state}'") for state in states])
    return exists(select(own.c.id).where(own.c.task_id == tasks.c.id, is_so))
