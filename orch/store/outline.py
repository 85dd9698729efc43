"""The line in a few numbers and rows: what the first page shows, each by an index."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select, true

from orch import stages
from orch.serial_gate import Gate
from orch.store import answers, ended, freezes, queued, views
from orch.store.moments import Moment
from orch.store.schema import QUEUED, among, beyond, events, jobs, repo_freeze, tasks
from orch.store.session import Row

INTO: Final = ("job.queued", "job.released", "job.reaped")
"""Events after which a job waits."""
OUT_OF: Final = ("job.claimed", "job.cancelled", "task.paused")
"""Events after which a job may wait no more."""


def stage_counts(conn: Connection) -> dict[str, int]:
    """How many tasks that are not over are at each stage."""
    found: dict[str, int] = {}
    # Two questions and not one, each by the index of its half of the line.
    halves = (
        among(tasks.c.stage, stages.BEFORE_OR_AT_ENTRY),
        beyond(tasks.c.stage, stages.NOT_STARTED_OR_OVER),
    )
    for half in halves:
        counted = select(tasks.c.stage, func.count()).where(half).group_by(tasks.c.stage)
        found.update(conn.execute(counted).tuples().all())
    return found


def oldest_of_each(conn: Connection, gate: Gate, most: int) -> list[int]:
    """The task that waits longest in each of the repos where one waits longest, those first."""
    since = func.min(jobs.c.created_at)
    longest = select(jobs.c.repo).where(QUEUED).group_by(jobs.c.repo).order_by(since, jobs.c.repo)
    in_line = true() if "paused" in gate.degraded else tasks.c.paused_at.is_(None)
    if "paused" not in gate.degraded:
        # Asked of the few that are parked, and not of the task of every job that waits.
        parked = select(tasks.c.id).where(tasks.c.paused_at.is_not(None))
        longest = longest.where(jobs.c.task_id.not_in(parked))
    found: list[Any] = []
    for name in conn.scalars(longest.limit(most)).all():
        oldest = (
            select(jobs.c.task_id)
            .join(tasks, tasks.c.id == jobs.c.task_id)
            .where(QUEUED, jobs.c.repo == name, in_line)
            .order_by(jobs.c.created_at, jobs.c.task_id)
            .limit(1)
        )
        found += conn.scalars(oldest)
    return found


def rows_of(conn: Connection, gate: Gate, now: Moment, task_ids: Sequence[int]) -> list[Row]:
    """The waiting jobs of these tasks, as the gate's snapshot has them, in the order given."""
    rows = [views.waiting_row(conn, gate, now, task_id) for task_id in task_ids]
    return [row for row in rows if row is not None]


def freezes_now(conn: Connection, gate: Gate, now: Moment, most: int) -> list[dict[str, Any]]:
    """Freezes in force, oldest first, each with how many jobs wait in the repos it covers."""
    allowed = tasks.alias()
    statement = (
        select(repo_freeze, allowed.c.work_item_id.label("allowed"))
        .select_from(repo_freeze.outerjoin(allowed, allowed.c.id == repo_freeze.c.allow_task_id))
        .where(freezes.in_force(repo_freeze, now))
        .order_by(repo_freeze.c.frozen_at, repo_freeze.c.id)
        .limit(most)
    )
    found: list[Any] = []
    for row in conn.execute(statement).mappings().all():
        covered = freezes.matching_repos(conn, row["repo"])
        counted = queued.waiting_counts(conn, gate, covered)
        found.append({**row, "waiting": sum(counted.values())})
    return found


def for_people(conn: Connection, most: int) -> list[Row]:
    """Parked tasks that only a person can take on, longest parked first, with the last verdict."""
    parked = (
        select(
            tasks.c.id,
            tasks.c.work_item_id,
            tasks.c.title,
            tasks.c.repo,
            tasks.c.stage,
            tasks.c.approval,
            tasks.c.paused_at,
            tasks.c.paused_by,
            tasks.c.paused_reason,
            tasks.c.paused_until,
            answers.last_verdict(tasks.c.id).label("verdict"),
        )
        .where(tasks.c.paused_at.is_not(None))
        .subquery()
    )
    asks = or_(parked.c.approval.is_not(None), parked.c.verdict == "needs_input")
    statement = select(parked).where(asks).order_by(parked.c.paused_at, parked.c.id).limit(most)
    return list(conn.execute(statement).mappings())


# --- what happened, by the hour ---------------------------------------------------------------


def flows(conn: Connection, ends: Sequence[datetime]) -> list[dict[str, int]]:
    """Between each two of these moments: how many jobs came to wait less those that no longer do
    (`grown`), and how many tasks landed. The moments go upwards.

    A pause takes a waiting job out of the line and a resume puts it back, as their events say. What
    becomes of a job while its task is parked is not told apart."""
    first = _first_event_since(conn, ends[0])
    before = [(events.c.at < end, number) for number, end in enumerate(ends[1:])]
    hour = case(*before, else_=len(before) - 1)
    came = or_(events.c.kind.in_(INTO), and_(*_step("task.resumed", to_state="in line")))
    left = or_(
        events.c.kind == "job.claimed",
        and_(*_step("job.cancelled", from_state="queued")),
        and_(*_step("task.paused", from_state="in line")),
    )
    statement = (
        select(
            hour.label("hour"),
            func.sum(case((came, 1), (left, -1), else_=0)).label("grown"),
            func.sum(case((ended.is_landing(), 1), else_=0)).label("landed"),
        )
        .where(
            events.c.id >= first,
            events.c.at >= ends[0],
            events.c.kind.in_((*INTO, *OUT_OF, "task.resumed", "task.moved", ended.MERGED)),
        )
        .group_by(hour)
    )
    found = {row["hour"]: row for row in conn.execute(statement).mappings()}
    none = {"grown": 0, "landed": 0}
    return [
        {name: int(found.get(number, none)[name]) for name in none}
        for number in range(len(ends) - 1)
    ]


def _step(kind: str, **states: str) -> tuple[ColumnElement[bool], ...]:
    return events.c.kind == kind, *(events.c[name] == state for name, state in states.items())


def _first_event_since(conn: Connection, since: datetime) -> int:
    """About the first event since then: ids go upwards with time, so it is found by halving."""
    low, high = 0, conn.scalar(select(func.max(events.c.id)).where(events.c.id > 0)) or 0
    while low < high:
        middle = (low + high) // 2
        next_one = select(events.c.at).where(events.c.id >= middle).order_by(events.c.id).limit(1)
        if conn.execute(next_one).scalar_one() < since:
            low = middle + 1
        else:
            high = middle
    return low
