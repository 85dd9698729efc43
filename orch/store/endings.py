"""The end of a job, with all that hangs on it: its task's move, the next job, events and marks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    JSON,
    Connection,
    Text,
    bindparam,
    insert,
    literal,
    null,
    select,
    union,
    union_all,
)

from orch import stages
from orch.jobs import JobEvent, target
from orch.ports import Claim
from orch.store import ledger
from orch.store.claims import HELD
from orch.store.joined import Joined, Part, Rows
from orch.store.moments import Moment, at
from orch.store.schema import events, jobs, tasks, wakes

FACTS = ("failure", "verdict", "summary", "exit_code", "usage", "log_path", "report")
"""What a job keeps of its end."""
TOLD = ["at", "kind", "task_id", "job_id", "repo", "from_state", "to_state", "reason", "data"]
"""What its events say; the other columns fill themselves in."""


@dataclass(frozen=True)
class Move:
    """A task's step from one stage to another, where the next job waits for an agent."""

    from_stage: str
    to_stage: str

    @property
    def agent(self) -> str | None:
        """Whose job the stage is; None where nobody works."""
        return stages.agent_of(self.to_stage)


@dataclass(frozen=True)
class Finished:
    """What the end of a job came to."""

    moved: bool
    """Whether the task took the step; False when none was asked for, or it stood elsewhere."""
    others: frozenset[str]
    """Other repos that were marked: tasks there waited for this one."""


def finish(  # noqa: PLR0913 - an end's own facts
    conn: Connection,
    claim: Claim,
    now: Moment,
    event: JobEvent,
    *,
    move: Move | None = None,
    mark: bool = True,
    reason: str = "",
    **facts: Any,
) -> Finished | None:
    """End a job as succeeded, failed or cancelled. None, and counted, if it was not ours.

    The caller holds the repo's lock. Its repo is marked to be looked at, unless the caller is going
    to look itself (`mark`).
    """
    said = {f"its_{name}": facts.get(name) for name in FACTS}
    bound = {"its_id": claim.job_id, "its_token": claim.token, "reason": reason} | said
    bound |= {"its_summary": facts.get("summary") or "", "its_usage": facts.get("usage") or {}}
    bound["its_report"] = facts.get("report") or {}
    bound["of_end"] = {"failure": facts.get("failure"), "verdict": facts.get("verdict")}
    if move is not None and move.agent is not None:
        bound["of_next"] = {"stage": move.to_stage, "agent": move.agent, "attempt": 1}
    rows = _finishing(now, event, move, mark).run(conn, bound)
    repo = next((row["repo"] for row in rows if row["what"] == "ended"), None)
    if repo is None:
        ledger.count(conn, "stale_writes", "finish")
        return None
    marked = {row["repo"] for row in rows if row["what"] == "marked"}
    moved = any(row["what"] == "moved" for row in rows)
    return Finished(moved, frozenset(marked - {repo}))


@lru_cache(maxsize=256)
def _finishing(now: Moment, event: JobEvent, move: Move | None, mark: bool) -> Joined:
    parts: dict[str, Part] = {"ended": lambda _: _ending(now, event)}
    if move is not None:
        parts["moved"] = lambda rows: _moving(rows, now, move)
        if move.agent is not None:
            parts["queued"] = lambda rows: _queueing(rows, now, move)
    parts["told"] = lambda rows: _telling(rows, now, event, move)
    is_over = move is not None and move.to_stage in stages.TERMINAL
    if mark or is_over:
        parts["marked"] = lambda rows: _marking(rows, now, mark, is_over)
    return Joined(_all, **parts)


def _ending(now: Moment, event: JobEvent) -> Any:
    values: dict[str, Any] = {name: bindparam(f"its_{name}") for name in FACTS}
    ending = ledger.moving_job(event, *HELD, finished_at=at(now), **values)
    return ending.returning(jobs.c.id, jobs.c.task_id, jobs.c.repo)


def _moving(rows: Rows, now: Moment, move: Move) -> Any:
    of_ended = tasks.c.id.in_(select(rows["ended"].c.task_id))
    moving = ledger.moving_task(now, move.from_stage, move.to_stage, of_ended)
    return moving.returning(tasks.c.id, tasks.c.repo)


def _queueing(rows: Rows, now: Moment, move: Move) -> Any:
    values: dict[str, Any] = {
        "agent": literal(move.agent, Text),
        "repo": rows["moved"].c.repo,
        "task_id": rows["moved"].c.id,
        "stage": literal(move.to_stage, Text),
        "created_at": at(now),
        "available_at": at(now),
    }
    queueing = insert(jobs).from_select(list(values), select(*values.values()))
    return queueing.returning(jobs.c.id, jobs.c.task_id, jobs.c.repo)


def _telling(rows: Rows, now: Moment, event: JobEvent, move: Move | None) -> Any:
    ended = rows["ended"].c
    reason, of_end = bindparam("reason", type_=Text), bindparam("of_end", type_=JSON)
    end = (f"job.{target(event)}", ended.task_id, ended.id, ended.repo)
    told = [_event(now, end, "running", target(event), reason, of_end)]
    if move is not None:
        moved = rows["moved"].c
        step = ("task.moved", moved.id, null(), moved.repo)
        told.append(_event(now, step, move.from_stage, move.to_stage))
        if move.agent is not None:
            next_job, data = rows["queued"].c, bindparam("of_next", type_=JSON)
            queued = ("job.queued", next_job.task_id, next_job.id, next_job.repo)
            told.append(_event(now, queued, None, "queued", data=data))
    return insert(events).from_select(TOLD, union_all(*told))


def _event(
    now: Moment,
    about: tuple[str, Any, Any, Any],
    before: str | None,
    after: str,
    reason: Any = None,
    data: Any = None,
) -> Any:
    kind, *about_ids = about
    return select(
        at(now),
        literal(kind, Text),
        *about_ids,
        null() if before is None else literal(before, Text),
        literal(after, Text),
        literal("", Text) if reason is None else reason,
        literal({}, JSON) if data is None else data,
    )


def _marking(rows: Rows, now: Moment, own: bool, dependents: bool) -> Any:
    repos = [select(rows["ended"].c.repo)] if own else []
    if dependents:
        of_moved = tasks.c.id.in_(select(rows["moved"].c.id))
        repos.append(ledger.repos_waiting_for(of_moved))
    names = union(*repos).subquery()
    marking = insert(wakes).from_select(["repo", "wake_at"], select(names.c.repo, at(now)))
    return marking.returning(wakes.c.repo)


def _all(rows: Rows) -> Any:
    found = [
        select(literal(what, Text).label("what"), rows[what].c.repo)
        for what in ("ended", "moved", "marked")
        if what in rows
    ]
    return union_all(*found)
