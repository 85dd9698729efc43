"""Claim, start, heartbeat, release, finish, reap: the life of a job, each step one guarded write.

Every write after the claim carries the claim's token. A token that no longer holds changes nothing
and is counted as a stale write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Connection,
    Integer,
    and_,
    bindparam,
    case,
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
from orch.store.moments import Moment, at, later
from orch.store.schema import LIVE, QUEUED, among, events, jobs, repos, tasks
from orch.store.session import is_any_of, lock_repos


@dataclass(frozen=True)
class Claimed:
    """A claim with the facts the dispatcher reports."""

    claim: Claim
    repo: str
    task_id: int


def candidates(gate: Gate, now: Moment, *columns: Any) -> Any:
    """Queued jobs of the repos bound as `repos` that every clause lets through.

    In a serialised repo only the head can pass, so the walk goes from repo to head by index; the
    clauses then decide.
    """
    head_only = and_(
        serial_gate.is_serialised(gate, jobs),
        tasks.c.id != serial_gate.head(gate, repos.c.name),
    )
    source = repos.join(jobs, and_(jobs.c.repo == repos.c.name, QUEUED)).join(
        tasks, tasks.c.id == jobs.c.task_id
    )
    if serial_gate.everything_is_serialised(gate):
        source = repos.join(tasks, tasks.c.id == serial_gate.head(gate, repos.c.name)).join(
            jobs, and_(jobs.c.task_id == tasks.c.id, QUEUED)
        )
        head_only = literal(False, Boolean)
    return (
        select(*columns)
        .select_from(source)
        .where(
            is_any_of(repos.c.name, "repos"),
            ~head_only,
            serial_gate.build_claim_clause(gate, now),
        )
    )


def claim(  # noqa: PLR0913 - a claim's terms, told by name
    conn: Connection,
    gate: Gate,
    names: Sequence[str],
    slots: Mapping[str, int],
    now: Moment,
    *,
    token: str,
    start_deadline: float = 60,
) -> list[Claimed]:
    """Claim what the gate allows in these repos, whose locks the caller holds; oldest task first.

    No more jobs of an agent are claimed than `slots` says; an agent missing there gets none. Raises
    IntegrityError when the law refuses: somebody wrote a live job without the lock.
    """
    if not names or not any(count > 0 for count in slots.values()):
        return []
    statement = _claiming(gate, now, tuple(sorted(slots)), start_deadline)
    bound = {"repos": list(names), "token": token}
    rows = conn.execute(statement, bound | {f"slots_{agent}": n for agent, n in slots.items()})
    claimed = [Claimed(Claim(row.id, token, row.agent), row.repo, row.task_id) for row in rows]
    if claimed:
        entering = [e.task_id for e in claimed if e.claim.agent == stages.ENTRY_AGENT]
        if entering:
            conn.execute(_admitting(now), {"ids": entering})
        conn.execute(_telling(now), {"ids": [each.claim.job_id for each in claimed]})
    return sorted(claimed, key=lambda each: each.task_id)


# Building an expression of this size takes longer than running it, so each is built once.


@lru_cache(maxsize=16)
def _claiming(gate: Gate, now: Moment, agents: tuple[str, ...], start_deadline: float) -> Any:
    return (
        update(jobs)
        .where(jobs.c.id.in_(_oldest_within(gate, now, agents)), QUEUED)
        .values(
            status="claimed",
            claim_token=bindparam("token"),
            claimed_at=at(now),
            started_at=None,
            lease_until=later(now, start_deadline),
            ready_at=None,
            worker=None,
            stop_requested=None,
            serialised=serial_gate.is_serialised(gate, jobs),
        )
        .returning(jobs.c.id, jobs.c.agent, jobs.c.repo, jobs.c.task_id)
    )


def _oldest_within(gate: Gate, now: Moment, agents: tuple[str, ...]) -> Any:
    turn = func.row_number().over(partition_by=jobs.c.agent, order_by=(tasks.c.id, jobs.c.id))
    open_jobs = candidates(gate, now, jobs.c.id, jobs.c.agent, turn.label("turn")).subquery()
    free = case(
        {agent: bindparam(f"slots_{agent}", type_=Integer) for agent in agents},
        value=open_jobs.c.agent,
        else_=0,
    )
    return select(open_jobs.c.id).where(open_jobs.c.turn <= free)


@lru_cache(maxsize=16)
def _admitting(now: Moment) -> Any:
    return update(tasks).where(is_any_of(tasks.c.id, "ids")).values(admitted_at=at(now))


@lru_cache(maxsize=16)
def _telling(now: Moment) -> Any:
    told: dict[str, Any] = {
        "at": at(now),
        "kind": literal("job.claimed"),
        "task_id": jobs.c.task_id,
        "job_id": jobs.c.id,
        "repo": jobs.c.repo,
        "from_state": literal("queued"),
        "to_state": literal("claimed"),
    }
    return insert(events).from_select(
        list(told), select(*told.values()).where(is_any_of(jobs.c.id, "ids"))
    )


def claim_next_job(
    conn: Connection, agent: str, now: Moment, token: str, gate: Gate = serial_gate.DEFAULT
) -> Claimed | None:
    """Claim the oldest job of one agent that the gate lets start anywhere, or None."""
    names = list(conn.scalars(select(jobs.c.repo).where(QUEUED, jobs.c.agent == agent).distinct()))
    lock_repos(conn, names)
    return next(iter(claim(conn, gate, names, {agent: 1}, now, token=token)), None)


def _held(claim: Claim) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (jobs.c.id == claim.job_id, jobs.c.claim_token == claim.token)


def start(
    conn: Connection, gate: Gate, claim: Claim, now: Moment, *, worker: str, lease: float = 60
) -> RowMapping | None:
    """The worker's first act: take the claimed job if its token and the standing clauses hold.

    None means: not yours, or the gate has closed since; `hand_back` then does what is due.
    """
    conn.execute(_LOCK_ITS_REPO, {"job_id": claim.job_id})
    bound = {"job_id": claim.job_id, "token": claim.token, "by": worker}
    job = conn.execute(_starting(gate, now, lease), bound).mappings().one_or_none()
    if job is not None:
        _tell(conn, now, "job.started", job, "claimed", "running", actor=worker)
    return job


_HELD: Final = (jobs.c.id == bindparam("job_id"), jobs.c.claim_token == bindparam("token"))
_ITS_REPO: Final = select(jobs.c.repo).where(jobs.c.id == bindparam("job_id")).scalar_subquery()
_LOCK_ITS_REPO: Final = (
    select(repos.c.name).where(repos.c.name == _ITS_REPO).with_for_update(key_share=True)
)


@lru_cache(maxsize=16)
def _starting(gate: Gate, now: Moment, lease: float) -> Any:
    standing = serial_gate.clauses(gate, now, standing=True)
    of_task = select(tasks.c.id).where(
        tasks.c.id == jobs.c.task_id,
        ~among(tasks.c.stage, sorted(stages.TERMINAL)),
        *standing.values(),
    )
    return ledger.moving_job(
        "start",
        *_HELD,
        jobs.c.stop_requested.is_(None),
        of_task.correlate(jobs).exists(),
        started_at=at(now),
        lease_until=later(now, lease),
        worker=bindparam("by"),
    )


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


def finish(
    conn: Connection, claim: Claim, now: Moment, event: JobEvent, **facts: Any
) -> RowMapping | None:
    """End a job as succeeded, failed or cancelled. None, and counted, if it was not ours."""
    bound = {"job_id": claim.job_id, "token": claim.token}
    bound |= {f"its_{name}": value for name, value in facts.items()}
    job = conn.execute(_ending(now, event, tuple(facts)), bound).mappings().one_or_none()
    if job is None:
        ledger.count(conn, "stale_writes", "finish")
    return job


@lru_cache(maxsize=16)
def _ending(now: Moment, event: JobEvent, facts: tuple[str, ...]) -> Any:
    values: dict[str, Any] = {name: bindparam(f"its_{name}") for name in facts}
    return ledger.moving_job(event, *_HELD, finished_at=at(now), **values)


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
