"""What lay on a task in the past: freezes of its repo, and the tasks it waited for."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Text, literal, or_, select

from orch.store import freezes
from orch.store.schema import job_deps, repo_freeze, tasks
from orch.store.session import Row


def freezes_since(conn: Connection, repo: str, task_id: int, since: datetime) -> list[Row]:
    """Freezes that stopped this task at some time after `since`, oldest first."""
    its = repo_freeze.c
    statement = (
        select(
            its.repo,
            its.frozen_at,
            its.cleared_at,
            its.expires_at,
            its.source,
            its.reason,
        )
        .where(
            freezes.covers(repo_freeze, literal(repo, Text)),
            or_(its.cleared_at.is_(None), its.cleared_at > since),
            or_(its.allow_task_id.is_(None), its.allow_task_id != task_id),
        )
        .order_by(its.frozen_at, its.id)
    )
    return list(conn.execute(statement).mappings())


def predecessors(conn: Connection, task_id: int) -> list[Row]:
    """The tasks this one depends on: since when, and when each was over."""
    statement = (
        select(
            tasks.c.work_item_id,
            tasks.c.stage,
            tasks.c.finished_at,
            job_deps.c.created_at.label("since"),
            job_deps.c.source,
        )
        .join(job_deps, job_deps.c.depends_on_task_id == tasks.c.id)
        .where(job_deps.c.task_id == task_id)
        .order_by(tasks.c.id)
    )
    return list(conn.execute(statement).mappings())
