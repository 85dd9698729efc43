"""The only writer of state: guarded moves, and the event row that goes with each.

A move updates `WHERE id = … AND state IN (from-states)`; whether a row came back is the verdict,
and the caller writes the event in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, insert, select, update
from sqlalchemy.engine import RowMapping

from orch import stages
from orch.jobs import JobEvent, from_states, target
from orch.store.moments import Moment, at, later
from orch.store.schema import among, counters, events, job_deps, jobs, repos, tasks, wakes
from orch.store.session import add_all, add_to, insert_unless_there


def record(conn: Connection, now: Moment, kind: str, **facts: Any) -> None:
    """Append one event. `facts` are columns of `events`: task_id, job_id, repo, actor, reason, …"""
    conn.execute(_recording(now), {"kind": kind, **facts})


# Built once each: building a statement costs as much as running it.


@lru_cache(maxsize=16)
def _recording(now: Moment) -> Any:
    return insert(events).values(at=at(now)).inline()


def record_all(conn: Connection, now: Moment, told: Sequence[dict[str, Any]]) -> None:
    """Append several events in one statement."""
    blank = {"job_id": None, "actor": "orch", "reason": "", "from_state": None, "to_state": None}
    rows = [{**blank, "data": {}, **facts} for facts in told]
    conn.execute(_recording(now), rows)


def count(conn: Connection, name: str, label: str = "", amount: float = 1) -> None:
    """Add to a counter that /metrics shows as `orch_<name>_total`."""
    add_to(conn, counters, {"name": name, "label": label}, "value", amount)


def count_all(conn: Connection, amounts: Mapping[tuple[str, str], float]) -> None:
    """Add to several counters; each key is a name and a label as `orch.metrics.key` makes them."""
    rows = [
        {"name": name, "label": label, "value": amounts[name, label]} for name, label in amounts
    ]
    add_all(conn, counters, "value", sorted(rows, key=lambda row: (row["name"], row["label"])))


def wake(conn: Connection, now: Moment, names: Iterable[str], after: float = 0) -> None:
    """Mark repos to be looked at by the next tick, or `after` seconds from now."""
    rows = [{"repo": name} for name in dict.fromkeys(names)]
    if rows:
        conn.execute(_waking(now, after), rows)


@lru_cache(maxsize=16)
def _waking(now: Moment, after: float) -> Any:
    return insert(wakes).values(wake_at=later(now, after) if after else at(now)).inline()


def know_repos(conn: Connection, names: Iterable[str]) -> None:
    """Make sure that these repos have a row, and with it a lock."""
    insert_unless_there(conn, repos, [{"name": name} for name in names])


def move_job(
    conn: Connection, event: JobEvent, *where: ColumnElement[bool], **values: Any
) -> RowMapping | None:
    """Move one job by `event` if it is in a state that allows it; its row after, or None."""
    moving = moving_job(event, *where, **values).returning(jobs)
    return conn.execute(moving).mappings().one_or_none()


def moving_job(
    event: JobEvent, *where: ColumnElement[bool], then: JobEvent | None = None, **values: Any
) -> Any:
    """The statement behind `move_job`, for those who make it a part of a larger one.

    `then` is a second step of the same write. Raises ValueError if it cannot follow the first.
    """
    to = target(event)
    if then is not None:
        if to not in from_states(then):
            raise ValueError(f"no job can {then} that is {to}")
        to = target(then)
    guarded = update(jobs).where(among(jobs.c.status, from_states(event)), *where)
    return guarded.values(status=to, **values)


def move_task(
    conn: Connection, now: Moment, task_id: int, from_stage: str, to_stage: str
) -> RowMapping | None:
    """Move one task along an edge of the stage table; None if it moved meanwhile.

    Raises ValueError for an edge the table does not have. A task that ends wakes the repos of
    those that waited for it.
    """
    moving = moving_task(now, from_stage, to_stage, tasks.c.id == task_id)
    row = conn.execute(moving.returning(tasks.c.id, tasks.c.stage)).mappings().one_or_none()
    if row is not None and to_stage in stages.TERMINAL:
        wake(conn, now, dependents_repos(conn, task_id))
    return row


def moving_task(now: Moment, from_stage: str, to_stage: str, which: ColumnElement[bool]) -> Any:
    """The statement behind `move_task`, for those who make it a part of a larger one."""
    if not stages.may_move(from_stage, to_stage):
        raise ValueError(f"the stage table has no edge from {from_stage} to {to_stage}")
    values: dict[str, Any] = {"stage": to_stage}
    if to_stage in stages.TERMINAL:
        # Pause never enters the terminal set: an ended task is not parked, it is over.
        values |= {"finished_at": at(now), "paused_at": None, "paused_until": None}
        values |= {"approval": None}
    return update(tasks).where(which, tasks.c.stage == from_stage).values(**values)


def dependents_repos(conn: Connection, task_id: int) -> Sequence[str]:
    """The repos of the tasks that wait for this one."""
    return conn.scalars(repos_waiting_for(tasks.c.id == task_id)).all()


def repos_waiting_for(which: ColumnElement[bool]) -> Select[Any]:
    """The statement behind `dependents_repos`, for any tasks."""
    waiting = tasks.alias()
    return (
        select(waiting.c.repo)
        .join(job_deps, job_deps.c.task_id == waiting.c.id)
        .join(tasks, tasks.c.id == job_deps.c.depends_on_task_id)
        .where(which)
        .distinct()
    )
