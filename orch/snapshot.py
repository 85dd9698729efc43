"""The read model of everything at one moment: per repo who holds the line, who waits, and why.

What the snapshot shows is what the dispatcher does: its reasons are the columns of the gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from orch import explain
from orch.gate_fallback import evaluated
from orch.line import Line
from orch.serial_gate import Gate
from orch.store import lanes, queued, views, watches
from orch.store.lanes import REASONS, Only
from orch.store.moments import Moment
from orch.store.session import Connection, Row

PAGE = 100
"""Waiting rows shown per repo, and repos shown, unless more are asked for."""


__all__ = ["REASONS", "Only"]
EVERY = Only()


@dataclass(frozen=True)
class Wanted:
    """Which part of the line is asked for."""

    repos: tuple[str, ...] | None = None
    """None is every repo in which something waits, runs, is parked or frozen."""
    limit: int = PAGE
    only: Only = EVERY
    """Which of the waiting and the parked tasks of each repo."""
    skip: int = 0
    """How many waiting rows of each repo have been seen."""


EVERYTHING = Wanted()


def snapshot(line: Line, wanted: Wanted = EVERYTHING) -> dict[str, Any]:
    """Everything at one moment, as `GET /queue` answers it."""

    def look(gate: Gate) -> dict[str, Any]:
        return line.store.survey(lambda conn: view(conn, line, gate, wanted))

    return evaluated(line, look)


def lanes_page(line: Line, only: Only, skip: int, most: int) -> tuple[list[str], bool]:
    """The repos whose lanes have something to show, by name: so many after so many others, and
    whether there are more."""

    def look(gate: Gate) -> list[str]:
        def read(conn: Connection) -> list[str]:
            if only.repo is not None:
                return views.known_repos(conn, [only.repo])
            if only.narrows:
                return lanes.repos_with(conn, gate, line.now(), only, skip + most + 1)
            return views.busy_repos(conn, gate, skip + most + 1)

        return line.store.survey(read)

    found = evaluated(line, look)
    return found[skip : skip + most], len(found) > skip + most


def view(conn: Connection, line: Line, gate: Gate, wanted: Wanted) -> dict[str, Any]:
    """The snapshot inside a transaction that is open already, as previews need it."""
    now = line.now()
    asked = wanted.repos
    names = views.busy_repos(conn, gate, wanted.limit) if asked is None else sorted(set(asked))
    serving = views.agents_now(conn, now, line.limits.worker_stale)
    waiting, positions = _waiting(conn, gate, now, names, wanted)
    rows = explain.explained(conn, gate, now, waiting)
    per_repo = {name: _blank() for name in names}
    for row in rows:
        lane = per_repo[row["repo"]]["waiting"]
        place = positions.get(row["job_id"], wanted.skip + len(lane) + 1)
        lane.append(explain.waiting_entry(row, hold(row["agent"], serving), place))
    _add_live(conn, gate, per_repo)
    _add_paused(conn, gate, per_repo, wanted)
    _add_freezes(conn, now, gate, per_repo)
    _add_active(conn, gate, per_repo)
    _add_head_watch(conn, per_repo)
    listed, in_line = _counts(conn, gate, now, per_repo, wanted)
    for repo, lane in per_repo.items():
        lane["listed_total"], lane["waiting_total"] = listed.get(repo, 0), in_line.get(repo, 0)
    return {
        "generated_at": views.moment(conn, now),
        "degraded": sorted(gate.degraded),
        "serial_gate": {**_layers(gate), "per_repo": per_repo},
        "agents": serving,
    }


def _layers(gate: Gate) -> dict[str, Any]:
    layers = gate.layers
    return {name: getattr(layers, name) for name in layers.__dataclass_fields__}


def _blank() -> dict[str, Any]:
    return {
        "active_task": None,
        "paused": [],
        "waiting": [],
        "waiting_total": 0,
        "listed_total": 0,
        "frozen": False,
        "frozen_reason": None,
        "frozen_at": None,
        "frozen_by": None,
        "frozen_until": None,
        "frozen_allow": None,
        "live": [],
        "head_watch": None,
    }


def hold(agent_name: str, serving: dict[str, dict[str, Any]]) -> str | None:
    """What a job with an open gate waits for: `capacity`, `suspended`, `no-worker`, or nothing."""
    agent = serving.get(agent_name)
    if agent is None or not agent["workers"]:
        return "no-worker"
    if agent["suspended_until"] is not None:
        return "suspended"
    return "capacity" if agent["live"] >= agent["slots"] else None


def _add_live(conn: Connection, gate: Gate, per_repo: dict[str, dict[str, Any]]) -> None:
    for row in views.live_jobs(conn, gate, list(per_repo)):
        per_repo[row["repo"]]["live"].append(dict(row))


def _waiting(
    conn: Connection, gate: Gate, now: Moment, names: list[str], wanted: Wanted
) -> tuple[list[Row], dict[int, int]]:
    """The rows asked for, and the place of each where it is not simply the next one."""
    if not (wanted.only.narrows or wanted.skip):
        return views.waiting_rows(conn, gate, now, names, wanted.limit), {}
    page = (wanted.skip, wanted.limit)
    found = [lanes.waiting(conn, gate, now, wanted.only, name, page) for name in names]
    rows = [row for each in found for row in each]
    return rows, lanes.positions_of(conn, gate, now, rows) if wanted.only.narrows else {}


def _counts(
    conn: Connection, gate: Gate, now: Moment, per_repo: dict[str, dict[str, Any]], wanted: Wanted
) -> tuple[dict[str, int], dict[str, int]]:
    """Per repo how many rows `waiting` would have as a whole, and how many of them are in line."""
    if not wanted.only.narrows:
        names = list(per_repo)
        return queued.listed_counts(conn, names), queued.waiting_counts(conn, gate, names)
    shown = {name: len(lane["waiting"]) for name, lane in per_repo.items()}
    # A page that is not full is the last one: what it shows need not be counted again.
    ended = {name: wanted.skip + count for name, count in shown.items() if 0 < count < wanted.limit}
    others = [name for name in shown if name not in ended]
    look = partial(lanes.waiting_counts, conn, gate, now, wanted.only)
    listed = ended | look(others) if others else ended
    parked = look([name for name in listed if listed[name]], parked=True)
    return listed, {name: count - parked.get(name, 0) for name, count in listed.items()}


def _add_paused(
    conn: Connection, gate: Gate, per_repo: dict[str, dict[str, Any]], wanted: Wanted
) -> None:
    only = lanes.parked(wanted.only) if wanted.only.narrows else None
    for row in views.paused_rows(conn, gate, list(per_repo), wanted.limit, only):
        hidden = ("turn", "repo", "verdict")
        shown = {key: value for key, value in row.items() if key not in hidden}
        shown["clear_with"] = explain.remedy(row, row["verdict"])
        per_repo[row["repo"]]["paused"].append(shown)


def _add_freezes(
    conn: Connection, now: Moment, gate: Gate, per_repo: dict[str, dict[str, Any]]
) -> None:
    if "freeze" in gate.degraded:
        for lane in per_repo.values():
            lane |= {"frozen": True, "frozen_reason": "freeze state unknown"}
        return
    if not gate.layers.serial_gate_freeze_enabled or not per_repo:
        return
    for freeze in views.freezes_of(conn, now, list(per_repo)):
        lane = per_repo[freeze["covered"]]
        if not lane["frozen"]:
            lane |= {
                "frozen": True,
                "frozen_reason": freeze["reason"],
                "frozen_at": freeze["frozen_at"],
                "frozen_by": freeze["source"],
                "frozen_until": freeze["expires_at"],
                "frozen_allow": freeze["allowed_work_item"],
            }


def _add_active(conn: Connection, gate: Gate, per_repo: dict[str, dict[str, Any]]) -> None:
    """Whose turn it is: the task with a live job, else the head of the line."""
    for lane in per_repo.values():
        if lane["live"]:
            lane["active_task"] = explain.holder_entry(lane["live"][0])
    idle = [name for name, lane in per_repo.items() if lane["active_task"] is None]
    for row in views.heads(conn, gate, idle):
        per_repo[row["repo"]]["active_task"] = explain.holder_entry(row)


def _add_head_watch(conn: Connection, per_repo: dict[str, dict[str, Any]]) -> None:
    """Who has blocked others for too long, as somebody was told."""
    for repo, row in watches.told_heads(conn).items():
        if repo in per_repo:
            per_repo[repo]["head_watch"] = {"since": row["since"], **row["detail"]}
