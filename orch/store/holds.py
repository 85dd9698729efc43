"""Landings that a forge holds up: what of them stands when they are tried again.

An event of the ledger each, with the head that was tested and the test itself: who tries again
asks no agent and tests nothing twice, as long as neither the head nor what it stands on has moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, exists, select

from orch.store import ledger
from orch.store.moments import Moment, later
from orch.store.schema import events
from orch.store.session import Row

HELD: Final = "task.held"


def note(
    conn: Connection, now: Moment, job: Mapping[str, Any], reason: str, data: Mapping[str, Any]
) -> None:
    """Keep that a landing is held up, unless the same was the last that was kept of this job."""
    last = newest(conn, job["task_id"])
    if last is not None:
        was = (last["job_id"], last["reason"], last["data"].get("head_sha"))
        if was == (job["id"], reason, data.get("head_sha")):
            return
    told = {"task_id": job["task_id"], "job_id": job["id"], "repo": job["repo"]}
    ledger.record(conn, now, "task.held", **told, reason=reason, data=dict(data))


def newest(conn: Connection, task_id: int) -> Row | None:
    """What was last kept of a landing of this task that was held up."""
    kept = select(events.c.id, events.c.at, events.c.job_id, events.c.reason, events.c.data)
    kept = kept.where(events.c.task_id == task_id, events.c.kind == HELD)
    return conn.execute(kept.order_by(events.c.id.desc()).limit(1)).mappings().one_or_none()


def is_over(conn: Connection, now: Moment, job: Mapping[str, Any], patience: float) -> bool:
    """Whether the landing of this job has been held up for longer than so many seconds."""
    began = (events.c.task_id == job["task_id"], events.c.job_id == job["id"])
    old = (events.c.kind == HELD, events.c.at < later(now, -patience))
    return bool(conn.scalar(select(exists(select(events.c.id).where(*began, *old)))))
