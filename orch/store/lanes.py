"""Part of the line: tasks that a filter leaves, in the order in which the gate would admit them.

What a task waits for is asked of the gate's own columns. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    union_all,
)

from orch import serial_gate
from orch.serial_gate import Gate
from orch.store import ledger, views
from orch.store.moments import Moment
from orch.store.schema import LIVE, QUEUED, jobs, tasks
from orch.store.session import Row

RUNNING: Final = "running"
PAUSED: Final = "paused"
MAY_START: Final = "open"
"""What a task can be asked for beside the names of the clauses: its gate is open."""
REASONS: Final = (RUNNING, MAY_START, *serial_gate.CLAUSES)


@dataclass(frozen=True)
class Only:
    """Which tasks are asked for; nothing given is all of them."""

    repo: str | None = None
    stage: str | None = None
    reason: str | None = None
    """One of REASONS: the first clause that fails, or what stands for none."""
    text: str = ""
    """Part of the work item, the title or the reason of a pause, whatever the case."""

    @property
    def narrows(self) -> bool:
        """Whether it leaves out some task of a repo."""
        return bool(self.stage or self.reason or self.text)


def positions_of(conn: Connection, gate: Gate, now: Moment, rows: Sequence[Row]) -> dict[int, int]:
    """The place of each of these waiting jobs among all that wait in its repo, by job."""
    names = {row["repo"] for row in rows}
    turn = func.row_number().over(partition_by=jobs.c.repo, order_by=views.in_order(gate, now))
    placed = (
        select(jobs.c.id, turn.label("turn"))
        .select_from(serial_gate.job_of_task())
        .where(QUEUED, jobs.c.repo.in_(names))
        .subquery()
    )
    wanted = select(placed).where(placed.c.id.in_([row["job_id"] for row in rows]))
    return dict(conn.execute(wanted).tuples().all())


def repos_with(conn: Connection, gate: Gate, now: Moment, only: Only, most: int) -> list[str]:
    """The repos in which something of that kind waits, runs or is parked, by name."""
    found: set[str] = set()
    for part in _parts(gate, now, only, tasks.c.repo):
        found.update(conn.scalars(part.distinct().order_by(tasks.c.repo).limit(most)))
    return sorted(found)


def waiting(
    conn: Connection, gate: Gate, now: Moment, only: Only, name: str, page: tuple[int, int]
) -> list[Row]:
    """Waiting jobs of one repo that the filter leaves: so many, after so many others."""
    skipped, most = page
    shown = serial_gate.snapshot(gate, now, *views.readable(gate, views.COLUMNS))
    statement = shown.where(jobs.c.repo == name, *_conditions(gate, now, only))
    statement = statement.order_by(*views.in_order(gate, now)).offset(skipped).limit(most)
    return list(conn.execute(statement).mappings())


def waiting_counts(
    conn: Connection,
    gate: Gate,
    now: Moment,
    only: Only,
    names: Sequence[str],
    *,
    parked: bool = False,
) -> dict[str, int]:
    """How many queued jobs the filter leaves, in each of these repos; with `parked` only those of
    parked tasks."""
    if parked and ("paused" in gate.degraded or not names):
        return {}
    counted = (
        select(jobs.c.repo, func.count())
        .select_from(serial_gate.job_of_task())
        .where(QUEUED, jobs.c.repo.in_(list(names)), *_conditions(gate, now, only))
        .group_by(jobs.c.repo)
    )
    if parked:
        counted = counted.where(tasks.c.paused_at.is_not(None))
    return dict(conn.execute(counted).tuples().all())


def parked(only: Only) -> ColumnElement[bool]:
    """What a parked task has to fulfil to be left by the filter."""
    return false() if only.reason not in (None, PAUSED) else and_(true(), *_of_task(only))


def matching(conn: Connection, gate: Gate, now: Moment, only: Only, most: int) -> list[str]:
    """The work items of all tasks that the filter leaves, in the order shown: per repo those that
    run, those that wait, those that are parked."""
    order = dict(zip(("first", "then", "rank"), views.in_order(gate, now)[:3], strict=True))
    columns = [each.label(name) for name, each in order.items()]
    parts = _parts(gate, now, only, tasks.c.repo, tasks.c.id, tasks.c.work_item_id, *columns)
    numbered = [
        part.add_columns(literal(number).label("kind")) for number, part in enumerate(parts)
    ]
    if not numbered:
        return []
    every = union_all(*numbered).subquery()
    by = [every.c[name] for name in ("repo", "kind", "first", "then", "rank", "id")]
    # A parked task may have a job that runs, or waits: twice as many rows hold enough tasks.
    found = conn.scalars(select(every.c.work_item_id).order_by(*by).limit(2 * most))
    return list(dict.fromkeys(found))[:most]


def count(conn: Connection, gate: Gate, now: Moment, only: Only) -> int:
    """How many tasks the filter leaves."""
    parts = _parts(gate, now, only, tasks.c.id)
    if not parts:
        return 0
    every = union_all(*parts).subquery()
    return conn.scalar(select(func.count(every.c.id.distinct()))) or 0


def _parts(gate: Gate, now: Moment, only: Only, *columns: Any) -> list[Select[Any]]:
    """The tasks that run, those that wait and those that are parked, each found by its index."""
    beside = select(*columns).select_from(serial_gate.job_of_task())
    here = [tasks.c.repo == only.repo] if only.repo else []
    of_task = [*here, *_of_task(only)]
    parts = []
    if only.reason in (None, RUNNING):
        parts.append(beside.where(LIVE, *of_task))
    if only.reason != RUNNING:
        parts.append(beside.where(QUEUED, *here, *_conditions(gate, now, only)))
    if only.reason in (None, PAUSED) and "paused" not in gate.degraded:
        parts.append(select(*columns).where(tasks.c.paused_at.is_not(None), *of_task))
    return parts


def _conditions(gate: Gate, now: Moment, only: Only) -> list[ColumnElement[bool]]:
    return [*_of_task(only), *_reason(gate, now, only.reason)]


def _reason(gate: Gate, now: Moment, reason: str | None) -> list[ColumnElement[bool]]:
    """The clauses before the reason hold, and it fails."""
    if reason is None:
        return []
    found: list[ColumnElement[bool]] = []
    for name, holds in serial_gate.clauses(gate, now).items():
        if name == reason:
            return [*found, not_(holds)]
        found.append(holds)
    return found if reason == MAY_START else [false()]


def _of_task(only: Only) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if only.stage:
        found.append(tasks.c.stage == only.stage)
    if only.text:
        columns = (tasks.c.work_item_id, tasks.c.title, tasks.c.paused_reason)
        said = only.text.lower()
        holds = or_(*(func.lower(each).contains(said, autoescape=True) for each in columns))
        # As a CASE, whose odds PostgreSQL does not guess: it takes a pattern for so rare that it
        # would rather look for it in every task there ever was than in those that wait.
        found.append(case((holds, true()), else_=false()))
    return found


def repos_touched(conn: Connection, items: Sequence[str]) -> list[str]:
    """The repos of these work items, and of the tasks that wait for them."""
    these = tasks.c.work_item_id.in_(list(items))
    found = set(conn.scalars(select(tasks.c.repo).where(these).distinct()))
    return sorted(found.union(conn.scalars(ledger.repos_waiting_for(these))))
