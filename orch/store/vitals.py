"""The numbers behind healthz and /metrics. They are read by no rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Integer, bindparam, case, func, select, type_coerce

from orch import serial_gate
from orch.serial_gate import Gate
from orch.store import fleet, freezes
from orch.store.lists import is_any_of
from orch.store.moments import Moment, UtcDateTime, later
from orch.store.schema import (
    LIVE,
    QUEUED,
    beats,
    counters,
    jobs,
    repo_freeze,
    repos,
    tasks,
    workers,
)
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


@dataclass(frozen=True)
class Lanes:
    """What waits: in all, and in the repos where most does."""

    jobs: int
    repos: int
    oldest: datetime | None
    busiest: list[Row]
    """Of each its name (`repo`), how many wait (`jobs`), since when (`oldest`); most first. The
    last may be nameless: the sums of all repos beyond."""


def lanes(conn: Connection, most: int) -> Lanes:
    """How much waits where: one walk through the index of what waits, whatever has ended."""
    rows = list(conn.execute(_LANES, {"most": most}).mappings())
    rows.sort(key=lambda row: (row["repo"] is None, -row["jobs"], row["oldest"]))
    return Lanes(
        sum(row["jobs"] for row in rows),
        sum(row["repos"] for row in rows),
        min((row["oldest"] for row in rows), default=None),
        rows,
    )


def _lanes() -> Any:
    count, oldest = func.count(), func.min(jobs.c.created_at)
    turn = func.row_number().over(order_by=(count.desc(), oldest, jobs.c.repo))
    each = (
        select(
            jobs.c.repo,
            count.label("jobs"),
            oldest.label("oldest"),
            turn.label("turn"),
        )
        .where(QUEUED)
        .group_by(jobs.c.repo)
        .subquery()
    )
    name = case((each.c.turn <= bindparam("most", type_=Integer), each.c.repo))
    named = select(name.label("repo"), each.c.jobs, each.c.oldest).subquery()
    return select(
        named.c.repo,
        func.sum(named.c.jobs).label("jobs"),
        func.count().label("repos"),
        type_coerce(func.min(named.c.oldest), UtcDateTime).label("oldest"),
    ).group_by(named.c.repo)


_LANES: Final = _lanes()


def heads_since(conn: Connection, gate: Gate, names: Sequence[str]) -> dict[str, datetime]:
    """Since when each repo's first contender stands where it is: since it took its place; one that
    has not started, since its gate was found open, else since it was taken in."""
    head = serial_gate.head(gate, repos.c.name)
    noted = select(jobs.c.ready_at).where(QUEUED, jobs.c.task_id == tasks.c.id).scalar_subquery()
    since = case(
        (serial_gate.is_past_entry(tasks), serial_gate.place(tasks)),
        else_=func.coalesce(noted, tasks.c.created_at),
    )
    statement = (
        select(repos.c.name, type_coerce(since, UtcDateTime))
        .select_from(repos.join(tasks, tasks.c.id == head))
        .where(is_any_of(repos.c.name, "names"))
    )
    return dict(conn.execute(statement, {"names": list(names)}).tuples().all())


def holders_since(conn: Connection, most: int) -> dict[str, datetime]:
    """Per repo with live jobs, since when the oldest of them is; those held longest first."""
    oldest = func.min(func.coalesce(jobs.c.claimed_at, jobs.c.started_at, jobs.c.created_at))
    statement = select(jobs.c.repo, type_coerce(oldest, UtcDateTime)).where(LIVE)
    statement = statement.group_by(jobs.c.repo).order_by(oldest, jobs.c.repo).limit(most)
    return dict(conn.execute(statement).tuples().all())


def ready(conn: Connection) -> dict[str, int]:
    """Per agent the jobs that were noted: their gate was open, and only a slot was missing."""
    noted = (QUEUED, jobs.c.ready_at.is_not(None), jobs.c.agent.is_not(None))
    statement = select(jobs.c.agent, func.count()).where(*noted).group_by(jobs.c.agent)
    return dict(conn.execute(statement).tuples().all())


def parked(conn: Connection, gate: Gate) -> dict[str, int]:
    """How many tasks are parked: for a person's approval, and for whatever else."""
    found = {"approval": 0, "pause": 0}
    if "paused" in gate.degraded:
        return found
    why = case((tasks.c.approval.is_not(None), "approval"), else_="pause").label("why")
    statement = select(why, func.count()).where(tasks.c.paused_at.is_not(None)).group_by(why)
    return found | dict(conn.execute(statement).tuples().all())


def frozen(conn: Connection, gate: Gate, now: Moment) -> int:
    """How many freezes are in force."""
    if "freeze" in gate.degraded:
        return 0
    active = select(func.count()).select_from(repo_freeze)
    active = active.where(repo_freeze.c.cleared_at.is_(None), freezes.in_force(repo_freeze, now))
    return conn.execute(active).scalar_one()


def sampled_reasons(conn: Connection, gate: Gate, now: Moment) -> dict[str, tuple[int, datetime]]:
    """Why the oldest waiting jobs wait: how many for each reason, and since when the oldest of
    them; `none`: they may start."""
    oldest = (
        select(jobs.c.task_id)
        .where(QUEUED)
        .order_by(jobs.c.created_at, jobs.c.task_id)
        .limit(SAMPLE)
    )
    # Asked for by id: joined, PostgreSQL might rather read all tasks there ever were.
    ids = list(conn.scalars(oldest))
    statement = serial_gate.snapshot(gate, now, jobs.c.created_at)
    statement = statement.where(is_any_of(tasks.c.id, "ids"))
    found: dict[str, tuple[int, datetime]] = {}
    for row in conn.execute(statement, {"ids": ids}).mappings():
        reason = serial_gate.reason(row) or "none"
        count, since = found.get(reason, (0, row["created_at"]))
        found[reason] = (count + 1, min(since, row["created_at"]))
    return found
