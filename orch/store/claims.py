"""Start, heartbeat, release, reap: the life of a claimed job, each step one guarded write.

Every write after the claim carries the claim's token. A token that no longer holds changes nothing
and is counted as a stale write.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Text,
    and_,
    bindparam,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.engine import RowMapping
from sqlalchemy.sql.elements import ColumnElement

from orch import serial_gate, stages
from orch.jobs import JobEvent
from orch.ports import Claim
from orch.serial_gate import Gate
from orch.store import ledger
from orch.store.joined import Joined, Rows
from orch.store.moments import Moment, at, later
from orch.store.schema import LIVE, among, events, jobs, repos, tasks
from orch.store.work import AT_WORK

HELD: Final = (jobs.c.id == bindparam("its_id"), jobs.c.claim_token == bindparam("its_token"))
"""What every write of a claim's holder is guarded by, for statements that are built once."""


def _held(claim: Claim) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (jobs.c.id == claim.job_id, jobs.c.claim_token == claim.token)


def start(
    conn: Connection, gate: Gate, claim: Claim, now: Moment, *, worker: str, lease: float = 60
) -> RowMapping | None:
    """The worker's first act: take the claimed job if its token and the standing clauses hold.

    The row is the job's, with its task's as `task:…`. None means: not yours, or the gate has closed
    since; `hand_back` then does what is due.
    """
    conn.execute(_LOCK_ITS_REPO, {"job_id": claim.job_id})
    bound = {"its_id": claim.job_id, "its_token": claim.token, "by": worker}
    return next(iter(_starting(gate, now, lease).run(conn, bound)), None)


_ITS_REPO: Final = select(jobs.c.repo).where(jobs.c.id == bindparam("job_id")).scalar_subquery()
_LOCK_ITS_REPO: Final = (
    select(repos.c.name).where(repos.c.name == _ITS_REPO).with_for_update(key_share=True)
)
OF_JOB: Final = ("id", "agent", "repo", "task_id", "stage", "attempt")


def task_of(started: RowMapping) -> dict[str, Any]:
    """What a worker needs of the task: nothing of its pause, which only the gate reads."""
    return {name: started[f"task:{name}"] for name in AT_WORK}


@lru_cache(maxsize=16)
def _starting(gate: Gate, now: Moment, lease: float) -> Joined:
    def started(_: Rows) -> Any:
        standing = serial_gate.clauses(gate, now, standing=True)
        of_task = select(tasks.c.id).where(
            tasks.c.id == jobs.c.task_id,
            ~among(tasks.c.stage, sorted(stages.TERMINAL)),
            *standing.values(),
        )
        moving = ledger.moving_job(
            "start",
            *HELD,
            jobs.c.stop_requested.is_(None),
            of_task.correlate(jobs).exists(),
            started_at=at(now),
            lease_until=later(now, lease),
            worker=bindparam("by"),
        )
        return moving.returning(*(jobs.c[name] for name in OF_JOB))

    def told(rows: Rows) -> Any:
        values = {
            "at": at(now),
            "kind": literal("job.started"),
            "task_id": rows["started"].c.task_id,
            "job_id": rows["started"].c.id,
            "repo": rows["started"].c.repo,
            "actor": bindparam("by", type_=Text),
            "from_state": literal("claimed"),
            "to_state": literal("running"),
        }
        return insert(events).from_select(list(values), select(*values.values()))

    def with_task(rows: Rows) -> Any:
        its = rows["started"]
        of_task = (tasks.c[name].label(f"task:{name}") for name in AT_WORK)
        return select(*its.c, *of_task).join_from(its, tasks, tasks.c.id == its.c.task_id)

    return Joined(with_task, started=started, told=told)


def hand_back(conn: Connection, claim: Claim, now: Moment) -> str:
    """Settle a claim that could not be started; what it came to, in one word.

    `released`: the gate closed after the claim, the job waits again, no attempt counted.
    `cancelled`: its task is over. `refused`: the message was old or doubled, nothing changed.
    """
    held = select(jobs.c.stop_requested, tasks.c.stage).join_from(
        jobs, tasks, tasks.c.id == jobs.c.task_id
    )
    conn.execute(_LOCK_ITS_REPO, {"job_id": claim.job_id})
    row = conn.execute(held.where(*_held(claim), jobs.c.status == "claimed")).one_or_none()
    if row is None:
        ledger.count(conn, "redeliveries_refused")
        return "refused"
    if row.stop_requested == "cancelled" or row.stage in stages.TERMINAL:
        _cancel(conn, claim, now)
        return "cancelled"
    release(conn, claim, now, reason="the gate closed between claim and start")
    return "released"


def _cancel(conn: Connection, claim: Claim, now: Moment) -> RowMapping | None:
    facts = {"finished_at": at(now), "failure": "cancelled"}
    job = ledger.move_job(conn, "cancel", *_held(claim), **facts)
    if job is None:
        ledger.count(conn, "stale_writes", "release")
        return None
    _tell(conn, now, "job.cancelled", job, None, "cancelled")
    ledger.wake(conn, now, [job["repo"]])
    return job


