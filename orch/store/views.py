"""What the read models ask of the store: lanes, holders, blockers, agents; each as one statement.

The clauses come from the gate as they are. Nothing here decides anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Dialect,
    Integer,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.engine import RowMapping

from orch import serial_gate, stages
from orch.serial_gate import Gate
from orch.store import answers, fleet, freezes, queued
from orch.store.lists import is_any_of
from orch.store.moments import Moment, at
from orch.store.schema import (
    LIVE,
    QUEUED,
    agents,
    among,
    job_deps,
    jobs,
    repo_freeze,
    repos,
    tasks,
    workers,
)

COLUMNS: Final = (
    jobs.c.id.label("job_id"),
    jobs.c.agent,
    jobs.c.repo,
    jobs.c.attempt,
    jobs.c.available_at,
    jobs.c.created_at.label("queued_at"),
    tasks.c.id.label("task_id"),
    tasks.c.work_item_id,
    tasks.c.title,
    tasks.c.stage,
    tasks.c.rank,
    tasks.c.paused_at,
    tasks.c.paused_by,
    tasks.c.paused_reason,
    tasks.c.paused_until,
)


FEW: Final = 8
"""So many repos are asked one by one rather than counted first."""
OF_A_PAUSE: Final = frozenset({"paused_at", "paused_by", "paused_reason", "paused_until"})


def readable(gate: Gate, columns: Iterable[Any]) -> list[Any]:
    """The same columns, those of a pause empty while a pause cannot be read."""
    if "paused" not in gate.degraded:
        return list(columns)
    return [null().label(each.name) if each.name in OF_A_PAUSE else each for each in columns]


def moment(conn: Connection, now: Moment) -> Any:
    """The moment itself, read from the database's clock where that is what `now` is."""
    return conn.scalar(select(at(now).label("now")))


def task_row(conn: Connection, gate: Gate, work_item_id: str) -> RowMapping | None:
    """The task of this work item, or None."""
    columns = readable(gate, tasks.c)
    statement = select(*columns).where(tasks.c.work_item_id == work_item_id)
    return conn.execute(statement).mappings().one_or_none()


def busy_repos(conn: Connection, gate: Gate, most: int) -> list[str]:
    """Repos where something waits, runs, is parked or is frozen, by name."""
    busy = select(jobs.c.repo).where(or_(QUEUED, LIVE)).distinct().order_by(jobs.c.repo)
    names = list(conn.scalars(busy.limit(most)))
    parked = select(tasks.c.repo).where(tasks.c.paused_at.is_not(None)).distinct()
    held = select(repo_freeze.c.repo).where(
        repo_freeze.c.cleared_at.is_(None), ~repo_freeze.c.is_glob
    )
    for clause, more in (("paused", parked), ("freeze", held)):
        if clause not in gate.degraded:
            names += conn.scalars(more.limit(most))
    return sorted(set(names))


def known_repos(conn: Connection, names: Sequence[str]) -> list[str]:
    """Those of these names that are repos."""
    return list(conn.scalars(select(repos.c.name).where(repos.c.name.in_(list(names)))))


def waiting_rows(
    conn: Connection, gate: Gate, now: Moment, names: Sequence[str], limit: int
) -> list[RowMapping]:
    """The first waiting jobs of each repo, in the order in which the gate would admit them."""
    long = list(names)
    if len(names) > FEW:
        long = [name for name, count in queued.listed_counts(conn, names).items() if count > limit]
    rows: list[RowMapping] = []
    walked: set[str] = set()
    for name in long:
        # A long line is walked by its index, as far as it is shown, and not sorted as a whole.
        bound = {"repo": name, "most": limit}
        walk = _compiled(_first_waiting(gate, now), conn.dialect)
        first = conn.execute(walk, bound).mappings().all()
        if len(first) == limit:
            rows += first
            walked.add(name)
    short = [name for name in names if name not in walked]
    if short:
        rows += conn.execute(_all_waiting(gate, now), {"repos": short}).mappings()
    return rows


def in_order(gate: Gate, now: Moment) -> tuple[Any, ...]:
    """By what waiting tasks of one repo stand in the order in which the gate would admit them."""
    started = serial_gate.is_past_entry(tasks)
    return (
        case((started, 0), else_=1),
        case((started, serial_gate.place_if_resumed(gate, tasks, now))),
        tasks.c.rank,
        tasks.c.id,
    )


@lru_cache(maxsize=16)
def _all_waiting(gate: Gate, now: Moment) -> Any:
    shown = serial_gate.snapshot(gate, now, *readable(gate, COLUMNS))
    here = is_any_of(jobs.c.repo, "repos")
    return shown.where(here).order_by(jobs.c.repo, *in_order(gate, now))


