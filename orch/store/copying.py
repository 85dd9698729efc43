"""The open part of a store, read at one moment and written into an SQLite database in memory, whose
clock stands where it is set: what simulations run on. The original is only read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, and_, func, insert, literal, or_, select, true
from sqlalchemy.sql.elements import ColumnElement

from orch import jobs as job_states
from orch import stages
from orch.store import fleet, ledger
from orch.store.lists import is_any_of
from orch.store.moments import SQLITE_FORMAT, Moment, at
from orch.store.schema import (
    LIVE,
    QUEUED,
    agents,
    among,
    beyond,
    job_deps,
    jobs,
    metadata,
    repo_freeze,
    tasks,
    workers,
)
from orch.store.session import Store

OF_TASK: Final = (
    "id", "work_item_id", "repo", "stage", "title", "track", "created_at", "rank", "admitted_at",
    "paused_at", "paused_by", "paused_reason", "paused_until", "reworks", "approval", "head_sha",
    "cost_usd", "turns",
)  # fmt: skip
OF_JOB: Final = (
    "id", "agent", "repo", "task_id", "stage", "status", "attempt", "created_at", "available_at",
    "ready_at", "serialised", "claim_token", "claimed_at", "started_at", "lease_until", "worker",
    "stop_requested", "finished_at", "verdict",
)  # fmt: skip
OF_FREEZE: Final = (
    "id", "repo", "frozen_at", "cleared_at", "reason", "source", "expires_at", "allow_task_id",
)  # fmt: skip
JOBS: Final = (QUEUED, LIVE)
"""The open jobs in two conditions, each in the words of the index that finds them by repo."""
FOR_EVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""When a simulated worker was last heard of, so that it never counts as gone."""
RECENT_JOBS: Final = 50_000
"""How many of the newest jobs are looked through for durations: by id, so that it costs the same on
any store."""
MOST_RECORDS: Final = 2_000

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class OpenPart:
    """All that is not over, of all repos or of some, as it stood at one moment."""

    now: datetime
    tables: Mapping[str, Rows]
    slots: Mapping[str, int]
    """Per agent with live workers what those can run, a suspension left aside."""

    @property
    def size(self) -> int:
        """How many tasks are in it."""
        return len(self.tables["tasks"])


def _open(task: Any) -> ColumnElement[bool]:
    return beyond(task.c.stage, sorted(stages.TERMINAL))


def _halves() -> tuple[ColumnElement[bool], ...]:
    """The open tasks in two conditions, each in the words of the index that finds them."""
    entering = among(tasks.c.stage, stages.BEFORE_OR_AT_ENTRY)
    return entering, beyond(tasks.c.stage, stages.NOT_STARTED_OR_OVER)


def count_open(conn: Connection, most: int, names: Iterable[str] | None = None) -> int:
    """How many tasks are not over, in all repos or in these; counted up to `most`."""
    found = 0
    for half in _halves():
        some = select(literal(1)).select_from(tasks).where(half, _in(tasks, names)).limit(most)
        counted = select(func.count()).select_from(some.subquery())
        found += conn.execute(counted, _bound(names)).scalar_one()
    return min(found, most)


def linked_repos(conn: Connection, names: Iterable[str]) -> set[str]:
    """These repos, and those whose open tasks they wait for, however far away."""
    found, edge = set(names), set(names)
    before = tasks.alias()
    ahead = (
        select(before.c.repo)
        .select_from(tasks.join(job_deps, job_deps.c.task_id == tasks.c.id))
        .join(before, before.c.id == job_deps.c.depends_on_task_id)
        .where(is_any_of(tasks.c.repo, "names"), _open(before))
        .distinct()
    )
    while edge:
        reached = [set(conn.scalars(ahead.where(half), _bound(edge))) for half in _halves()]
        edge = set().union(*reached) - found
        found |= edge
    return found


