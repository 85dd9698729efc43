"""What a control would do, without doing it: the control and the same snapshot, rolled back.

There is no second rule here that could disagree: the control really runs, the snapshot is taken
before and after it in one transaction, and nothing is committed.
"""

from __future__ import annotations

from typing import Any

from orch import controls, snapshot
from orch.controls import Order
from orch.gate_fallback import evaluated
from orch.line import Line
from orch.serial_gate import Gate
from orch.store import freezes, ledger
from orch.store.session import Connection

Reasons = dict[str, dict[str, Any]]


def preview(line: Line, order: Order) -> dict[str, Any]:
    """Which tasks would start, stop waiting, begin to wait, or wait for something else. Raises as
    the control itself would."""
    controls.check(order)
    return evaluated(line, lambda gate: _try(line, gate, order))


def _try(line: Line, gate: Gate, order: Order) -> dict[str, Any]:
    with line.store.rolled_back() as conn:
        names = tuple(_touched(conn, order))
        before = _reasons(conn, line, gate, names)
        changed = controls.act(conn, line, order)
        after = _reasons(conn, line, gate, names)
    changes = [
        {"work_item_id": item, "before": before.get(item), "after": after.get(item)}
        for item in sorted(before.keys() | after.keys())
        if before.get(item) != after.get(item)
    ]
    starts = [each["work_item_id"] for each in changes if _opens(each)]
    waits = [each["work_item_id"] for each in changes if _closes(each)]
    return {
        "preview": True,
        "changed": changed,
        "starts": starts,
        "begins_waiting": waits,
        "changes": changes,
        "sentence": _sentence(changes),
    }


def _touched(conn: Connection, order: Order) -> list[str]:
    if order.verb in controls.OF_REPOS:
        return freezes.matching_repos(conn, order.target)[: snapshot.PAGE]
    task = controls.task_named(conn, order.target)
    return list(dict.fromkeys([task["repo"], *ledger.dependents_repos(conn, task["id"])]))


def _reasons(conn: Connection, line: Line, gate: Gate, names: tuple[str, ...]) -> Reasons:
    if not names:
        return {}
    seen = snapshot.view(conn, line, gate, snapshot.Wanted(repos=names, limit=1000))
    return {
        entry["work_item_id"]: {
            "reason": entry["reason"],
            "hold": entry["hold"],
            "blockers": [blocker["detail"] for blocker in entry["blockers"]],
        }
        for lane in seen["serial_gate"]["per_repo"].values()
        for entry in lane["waiting"]
    }


def _opens(change: dict[str, Any]) -> bool:
    after, before = change["after"], change["before"]
    return bool(after) and after["reason"] is None and (not before or before["reason"] is not None)


def _closes(change: dict[str, Any]) -> bool:
    after, before = change["after"], change["before"]
    return bool(after) and after["reason"] is not None and (not before or before["reason"] is None)


def _sentence(changes: list[dict[str, Any]]) -> str:
    said = [_one(change) for change in changes]
    return "; ".join([*said, "nothing else changes"]) if said else "Nothing changes."


def _one(change: dict[str, Any]) -> str:
    item, after = change["work_item_id"], change["after"]
    if after is None:
        return f"{item} no longer waits"
    if after["reason"] is None:
        later = {
            "capacity": " when a slot is free",
            "no-worker": " when a worker comes",
            "suspended": " when its agent is no longer suspended",
        }
        return f"{item} starts{later.get(after['hold'], '')}"
    return f"{item} waits: {after['blockers'][0]}"
