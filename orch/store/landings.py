"""The landing lease of a repo: one task lands at a time, also where the gate lets several work.

The lease is on the repo's row, so that who writes it has the repo's lock, and whoever waited for
that asks again; it is measured with the store's clock. Who does not renew it in time may be
replaced, and learns so from the next answer.
"""

from __future__ import annotations

from sqlalchemy import Connection, exists, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from orch import stages
from orch.store.moments import Moment, at, later
from orch.store.schema import LIVE, among, jobs, repos


def take(conn: Connection, repo: str, job_id: int, now: Moment, lease: float) -> bool:
    """Take the lease for a job, or take it again, for so many seconds. False while another job
    holds it, or when the repo is not known."""
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


def under_way(conn: Connection, repo: str, now: Moment) -> bool:
    """Whether work lands in this repo, or is deployed, at this moment."""
    deploying = (LIVE, jobs.c.repo == repo, among(jobs.c.stage, stages.LANDING))
    at_it = conn.scalar(select(exists(select(jobs.c.id).where(*deploying))))
    return bool(at_it) or holder(conn, repo, now) is not None


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
