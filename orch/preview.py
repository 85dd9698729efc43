"""What a control would do, without doing it: the control and the same snapshot, rolled back.

There is no second rule here that could disagree: the control really runs, the snapshot is taken
before and after it in one transaction, and nothing is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from orch import agents, controls, snapshot
from orch.controls import Order
from orch.gate_fallback import evaluated
from orch.line import Line
from orch.serial_gate import Gate
from orch.store import freezes, ledger, views
from orch.store.session import Connection

Reasons = dict[str, dict[str, Any]]


Act = Callable[[Connection, Line], Any]
Touched = Callable[[Connection], Sequence[str]]


def preview(line: Line, order: Order) -> dict[str, Any]:
    """Which tasks would start, stop waiting, begin to wait, or wait for something else. Raises as
    the control itself would."""
    controls.check(order)

    def act(conn: Connection, line: Line) -> bool:
        return controls.act(conn, line, order)

    return tried(line, lambda conn: _touched(conn, order), act)


def of_agent(line: Line, order: agents.Order) -> dict[str, Any]:
    """The same of a control of an agent, for the first repos in which something waits."""
    agents.check(order)
    everywhere = partial(views.busy_repos, gate=line.gate, most=snapshot.PAGE)
    return tried(line, everywhere, lambda conn, line: agents.act(conn, line, order))


def tried(line: Line, touched: Touched, act: Act, rows: int = 0) -> dict[str, Any]:
    """What `act` would do to those who wait in the repos that it touches; nothing is kept.

    `rows` bounds how many of them are looked at, over all repos; else it is 1,000 of each.
    """

    def attempt(gate: Gate) -> dict[str, Any]:
        return _try(replace(line, gate=gate), touched, act, rows)

    return evaluated(line, attempt)


def _try(line: Line, touched: Touched, act: Act, rows: int) -> dict[str, Any]:
    with line.store.rolled_back() as conn:
        names = tuple(touched(conn))
        limit = max(10, rows // len(names)) if rows and names else 1000
        wanted = snapshot.Wanted(repos=names, limit=limit)
        before = _reasons(conn, line, wanted)
        changed = act(conn, line)
        after = _reasons(conn, line, wanted)
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


def _reasons(conn: Connection, line: Line, wanted: snapshot.Wanted) -> Reasons:
    if not wanted.repos:
        return {}
    seen = snapshot.view(conn, line, line.gate, wanted)
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
    said = [of_one(change) for change in changes]
    return "; ".join([*said, "nothing else changes"]) if said else "Nothing changes."


def of_one(change: dict[str, Any]) -> str:
    """One change of a preview as a clause of a sentence."""
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
