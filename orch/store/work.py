"""Tasks and their jobs as rows: creating, queueing, parking, taking back, moving to the front.

These are the store-level mutators: they answer False (or None) on a task that is unknown or cannot
change, and leave sentences and status codes to their callers.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.engine import RowMapping

from orch import stages
from orch.store import ledger
from orch.store.moments import Moment, at, later
from orch.store.schema import LIVE, OPEN, QUEUED, among, jobs, tasks
from orch.store.session import lock_repos


def task_by_work_item(conn: Connection, work_item_id: str) -> RowMapping | None:
    """The task of this work item, or None."""
    statement = select(tasks).where(tasks.c.work_item_id == work_item_id)
    return conn.execute(statement).mappings().one_or_none()


def locked_task(conn: Connection, task_id: int | None) -> RowMapping | None:
    """The task as it is once its repo's lock is ours; None if it is unknown."""
    if task_id is None:
        return None
    repo = conn.scalar(select(tasks.c.repo).where(tasks.c.id == task_id))
    if repo is None:
        return None
    lock_repos(conn, [repo])
    return conn.execute(select(tasks).where(tasks.c.id == task_id)).mappings().one()


def create_task(
    conn: Connection, work_item_id: str, repo: str, now: Moment, *, actor: str = "orch", **more: Any
) -> RowMapping:
    """Add a task at the first stage. Raises IntegrityError when the work item is known already."""
    ledger.know_repos(conn, [repo])
    lock_repos(conn, [repo])
    values = {"work_item_id": work_item_id, "repo": repo, "created_at": at(now), **more}
    row = conn.execute(insert(tasks).values(**values).returning(tasks)).mappings().one()
    ledger.record(
        conn, now, "task.created", task_id=row["id"], repo=repo, actor=actor, to_state=row["stage"]
    )
    ledger.wake(conn, now, [repo])
    return row


def enqueue_job(
    conn: Connection,
    agent: str,
    repo: str,
    payload: dict[str, Any] | None,
    task_id: int | None,
    now: Moment,
    *,
    attempt: int = 1,
    delay: float = 0,
    actor: str = "orch",
) -> int | None:
    """Queue one job of a task and wake its repo; the job's id.

    A task has one open job at most: asked twice, the open one is the answer. None for a task that
    is unknown, over, or of another repo. A task at `created` enters its first stage.
    """
    task = locked_task(conn, task_id)
    if task is None or task["repo"] != repo or task["stage"] in stages.TERMINAL:
        return None
    open_job = conn.scalar(select(jobs.c.id).where(jobs.c.task_id == task_id, OPEN))
    if open_job is not None:
        return int(open_job)
    stage = _entered_stage(conn, now, task)
    return insert_job(
        conn, now, task_id, repo, stage, agent, attempt=attempt, delay=delay,
        payload=payload or {}, actor=actor,
    )  # fmt: skip


def insert_job(
    conn: Connection,
    now: Moment,
    task_id: Any,
    repo: str,
    stage: str,
    agent: str,
    *,
    attempt: int = 1,
    delay: float = 0,
    payload: dict[str, Any] | None = None,
    actor: str = "orch",
) -> int:
    """Write the job row, its event and the repo's mark; the caller holds the repo's lock."""
    available = later(now, delay) if delay else at(now)
    values = {"agent": agent, "repo": repo, "task_id": task_id, "stage": stage, "attempt": attempt}
    job_id: int = conn.execute(
        insert(jobs)
        .values(**values, payload=payload or {}, created_at=at(now), available_at=available)
        .returning(jobs.c.id)
    ).scalar_one()
    told = {"task_id": task_id, "job_id": job_id, "repo": repo, "actor": actor}
    ledger.record(
        conn, now, "job.queued", **told, to_state="queued", data={"stage": stage, "agent": agent}
    )
    ledger.wake(conn, now, [repo], delay)
    return job_id


def _entered_stage(conn: Connection, now: Moment, task: RowMapping) -> str:
    stage: str = task["stage"]
    if stage != stages.FIRST:
        return stage
    entered = stages.after(stage, task["track"])
    ledger.move_task(conn, now, task["id"], stage, entered)
    told = {"from_state": stage, "to_state": entered, "repo": task["repo"]}
    ledger.record(conn, now, "task.moved", task_id=task["id"], **told)
    return entered