def open_part(
    conn: Connection, now: Moment, stale: float, names: Iterable[str] | None = None
) -> OpenPart:
    """Read all that is not over, of all repos or of these. In one transaction, of one moment."""
    bound = _bound(names)
    of_tasks = [tasks.c[name] for name in OF_TASK]
    open_tasks = _rows(
        conn, (select(*of_tasks).where(h, _in(tasks, names)) for h in _halves()), bound
    )
    open_tasks += _rows(conn, (_over_with_a_job(of_tasks, h, names) for h in JOBS), bound)
    known = {row["id"] for row in open_tasks}
    of_jobs = [jobs.c[name] for name in OF_JOB]
    open_jobs = [
        row
        for row in _rows(conn, (select(*of_jobs).where(h, _in(jobs, names)) for h in JOBS), bound)
        if row["task_id"] in known
    ]
    held = _rows(conn, [_last_of_parked(of_jobs, names)], bound)
    freezes = select(*(repo_freeze.c[name] for name in OF_FREEZE))
    frozen = _rows(conn, [freezes.where(repo_freeze.c.cleared_at.is_(None))], {})
    for row in frozen:  # a task that is over is let through no more
        row["allow_task_id"] = row["allow_task_id"] if row["allow_task_id"] in known else None
    before = select(job_deps.c.task_id, job_deps.c.depends_on_task_id, job_deps.c.created_at)
    before = before.join(tasks, tasks.c.id == job_deps.c.task_id).where(_in(tasks, names))
    waits = _rows(conn, (before.where(half) for half in _halves()), bound)
    return OpenPart(
        conn.execute(select(at(now))).scalar_one(),
        {
            "repos": [{"name": name} for name in sorted({row["repo"] for row in open_tasks})],
            "tasks": sorted(open_tasks, key=lambda row: int(row["id"])),
            "jobs": sorted([*held, *open_jobs], key=lambda row: int(row["id"])),
            "job_deps": [row for row in waits if row["depends_on_task_id"] in known],
            "repo_freeze": frozen,
            "agents": _rows(conn, [select(agents)], {}),
        },
        _slots(conn, now, stale),
    )


def _in(table: Any, names: Iterable[str] | None) -> ColumnElement[bool]:
    return true() if names is None else is_any_of(table.c.repo, "names")


def _bound(names: Iterable[str] | None) -> dict[str, Any]:
    return {} if names is None else {"names": sorted(names)}


def _rows(conn: Connection, statements: Iterable[Any], bound: dict[str, Any]) -> Rows:
    return [dict(row) for each in statements for row in conn.execute(each, bound).mappings()]


def _last_of_parked(columns: list[Any], names: Iterable[str] | None) -> Any:
    """The newest job of each parked task that has none any more: it may have asked a question."""
    newest = jobs.alias()
    last = select(func.max(newest.c.id)).where(newest.c.task_id == tasks.c.id).scalar_subquery()
    found = select(*columns).join_from(tasks, jobs, jobs.c.id == last)
    parked = and_(tasks.c.paused_at.is_not(None), _open(tasks), _in(tasks, names))
    return found.where(parked, among(jobs.c.status, job_states.ENDED))


def _over_with_a_job(
    columns: list[Any], half: ColumnElement[bool], names: Iterable[str] | None
) -> Any:
    """Tasks that are over while an agent still works on them: it keeps its slot and the repo."""
    found = select(*columns).join_from(jobs, tasks, jobs.c.task_id == tasks.c.id)
    return found.where(half, among(tasks.c.stage, sorted(stages.TERMINAL)), _in(jobs, names))


def _slots(conn: Connection, now: Moment, stale: float) -> dict[str, int]:
    served = (
        select(workers.c.queue, func.sum(workers.c.concurrency))
        .where(fleet.is_alive(now, stale), workers.c.queue != stages.CONTROL_QUEUE)
        .group_by(workers.c.queue)
        .order_by(workers.c.queue)
    )
    return {queue.removeprefix("agent."): int(slots) for queue, slots in conn.execute(served)}


def recorded_durations(conn: Connection) -> Rows:
    """Of the newest attempts that passed: repo, stage, agent, start and end; newest first."""
    newest = conn.scalar(select(func.max(jobs.c.id))) or 0
    of_job = [jobs.c[name] for name in ("repo", "stage", "agent", "started_at", "finished_at")]
    passed = and_(
        jobs.c.id > newest - RECENT_JOBS,
        jobs.c.status == "succeeded",
        or_(jobs.c.verdict.is_(None), jobs.c.verdict != "needs_input"),
        jobs.c.stage.is_not(None),
        jobs.c.started_at.is_not(None),
        jobs.c.finished_at > jobs.c.started_at,
    )
    return _rows(
        conn, [select(*of_job).where(passed).order_by(jobs.c.id.desc()).limit(MOST_RECORDS)], {}
    )


