"""Dependencies between tasks: the clause, declaring one, and refusing cycles."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, exists, literal, select
from sqlalchemy.sql.elements import ColumnElement

from orch import stages
from orch.errors import DependencyCycle
from orch.store import ledger
from orch.store.moments import Moment
from orch.store.schema import among, job_deps, tasks
from orch.store.session import insert_unless_there, lock_dependencies, lock_repos


def waits(task_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """This task has a declared predecessor that is not over. A paused predecessor is not over."""
    before = tasks.alias()
    return exists(
        select(literal(1))
        .select_from(job_deps.join(before, before.c.id == job_deps.c.depends_on_task_id))
        .where(job_deps.c.task_id == task_id, ~among(before.c.stage, sorted(stages.TERMINAL)))
    )


def add_dependency(  # noqa: PLR0913 - which two, and who says so, why, from where
    conn: Connection,
    task_id: int | None,
    depends_on: int | None,
    now: Moment,
    *,
    actor: str = "orch",
    reason: str = "",
    source: str = "",
) -> bool:
    """Declare that a task starts only after another is over. False if unknown, ended or already so.

    Raises DependencyCycle, with the cycle spelled out, when nothing in it could ever start.
    """
    rows = _pair(conn, task_id, depends_on)
    if rows is None:
        return False
    # Both repos: the predecessor must not end, unseen, between our look and our commit.
    lock_dependencies(conn)
    lock_repos(conn, [row.repo for row in rows])
    ended = conn.scalar(select(tasks.c.stage).where(tasks.c.id == task_id)) in stages.TERMINAL
    _refuse_cycle(conn, rows[0], rows[1])
    row: dict[str, Any] = {"task_id": task_id, "depends_on_task_id": depends_on, "source": source}
    if isinstance(now, datetime):  # the database's own clock is the column's default
        row["created_at"] = now
    if ended or not insert_unless_there(conn, job_deps, [row]):
        return False
    _tell(conn, now, "dependency.added", rows, actor=actor, reason=reason)
    return True


def remove_dependency(
    conn: Connection,
    task_id: int | None,
    depends_on: int | None,
    now: Moment,
    *,
    actor: str = "orch",
    reason: str = "",
) -> bool:
    """Take a declared dependency back. False if it was not there."""
    rows = _pair(conn, task_id, depends_on)
    if rows is None:
        return False
    lock_dependencies(conn)
    lock_repos(conn, [row.repo for row in rows])
    gone = conn.execute(
        delete(job_deps).where(
            job_deps.c.task_id == task_id, job_deps.c.depends_on_task_id == depends_on
        )
    )
    if gone.rowcount:
        _tell(conn, now, "dependency.removed", rows, actor=actor, reason=reason)
    return bool(gone.rowcount)


def path_between(conn: Connection, start: int, goal: int) -> list[str]:
    """Work items along one chain of dependencies from `start` to `goal`; empty if there is none."""
    seen: dict[int, int | None] = {start: None}
    edge = [start]
    while edge and goal not in seen:
        found = conn.execute(
            select(job_deps.c.task_id, job_deps.c.depends_on_task_id).where(
                job_deps.c.task_id.in_(edge)
            )
        )
        edge = []
        for task_id, depends_on in found:
            if depends_on not in seen:
                seen[depends_on] = task_id
                edge.append(depends_on)
    if goal not in seen:
        return []
    chain: list[int] = []
    step: int | None = goal
    while step is not None:
        chain.append(step)
        step = seen[step]
    names = dict(
        conn.execute(select(tasks.c.id, tasks.c.work_item_id).where(tasks.c.id.in_(chain)))
        .tuples()
        .all()
    )
    return [names[task_id] for task_id in reversed(chain)]


def _pair(conn: Connection, task_id: int | None, depends_on: int | None) -> list[Any] | None:
    """Both tasks as (dependent, predecessor), or None when either is unknown."""
    wanted = [task_id, depends_on]
    found = {
        row.id: row
        for row in conn.execute(
            select(tasks.c.id, tasks.c.work_item_id, tasks.c.repo, tasks.c.stage).where(
                tasks.c.id.in_([each for each in wanted if each is not None])
            )
        )
    }
    pair = [found.get(each) for each in wanted if each is not None]
    return None if len(pair) < 2 or None in pair else pair


def _refuse_cycle(conn: Connection, task: Any, depends_on: Any) -> None:
    if task.id == depends_on.id:
        raise DependencyCycle(f"{task.work_item_id} cannot depend on itself.")
    path = path_between(conn, depends_on.id, task.id)
    if path:
        cycle = " → ".join([task.work_item_id, *path])
        raise DependencyCycle(
            f"{task.work_item_id} cannot depend on {depends_on.work_item_id}: that closes the "
            f"cycle {cycle}, and nothing in it could ever start.",
            cycle=[task.work_item_id, *path],
        )


_STEPS: Final = {
    "dependency.added": {"from_state": "independent", "to_state": "dependent"},
    "dependency.removed": {"from_state": "dependent", "to_state": "independent"},
}
"""Before and after, as seen from the one task that the event's data name."""


def _tell(conn: Connection, now: Moment, kind: str, rows: list[Any], **said: str) -> None:
    task, before = rows
    ledger.record(
        conn,
        now,
        kind,
        task_id=task.id,
        repo=task.repo,
        **said,
        **_STEPS[kind],
        data={"depends_on": before.work_item_id},
    )
    ledger.wake(conn, now, [task.repo])
