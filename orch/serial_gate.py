"""THE serial gate: one task of a repo at a time, oldest first, as named SQL conditions.

`clauses` is the one definition. The claim puts every clause into its WHERE, the mirror asks them
for one task, the snapshot selects each as a column, the worker asks the standing ones again when it
starts. `now` is an argument, and nothing here talks to anything but the store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Select,
    String,
    and_,
    case,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    type_coerce,
)
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import NULLTYPE

from orch import stages, task_deps
from orch.store.freezes import clear_repo_freeze, frozen, is_repo_frozen, matches, set_repo_freeze
from orch.store.moments import Moment, at
from orch.store.schema import LIVE, QUEUED, among, beyond, jobs, tasks

__all__ = [
    "clear_repo_freeze",
    "is_repo_frozen",
    "set_repo_freeze",
]


@dataclass(frozen=True)
class Layers:
    """The seven switches. One that is off leaves what the system did before that layer came."""

    serial_gate_enabled: bool = True
    serial_gate_repos: tuple[str, ...] = ()
    serial_gate_pause_enabled: bool = True
    serial_gate_freeze_enabled: bool = True
    serial_gate_yield_enabled: bool = True
    serial_gate_entry_only: bool = False
    task_deps_enabled: bool = True


@dataclass(frozen=True)
class Gate:
    """The rule under one set of switches; `degraded` names clauses that cannot be evaluated now."""

    layers: Layers = field(default_factory=Layers)
    degraded: frozenset[str] = frozenset()


DEFAULT: Final = Gate()


def pause_layer_enabled(gate: Gate = DEFAULT) -> bool:
    """Whether `tasks.paused_at` means anything at all."""
    return gate.layers.serial_gate_pause_enabled and "paused" not in gate.degraded


# --- words of the rule ------------------------------------------------------------------------


def is_contender(gate: Gate, task: Any) -> ColumnElement[bool]:
    """Active, and with the yield layer not waiting on a dependency. Callers bound the stage."""
    parts: list[ColumnElement[bool]] = []
    if pause_layer_enabled(gate):
        parts.append(task.c.paused_at.is_(None))
    deps_known = gate.layers.task_deps_enabled and "dependency" not in gate.degraded
    if deps_known and gate.layers.serial_gate_yield_enabled:
        parts.append(~task_deps.waits(task.c.id))
    return and_(true(), *parts)


def is_past_entry(task: Any) -> ColumnElement[bool]:
    """The task's stage is later than the entry stage, and it is not over."""
    return beyond(task.c.stage, stages.NOT_STARTED_OR_OVER)


def at_or_before_entry(task: Any) -> ColumnElement[bool]:
    """The task has not got beyond the entry stage."""
    return among(task.c.stage, stages.BEFORE_OR_AT_ENTRY)


def place(task: Any) -> ColumnElement[Any]:
    """When a started task took its place in the line."""
    return func.coalesce(task.c.admitted_at, task.c.created_at)


def place_if_resumed(gate: Gate, task: Any, now: Moment) -> ColumnElement[Any]:
    """The place a task has, or would be given by resuming it now: next, not beside."""
    if not pause_layer_enabled(gate):
        return place(task)
    return case((task.c.paused_at.is_not(None), at(now)), else_=place(task))


def is_serialised(gate: Gate, job: Any) -> ColumnElement[bool]:
    """`active-task` applies to this job: the gate is on, the repo in scope, the job in question."""
    layers = gate.layers
    if not layers.serial_gate_enabled or "active-task" in gate.degraded:
        return false()
    parts: list[ColumnElement[bool]] = []
    if layers.serial_gate_repos:
        globs = layers.serial_gate_repos
        parts.append(or_(*(matches(job.c.repo, literal(glob, String)) for glob in globs)))
    if layers.serial_gate_entry_only:
        parts.append(job.c.agent == stages.ENTRY_AGENT)
    return and_(true(), *parts)


def everything_is_serialised(gate: Gate) -> bool:
    """Whether a repo can have one live job at most, whichever repo and job it is."""
    layers = gate.layers
    return (
        layers.serial_gate_enabled
        and "active-task" not in gate.degraded
        and not layers.serial_gate_repos
        and not layers.serial_gate_entry_only
    )


def has_other_live(job: Any) -> ColumnElement[bool]:
    """Another task of the repo has a live job, paused or not: a running agent keeps the slot."""
    other = jobs.alias()
    live = among(other.c.status, ("claimed", "running"))
    return exists(
        select(other.c.id).where(other.c.repo == job.c.repo, live, other.c.task_id != job.c.task_id)
    )


