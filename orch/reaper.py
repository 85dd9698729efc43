"""Jobs whose lease is over go back to their old place; those that spent their attempts are parked.

The reaper asks "older than", never "between", so nothing slips past it however long it was away.
"""

from __future__ import annotations

from functools import partial

from sqlalchemy import Connection
from sqlalchemy.engine import RowMapping

from orch import stages
from orch.line import Limits, Line
from orch.store import claims, ledger, queries, work
from orch.store.moments import Moment, at
from orch.store.schema import jobs
from orch.store.session import lock_repos


def reap(line: Line) -> int:
    """Settle every overdue job, each in a transaction of its own; how many."""
    now, limits = line.now(), line.limits
    found = line.store.read(lambda conn: queries.overdue_jobs(conn, now, limits.lease))
    return sum(
        line.store.write(partial(_settle, job=job, now=now, limits=limits)) for job in found
    )


def _settle(conn: Connection, job: RowMapping, now: Moment, limits: Limits) -> bool:
    lock_repos(conn, [job["repo"]])
    if job["task_stage"] in stages.TERMINAL:
        return _end(conn, job, now, limits, "cancel", "cancelled")
    spent = job["status"] == "running" and job["attempt"] >= limits.max_attempts
    if spent and job["stop_requested"] is None:
        return _end(conn, job, now, limits, "fail", "lost") and _park(conn, job, now)
    back = claims.requeue_overdue(conn, job, now, lease=limits.lease)
    if back is not None:
        ledger.count(conn, "reaped", job["status"])
    return back is not None


def _end(
    conn: Connection, job: RowMapping, now: Moment, limits: Limits, event: str, failure: str
) -> bool:
    ended = ledger.move_job(
        conn,
        "cancel" if event == "cancel" else "fail",
        jobs.c.id == job["id"],
        jobs.c.claim_token.is_not_distinct_from(job["claim_token"]),
        claims.overdue(now, limits.lease),
        finished_at=at(now),
        failure=failure,
    )
    if ended is None:
        return False
    told = {"task_id": job["task_id"], "job_id": job["id"], "repo": job["repo"]}
    moved = {"from_state": job["status"], "to_state": ended["status"]}
    ledger.record(conn, now, f"job.{ended['status']}", **told, **moved, reason="its lease was over")
    ledger.wake(conn, now, [job["repo"]])
    ledger.count(conn, "reaped", job["status"])
    return True


def _park(conn: Connection, job: RowMapping, now: Moment) -> bool:
    reason = f"{job['agent']} was lost {job['attempt']} times at {job['task_stage']}"
    work.set_task_paused(conn, job["task_id"], now, reason=reason)
    return True
