"""What the store knows of the tasks whose workspaces lie on a disk."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, exists, func, select

from orch import stages
from orch.store.lists import is_any_of
from orch.store.moments import Moment, later
from orch.store.schema import OPEN, among, jobs, tasks
from orch.store.session import Row


def tasks_of(
    conn: Connection, repo: str, items: Sequence[str], now: Moment, keep: float
) -> dict[str, Row]:
    """Those of these work items that are tasks of the repo, by name.

    `over`: it has ended and no agent has it; `due`: and that is more than `keep` seconds ago. One
    that was ended by hand tells no time, and counts from when it came in.
    """
    ended = func.coalesce(tasks.c.finished_at, tasks.c.created_at)
    at_work = exists(select(jobs.c.id).where(jobs.c.task_id == tasks.c.id, OPEN))
    over = and_(among(tasks.c.stage, sorted(stages.TERMINAL)), ~at_work)
    columns = (tasks.c.id, tasks.c.work_item_id, tasks.c.base_sha, tasks.c.merge_sha)
    asked = select(
        *columns, over.label("over"), and_(over, ended <= later(now, -keep)).label("due")
    ).where(tasks.c.repo == repo, is_any_of(tasks.c.work_item_id, "items"))
    rows = conn.execute(asked, {"items": list(items)}).mappings()
    return {row["work_item_id"]: row for row in rows}