@lru_cache(maxsize=16)
def _first_waiting(gate: Gate, now: Moment) -> Any:
    here = and_(tasks.c.repo == bindparam("repo"), _has_queued_job())
    most = bindparam("most", type_=Integer)
    started = select(tasks.c.id).where(here, serial_gate.is_past_entry(tasks))
    entering = (
        select(tasks.c.id)
        .where(here, serial_gate.at_or_before_entry(tasks))
        .order_by(tasks.c.rank, tasks.c.id)
        .limit(most)
        .subquery()
    )
    first = union_all(started, select(entering.c.id)).subquery()
    shown = serial_gate.snapshot(gate, now, *readable(gate, COLUMNS))
    return shown.join(first, first.c.id == tasks.c.id).order_by(*in_order(gate, now)).limit(most)


@lru_cache(maxsize=16)
def _compiled(statement: Any, dialect: Dialect) -> Any:
    """A statement ready for its database: to find it in SQLAlchemy's cache takes as long as reading
    several rows, because the key is the value of every part of it."""
    return statement.compile(dialect=dialect)


def _has_queued_job() -> Any:
    own = jobs.alias()
    is_queued = own.c.status == literal_column("'queued'")
    return exists(select(own.c.id).where(own.c.task_id == tasks.c.id, is_queued))


def paused_rows(
    conn: Connection, gate: Gate, names: Sequence[str], limit: int, only: Any = None
) -> list[RowMapping]:
    """The first parked tasks of each of these repos, or those of them for which `only` holds; none
    while a pause cannot be read."""
    if "paused" in gate.degraded:
        return []
    columns = (
        tasks.c.id.label("task_id"),
        tasks.c.work_item_id,
        tasks.c.repo,
        tasks.c.stage,
        tasks.c.title,
        tasks.c.paused_at,
        tasks.c.paused_by,
        tasks.c.paused_reason,
        tasks.c.paused_until,
        tasks.c.approval,
    )
    turn = func.row_number().over(partition_by=tasks.c.repo, order_by=tasks.c.id)
    first = (
        select(*columns, turn.label("turn"))
        .where(
            tasks.c.paused_at.is_not(None),
            tasks.c.repo.in_(list(names)),
            true() if only is None else only,
        )
        .subquery()
    )
    verdict = answers.last_verdict(first.c.task_id).label("verdict")
    shown = select(first, verdict).where(first.c.turn <= limit)
    statement = shown.order_by(first.c.task_id)
    return list(conn.execute(statement).mappings())


def similar_work_items(conn: Connection, work_item_id: str, most: int = 3) -> list[str]:
    """Known work items that look like this one, newest first."""
    stem = work_item_id.rstrip("0123456789") or work_item_id[:1]
    like = (
        select(tasks.c.work_item_id)
        .where(tasks.c.work_item_id.startswith(stem, autoescape=True))
        .order_by(tasks.c.id.desc())
        .limit(most)
    )
    return list(conn.scalars(like))


def waiting_row(conn: Connection, gate: Gate, now: Moment, task_id: int) -> RowMapping | None:
    """The queued job of one task, as the gate's snapshot has it."""
    statement = serial_gate.snapshot(gate, now, *readable(gate, COLUMNS)).where(
        tasks.c.id == task_id
    )
    return conn.execute(statement).mappings().one_or_none()


def live_jobs(conn: Connection, gate: Gate, names: Sequence[str]) -> list[RowMapping]:
    """Live jobs of these repos, longest held first."""
    statement = (
        select(
            jobs.c.id.label("job_id"),
            jobs.c.repo,
            jobs.c.agent,
            jobs.c.status,
            jobs.c.attempt,
            jobs.c.worker,
            # Who writes a running row by hand may leave out when.
            func.coalesce(jobs.c.claimed_at, jobs.c.created_at).label("since"),
            jobs.c.started_at,
            jobs.c.lease_until,
            jobs.c.stop_requested,
            tasks.c.id.label("task_id"),
            tasks.c.work_item_id,
            tasks.c.title,
            tasks.c.stage,
            *readable(gate, [tasks.c.paused_at]),
        )
        .join(tasks, tasks.c.id == jobs.c.task_id)
        .where(LIVE, jobs.c.repo.in_(list(names)))
        .order_by(jobs.c.claimed_at, jobs.c.id)
    )
    return list(conn.execute(statement).mappings())


def heads(conn: Connection, gate: Gate, names: Sequence[str]) -> list[RowMapping]:
    """The first contender of each of these repos, with its queued job if it has one."""
    if not names:
        return []
    return list(conn.execute(_heads(gate), {"repos": list(names)}).mappings())