def is_behind(gate: Gate, task: Any, now: Moment) -> ColumnElement[bool]:
    """A contender of the repo stands before this task: it is not the head.

    "Or with a live job" in the order of contenders needs no words here: a task with a live job
    closes the gate for all others by `has_other_live` already.
    """
    started, waiting = tasks.alias(), tasks.alias()
    mine = tuple_(place_if_resumed(gate, task, now), task.c.id)
    ahead_started: ColumnElement[bool] = exists(
        select(started.c.id).where(
            started.c.repo == task.c.repo,
            is_past_entry(started),
            started.c.id != task.c.id,
            is_contender(gate, started),
            or_(at_or_before_entry(task), tuple_(place(started), started.c.id) < mine),
        )
    )
    ahead_waiting = exists(
        select(waiting.c.id).where(
            waiting.c.repo == task.c.repo,
            at_or_before_entry(waiting),
            is_contender(gate, waiting),
            tuple_(waiting.c.rank, waiting.c.id) < tuple_(task.c.rank, task.c.id),
        )
    )
    # A task that is over has no place in the line: it is never its head.
    in_line = or_(is_past_entry(task), at_or_before_entry(task))
    behind: ColumnElement[bool] = or_(
        ~in_line, ahead_started, and_(at_or_before_entry(task), ahead_waiting)
    )
    return behind


def head(gate: Gate, repo: ColumnElement[Any]) -> ColumnElement[Any]:
    """The id of the repo's first contender, by two index seeks; NULL in an empty line."""
    started, waiting = tasks.alias(), tasks.alias()
    first_started = (
        select(started.c.id)
        .where(started.c.repo == repo, is_past_entry(started), is_contender(gate, started))
        .order_by(place(started), started.c.id)
        .limit(1)
    )
    first_waiting = (
        select(waiting.c.id)
        .where(waiting.c.repo == repo, at_or_before_entry(waiting), is_contender(gate, waiting))
        .order_by(waiting.c.rank, waiting.c.id)
        .limit(1)
    )
    return func.coalesce(first_started.scalar_subquery(), first_waiting.scalar_subquery())


# --- the clauses ------------------------------------------------------------------------------


def _freeze(gate: Gate, job: Any, task: Any, now: Moment) -> ColumnElement[bool]:
    return ~frozen(job.c.repo, now, task.c.id)


def _paused(gate: Gate, job: Any, task: Any, now: Moment) -> ColumnElement[bool]:
    not_parked: ColumnElement[bool] = task.c.paused_at.is_(None)
    return not_parked


def _dependency(gate: Gate, job: Any, task: Any, now: Moment) -> ColumnElement[bool]:
    return ~task_deps.waits(task.c.id)


def _active_task(gate: Gate, job: Any, task: Any, now: Moment) -> ColumnElement[bool]:
    taken = or_(has_other_live(job), is_behind(gate, task, now))
    return or_(~is_serialised(gate, job), ~taken)


# How the clauses read for the head of a line, of which only the job is at hand: a head is a
# contender, and so neither paused nor, while tasks yield, waiting for another.


def _freeze_of_head(gate: Gate, job: Any, task: Any, now: Moment) -> ColumnElement[bool]:
    return ~frozen(job.c.repo, now, job.c.task_id)


def _paused_of_head(gate: Gate, job: Any, task: Any, now: Moment) -> ColumnElement[bool]:
    return true()


def _dependency_of_head(gate: Gate, job: Any, task: Any, now: Moment) -> ColumnElement[bool]:
    return true() if gate.layers.serial_gate_yield_enabled else ~task_deps.waits(job.c.task_id)


def _active_task_of_head(gate: Gate, job: Any, task: Any, now: Moment) -> ColumnElement[bool]:
    return or_(~is_serialised(gate, job), ~has_other_live(job))


def _backoff(gate: Gate, job: Any, task: Any, now: Moment) -> ColumnElement[bool]:
    is_due: ColumnElement[bool] = job.c.available_at <= at(now)
    return is_due


Build = Callable[[Gate, Any, Any, Moment], ColumnElement[bool]]


