"""What was and what is, for reading: pages of events and tasks, one task's jobs, the revision."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, case, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from orch import stages
from orch.store import fleet
from orch.store.moments import Moment, at, later
from orch.store.schema import (
    OPEN,
    among,
    beyond,
    events,
    job_deps,
    jobs,
    repo_freeze,
    repos,
    tasks,
    workers,
)
from orch.store.session import Row

GAP_SECONDS: Final = 5.0
"""How long a missing event id is waited for: its transaction may still be about to commit."""
GAP_WINDOW: Final = 2000
"""How many of the newest ids are looked through for gaps."""


@dataclass(frozen=True)
class EventFilter:
    """Which events are asked for: `after` reads forwards, otherwise the newest come first."""

    task_id: int | None = None
    repo: str | None = None
    kind: str | None = None
    after: int | None = None
    before: int | None = None
    limit: int = 100
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    """What the reason holds, in whatever case."""
    beyond: int = 0
    """The newest come first, but only those above this id."""


def events_page(conn: Connection, wanted: EventFilter, horizon: int) -> list[Row]:
    """Events up to the horizon, with the work item each is about."""
    statement = (
        select(events, tasks.c.work_item_id)
        .select_from(events.outerjoin(tasks, tasks.c.id == events.c.task_id))
        .where(events.c.id <= horizon, events.c.id > wanted.beyond)
        .limit(wanted.limit)
    )
    for column, value in (
        (events.c.task_id, wanted.task_id),
        (events.c.repo, wanted.repo),
        (events.c.kind, wanted.kind),
        (events.c.actor, wanted.actor),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if wanted.before is not None:
        statement = statement.where(events.c.id < wanted.before)
    if wanted.since is not None:
        statement = statement.where(events.c.at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(events.c.at < wanted.until)
    if wanted.text is not None:
        statement = statement.where(events.c.reason.icontains(wanted.text, autoescape=True))
    if wanted.after is not None:
        statement = statement.where(events.c.id > wanted.after).order_by(events.c.id)
    else:
        statement = statement.order_by(events.c.id.desc())
    return list(conn.execute(statement).mappings())


def event_near(conn: Connection, moment: datetime) -> int:
    """About the newest event id written before that moment; 0 before the first.

    Ids grow as time does, but for transactions that overtook one another: whoever needs all of a
    stretch of time asks with some room at its ends. No index on the time is needed for it.
    """
    low, high = 0, last_event(conn)
    while low < high:
        middle = (low + high + 1) // 2
        first = select(events.c.id, events.c.at).where(events.c.id >= middle)
        found = conn.execute(first.order_by(events.c.id).limit(1)).one()
        if found.id > high or found.at >= moment:
            high = middle - 1
        else:
            low = found.id
    return low


def event_time(conn: Connection, event_id: int) -> datetime | None:
    """When the first event from this id on was written."""
    first = select(events.c.at).where(events.c.id >= event_id).order_by(events.c.id).limit(1)
    return conn.scalar(first)


def event_horizon(conn: Connection, now: Moment) -> int:
    """The newest event id below which nothing will appear any more; 0 without events.

    On PostgreSQL ids are drawn before they are committed, so a reader who asks "after 7" could miss
    a 6 that commits late. A gap is therefore waited for, until the event above it is old enough to
    prove that its transaction was rolled back.
    """
    young = (events.c.at > later(now, -GAP_SECONDS)).label("young")
    newest = select(events.c.id, young).order_by(events.c.id.desc()).limit(GAP_WINDOW)
    rows = conn.execute(newest).all()[::-1]
    for below, above in itertools.pairwise(rows):
        if above.young and above.id != below.id + 1:
            return int(below.id)
    return int(rows[-1].id) if rows else 0


def last_event(conn: Connection) -> int:
    """The newest event id; 0 without events."""
    return conn.scalar(select(func.max(events.c.id))) or 0


def revision(conn: Connection, now: Moment, stale: float) -> tuple[Any, ...]:
    """A few numbers of which one changes with every write that shows, and the moment.

    Each is the end of an index. Rows that other programs write by hand leave no event, so their
    own ids count as well.
    """
    alive = select(func.count(), func.coalesce(func.sum(workers.c.concurrency), 0)).where(
        fleet.is_alive(now, stale)
    )
    tops = [
        select(func.max(table.c.id)).scalar_subquery()
        for table in (events, tasks, jobs, repo_freeze)
    ]
    return (*conn.execute(select(*tops, at(now))).one(), *conn.execute(alive).one())


# --- tasks ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TaskFilter:
    """Which tasks are asked for; `before` is the id of the last one already seen."""

    repo: str | None = None
    stage: str | None = None
    state: str | None = None
    agent: str | None = None
    before: int | None = None
    limit: int = 100


def task_state() -> ColumnElement[Any]:
    """The state of a task joined with its open job, if it has one."""
    return case(
        (among(tasks.c.stage, sorted(stages.TERMINAL)), tasks.c.stage),
        (jobs.c.status == "queued", "waiting"),
        (jobs.c.status.is_not(None), jobs.c.status),
        (tasks.c.paused_at.is_not(None), "parked"),
        else_="idle",
    )


def _tasks() -> Select[Any]:
    columns = (
        tasks.c.id.label("task_id"),
        tasks.c.work_item_id,
        tasks.c.repo,
        tasks.c.title,
        tasks.c.stage,
        tasks.c.track,
        tasks.c.rank,
        tasks.c.created_at,
        tasks.c.paused_at,
        tasks.c.paused_by,
        tasks.c.paused_reason,
        tasks.c.paused_until,
        tasks.c.finished_at,
        jobs.c.id.label("job_id"),
        jobs.c.agent,
        task_state().label("state"),
    )
    return select(*columns).select_from(
        tasks.outerjoin(jobs, and_(jobs.c.task_id == tasks.c.id, OPEN))
    )


def tasks_page(conn: Connection, wanted: TaskFilter) -> list[Row]:
    """Tasks, newest first."""
    statement = _tasks().order_by(tasks.c.id.desc()).limit(wanted.limit)
    for column, value in (
        (tasks.c.repo, wanted.repo),
        (tasks.c.stage, wanted.stage),
        (task_state(), wanted.state),
        (jobs.c.agent, wanted.agent),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if wanted.before is not None:
        statement = statement.where(tasks.c.id < wanted.before)
    return list(conn.execute(statement).mappings())


def tasks_beyond(
    conn: Connection, known_stages: Iterable[str], known_tracks: Iterable[str]
) -> list[Row]:
    """Tasks that are not over and stand at another stage or on another track, oldest first."""
    is_parked = and_(tasks.c.paused_at.is_not(None), tasks.c.paused_until.is_(None))
    statement = (
        select(
            tasks.c.id.label("task_id"),
            tasks.c.work_item_id,
            tasks.c.repo,
            tasks.c.stage,
            tasks.c.track,
            is_parked.label("is_parked"),
        )
        .where(
            beyond(tasks.c.stage, sorted(stages.TERMINAL)),
            or_(beyond(tasks.c.stage, known_stages), beyond(tasks.c.track, known_tracks)),
        )
        .order_by(tasks.c.id)
    )
    return list(conn.execute(statement).mappings())


_JOB: Final = tuple(
    column.label("job_id") if column.name == "id" else column
    for column in jobs.c
    # The token is the right to write as the job's worker: it is shown to nobody.
    if column.name not in ("claim_token", "payload", "log_path", "serialised")
)


def jobs_of(conn: Connection, task_id: int, most: int = 200) -> list[Row]:
    """A task's newest jobs, oldest of them first."""
    newest = select(*_JOB).where(jobs.c.task_id == task_id).order_by(jobs.c.id.desc()).limit(most)
    return list(conn.execute(newest).mappings())[::-1]


