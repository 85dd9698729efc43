"""The read model of everything at one moment: per repo who holds the line, who waits, and why.

What the snapshot shows is what the dispatcher does: its reasons are the columns of the gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, or_, select
from sqlalchemy.engine import RowMapping

from orch import explain, serial_gate, stages
from orch.gate_fallback import evaluated
from orch.line import Line
from orch.serial_gate import Gate
from orch.store import fleet
from orch.store.moments import Moment
from orch.store.schema import LIVE, QUEUED, agents, jobs, repo_freeze, tasks, workers

PAGE = 100
"""Waiting rows shown per repo, and repos shown, unless more are asked for."""


@dataclass(frozen=True)
class Wanted:
    """Which part of the line is asked for."""

    repos: tuple[str, ...] = ()
    limit: int = PAGE


def snapshot(line: Line, wanted: Wanted = Wanted()) -> dict[str, Any]:  # noqa: B008 - frozen
    """Everything at one moment, as `GET /queue` answers it."""

    def look(gate: Gate) -> dict[str, Any]:
        return line.store.read(lambda conn: view(conn, line, gate, wanted))

    return evaluated(line.store, line.gate, line.now(), look)


def view(conn: Connection, line: Line, gate: Gate, wanted: Wanted) -> dict[str, Any]:
    """The snapshot inside a transaction that is open already, as previews need it."""
    now = line.now()
    names = shown_repos(conn, gate, wanted)
    serving = _agents(conn, now, line.limits.worker_stale)
    waiting = _waiting(conn, gate, now, names, wanted.limit)
    rows = explain.explained(conn, gate, now, waiting)
    per_repo = {name: _blank() for name in names}
    for row in rows:
        lane = per_repo[row["repo"]]["waiting"]
        lane.append(explain.waiting_entry(row, hold(row, serving), len(lane) + 1))
    _add_live(conn, per_repo)
    _add_paused(conn, per_repo, wanted.limit)
    _add_freezes(conn, now, gate, per_repo)
    _add_active(conn, gate, per_repo)
    _add_counts(conn, per_repo)
    return {
        "generated_at": conn.scalar(select(explain.moment(now))),
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
        "frozen": False,
        "frozen_reason": None,
        "frozen_at": None,
        "frozen_by": None,
        "live": [],
    }


def shown_repos(conn: Connection, gate: Gate, wanted: Wanted) -> list[str]:
    """The repos asked for, or those where something waits, runs or is parked, busiest names first."""
    if wanted.repos:
        return list(dict.fromkeys(wanted.repos))
    busy = select(jobs.c.repo).where(or_(QUEUED, LIVE)).distinct().order_by(jobs.c.repo)
    names = list(conn.scalars(busy.limit(wanted.limit)))
    parked = select(tasks.c.repo).where(tasks.c.paused_at.is_not(None)).distinct()
    held = select(repo_freeze.c.repo).where(
        repo_freeze.c.cleared_at.is_(None), ~repo_freeze.c.is_glob
    )
    more = [*conn.scalars(parked.limit(wanted.limit)), *conn.scalars(held.limit(wanted.limit))]
    return sorted(dict.fromkeys([*names, *more]))


def _waiting(
    conn: Connection, gate: Gate, now: Moment, names: Sequence[str], limit: int
) -> list[RowMapping]:
    """The first waiting jobs of each repo, in the order in which the gate would admit them."""
    if not names:
        return []
    order = (
        case((serial_gate.is_past_entry(tasks), 0), else_=1),
        case((serial_gate.is_past_entry(tasks), serial_gate.place_if_resumed(gate, tasks, now))),
        tasks.c.rank,
        tasks.c.id,
    )
    turn = func.row_number().over(partition_by=jobs.c.repo, order_by=order)
    first = (
        select(jobs.c.id.label("id"), turn.label("turn"))
        .select_from(jobs.join(tasks, tasks.c.id == jobs.c.task_id))
        .where(QUEUED, jobs.c.repo.in_(list(names)))
        .subquery()
    )
    statement = (
        serial_gate.snapshot(gate, now, *explain.COLUMNS)
        .join(first, first.c.id == jobs.c.id)
        .where(first.c.turn <= limit)
        .order_by(jobs.c.repo, first.c.turn)
    )
    return list(conn.execute(statement).mappings())


def hold(row: RowMapping, serving: dict[str, dict[str, Any]]) -> str | None:
    """What a job with an open gate waits for: `capacity`, `no-worker`, or nothing."""
    agent = serving.get(row["agent"])
    if agent is None or not agent["workers"]:
        return "no-worker"
    return "capacity" if agent["live"] >= agent["slots"] else None


def _agents(conn: Connection, now: Moment, stale: float) -> dict[str, dict[str, Any]]:
    """Per agent: its live jobs, the slots of its live workers, how many those are."""
    known: dict[str, dict[str, Any]] = {
        name: {"live": 0, "slots": 0, "workers": 0, "suspended_until": None}
        for name in stages.AGENTS
    }
    fleet_rows = conn.execute(
        select(workers.c.queue, func.sum(workers.c.concurrency), func.count())
        .where(fleet.is_alive(now, stale), workers.c.queue != stages.CONTROL_QUEUE)
        .group_by(workers.c.queue)
    )
    for queue, slots, count in fleet_rows:
        entry = known.setdefault(queue.removeprefix("agent."), {"live": 0, "suspended_until": None})
        entry |= {"slots": int(slots), "workers": count}
    live = select(jobs.c.agent, func.count()).where(LIVE).group_by(jobs.c.agent)
    for agent, count in conn.execute(live):
        known.setdefault(agent, {"slots": 0, "workers": 0, "suspended_until": None})["live"] = count
    for name, until in conn.execute(select(agents.c.name, agents.c.suspended_until)):
        known.setdefault(name, {"live": 0, "slots": 0, "workers": 0})["suspended_until"] = until
    return known


def _add_live(conn: Connection, per_repo: dict[str, dict[str, Any]]) -> None:
    for row in explain.live_jobs(conn, list(per_repo)):
        per_repo[row["repo"]]["live"].append(dict(row))


def _add_paused(conn: Connection, per_repo: dict[str, dict[str, Any]], limit: int) -> None:
    columns = (
        tasks.c.id.label("task_id"),
        tasks.c.work_item_id,
        tasks.c.repo,
        tasks.c.stage,
        tasks.c.title,
        tasks.c.paused_at,
        tasks.c.paused_by,
        tasks.c.paused_reason,
        tasks.c.paused_until,
    )
    turn = func.row_number().over(partition_by=tasks.c.repo, order_by=tasks.c.id)
    first = (
        select(*columns, turn.label("turn"))
        .where(tasks.c.paused_at.is_not(None), tasks.c.repo.in_(list(per_repo)))
        .subquery()
    )
    rows = conn.execute(select(first).where(first.c.turn <= limit).order_by(first.c.task_id))
    for row in rows.mappings():
        shown = {key: value for key, value in row.items() if key not in ("turn", "repo")}
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
    for freeze in explain.freezes_of(conn, now, list(per_repo)):
        lane = per_repo[freeze["covered"]]
        if not lane["frozen"]:
            lane |= {
                "frozen": True,
                "frozen_reason": freeze["reason"],
                "frozen_at": freeze["frozen_at"],
                "frozen_by": freeze["source"],
            }


def _add_active(conn: Connection, gate: Gate, per_repo: dict[str, dict[str, Any]]) -> None:
    """Whose turn it is: the task with a live job, else the head of the line."""
    for lane in per_repo.values():
        if lane["live"]:
            lane["active_task"] = explain.holder_entry(lane["live"][0])
    idle = [name for name, lane in per_repo.items() if lane["active_task"] is None]
    for row in explain.heads(conn, gate, idle):
        per_repo[row["repo"]]["active_task"] = explain.holder_entry(row)


def _add_counts(conn: Connection, per_repo: dict[str, dict[str, Any]]) -> None:
    counted = (
        select(jobs.c.repo, func.count())
        .where(QUEUED, jobs.c.repo.in_(list(per_repo)))
        .group_by(jobs.c.repo)
    )
    for repo, count in conn.execute(counted):
        per_repo[repo]["waiting_total"] = count


def overview(conn: Connection, gate: Gate) -> list[RowMapping]:
    """Per repo with waiting jobs: how many, since when, and whose turn it is; for the first page."""
    counted = (
        select(
            jobs.c.repo.label("repo"),
            func.count().label("waiting"),
            func.min(jobs.c.created_at).label("oldest"),
        )
        .where(QUEUED)
        .group_by(jobs.c.repo)
        .subquery()
    )
    head = serial_gate.head(gate, counted.c.repo).label("head_task_id")
    return list(conn.execute(select(counted, head).order_by(counted.c.repo)).mappings())
