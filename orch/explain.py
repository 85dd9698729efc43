"""A no with its reasons: for each failing clause the thing that blocks, since when, and the command
that clears it.

The clauses themselves are the gate's. This file only finds the rows behind a clause that failed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from orch import serial_gate, stages
from orch.serial_gate import Gate
from orch.store import answers, views
from orch.store.moments import Moment
from orch.store.session import Connection, Row

Explained = dict[str, Any]


def explained(conn: Connection, gate: Gate, now: Moment, rows: Sequence[Row]) -> list[Explained]:
    """Rows of the gate's snapshot, each with `failing`, `reason` and its `blockers`."""
    behind = _Behind(conn, gate, now, rows)
    found = []
    for row in rows:
        failing = serial_gate.failing(row)
        blockers = [entry for name in failing for entry in behind.blockers(name, row)]
        found.append({**row, "failing": failing, "blockers": blockers})
    return found


def waiting_entry(row: Explained, hold: str | None, position: int | None) -> dict[str, Any]:
    """One waiting job as the snapshot shows it."""
    reason = next(iter(row["failing"]), None)
    since = next((entry["since"] for entry in row["blockers"] if entry["since"]), row["queued_at"])
    return {
        "job_id": row["job_id"],
        "task_id": row["task_id"],
        "work_item_id": row["work_item_id"],
        "title": row["title"],
        "agent": row["agent"],
        "stage": row["stage"],
        "attempt": row["attempt"],
        "position": position,
        "reason": reason,
        "hold": hold if reason is None else None,
        "since": since,
        "queued_at": row["queued_at"],
        "blockers": row["blockers"],
    }


def holder_entry(row: Any) -> dict[str, Any]:
    """The task whose turn it is, as the snapshot shows it."""
    return {
        "task_id": row["task_id"],
        "work_item_id": row["work_item_id"],
        "stage": row["stage"],
        "agent": row["agent"],
        "job_id": row["job_id"],
        "since": row["since"],
        "live": row["status"] in ("claimed", "running"),
    }


class _Behind:
    """The rows behind the failing clauses of a page of waiting jobs, each kind read once."""

    def __init__(self, conn: Connection, gate: Gate, now: Moment, rows: Sequence[Row]) -> None:
        failing = [(name, row) for row in rows for name in serial_gate.failing(row)]
        repos_of = defaultdict(set)
        for name, row in failing:
            repos_of[name].add(row["repo"])
        self.freezes = defaultdict(list)
        if repos_of["freeze"] and "freeze" not in gate.degraded:
            for freeze in views.freezes_of(conn, now, sorted(repos_of["freeze"])):
                self.freezes[freeze["covered"]].append(freeze)
        self.before = views.unfinished_before(
            conn, gate, [row["task_id"] for name, row in failing if name == "dependency"]
        )
        crowded = sorted(repos_of["active-task"])
        self.live = defaultdict(list)
        for live in views.live_jobs(conn, gate, crowded) if crowded else []:
            self.live[live["repo"]].append(live)
        self.heads = {head["repo"]: head for head in views.heads(conn, gate, crowded)}

    def blockers(self, name: str, row: Row) -> list[dict[str, Any]]:
        """What makes this clause false for this row; at least one entry."""
        match name:
            case "freeze":
                found = [_freeze_blocker(freeze) for freeze in self._stopping(row)]
            case "paused":
                found = [_pause_blocker(row)]
            case "dependency":
                found = [_dependency_blocker(row, task) for task in self.before[row["task_id"]]]
            case "active-task":
                found = self._holders(row)
            case _:
                found = [_backoff_blocker(row)]
        return found or [_unknown(name)]

    def _stopping(self, row: Row) -> list[Row]:
        return [
            freeze
            for freeze in self.freezes[row["repo"]]
            if freeze["allow_task_id"] != row["task_id"]
        ]

    def _holders(self, row: Row) -> list[dict[str, Any]]:
        live = [job for job in self.live[row["repo"]] if job["task_id"] != row["task_id"]]
        if live:
            return [_holder_blocker(job) for job in live]
        head = self.heads.get(row["repo"])
        return [_holder_blocker(head)] if head and head["task_id"] != row["task_id"] else []