def job_place(conn: Connection, job_id: int) -> Row | None:
    """Where a job's log is to be looked for, and whether it can still grow."""
    columns = (jobs.c.id, jobs.c.claim_token, jobs.c.log_path, OPEN.label("open"))
    return conn.execute(select(*columns).where(jobs.c.id == job_id)).mappings().one_or_none()


def neighbours(conn: Connection, task_id: int) -> dict[str, list[Row]]:
    """The tasks this one depends on, and those that depend on it."""
    ends = {
        "depends_on": (job_deps.c.task_id, job_deps.c.depends_on_task_id),
        "dependents": (job_deps.c.depends_on_task_id, job_deps.c.task_id),
    }
    found = {}
    for name, (mine, theirs) in ends.items():
        statement = (
            select(tasks.c.work_item_id, tasks.c.repo, tasks.c.stage, job_deps.c.source)
            .join(job_deps, theirs == tasks.c.id)
            .where(mine == task_id)
            .order_by(tasks.c.id)
            .limit(1000)
        )
        found[name] = list(conn.execute(statement).mappings())
    return found


# --- repos ------------------------------------------------------------------------------------


def unknown_repos(conn: Connection, wanted: Sequence[str]) -> list[str]:
    """Those of these names that are no repo."""
    known = set(conn.scalars(select(repos.c.name).where(repos.c.name.in_(list(wanted)))))
    return [name for name in wanted if name not in known]


def some_repos(conn: Connection, most: int = 1000) -> list[str]:
    """Known repos by name, to find one that looks like a misspelt one."""
    return list(conn.scalars(select(repos.c.name).order_by(repos.c.name).limit(most)))
