"""Jobs whose lease is over go back to their old place; those that spent their attempts are parked.

The reaper asks "older than", never "between", so nothing slips past it however long it was away.
"""

from __future__ import annotations

from functools import partial

from orch.line import Limits, Line
from orch.store import claims, ledger, queries, work
from orch.store.moments import Moment
from orch.store.session import Connection, Row, lock_repos


def reap(line: Line) -> int:
    """Settle every overdue job, each in a transaction of its own; how many."""
    now, limits = line.now(), line.limits
    found = line.store.read(lambda conn: queries.overdue_jobs(conn, now, limits.lease))
    return sum(line.store.write(partial(_settle, job=job, now=now, limits=limits)) for job in found)


def _settle(conn: Connection, job: Row, now: Moment, limits: Limits) -> bool:
    lock_repos(conn, [job["repo"]])
    if work.is_over(conn, job["task_id"]):
        return _counted(conn, job, claims.end_overdue(conn, job, now, "cancel", "cancelled"))
    spent = job["status"] == "running" and job["attempt"] >= limits.max_attempts
    if spent and job["stop_requested"] is None:
        ended = claims.end_overdue(conn, job, now, "fail", "lost")
        if ended:
            _park(conn, job, now)
        return _counted(conn, job, ended)
    back = claims.requeue_overdue(conn, job, now, lease=limits.lease)
    return _counted(conn, job, back is not None)


def _counted(conn: Connection, job: Row, settled: bool) -> bool:
    if settled:
        ledger.count(conn, "reaped", job["status"])
    return settled


def _park(conn: Connection, job: Row, now: Moment) -> None:
    reason = f"{job['agent']} was lost {job['attempt']} times at {job['task_stage']}"
    work.park(conn, job["task_id"], now, reason=reason)
