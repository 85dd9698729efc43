"""Tasks and their jobs as rows: creating, queueing, parking, taking back, moving to the front.

These are the store-level mutators: they answer False (or None) on a task that is unknown or cannot
change, and leave sentences and status codes to their callers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, bindparam, exists, func, insert, select, update
from sqlalchemy.engine import RowMapping

from orch import stages
from orch.store import ledger, moments
from orch.store.moments import Moment, at, later
from orch.store.schema import LIVE, OPEN, QUEUED, among, jobs, repo_freeze, repos, tasks
from orch.store.session import lock_repos


def task_by_work_item(conn: Connection, work_item_id: str) -> RowMapping | None:
    """The task of this work item, or None."""
    statement = select(tasks).where(tasks.c.work_item_id == work_item_id)
    return conn.execute(statement).mappings().one_or_none()


def task_by_id(conn: Connection, task_id: int) -> RowMapping:
    """The task with this id, which must exist."""
    return conn.execute(select(tasks).where(tasks.c.id == task_id)).mappings().one()


AT_WORK: Final = (
    "id", "work_item_id", "repo", "title", "description", "stage", "track", "reworks",
    "head_sha", "tested_sha", "merge_sha", "cost_usd", "turns",
)  # fmt: skip
"""What a worker needs of a task: nothing of its pause, which only the gate reads."""
_TASK_AT_WORK: Final = select(*(tasks.c[name] for name in AT_WORK)).where(
    tasks.c.id == bindparam("task_id")
)


def task_at_work(conn: Connection, task_id: int) -> RowMapping:
    """What a worker needs of the task with this id, which must exist."""
    return conn.execute(_TASK_AT_WORK, {"task_id": task_id}).mappings().one()


def locked_task(conn: Connection, task_id: int | None) -> RowMapping | None:
    """The task as it is once its repo's lock is ours; None if it is unknown."""
    if task_id is None:
        return None
    repo = conn.scalar(select(tasks.c.repo).where(tasks.c.id == task_id))
    if repo is None:
        return None
    lock_repos(conn, [repo])
    return task_by_id(conn, task_id)


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


@dataclass(frozen=True)
class NewJob:
    """A job to be queued: one attempt of one task at one stage."""

    task_id: int
    repo: str
    stage: str
    agent: str
    attempt: int = 1
    delay: float = 0
    """Seconds before it may start."""
    payload: dict[str, Any] = field(default_factory=dict)
    actor: str = "orch"


def enqueue_job(  # noqa: PLR0913 - a name and order kept from the first generation
    conn: Connection,
    agent: str,
    repo: str,
    payload: dict[str, Any] | None,
    task_id: int | None,
    now: Moment,
    *,
    actor: str = "orch",
) -> int | None:
    """Queue one job of a task and wake its repo; the job's id.

    A task has one open job at most: asked twice, the open one is the answer. None for a task that
    is unknown, over, or of another repo. A task at `created` enters its first stage.
    """
    task = locked_task(conn, task_id)
    if task is None or task["repo"] != repo or task["stage"] in stages.TERMINAL:
        return None
    open_job = open_job_id(conn, task["id"])
    if open_job is not None:
        return open_job
    stage = _entered_stage(conn, now, task)
    job = NewJob(task["id"], repo, stage, agent, payload=payload or {}, actor=actor)
    return insert_job(conn, now, job)


def open_job_id(conn: Connection, task_id: int) -> int | None:
    """The id of the task's one open job, if it has one."""
    return conn.scalar(select(jobs.c.id).where(jobs.c.task_id == task_id, OPEN))


def insert_job(conn: Connection, now: Moment, new: NewJob) -> int:
    """Write the job row, its event and the repo's mark; the caller holds the repo's lock."""
    told = add_job(conn, now, new)
    ledger.record_all(conn, now, [told])
    ledger.wake(conn, now, [new.repo], new.delay)
    return int(told["job_id"])


def add_job(conn: Connection, now: Moment, new: NewJob) -> dict[str, Any]:
    """Write the job row alone; the event that the caller has to write with it."""
    values = {
        "agent": new.agent,
        "repo": new.repo,
        "task_id": new.task_id,
        "stage": new.stage,
        "attempt": new.attempt,
        "payload": new.payload,
    }
    return {
        "kind": "job.queued",
        "task_id": new.task_id,
        "job_id": conn.execute(_queueing(now, new.delay), values).scalar_one(),
        "repo": new.repo,
        "actor": new.actor,
        "to_state": "queued",
        "data": {"stage": new.stage, "agent": new.agent, "attempt": new.attempt},
    }


@lru_cache(maxsize=16)
def _queueing(now: Moment, delay: float) -> Any:
    available = later(now, delay) if delay else at(now)
    return insert(jobs).values(created_at=at(now), available_at=available).returning(jobs.c.id)


def enter(conn: Connection, now: Moment, task_id: int) -> None:
    """Let a task that was written by hand, and stands before its first stage, enter it."""
    task = task_at_work(conn, task_id)
    if task["stage"] == stages.FIRST:
        _entered_stage(conn, now, task)


def _entered_stage(conn: Connection, now: Moment, task: RowMapping) -> str:
    stage: str = task["stage"]
    if stage != stages.FIRST:
        return stage
    entered = stages.after(stage, task["track"])
    ledger.move_task(conn, now, task["id"], stage, entered)
    told = {"from_state": stage, "to_state": entered, "repo": task["repo"]}
    ledger.record(conn, now, "task.moved", task_id=task["id"], **told)
    return entered


