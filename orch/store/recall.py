"""What earlier turns left for the next one: how they ended, and what a person said of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, select

from orch.jobs import ENDED
from orch.store import holds
from orch.store.schema import among, events, jobs
from orch.store.session import Row

MOST: Final = 20
"""How many ended jobs are looked through."""
SAID: Final = ("task.rejected", "task.answered")
_OF_JOB: Final = (
    "id", "stage", "status", "attempt", "failure", "verdict", "summary", "finished_at", "report",
)  # fmt: skip


@dataclass(frozen=True)
class Past:
    """The ended jobs of a task, newest first, and the last word of a person since then."""

    jobs: tuple[Row, ...]
    said: Row | None
    landed: Mapping[str, Any] = field(default_factory=dict)
    """What was written down when the task landed; empty while it has not."""
    held: Mapping[str, Any] = field(default_factory=dict)
    """What was last written down of a landing that the forge held up; empty where it never has."""
    cleared: frozenset[tuple[str, str]] = frozenset()
    """Protected paths, as a person approved them."""

    @property
    def last(self) -> Row | None:
        """The job that ended last."""
        return self.jobs[0] if self.jobs else None

    def of_stage(self, stage: str) -> Row | None:
        """The job of this stage that ended last."""
        return next((job for job in self.jobs if job["stage"] == stage), None)


def past_of(conn: Connection, task_id: int) -> Past:
    """What there is to know before the task's next turn."""
    ended = (
        select(*(jobs.c[name] for name in _OF_JOB))
        .where(jobs.c.task_id == task_id, among(jobs.c.status, ENDED))
        .order_by(jobs.c.id.desc())
        .limit(MOST)
    )
    found: tuple[Any, ...] = tuple(conn.execute(ended).mappings())
    word = (
        select(events.c.kind, events.c.reason, events.c.at)
        .where(events.c.task_id == task_id, among(events.c.kind, SAID))
        .order_by(events.c.id.desc())
        .limit(1)
    )
    said = conn.execute(word).mappings().one_or_none()
    ended_at = found[0]["finished_at"] if found else None
    if said is not None and ended_at is not None and ended_at > said["at"]:
        said = None  # a turn has ended since that knew of it
    held = holds.newest(conn, task_id)
    kept = {} if held is None else held["data"]
    return Past(found, said, _landed(conn, task_id), kept, _cleared(conn, task_id))


def _landed(conn: Connection, task_id: int) -> Mapping[str, Any]:
    newest = select(events.c.data).where(
        events.c.task_id == task_id, events.c.kind == "task.landed"
    )
    told: Mapping[str, Any] | None = conn.scalar(newest.order_by(events.c.id.desc()).limit(1))
    return told or {}


def _cleared(conn: Connection, task_id: int) -> frozenset[tuple[str, str]]:
    """What the jobs had touched after which a person approved."""
    steps = select(events.c.kind, events.c.job_id).where(
        events.c.task_id == task_id, among(events.c.kind, ("job.succeeded", "task.approved"))
    )
    approved: set[int | None] = set()
    last = None
    for step in conn.execute(steps.order_by(events.c.id)):
        if step.kind == "task.approved":
            approved.add(last)
        else:
            last = step.job_id
    told = select(jobs.c.report).where(jobs.c.id.in_(approved - {None}))
    touched = (report.get("protected", {}) for report in conn.scalars(told))
    return frozenset(pair for paths in touched for pair in paths.items())