def set_task_paused(
    conn: Connection,
    task_id: int | None,
    now: Moment,
    *,
    actor: str = "orch",
    reason: str = "",
    until: Moment | None = None,
    kill: bool = False,
) -> bool:
    """Park a task. False if it is unknown, over or parked already (the first pause stands).

    Its running job keeps the slot until it ends, or with `kill` is told to stop; asked again with
    `kill`, a parked task's job is told to stop as well.
    """
    task = locked_task(conn, task_id)
    if task is None or task["stage"] in stages.TERMINAL:
        return False
    if kill:
        request_stop(conn, task["id"], "paused")
    if task["paused_at"] is not None:
        return False
    limits = {"paused_until": None if until is None else at(until)}
    conn.execute(
        update(tasks)
        .where(tasks.c.id == task_id)
        .values(paused_at=at(now), paused_by=actor, paused_reason=reason, **limits)
    )
    told = {"repo": task["repo"], "actor": actor, "reason": reason, "data": {"kill": kill}}
    ledger.record(conn, now, "task.paused", task_id=task_id, **told)
    ledger.wake(conn, now, [task["repo"]])
    return True


def clear_task_paused(
    conn: Connection, task_id: int | None, now: Moment, *, actor: str = "orch", reason: str = ""
) -> bool:
    """Take a parked task back into the line: next, not beside. False if it was not parked."""
    task = locked_task(conn, task_id)
    if task is None or task["paused_at"] is None:
        return False
    cleared = {"paused_at": None, "paused_by": None, "paused_reason": None, "paused_until": None}
    conn.execute(
        update(tasks).where(tasks.c.id == task_id).values(**cleared, admitted_at=at(now))
    )
    told = {"repo": task["repo"], "actor": actor, "reason": reason}
    ledger.record(conn, now, "task.resumed", task_id=task_id, **told)
    ledger.wake(conn, now, [task["repo"]])
    return True


def is_task_paused(conn: Connection, task_id: int | None) -> bool:
    """Whether the task is parked; an unknown one is not."""
    paused_at = conn.scalar(select(tasks.c.paused_at).where(tasks.c.id == task_id))
    return paused_at is not None


def request_stop(conn: Connection, task_id: int, why: str) -> bool:
    """Ask the worker of the task's running job to stop it at its next heartbeat."""
    asked = conn.execute(
        update(jobs).where(jobs.c.task_id == task_id, LIVE).values(stop_requested=why)
    )
    return bool(asked.rowcount)


def promote(
    conn: Connection, task_id: int | None, now: Moment, *, actor: str = "orch", reason: str = ""
) -> bool:
    """Move a task that has not got beyond its entry stage to the front of those like it.

    False if it is unknown, has got beyond, or stands there already.
    """
    task = locked_task(conn, task_id)
    if task is None or task["stage"] not in stages.BEFORE_OR_AT_ENTRY:
        return False
    others = conn.scalar(
        select(func.min(tasks.c.rank)).where(
            tasks.c.repo == task["repo"],
            among(tasks.c.stage, stages.BEFORE_OR_AT_ENTRY),
            tasks.c.id != task_id,
        )
    )
    if task["rank"] < 0 and (others is None or task["rank"] < others):
        return False
    rank = min(0, others if others is not None else 0) - 1
    conn.execute(update(tasks).where(tasks.c.id == task_id).values(rank=rank))
    told = {"repo": task["repo"], "actor": actor, "reason": reason, "data": {"rank": rank}}
    ledger.record(conn, now, "task.promoted", task_id=task_id, **told)
    ledger.wake(conn, now, [task["repo"]])
    return True


def cancel(
    conn: Connection, task_id: int | None, now: Moment, *, actor: str = "orch", reason: str = ""
) -> bool:
    """End a task for good. False if it is unknown or over. A running job is told to stop, and
    keeps the slot until it has."""
    task = locked_task(conn, task_id)
    if task is None or task["stage"] in stages.TERMINAL:
        return False
    # A claimed job is stopped like a running one: its worker may be about to start it.
    queued = ledger.move_job(
        conn, "cancel", jobs.c.task_id == task_id, jobs.c.status == "queued",
        finished_at=at(now), failure="cancelled",
    )  # fmt: skip
    request_stop(conn, task["id"], "cancelled")
    ledger.move_task(conn, now, task["id"], task["stage"], stages.CANCELLED)
    told = {"task_id": task_id, "repo": task["repo"], "actor": actor, "reason": reason}
    if queued is not None:
        job_told = told | {"job_id": queued["id"], "from_state": "queued", "to_state": "cancelled"}
        ledger.record(conn, now, "job.cancelled", **job_told)
    moved = {"from_state": task["stage"], "to_state": stages.CANCELLED}
    ledger.record(conn, now, "task.cancelled", **told, **moved)
    ledger.wake(conn, now, [task["repo"]])
    return True


def make_due(conn: Connection, task_id: int, now: Moment) -> bool:
    """Let a queued job stop waiting for its time. False if it is not waiting for that."""
    hurried = conn.execute(
        update(jobs)
        .where(jobs.c.task_id == task_id, QUEUED, jobs.c.available_at > at(now))
        .values(available_at=at(now))
    )
    return bool(hurried.rowcount)