def is_held(conn: Connection, claim: Claim) -> bool:
    """Whether the job still is this claim's, and not a later one's."""
    return conn.scalar(select(jobs.c.id).where(*_held(claim))) is not None


def stands(conn: Connection, gate: Gate, claim: Claim, now: Moment) -> bool:
    """Whether a started job may go on to what cannot be taken back: it is still held, nobody asked
    it to stop, and the standing clauses hold."""
    standing = serial_gate.clauses(gate, now, standing=True)
    ours = select(jobs.c.id).join(tasks, tasks.c.id == jobs.c.task_id)
    ours = ours.where(*_held(claim), jobs.c.status == "running", jobs.c.stop_requested.is_(None))
    return conn.scalar(ours.where(*standing.values())) is not None


def heartbeat(
    conn: Connection, claim: Claim, now: Moment, *, lease: float = 60
) -> tuple[bool, str | None]:
    """Renew the lease; whether it still is ours, and what a person asked the worker to do."""
    row = conn.execute(
        update(jobs)
        .where(*_held(claim), jobs.c.status == "running")
        .values(lease_until=later(now, lease))
        .returning(jobs.c.stop_requested)
    ).one_or_none()
    if row is None:
        ledger.count(conn, "stale_writes", "heartbeat")
        return False, None
    return True, row.stop_requested


def release(
    conn: Connection,
    claim: Claim,
    now: Moment,
    *,
    reason: str,
    delay: float = 0,
    actor: str = "orch",
) -> RowMapping | None:
    """Give a claim back uncounted, to start in `delay` seconds. None if it was not ours.

    The job of a task that is over does not wait again: it ends as cancelled.
    """
    conn.execute(_LOCK_ITS_REPO, {"job_id": claim.job_id})
    its_task = select(tasks.c.stage).join(jobs, jobs.c.task_id == tasks.c.id)
    if conn.scalar(its_task.where(jobs.c.id == claim.job_id)) in stages.TERMINAL:
        return _cancel(conn, claim, now)
    back = {**_unclaimed(), "available_at": later(now, delay)}
    job = ledger.move_job(conn, "release", *_held(claim), **back)
    if job is None:
        ledger.count(conn, "stale_writes", "release")
        return None
    _tell(conn, now, "job.released", job, None, "queued", actor=actor, reason=reason)
    ledger.wake(conn, now, [job["repo"]], delay)
    return job


def overdue(now: Moment, lease: float = 60) -> ColumnElement[bool]:
    """A live job whose lease is over; one written by hand without one is measured by its start."""
    return and_(
        LIVE,
        or_(
            jobs.c.lease_until < at(now),
            and_(
                jobs.c.lease_until.is_(None),
                func.coalesce(jobs.c.started_at, jobs.c.created_at) < later(now, -lease),
            ),
        ),
    )


def requeue_overdue(
    conn: Connection, job: RowMapping, now: Moment, *, lease: float = 60
) -> RowMapping | None:
    """Return an overdue job to its old place; an attempt is spent only if its agent started."""
    was_running = job["status"] == "running"
    back = ledger.move_job(
        conn,
        "reap",
        jobs.c.id == job["id"],
        jobs.c.status == job["status"],
        jobs.c.claim_token.is_not_distinct_from(job["claim_token"]),
        overdue(now, lease),
        **_unclaimed(),
        attempt=jobs.c.attempt + (1 if was_running and job["stop_requested"] is None else 0),
    )
    if back is not None:
        _tell(conn, now, "job.reaped", back, job["status"], "queued", reason="its lease was over")
        ledger.wake(conn, now, [back["repo"]])
    return back


def end_overdue(
    conn: Connection, job: RowMapping, now: Moment, event: JobEvent, failure: str
) -> bool:
    """End an overdue job for good, by `cancel` or `fail`. False if it moved meanwhile."""
    ended = ledger.move_job(
        conn,
        event,
        jobs.c.id == job["id"],
        jobs.c.status == job["status"],
        jobs.c.claim_token.is_not_distinct_from(job["claim_token"]),
        finished_at=at(now),
        failure=failure,
    )
    if ended is None:
        return False
    after = ended["status"]
    why = "its lease was over"
    _tell(conn, now, f"job.{after}", ended, job["status"], after, reason=why)
    ledger.wake(conn, now, [job["repo"]])
    return True


def _unclaimed() -> dict[str, Any]:
    return {
        "claim_token": None,
        "claimed_at": None,
        "started_at": None,
        "lease_until": None,
        "worker": None,
        "stop_requested": None,
        "ready_at": None,
    }


def _tell(
    conn: Connection,
    now: Moment,
    kind: str,
    job: RowMapping,
    before: str | None,
    after: str,
    **who: Any,
) -> None:
    ledger.record(
        conn,
        now,
        kind,
        task_id=job["task_id"],
        job_id=job["id"],
        repo=job["repo"],
        from_state=before,
        to_state=after,
        **who,
    )
