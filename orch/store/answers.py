"""What a task waits for from a person: an approval of its stage, or an answer to its question."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, select, update

from orch.store import ledger, work
from orch.store.moments import Moment
from orch.store.schema import among, events, jobs, tasks
from orch.store.session import Row

STEPS: Final = (
    "task.approval_asked",
    "task.approved",
    "task.rejected",
    "task.answered",
    "task.moved",
    "task.cancelled",
    "job.succeeded",
    "job.failed",
    "job.cancelled",
)
"""Events by which a task gets on, or is held for a person."""


def ask_approval(conn: Connection, task_id: int, now: Moment, stage: str, reason: str = "") -> bool:
    """Let a task that passed `stage` wait there, parked, until a person approves or rejects.

    False if somebody moved it meanwhile: there is nothing left to approve. The caller holds the
    repo's lock.
    """
    reason = reason or f"waits for approval of {stage}"
    asking = update(tasks).where(tasks.c.id == task_id, tasks.c.stage == stage)
    repo = conn.scalar(asking.values(approval=stage).returning(tasks.c.repo))
    if repo is None:
        return False
    ledger.record(conn, now, "task.approval_asked", task_id=task_id, repo=repo, reason=reason)
    work.park(conn, task_id, now, reason=reason)
    return True


def clear_approval(conn: Connection, task_id: int) -> None:
    """The task waits for no approval any more."""
    conn.execute(update(tasks).where(tasks.c.id == task_id).values(approval=None))


def awaited(task: Any) -> str | None:
    """The stage whose approval this task waits for; None where a program moved it on meanwhile."""
    approval: str | None = task["approval"]
    return approval if approval == task["stage"] else None


def last_verdict(task_id: ColumnElement[Any]) -> ColumnElement[Any]:
    """The verdict of a task's newest job; NULL while that one is open."""
    newest = jobs.alias()
    found = select(newest.c.verdict).where(newest.c.task_id == task_id)
    return found.order_by(newest.c.id.desc()).limit(1).scalar_subquery()


def verdict_of(conn: Connection, task_id: int) -> str | None:
    """The same, of one task."""
    newest = select(jobs.c.verdict).where(jobs.c.task_id == task_id)
    return conn.scalar(newest.order_by(jobs.c.id.desc()).limit(1))


def last_step(conn: Connection, task_id: int) -> Row | None:
    """The newest event by which the task got on or was held: its kind and what was said."""
    statement = (
        select(events.c.kind, events.c.reason, events.c.actor)
        .where(events.c.task_id == task_id, among(events.c.kind, STEPS))
        .order_by(events.c.id.desc())
        .limit(1)
    )
    return conn.execute(statement).mappings().one_or_none()
