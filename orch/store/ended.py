"""What has ended, for looking back: the landings of a repo, its red and green days, what each
agent's last jobs came to."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select

from orch import stages
from orch.store.moments import Moment, at
from orch.store.schema import LANDED, events, jobs, repo_freeze, repos, tasks
from orch.store.session import Row

_OF_JOB: Final = (
    jobs.c.id.label("job_id"),
    jobs.c.agent,
    jobs.c.attempt,
    jobs.c.status,
    jobs.c.failure,
    jobs.c.verdict,
    jobs.c.summary,
    jobs.c.started_at,
    jobs.c.finished_at,
)
DEGRADED: Final = "DEGRADED:"
"""How the reason of a freeze begins that was set because main is broken."""
MERGED: Final = "task.landed"
NEWEST: Final = 1000
"""How many of the newest jobs are looked through for what agents came to."""


def is_landing() -> ColumnElement[bool]:
    """The one rule for what counts as a landing, of an event: the merge; where nothing is merged,
    because the repo has no address, the step from the landing stage to the end."""
    merged = events.alias()
    has_merged = exists(
        select(merged.c.id).where(merged.c.task_id == events.c.task_id, merged.c.kind == MERGED)
    )
    ends = and_(events.c.kind == "task.moved", events.c.to_state == stages.DONE)
    without = and_(ends, events.c.from_state.in_(stages.LANDING), ~has_merged)
    return or_(events.c.kind == MERGED, without)


def landings(conn: Connection, repo: str, most: int) -> list[Row]:
    """The last attempts to land in this repo that have ended, newest first; `landed` is whether one
    did."""
    own = select(events.c.id).where(events.c.task_id == jobs.c.task_id, is_landing())
    landed = exists(own.where(events.c.job_id == jobs.c.id)).label("landed")
    statement = (
        select(*_OF_JOB, landed, tasks.c.work_item_id, tasks.c.title, tasks.c.merge_sha)
        .join(tasks, tasks.c.id == jobs.c.task_id)
        .where(jobs.c.repo == repo, LANDED)
        .order_by(jobs.c.id.desc())
        .limit(most)
    )
    return list(conn.execute(statement).mappings())


def red_freezes(conn: Connection, repo: str, most: int) -> list[Row]:
    """The last freezes of exactly this repo that say its main is broken, newest first: set by the
    monitor, or by a landing whose deploy or health failed."""
    its = repo_freeze.c
    columns = (its.frozen_at, its.cleared_at, its.cleared_by, its.cleared_reason, its.reason)
    statement = select(*columns).where(its.repo == repo, its.reason.startswith(DEGRADED))
    return list(conn.execute(statement.order_by(its.id.desc()).limit(most)).mappings())


def lease(conn: Connection, repo: str, now: Moment) -> Row | None:
    """Who holds the landing lease of this repo, and until when; None when nobody does."""
    statement = (
        select(
            jobs.c.id.label("job_id"), tasks.c.work_item_id, repos.c.landing_until.label("until")
        )
        .join(jobs, jobs.c.id == repos.c.landing_job_id)
        .join(tasks, tasks.c.id == jobs.c.task_id)
        .where(repos.c.name == repo, repos.c.landing_until > at(now))
    )
    return conn.execute(statement).mappings().one_or_none()


def outcomes(conn: Connection) -> list[Row]:
    """Those of the newest jobs of all agents that have ended, newest first."""
    newest = select(jobs).order_by(jobs.c.id.desc()).limit(NEWEST).subquery()
    columns: tuple[Any, ...] = (
        newest.c.id.label("job_id"),
        *(newest.c[name] for name in ("agent", "repo", "stage", "status", "failure", "verdict")),
        *(newest.c[name] for name in ("summary", "started_at", "finished_at")),
        tasks.c.work_item_id,
    )
    statement = (
        select(*columns)
        .join(tasks, tasks.c.id == newest.c.task_id)
        .where(or_(newest.c.finished_at.is_not(None), newest.c.failure.is_not(None)))
        .order_by(newest.c.id.desc())
    )
    return list(conn.execute(statement).mappings())


def next_job(conn: Connection, job_id: int) -> int | None:
    """The job of the same task that came after this one, if there is one by now."""
    mine = select(jobs.c.task_id).where(jobs.c.id == job_id).scalar_subquery()
    later = select(jobs.c.id).where(jobs.c.task_id == mine, jobs.c.id > job_id)
    return conn.scalar(later.order_by(jobs.c.id).limit(1))


def job_facts(conn: Connection, job_id: int) -> Row | None:
    """A job with its task's names, to stand above its log."""
    statement = (
        select(
            *_OF_JOB,
            jobs.c.stage,
            jobs.c.repo,
            jobs.c.worker,
            tasks.c.work_item_id,
            tasks.c.title,
        )
        .join(tasks, tasks.c.id == jobs.c.task_id)
        .where(jobs.c.id == job_id)
    )
    return conn.execute(statement).mappings().one_or_none()