def is_over(conn: Connection, task_id: int) -> bool:
    """Whether the task has ended, as the holder of its repo's lock sees it."""
    return conn.scalar(select(tasks.c.stage).where(tasks.c.id == task_id)) in stages.TERMINAL


def set_task_paused(  # noqa: PLR0913 - who, why, until when: a pause's own facts
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
    `kill`, a parked task's job is told to stop as well, which is a change of its own.
    """
    task = locked_task(conn, task_id)
    if task is None or task["stage"] in stages.TERMINAL:
        return False
    stopped = kill and request_stop(conn, task["id"], "paused")
    told = {"task_id": task_id, "repo": task["repo"], "actor": actor, "reason": reason}
    if task["paused_at"] is not None:
        if stopped:
            step = {"from_state": "parked", "to_state": "parked", "data": {"kill": True}}
            ledger.record(conn, now, "job.stop_requested", **told, **step)
        return stopped
    limits = {"paused_until": None if until is None else at(until)}
    conn.execute(
        update(tasks)
        .where(tasks.c.id == task_id)
        .values(paused_at=at(now), paused_by=actor, paused_reason=reason, **limits)
    )
    step = {"from_state": _standing(conn, task["id"]), "to_state": "parked"}
    data = {"kill": kill, "until": moments.written(until)}
    ledger.record(conn, now, "task.paused", **told, **step, data=data)
    ledger.wake(conn, now, [task["repo"]])
    return True


def _standing(conn: Connection, task_id: int | None) -> str:
    """Where a task stands that is not parked: `in line`, `at work`, or without a job `idle`."""
    status = conn.scalar(select(jobs.c.status).where(jobs.c.task_id == task_id, OPEN))
    if status is None:
        return "idle"
    return "in line" if status == "queued" else "at work"


def park(conn: Connection, task_id: int, now: Moment, *, reason: str) -> None:
    """Park a task that has no job any more, until a person takes it back.

    A pause that was given an end loses it: with nothing queued the task would come back only to
    stand in the way of its repo.
    """
    if set_task_paused(conn, task_id, now, reason=reason):
        return
    parked = conn.execute(
        update(tasks)
        .where(tasks.c.id == task_id, tasks.c.paused_at.is_not(None))
        .values(paused_until=None, paused_reason=reason)
        .returning(tasks.c.repo)
    ).scalar()
    if parked is not None:
        told = {"task_id": task_id, "repo": parked, "reason": reason}
        step = {"from_state": "parked", "to_state": "parked", "data": {"until": None}}
        ledger.record(conn, now, "task.paused", **told, **step)


def clear_task_paused(
    conn: Connection, task_id: int | None, now: Moment, *, actor: str = "orch", reason: str = ""
) -> bool:
    """Take a parked task back into the line: next, not beside. False if it was not parked."""
    task = locked_task(conn, task_id)
    if task is None or task["paused_at"] is None:
        return False
    cleared = {"paused_at": None, "paused_by": None, "paused_reason": None, "paused_until": None}
    conn.execute(update(tasks).where(tasks.c.id == task_id).values(**cleared, admitted_at=at(now)))
    told = {"repo": task["repo"], "actor": actor, "reason": reason}
    told |= {"from_state": "parked", "to_state": _standing(conn, task["id"])}
    ledger.record(conn, now, "task.resumed", task_id=task_id, **told)
    ledger.wake(conn, now, [task["repo"]])
    return True


def is_task_paused(conn: Connection, task_id: int | None) -> bool:
    """Whether the task is parked; an unknown one is not."""
    paused_at = conn.scalar(select(tasks.c.paused_at).where(tasks.c.id == task_id))
    return paused_at is not None


def request_stop(conn: Connection, task_id: int, why: str) -> bool:
    """Ask the worker of the task's running job to stop it at its next heartbeat. False if asked."""
    unasked = jobs.c.stop_requested.is_distinct_from(why)
    asked = conn.execute(
        update(jobs).where(jobs.c.task_id == task_id, LIVE, unasked).values(stop_requested=why)
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
    told |= {"from_state": f"rank {task['rank']}", "to_state": f"rank {rank}"}
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


def count_rework(conn: Connection, task_id: int) -> None:
    """Spend one rework of the task's budget."""
    conn.execute(update(tasks).where(tasks.c.id == task_id).values(reworks=tasks.c.reworks + 1))


def forgive_reworks(conn: Connection, task_id: int) -> None:
    """Give the task its whole rework budget back."""
    conn.execute(update(tasks).where(tasks.c.id == task_id).values(reworks=0))


def forgive_costs(conn: Connection, task_id: int) -> None:
    """Give the task its whole budget of costs and turns back."""
    conn.execute(update(tasks).where(tasks.c.id == task_id).values(cost_usd=0, turns=0))


def note_turn(
    conn: Connection, task_id: int, shas: Mapping[str, str], usage: Mapping[str, float]
) -> None:
    """Keep with the task where its change stands, and what its turns have taken so far."""
    noted: dict[str, Any] = {name: sha for name, sha in shas.items() if sha}
    for name, column in (("cost_usd", tasks.c.cost_usd), ("turns", tasks.c.turns)):
        if usage.get(name):
            noted[name] = column + usage[name]
    if noted:
        conn.execute(update(tasks).where(tasks.c.id == task_id).values(**noted))


def is_repo_known(conn: Connection, repo: str) -> bool:
    """Whether a repo of this name, or a freeze of this name or glob, has ever been seen."""
    known = select(repos.c.name).where(repos.c.name == repo)
    frozen = select(repo_freeze.c.id).where(repo_freeze.c.repo == repo)
    return bool(conn.scalar(select(exists(known) | exists(frozen))))