def _blocker(clause: str, detail: str, **more: Any) -> dict[str, Any]:
    blank = {"id": None, "work_item_id": None, "since": None, "set_by": None, "clear_with": None}
    return {"clause": clause, **blank, "detail": detail, **more}


def _freeze_blocker(freeze: Row) -> dict[str, Any]:
    by = f" by {freeze['source']}" if freeze["source"] else ""
    why = f": {freeze['reason']}" if freeze["reason"] else ""
    return _blocker(
        "freeze",
        f"{freeze['repo']} is frozen{by}{why}",
        id=freeze["id"],
        since=freeze["frozen_at"],
        set_by=freeze["source"],
        until=freeze["expires_at"],
        clear_with=f"orch unfreeze '{freeze['repo']}'" if freeze["is_glob"] else
        f"orch unfreeze {freeze['repo']}",
    )  # fmt: skip


def parked_for(task: Any, verdict: str | None) -> str:
    """What a parked task waits for: an `approval`, an answer (`needs-input`), or to be taken back
    (`paused`). `verdict` is that of its newest job."""
    if answers.awaited(task) is not None:
        return "approval"
    return "needs-input" if verdict == "needs_input" else "paused"


def remedy(task: Any, verdict: str | None) -> str:
    """The command that takes a parked task on; `verdict` is that of its newest job."""
    item = task["work_item_id"]
    match parked_for(task, verdict):
        case "approval":
            return f"orch approve {item}, or orch reject {item} --note …"
        case "needs-input":
            return f"orch answer {item} …"
        case _:
            return _taking_back(task)


def _taking_back(task: Any) -> str:
    """Of a task at a stage that orch does not know there is nothing to go on with."""
    verb = "resume" if task["stage"] in stages.STAGES else "cancel"
    return f"orch {verb} {task['work_item_id']}"


def parked(task: Any, verdict: str | None) -> dict[str, Any]:
    """What holds a parked task that has no job: its pause, and what takes it on."""
    about = {**task, "task_id": task["id"]}
    return {**_pause_blocker(about), "clear_with": remedy(task, verdict)}


def _pause_blocker(row: Any) -> dict[str, Any]:
    by = f" by {row['paused_by']}" if row["paused_by"] else ""
    why = f": {row['paused_reason']}" if row["paused_reason"] else ""
    return _blocker(
        "paused",
        f"paused{by}{why}",
        id=row["task_id"],
        work_item_id=row["work_item_id"],
        since=row["paused_at"],
        set_by=row["paused_by"],
        until=row["paused_until"],
        clear_with=_taking_back(row),
    )


def _dependency_blocker(row: Row, before: Row) -> dict[str, Any]:
    parked = ", paused" if before["paused_at"] is not None else ""
    item = before["work_item_id"]
    return _blocker(
        "dependency",
        f"{item} comes first and is at {before['stage']}{parked} in {before['repo']}",
        id=before["id"],
        work_item_id=item,
        since=before["since"],
        clear_with=remedy(before, before["verdict"])
        if parked
        else f"orch depend {row['work_item_id']} --on {item} --remove",
    )


def _holder_blocker(holder: Row) -> dict[str, Any]:
    item = holder["work_item_id"]
    live = holder["status"] in ("claimed", "running")
    doing = f"{holder['agent']} is at work on it" if live else "it is before this one in the line"
    return _blocker(
        "active-task",
        f"{item} holds the repo at {holder['stage']}: {doing}",
        id=holder["task_id"],
        work_item_id=item,
        stage=holder["stage"],
        agent=holder["agent"],
        since=holder["since"],
        clear_with=f"orch pause {item}",
    )


def _backoff_blocker(row: Row) -> dict[str, Any]:
    return _blocker(
        "backoff",
        f"attempt {row['attempt']} waits for its time",
        id=row["job_id"],
        work_item_id=row["work_item_id"],
        since=row["queued_at"],
        until=row["available_at"],
        clear_with=f"orch retry {row['work_item_id']}",
    )


def _unknown(name: str) -> dict[str, Any]:
    sentence = f"{serial_gate.CLAUSES[name].sentence}, or that cannot be read at this moment"
    return _blocker(name, sentence, clear_with="orch db current")


def task_entry(row: Row) -> dict[str, Any]:
    """A task as the interfaces show it."""
    return {"task_id" if key == "id" else key: value for key, value in row.items()}
