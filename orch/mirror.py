"""`why`: one task, all that holds it, who holds the repo, what is ahead, what clears each."""

from __future__ import annotations

from typing import Any

from orch import explain, snapshot, stages
from orch.errors import UnknownTask
from orch.gate_fallback import evaluated
from orch.line import Line
from orch.names import ended
from orch.serial_gate import Gate
from orch.store import answers, pulls, tracked, views
from orch.store.session import Connection, Row


def why(line: Line, work_item_id: str) -> dict[str, Any]:
    """Everything about why one task does or does not run. Raises UnknownTask."""

    def look(gate: Gate) -> dict[str, Any]:
        return line.store.survey(lambda conn: view(conn, line, gate, work_item_id))

    return evaluated(line, look)


def view(conn: Connection, line: Line, gate: Gate, work_item_id: str) -> dict[str, Any]:
    """The same inside a transaction that is open already."""
    task = views.task_row(conn, gate, work_item_id)
    if task is None:
        raise unknown(conn, work_item_id)
    wanted = snapshot.Wanted(repos=(task["repo"],), limit=snapshot.PAGE)
    everything = snapshot.view(conn, line, gate, wanted)
    lane = everything["serial_gate"]["per_repo"][task["repo"]]
    entry = next((each for each in lane["waiting"] if each["task_id"] == task["id"]), None)
    if entry is None:
        entry = entry_of(conn, line, gate, task, everything["agents"])
    live = next((each for each in lane["live"] if each["task_id"] == task["id"]), None)
    state = _state(task, entry, live)
    blockers = entry["blockers"] if entry else []
    pull = pulls.of_task(conn, task["id"])
    if entry is not None and pull is not None and pull["held_job"] == entry["job_id"]:
        blockers = [_held_by_forge(each, pull["held"]) for each in blockers]
    if state == "parked":
        blockers = [explain.parked(task, answers.verdict_of(conn, task["id"]))]
    found = {
        "generated_at": everything["generated_at"],
        "degraded": everything["degraded"],
        "task": explain.task_entry(task),
        "state": state,
        "job": entry or live,
        "reason": next((each["clause"] for each in blockers), None),
        "hold": entry["hold"] if entry else None,
        "suspended": _suspension(entry, everything["agents"]),
        "blockers": blockers,
        "holder": lane["active_task"],
        "ahead": _ahead(lane, task),
        "frozen": lane["frozen"],
        "head_watch": lane["head_watch"],
        "pull": pull,
        "tracker": _in_tracker(conn, task["id"]),
    }
    return {**found, "sentence": sentence(found)}


def _in_tracker(conn: Connection, task_id: int) -> dict[str, Any] | None:
    """How a task's item stands in its tracker, and of when that is; None for one without."""
    row = tracked.of_task(conn, task_id)
    if row is None:
        return None
    facts = row["facts"]
    return {
        "name": row["tracker"],
        "state": facts.get("state"),
        "url": facts.get("url") or None,
        "as_of": row["answered_at"],
        "failing_since": row["failing_since"],
        "stopped": bool(row["stopped"]),
        "reason": row["reason"] or None,
    }


def unknown(conn: Connection, work_item_id: str) -> UnknownTask:
    """The error for a work item nobody knows, with those that look like it; for one that a tracker
    has and that was not taken up, why not."""
    outside = tracked.waiting_outside(conn, work_item_id)
    if outside is not None:
        page = outside["facts"].get("url") or ""
        return UnknownTask(
            f"{work_item_id} is no task yet. The tracker {outside['tracker']} has it, and it is "
            f"{outside['reason']}.",
            suggested_fix=f"Put that right in the tracker{f' ({page})' if page else ''}, or add "
            f"the task by hand: `orch add {work_item_id} --repo REPO`.",
            tracker=outside["tracker"],
        )
    like = views.similar_work_items(conn, work_item_id)
    return UnknownTask(f"No task is known as {work_item_id}.", did_you_mean=like)


def entry_of(
    conn: Connection, line: Line, gate: Gate, task: Row, serving: dict[str, Any]
) -> dict[str, Any] | None:
    """The task's queued job, when it stands too far back to be on the first page of its repo."""
    row = views.waiting_row(conn, gate, line.now(), task["id"])
    if row is None:
        return None
    (shown,) = explain.explained(conn, gate, line.now(), [row])
    return explain.waiting_entry(shown, snapshot.hold(row["agent"], serving), None)


def _held_by_forge(blocker: dict[str, Any], held: str) -> dict[str, Any]:
    """A wait for its time, with what the time is waited for."""
    if blocker["clause"] != "backoff":
        return blocker
    return {**blocker, "detail": f"the forge makes it wait: {held}"}


def _suspension(entry: dict[str, Any] | None, serving: dict[str, Any]) -> dict[str, Any] | None:
    """Why and until when the agent of a waiting job gets nothing to do, if it is suspended."""
    agent = serving.get(entry["agent"]) if entry else None
    if entry is None or agent is None or agent["suspended_until"] is None:
        return None
    return {
        "agent": entry["agent"],
        "until": agent["suspended_until"],
        "reason": agent["suspended_reason"],
        "clear_with": f"orch agent resume {entry['agent']}",
    }


def _state(task: Row, entry: dict[str, Any] | None, live: dict[str, Any] | None) -> str:
    if task["stage"] in stages.TERMINAL:
        return str(task["stage"])
    if live is not None:
        return str(live["status"])
    return "waiting" if entry is not None else "parked" if task["paused_at"] else "idle"


def _ahead(lane: dict[str, Any], task: Row) -> list[str]:
    """Work items that would start before this one, as far as the first page shows them."""
    names: list[str] = []
    holder = lane["active_task"]
    if holder and holder["task_id"] != task["id"]:
        names.append(holder["work_item_id"])
    for entry in lane["waiting"]:
        if entry["task_id"] == task["id"]:
            break
        # A task that has given up its place is not ahead, whatever else holds it.
        if not {"paused", "dependency"} & {each["clause"] for each in entry["blockers"]}:
            names.append(entry["work_item_id"])
    return list(dict.fromkeys(names))


def sentence(found: dict[str, Any]) -> str:
    """The answer in one sentence."""
    item, stage = found["task"]["work_item_id"], found["task"]["stage"]
    match found["state"]:
        case "done" | "cancelled":
            return f"{item} is {stage}."
        case "claimed" | "running":
            job = found["job"]
            return f"{item} is {found['state']}: {job['agent']} has it at {stage}."
        case "parked":
            task = found["task"]
            return ended(f"{item} is parked: {task['paused_reason'] or 'no reason was given'}")
        case "idle":
            return f"{item} has no job queued at {stage}; `orch retry {item}` queues one."
    if found["blockers"]:
        return ended(f"{item} waits: {found['blockers'][0]['detail']}")
    return _open(item, found)


def _open(item: str, found: dict[str, Any]) -> str:
    """What a task waits for whose gate is open."""
    match found["hold"]:
        case "no-worker":
            return f"{item} may start, but no worker serves {found['job']['agent']}."
        case "suspended":
            held = found["suspended"]
            why = f": {held['reason']}" if held["reason"] else ""
            until = f"{held['until']:%Y-%m-%d %H:%M} UTC"
            return f"{item} may start, but {held['agent']} is suspended until {until}{why}."
        case "capacity":
            return f"{item} may start as soon as a slot of {found['job']['agent']} is free."
    return f"{item} may start now."
