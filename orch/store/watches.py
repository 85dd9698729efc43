"""What the watch over the line asks of the store, and what it keeps: heads that block, alarms."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, exists, func, select, true, update

from orch import serial_gate
from orch.serial_gate import Gate
from orch.store.moments import Moment, at
from orch.store.schema import QUEUED, events, jobs, tasks
from orch.store.session import Row, insert_unless_there
from orch.store.tables_notices import alarms

HEAD: Final = "head_watch"
"""The kind of an alarm about a head; its subject is a repo."""


def blocked(
    conn: Connection, gate: Gate, now: Moment, repos: Sequence[str] | None = None
) -> dict[str, int]:
    """Per repo the jobs that wait for nothing but the task before them; of all repos, or of these.

    What a freeze, a pause, a dependency or its own time holds as well is not held by the head.
    """
    rule = serial_gate.clauses(gate, now)
    blocked_by_head = ~rule.pop("active-task")
    statement = (
        select(jobs.c.repo, func.count())
        .select_from(serial_gate.job_of_task())
        .where(QUEUED, and_(true(), *rule.values()), blocked_by_head)
        .group_by(jobs.c.repo)
    )
    if repos is not None:
        statement = statement.where(jobs.c.repo.in_(list(repos)))
    return dict(conn.execute(statement).tuples().all())


def waiting_agents(conn: Connection, gate: Gate) -> dict[str, int]:
    """How many jobs of tasks that are in the line wait for each agent."""
    counted = (
        select(jobs.c.agent, func.count())
        .select_from(serial_gate.job_of_task())
        .where(QUEUED, serial_gate.is_contender(gate, tasks))
        .group_by(jobs.c.agent)
    )
    return dict(conn.execute(counted).tuples().all())


def resumed_since(conn: Connection, task_id: int, since: datetime) -> bool:
    """Whether a task was taken back into the line after that moment."""
    taken_back = select(events.c.id).where(
        events.c.task_id == task_id, events.c.kind == "task.resumed", events.c.at > since
    )
    return bool(conn.scalar(select(exists(taken_back))))


# --- alarms -----------------------------------------------------------------------------------


def known_alarms(conn: Connection, *kinds: str) -> dict[tuple[str, str], Row]:
    """Alarms of these kinds, by kind and subject."""
    statement = select(alarms).where(alarms.c.kind.in_(kinds))
    rows = conn.execute(statement.order_by(alarms.c.kind, alarms.c.subject)).mappings()
    return {(row["kind"], row["subject"]): row for row in rows}


def told_heads(conn: Connection) -> dict[str, Row]:
    """Per repo the head that somebody was told of and that blocks still."""
    told = select(alarms).where(alarms.c.kind == HEAD, alarms.c.told_at.is_not(None))
    rows = conn.execute(told.order_by(alarms.c.subject)).mappings()
    return {row["subject"]: row for row in rows}


def begin_alarm(
    conn: Connection, kind: str, subject: str, moment: datetime, detail: dict[str, Any]
) -> None:
    """Something is wrong from this moment on; nobody is told yet."""
    row = {"kind": kind, "subject": subject, "since": moment, "detail": detail}
    insert_unless_there(conn, alarms, [row])


def tell_alarm(conn: Connection, row: Row, now: Moment) -> bool:
    """Whether it is ours to tell of it: of all who ask, one."""
    untold = update(alarms).where(*_same(row), alarms.c.told_at.is_(None))
    return bool(conn.execute(untold.values(told_at=at(now))).rowcount)


def change_alarm(conn: Connection, row: Row, **values: Any) -> None:
    """Write down what else is known of it."""
    conn.execute(update(alarms).where(*_same(row)).values(**values))


def end_alarm(conn: Connection, row: Row) -> bool:
    """It is over. False if somebody else has ended it."""
    return bool(conn.execute(delete(alarms).where(*_same(row))).rowcount)


def _same(row: Row) -> tuple[Any, ...]:
    return (
        alarms.c.kind == row["kind"],
        alarms.c.subject == row["subject"],
        alarms.c.since == row["since"],
    )
