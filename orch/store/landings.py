"""The landing lease of a repo: one task lands at a time, also where the gate lets several work."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, or_, update

from orch.store.moments import Moment, at, later
from orch.store.schema import repos
from orch.store.session import lock_repos


def take(conn: Connection, repo: str, job_id: int, now: Moment, lease: float) -> bool:
    """Take the lease for a job, or take it again. False while another holds it."""
    lock_repos(conn, [repo])
    free = or_(
        repos.c.landing_job_id.is_(None),
        repos.c.landing_job_id == job_id,
        repos.c.landing_until.is_(None),
        repos.c.landing_until < at(now),
    )
    return _write(conn, repo, job_id, now, lease, free)


def renew(conn: Connection, repo: str, job_id: int, now: Moment, lease: float) -> bool:
    """Hold the lease for longer. False if it is somebody else's by now."""
    return _write(conn, repo, job_id, now, lease, repos.c.landing_job_id == job_id)


def _write(
    conn: Connection, repo: str, job_id: int, now: Moment, lease: float, free: ColumnElement[bool]
) -> bool:
    held = {"landing_job_id": job_id, "landing_until": later(now, lease)}
    done = conn.execute(update(repos).where(repos.c.name == repo, free).values(**held))
    return bool(done.rowcount)


def release(conn: Connection, repo: str, job_id: int) -> bool:
    """Give the lease back. False if it was not this job's."""
    mine = (repos.c.name == repo, repos.c.landing_job_id == job_id)
    done = conn.execute(update(repos).where(*mine).values(landing_job_id=None, landing_until=None))
    return bool(done.rowcount)