@lru_cache(maxsize=16)
def _heads(gate: Gate) -> Any:
    head = serial_gate.head(gate, repos.c.name)
    source = repos.join(tasks, tasks.c.id == head).outerjoin(
        jobs, and_(jobs.c.task_id == tasks.c.id, jobs.c.status == "queued")
    )
    since = serial_gate.place(tasks).label("since")
    return (
        select(
            repos.c.name.label("repo"),
            tasks.c.id.label("task_id"),
            tasks.c.work_item_id,
            tasks.c.stage,
            jobs.c.agent,
            jobs.c.id.label("job_id"),
            jobs.c.status,
            since,
        )
        .select_from(source)
        .where(is_any_of(repos.c.name, "repos"))
    )


def freezes_of(conn: Connection, now: Moment, names: Sequence[str]) -> list[RowMapping]:
    """Freezes in force over these repos, one row per repo and freeze, oldest first."""
    allowed = tasks.alias()
    statement = (
        select(
            repos.c.name.label("covered"),
            repo_freeze,
            allowed.c.work_item_id.label("allowed_work_item"),
        )
        .select_from(
            repos.join(repo_freeze, freezes.covers(repo_freeze, repos.c.name)).outerjoin(
                allowed, allowed.c.id == repo_freeze.c.allow_task_id
            )
        )
        .where(repos.c.name.in_(list(names)), freezes.in_force(repo_freeze, now))
        .order_by(repo_freeze.c.frozen_at, repo_freeze.c.id)
    )
    return list(conn.execute(statement).mappings())


def unfinished_before(
    conn: Connection, gate: Gate, task_ids: Sequence[int]
) -> dict[int, list[RowMapping]]:
    """Per dependent task the predecessors that are not over; none while they cannot be read."""
    found: dict[int, list[RowMapping]] = defaultdict(list)
    if task_ids and "dependency" not in gate.degraded:
        statement = (
            select(
                job_deps.c.task_id.label("dependent"),
                job_deps.c.created_at.label("since"),
                answers.last_verdict(tasks.c.id).label("verdict"),
                *readable(gate, tasks.c),
            )
            .join(tasks, tasks.c.id == job_deps.c.depends_on_task_id)
            .where(
                job_deps.c.task_id.in_(list(task_ids)),
                ~among(tasks.c.stage, sorted(stages.TERMINAL)),
            )
            .order_by(tasks.c.id)
        )
        for row in conn.execute(statement).mappings():
            found[row["dependent"]].append(row)
    return found


def agents_now(conn: Connection, now: Moment, stale: float) -> dict[str, dict[str, Any]]:
    """Per agent: its live jobs, the slots of its live workers, how many those are, and until when
    and why it is suspended, if it is. A suspended agent has no slots."""
    known = {name: _an_agent() for name in stages.AGENTS}
    fleet_rows = conn.execute(
        select(workers.c.queue, func.sum(workers.c.concurrency), func.count())
        .where(fleet.is_alive(now, stale), workers.c.queue != stages.CONTROL_QUEUE)
        .group_by(workers.c.queue)
    )
    for queue, slots, count in fleet_rows:
        entry = known.setdefault(queue.removeprefix("agent."), _an_agent())
        entry |= {"slots": int(slots), "workers": count}
    live = select(jobs.c.agent, func.count()).where(LIVE).group_by(jobs.c.agent)
    for agent, count in conn.execute(live):
        known.setdefault(agent, _an_agent())["live"] = count
    suspended = select(agents).where(fleet.is_suspended(now))
    for row in conn.execute(suspended):
        entry = known.setdefault(row.name, _an_agent())
        entry |= {"suspended_until": row.suspended_until, "slots": 0}
        entry["suspended_reason"] = row.suspended_reason
    return known


def _an_agent() -> dict[str, Any]:
    nothing = {"live": 0, "slots": 0, "workers": 0}
    return {**nothing, "suspended_until": None, "suspended_reason": None}


def overview(conn: Connection, gate: Gate) -> list[RowMapping]:
    """Per repo with waiting jobs: how many, since when, whose turn it is; for a first page."""
    return list(conn.execute(_overview(gate)).mappings())


@lru_cache(maxsize=16)
def _overview(gate: Gate) -> Any:
    counted = (
        select(
            jobs.c.repo.label("repo"),
            func.count().label("waiting"),
            func.min(jobs.c.created_at).label("oldest"),
        )
        .where(QUEUED)
        .group_by(jobs.c.repo)
        .subquery()
    )
    head = serial_gate.head(gate, counted.c.repo).label("head_task_id")
    return select(counted, head).order_by(counted.c.repo)