@dataclass(frozen=True)
class Clause:
    """One named condition: how it reads, when it applies, and what it is worth when unreadable."""

    build: Build
    sentence: str
    of_head: Build
    """How it reads for the job of a task that was found as the head of its line: of `task` it may
    ask nothing."""
    applies: Callable[[Layers], bool] = lambda layers: True
    closed: bool = False
    """Counts as false, and not as true, when it cannot be evaluated."""
    standing: bool = False
    """Asked again when the worker starts, and before a landing."""


CLAUSES: Final[dict[str, Clause]] = {
    "freeze": Clause(
        _freeze,
        "the repo is frozen",
        _freeze_of_head,
        applies=lambda layers: layers.serial_gate_freeze_enabled,
        closed=True,
        standing=True,
    ),
    "paused": Clause(
        _paused,
        "the task is paused",
        _paused_of_head,
        applies=lambda layers: layers.serial_gate_pause_enabled,
        standing=True,
    ),
    "dependency": Clause(
        _dependency,
        "a task it depends on is not over",
        _dependency_of_head,
        applies=lambda layers: layers.task_deps_enabled,
        closed=True,
    ),
    "active-task": Clause(
        _active_task,
        "another task of the repo is before it",
        _active_task_of_head,
        applies=lambda layers: layers.serial_gate_enabled,
    ),
    "backoff": Clause(_backoff, "its time has not come", _backoff),
}
"""In the order of precedence in which reasons are shown."""


def clauses(
    gate: Gate,
    now: Moment,
    job: Any = jobs,
    task: Any = tasks,
    *,
    standing: bool = False,
    of_head: bool = False,
) -> dict[str, ColumnElement[bool]]:
    """The rule: clause name → condition that must hold for `job` of `task` to be claimed.

    A clause that cannot be built falls to its declared side: an open one is left out, a closed one
    is false. `standing` keeps only those that are asked again at start. `of_head` says that the
    task was found as the head of its line, so that nobody needs to be looked for before it.
    """
    wanted: dict[str, ColumnElement[bool]] = {}
    for name, clause in CLAUSES.items():
        if standing and not clause.standing:
            continue
        if not clause.applies(gate.layers):
            wanted[name] = true()
        elif name in gate.degraded:
            wanted[name] = false() if clause.closed else true()
        else:
            build = clause.of_head if of_head else clause.build
            wanted[name] = build(gate, job, task, now)
    return wanted


def build_claim_clause(
    gate: Gate, now: Moment, job: Any = jobs, task: Any = tasks, *, of_head: bool = False
) -> ColumnElement[bool]:
    """Every clause at once: what the claim puts into its WHERE."""
    return and_(true(), *clauses(gate, now, job, task, of_head=of_head).values())


# --- consumers --------------------------------------------------------------------------------


def job_of_task() -> Any:
    """Jobs beside their tasks: what every clause speaks of."""
    return jobs.join(tasks, tasks.c.id == jobs.c.task_id)


def snapshot(gate: Gate, now: Moment, *columns: Any) -> Select[Any]:
    """Queued jobs with every clause as a labelled column, besides the columns asked for."""
    # Untyped: turning five truth values of each row from SQLite's numbers into Python's costs more
    # than finding them.
    shown = [
        type_coerce(condition, NULLTYPE).label(f"open:{name}")
        for name, condition in clauses(gate, now).items()
    ]
    return select(*columns, *shown).select_from(job_of_task()).where(QUEUED)


def failing(row: Any) -> list[str]:
    """The names of the clauses that are false in a row of `snapshot`, by precedence."""
    return [name for name in CLAUSES if not row[f"open:{name}"]]


def reason(row: Any) -> str | None:
    """The first failing clause of a row of `snapshot`; None when the gate is open."""
    return next(iter(failing(row)), None)


def repo_has_active_task(
    conn: Connection, repo: str, exclude_task_id: int | None = None, gate: Gate = DEFAULT
) -> bool:
    """Whether a task of the repo, other than the one given, is a contender or has a live job."""
    # Two probes and not one OR, each by the index of its half of the line.
    contenders = [
        select(tasks.c.id).where(tasks.c.repo == repo, half, is_contender(gate, tasks))
        for half in (is_past_entry(tasks), at_or_before_entry(tasks))
    ]
    live = select(jobs.c.id).where(jobs.c.repo == repo, LIVE)
    if exclude_task_id is not None:
        contenders = [each.where(tasks.c.id != exclude_task_id) for each in contenders]
        live = live.where(jobs.c.task_id != exclude_task_id)
    return bool(conn.scalar(select(or_(*(exists(each) for each in (*contenders, live))))))
