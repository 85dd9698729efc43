"""The mirror of a forge's pull requests: what was last seen of each task's, and when."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, and_, select

from orch import stages
from orch.jobs import LIVE
from orch.ports import Pull
from orch.store import holds
from orch.store.moments import Moment, at
from orch.store.schema import among, jobs, tasks
from orch.store.session import Row, put
from orch.store.tables_outside import pulls

_SEEN: Final = ("branch", "number", "url", "state", "head_sha", "merge_sha", "seen_at")


def of_repo(conn: Connection, repo: str) -> list[Row]:
    """The tasks of a repo that are under way and have been offered: what they are at, whether a
    worker has them, and what was last seen of their pull requests."""
    live = among(jobs.c.status, LIVE)
    found = (
        select(
            tasks.c.id,
            tasks.c.work_item_id,
            tasks.c.stage,
            tasks.c.head_sha,
            tasks.c.merge_sha,
            tasks.c.paused_at,
            jobs.c.id.label("live_job"),
            pulls.c.state.label("seen"),
            pulls.c.number.label("number"),
        )
        .select_from(tasks)
        .outerjoin(jobs, and_(jobs.c.task_id == tasks.c.id, live))
        .outerjoin(pulls, pulls.c.task_id == tasks.c.id)
        .where(
            tasks.c.repo == repo,
            tasks.c.stage.not_in(stages.TERMINAL),
            tasks.c.head_sha.is_not(None),
        )
        .order_by(tasks.c.id)
    )
    return list(conn.execute(found).mappings())


def note(conn: Connection, now: Moment, repo: str, task_id: int, pull: Pull) -> None:
    """Keep what was seen of a task's pull request."""
    seen = {name: getattr(pull, name) for name in _SEEN if name != "seen_at"}
    put(conn, pulls, {"task_id": task_id}, {"repo": repo, **seen, "seen_at": at(now)})


def of_task(conn: Connection, task_id: int) -> dict[str, Any] | None:
    """What was last seen of a task's pull request, and what its landing waits for; None when it
    has neither."""
    asked = select(*(pulls.c[name] for name in _SEEN)).where(pulls.c.task_id == task_id)
    seen = conn.execute(asked).mappings().one_or_none()
    held = holds.newest(conn, task_id)
    if seen is None and held is None:
        return None
    found: dict[str, Any] = dict.fromkeys(_SEEN) if seen is None else dict(seen)
    found["held"] = None if held is None else held["reason"]
    found["held_since"] = None if held is None else held["at"]
    found["held_job"] = None if held is None else held["job_id"]
    return found
