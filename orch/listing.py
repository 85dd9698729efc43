"""Tasks for reading: pages of them, and one with its jobs, its events and its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from orch import explain, mirror
from orch.line import Line
from orch.store import history
from orch.store.history import EventFilter, TaskFilter
from orch.store.session import Connection
from orch.store.work import task_by_work_item

EVENTS_SHOWN = 100
State = Literal["waiting", "claimed", "running", "parked", "idle", "done", "cancelled"]
"""What a task can be doing, in the words of `why`."""


@dataclass(frozen=True)
class Wanted:
    """Which tasks are asked for; `before` is the `next` of the page before."""

    repo: str | None = None
    stage: str | None = None
    state: State | None = None
    agent: str | None = None
    before: int | None = None
    limit: int = 100


def tasks(line: Line, wanted: Wanted) -> dict[str, Any]:
    """`{tasks, next}`: newest first; `next` is None on the last page."""
    asked = TaskFilter(
        wanted.repo, wanted.stage, wanted.state, wanted.agent, wanted.before, wanted.limit
    )
    found = [dict(row) for row in line.store.read(lambda conn: history.tasks_page(conn, asked))]
    more = len(found) == wanted.limit
    return {"tasks": found, "next": found[-1]["task_id"] if more else None}


def task(line: Line, work_item_id: str) -> dict[str, Any]:
    """One task with all that belongs to it. Raises UnknownTask."""

    def look(conn: Connection) -> dict[str, Any]:
        row = task_by_work_item(conn, work_item_id)
        if row is None:
            raise mirror.unknown(conn, work_item_id)
        horizon = history.last_event(conn)
        asked = EventFilter(task_id=row["id"], limit=EVENTS_SHOWN)
        told = [dict(event) for event in history.events_page(conn, asked, horizon)][::-1]
        return {
            "task": explain.task_entry(row),
            **{
                name: [dict(other) for other in others]
                for name, others in history.neighbours(conn, row["id"]).items()
            },
            "jobs": [
                {**job, "log": f"/jobs/{job['job_id']}/log"}
                for job in history.jobs_of(conn, row["id"])
            ],
            "events": told,
        }

    return line.store.read(look)
