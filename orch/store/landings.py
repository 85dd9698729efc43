"""The landing lease of a repo: one task lands at a time, also where the gate lets several work.

The lease is on the repo's row, under the repo's lock, and measured with the store's clock. Who does
not renew it in time may be replaced, and learns so from the next answer.
"""

from __future__ import annotations

from sqlalchemy import Connection, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from orch.store.moments import Moment, at, later
from orch.store.schema import repos
from orch.store.session import lock_repos


def take(conn: Connection, repo: str, job_id: int, now: Moment, lease: float) -> bool:
    """Take the lease for a job, or take it again, for so many seconds. False while another job
    holds it, or when the repo is not known."""
    lock_repos(conn, [repo])
    free = or_(
        repos.c.landing_job_id.is_(None),
        repos.c.landing_job_id == job_id,
        repos.c.landing_until.is_(None),
        repos.c.landing_until <= at(now),
    )
    return _hold(conn, repo, job_id, now, lease, free)


def renew(conn: Connection, repo: str, job_id: int, now: Moment, lease: float) -> bool:
    """Hold the lease for so many seconds from now. False if it is another's by now, or nobody's."""
    return _hold(conn, repo, job_id, now, lease, repos.c.landing_job_id == job_id)


def release(conn: Connection, repo: str, job_id: int) -> bool:
    """Give the lease back. False, and nothing is changed, if it was not this job's."""
    mine = (repos.c.name == repo, repos.c.landing_job_id == job_id)
    done = conn.execute(update(repos).where(*mine).values(landing_job_id=None, landing_until=None))
    return bool(done.rowcount)


def holder(conn: Connection, repo: str, now: Moment) -> int | None:
    """The job that lands in this repo at this moment, or None."""
    held = (repos.c.name == repo, repos.c.landing_until > at(now))
    return conn.scalar(select(repos.c.landing_job_id).where(*held))


def _hold(
    conn: Connection,
    repo: str,
    job_id: int,
    now: Moment,
    lease: float,
    free: ColumnElement[bool],
) -> bool:
    held = {"landing_job_id": job_id, "landing_until": later(now, lease)}
    done = conn.execute(update(repos).where(repos.c.name == repo, free).values(**held))
    return bool(done.rowcount)
