"""The waiting ledger as the observer reads and writes it: whom to look at, how they are, what to
write down.

Why a job waits is the gate's own conditions, composed here into one column. Nothing here is on the
path of a claim.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import NULLTYPE

from orch import serial_gate, stages
from orch.serial_gate import Gate
from orch.store import answers, ledger
from orch.store.lists import is_any_of
from orch.store.moments import Moment
from orch.store.schema import (
    LIVE,
    OPEN,
    QUEUED,
    among,
    events,
    job_deps,
    jobs,
    repo_freeze,
    repos,
    tasks,
)
from orch.store.session import Row, insert_unless_there
from orch.store.tables_waits import GOES_ON, waits, waits_cursor

NAME: Final = "waits"
WORK, START = "work", "start"
PARKED: Final = ("paused", "needs-input", "approval")
HOLDS: Final = (START, "capacity", "suspended", "no-worker")
"""What an open gate waits for; `start` is nothing but the next tick."""
NOT_HELD_BY_THE_LINE: Final = (*HOLDS, "backoff")
"""Reasons of a task that stands first: what happens in its repo may put another before it."""


@dataclass(frozen=True)
class Cursor:
    """How far the ledger is written."""

    turn: int
    event_id: int
    began_at: datetime | None
    looked_at: datetime | None
    detail: Mapping[str, Any]


def cursor(conn: Connection) -> Cursor:
    """Where the last look ended; before the first one a cursor that has looked at nothing."""
    its = waits_cursor.c
    columns = (its.turn, its.event_id, its.began_at, its.looked_at, its.detail)
    row = conn.execute(select(*columns).where(its.name == NAME)).one_or_none()
    return Cursor(0, 0, None, None, {}) if row is None else Cursor(*row)


def record(
    conn: Connection,
    seen: Cursor,
    then: Mapping[str, Any],
    ended: Sequence[Mapping[str, Any]],
    begun: Sequence[Mapping[str, Any]],
    waited: Mapping[tuple[str, str], float],
) -> bool:
    """Move the cursor on; with it end and begin these spells, and count what was waited. False, and
    nothing is written, when another observer was faster: what it saw is written already."""
    insert_unless_there(conn, waits_cursor, [{"name": NAME}])
    ours = and_(waits_cursor.c.name == NAME, waits_cursor.c.turn == seen.turn)
    moved = conn.execute(update(waits_cursor).where(ours).values(turn=seen.turn + 1, **then))
    if not moved.rowcount:
        return False
    if ended:
        conn.execute(_ENDING, list(ended))
    if begun:
        conn.execute(insert(waits), list(begun))
    if waited:
        ledger.count_all(conn, waited)
    return True


_ENDING: Final = (
    update(waits)
    .where(waits.c.id == bindparam("its_id"), GOES_ON)
    .values(until=bindparam("its_end", type_=waits.c.until.type))
)


# --- what happened ----------------------------------------------------------------------------

_TOLD: Final = tuple(
    events.c[name]
    for name in ("id", "at", "kind", "task_id", "job_id", "repo", "actor", "to_state", "data")
)


def events_after(conn: Connection, event_id: int, most: int) -> list[Row]:
    """The next events of the ledger, whoever they are about."""
    page = select(*_TOLD).where(events.c.id > event_id).order_by(events.c.id).limit(most)
    return list(conn.execute(page).mappings())


def events_of(conn: Connection, task_ids: Sequence[int], event_id: int) -> list[Row]:
    """All later events of these tasks, in order."""
    its = select(*_TOLD).where(is_any_of(events.c.task_id, "ids"), events.c.id > event_id)
    return list(conn.execute(its.order_by(events.c.id), {"ids": list(task_ids)}).mappings())


def tops(conn: Connection) -> list[int]:
    """The newest job and the newest freeze: rows that others write by hand leave no event."""
    newest = (select(func.max(table.c.id)).scalar_subquery() for table in (jobs, repo_freeze))
    return [each or 0 for each in conn.execute(select(*newest)).one()]


def jobs_after(conn: Connection, job_id: int, most: int) -> list[Row]:
    """The open jobs that came after this one: of which task and repo."""
    newer = select(jobs.c.id, jobs.c.task_id, jobs.c.repo).where(jobs.c.id > job_id, OPEN)
    return list(conn.execute(newer.order_by(jobs.c.id).limit(most)).mappings())


def freezes_after(conn: Connection, freeze_id: int) -> list[str]:
    """The repos and globs that were frozen after this freeze."""
    return list(conn.scalars(select(repo_freeze.c.repo).where(repo_freeze.c.id > freeze_id)))


# --- whom to look at --------------------------------------------------------------------------


def dependents(conn: Connection, task_ids: Sequence[int]) -> list[Row]:
    """The tasks that wait for one of these, and their repos."""
    waiting = select(tasks.c.id, tasks.c.repo).join(job_deps, job_deps.c.task_id == tasks.c.id)
    these = waiting.where(is_any_of(job_deps.c.depends_on_task_id, "ids"))
    return list(conn.execute(these, {"ids": list(task_ids)}).mappings()) if task_ids else []


def first_in_line(conn: Connection, gate: Gate, names: Sequence[str]) -> list[int]:
    """Whose reason may change by what one task of a repo does: its head, and those that were held
    by nothing of the line so far. All the others stay behind somebody."""
    if not names:
        return []
    heads, open_ = _first_in_line(gate)
    bound = {"repos": list(names)}
    found = [*conn.scalars(heads, bound), *conn.scalars(open_, bound)]
    return [each for each in found if each is not None]


@lru_cache(maxsize=16)
def _first_in_line(gate: Gate) -> tuple[Any, Any]:
    heads = select(serial_gate.head(gate, repos.c.name)).where(is_any_of(repos.c.name, "repos"))
    open_ = select(waits.c.task_id).where(
        GOES_ON,
        is_any_of(waits.c.repo, "repos"),
        among(waits.c.reason, NOT_HELD_BY_THE_LINE),
        serial_gate.is_serialised(gate, waits),
    )
    return heads, open_


def due(conn: Connection, now: datetime, most: int) -> list[int]:
    """Tasks whose time has come."""
    over = select(waits.c.task_id).where(GOES_ON, waits.c.due_at <= now)
    return list(conn.scalars(over.order_by(waits.c.due_at).limit(most)))


def held(conn: Connection, agent: str, hold: str, most: int) -> list[int]:
    """Tasks that wait for this agent for another hold than this one."""
    others = [name for name in HOLDS if name != hold]
    if hold == START:
        others.remove("capacity")  # goes on until it has started: see `_changed`
    its = select(waits.c.task_id).where(
        GOES_ON, waits.c.agent == agent, among(waits.c.reason, others)
    )
    return list(conn.scalars(its.limit(most)))


def queued_after(conn: Connection, repo: str, task_id: int, most: int) -> list[int]:
    """The next tasks of a repo, by id, that have a job that waits."""
    these = select(jobs.c.task_id).where(QUEUED, jobs.c.repo == repo, jobs.c.task_id > task_id)
    return list(conn.scalars(these.order_by(jobs.c.task_id).limit(most)))


def everybody_after(conn: Connection, task_id: int, most: int) -> list[int]:
    """The next tasks, by id, that have an open job or an open spell."""
    at_work = select(jobs.c.task_id).where(OPEN, jobs.c.task_id > task_id)
    in_spell = select(waits.c.task_id).where(GOES_ON, waits.c.task_id > task_id)
    found = {
        *conn.scalars(at_work.order_by(jobs.c.task_id).limit(most)),
        *conn.scalars(in_spell.order_by(waits.c.task_id).limit(most)),
    }
    return sorted(found)[:most]


def parked_unseen(conn: Connection, most: int) -> list[int]:
    """Parked tasks that are in no spell."""
    seen = select(waits.c.id).where(GOES_ON, waits.c.task_id == tasks.c.id).exists()
    these = select(tasks.c.id).where(tasks.c.paused_at.is_not(None), ~seen)
    return list(conn.scalars(these.order_by(tasks.c.repo, tasks.c.id).limit(most)))


# --- how they are -----------------------------------------------------------------------------

_OWN: Final = (
    tasks.c.id.label("task_id"),
    tasks.c.work_item_id,
    tasks.c.repo,
    tasks.c.stage,
    tasks.c.approval,
    tasks.c.paused_at,
    tasks.c.paused_by,
    tasks.c.paused_reason,
    tasks.c.paused_until,
    jobs.c.id.label("job_id"),
    jobs.c.agent,
    jobs.c.status,
    jobs.c.attempt,
    jobs.c.created_at.label("queued_at"),
    jobs.c.available_at,
    func.coalesce(jobs.c.claimed_at, jobs.c.started_at).label("taken_at"),
)
_SPELL: Final = ("id", "job_id", "reason", "since", "due_at", "blocker_id")


def states(
    conn: Connection,
    gate: Gate,
    now: Moment,
    holds: Mapping[str, str],
    task_ids: Sequence[int],
    surely: Iterable[int] | None = (),
) -> list[Row]:
    """How these tasks are, as far as it is not what their open spell says, and in any case those
    that are to be told `surely`; None is all of them.

    `state` is `work`, the reason of a queued job, `paused` for a task that is parked without one,
    or None. `holds` says per agent what a job with an open gate waits for.
    """
    agents = tuple(sorted(holds))
    bound: dict[str, Any] = {f"hold_{n}": holds[agent] for n, agent in enumerate(agents)}
    bound |= {"ids": list(task_ids), "told": list(surely or ()), "every": int(surely is None)}
    return list(conn.execute(_changed(gate, now, agents), bound).mappings())


@lru_cache(maxsize=32)
def _changed(gate: Gate, now: Moment, agents: tuple[str, ...]) -> Any:
    spell = waits.alias("spell")
    state = _state(gate, now, agents)
    # A slot that is free for a moment is not a change: who waited for one waits until it has it.
    about_to = and_(state == START, spell.c.reason == "capacity", spell.c.job_id == jobs.c.id)
    differs = or_(
        and_(state.is_distinct_from(spell.c.reason), ~func.coalesce(about_to, literal(0) == 1)),
        and_(state.is_not(None), jobs.c.id.is_distinct_from(spell.c.job_id)),
        _is_parked(),
    )
    open_ = (
        type_coerce(condition, NULLTYPE).label(f"open:{name}")
        for name, condition in serial_gate.clauses(gate, now).items()
    )
    newest = select(waits.c.until).where(waits.c.task_id == tasks.c.id, waits.c.until.is_not(None))
    last = newest.order_by(waits.c.until.desc()).limit(1).scalar_subquery()
    verdict = answers.last_verdict(tasks.c.id)
    before = jobs.alias("before")
    ended = select(before.c.finished_at).where(before.c.id == spell.c.job_id).scalar_subquery()
    source = tasks.outerjoin(jobs, and_(jobs.c.task_id == tasks.c.id, OPEN)).outerjoin(
        spell, and_(spell.c.task_id == tasks.c.id, spell.c.until.is_(None))
    )
    return (
        select(
            *_OWN,
            state.label("state"),
            *open_,
            *(spell.c[name].label(f"spell:{name}") for name in _SPELL),
            last.label("last_until"),
            verdict.label("verdict"),
            func.coalesce(ended, tasks.c.finished_at).label("ended_at"),
        )
        .select_from(source)
        .where(
            is_any_of(tasks.c.id, "ids"),
            or_(bindparam("every", type_=Integer) == 1, is_any_of(tasks.c.id, "told"), differs),
        )
    )


def _state(gate: Gate, now: Moment, agents: tuple[str, ...]) -> ColumnElement[Any]:
    """What a task does or waits for. The names of clauses and holds are the words of the ledger."""
    serving = {agent: bindparam(f"hold_{n}", type_=Text) for n, agent in enumerate(agents)}
    hold = case(serving, value=jobs.c.agent, else_=literal("no-worker", Text))
    closed = (
        (~condition, literal(name, Text))
        for name, condition in serial_gate.clauses(gate, now).items()
    )
    return case(
        (func.coalesce(LIVE, literal(0) == 1), literal(WORK, Text)),
        (jobs.c.id.is_not(None), case(*closed, else_=hold)),
        (_is_parked(), literal("paused", Text)),
        else_=null(),
    )


def _is_parked() -> ColumnElement[bool]:
    over = among(tasks.c.stage, sorted(stages.TERMINAL))
    return and_(jobs.c.id.is_(None), tasks.c.paused_at.is_not(None), ~over)


# --- when it became so ------------------------------------------------------------------------


def ends_of_freezes(conn: Connection, ids: Sequence[int]) -> dict[int, datetime]:
    """When those of these freezes that are over ended."""
    if not ids:
        return {}
    its = repo_freeze.c
    rows = conn.execute(
        select(its.id, its.cleared_at, its.expires_at).where(
            is_any_of(its.id, "ids"), its.cleared_at.is_not(None)
        ),
        {"ids": list(ids)},
    )
    return {row.id: min(filter(None, (row.cleared_at, row.expires_at))) for row in rows}


def ends_of_tasks(conn: Connection, ids: Sequence[int]) -> dict[int, datetime]:
    """When those of these tasks that are over ended."""
    if not ids:
        return {}
    its = tasks.c
    rows = conn.execute(
        select(its.id, its.finished_at).where(
            is_any_of(its.id, "ids"), its.finished_at.is_not(None)
        ),
        {"ids": list(ids)},
    )
    return dict(rows.tuples().all())


def jobs_named(conn: Connection, ids: Sequence[int]) -> dict[int | None, Any]:
    """Agent and stage of these jobs."""
    if not ids:
        return {}
    its = select(jobs.c.id, jobs.c.agent, jobs.c.stage)
    rows = conn.execute(its.where(is_any_of(jobs.c.id, "ids")), {"ids": list(ids)}).mappings()
    return {row["id"]: row for row in rows}