MOST_IDLE: Final = 2
_IDLE: Final[list[Store]] = []
"""Stores that hold no connection, and with it no rows, at the moment."""


def _idle_store() -> Store:
    try:
        return _IDLE.pop()
    except IndexError:
        return Store("sqlite://")


@dataclass
class Copy:
    """A store of its own, and the clock it goes by."""

    now: datetime
    store: Store = field(default_factory=_idle_store)

    def close(self) -> None:
        """Let go of the rows. The store itself waits for the next copy: what it has compiled took
        longer than a small simulation takes."""
        self.store.dispose()
        if len(_IDLE) < MOST_IDLE:
            _IDLE.append(self.store)

    def __post_init__(self) -> None:
        """Let the database's clock be this one: statements that ask it need no building anew."""

        def strftime(_format: str, _now: str, after: str = "0 seconds") -> str:
            # Every statement of orch asks for the one format; a column's default does as well.
            moment = self.now + timedelta(seconds=float(after.split()[0]))
            return moment.strftime(SQLITE_FORMAT)

        with self.store.writer.connect() as conn:
            driver = conn.connection.driver_connection
            if driver is not None:
                driver.create_function("strftime", -1, strftime, deterministic=True)


def copy_of(part: OpenPart, slots: Mapping[str, int]) -> Copy:
    """The part as a store of its own, with these slots instead of its workers, every repo marked to
    be looked at."""
    made = Copy(part.now)
    made.store.write(lambda conn: _write(conn, part, slots))
    return made


def _write(conn: Connection, part: OpenPart, slots: Mapping[str, int]) -> None:
    metadata.create_all(conn)
    for name, rows in part.tables.items():
        if rows:
            conn.execute(insert(metadata.tables[name]), [_held(name, row) for row in rows])
    for agent, count in slots.items():
        fleet.register(conn, f"simulated-{agent}", stages.queue_of(agent), count, "", FOR_EVER)
    ledger.wake(conn, part.now, [row["name"] for row in part.tables["repos"]])
    for row in part.tables["jobs"]:
        if row["status"] == "queued" and row["available_at"] > part.now:
            ledger.wake(conn, row["available_at"], [row["repo"]])


def _held(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row as it is copied: a live job that was written by hand gets a token to end it by."""
    if name == "jobs" and row["claim_token"] is None and row["status"] in job_states.LIVE:
        return {**row, "claim_token": f"by-hand-{row['id']}"}
    return row


def moments_ahead(conn: Connection, now: Moment) -> list[datetime]:
    """When something opens by itself: pauses, freezes, suspensions and waits for a further attempt
    that have an end."""
    ends = (
        (tasks.c.paused_until, tasks.c.paused_at.is_not(None)),
        (repo_freeze.c.expires_at, repo_freeze.c.cleared_at.is_(None)),
        (agents.c.suspended_until, true()),
        (jobs.c.available_at, QUEUED),
    )
    found: set[datetime] = set()
    for column, where in ends:
        found |= set(conn.scalars(select(column).where(where, column > at(now)).distinct()))
    return sorted(found)


def live_jobs(conn: Connection) -> Rows:
    """Every live job of the copy, longest held first."""
    live = select(*(jobs.c[name] for name in OF_JOB)).where(LIVE)
    return _rows(conn, [live.order_by(jobs.c.claimed_at, jobs.c.id)], {})


def unfinished(conn: Connection) -> Rows:
    """Every task of the copy that is not over, oldest first."""
    columns = [tasks.c[name] for name in OF_TASK]
    return _rows(conn, [select(*columns).where(_open(tasks)).order_by(tasks.c.id)], {})


def done_at(conn: Connection) -> dict[int, datetime]:
    """When each task of the copy that is done came to its end."""
    done = select(tasks.c.id, tasks.c.finished_at).where(tasks.c.stage == stages.DONE)
    return dict(conn.execute(done).tuples().all())
