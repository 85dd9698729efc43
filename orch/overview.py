"""The first page: does it run, what waits longest and why, what is frozen, what needs a person."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from orch import explain, snapshot, stages
from orch.gate_fallback import evaluated
from orch.line import Line
from orch.serial_gate import Gate
from orch.store import outline, queued, views
from orch.store.session import Connection

SHOWN: Final = 8
"""Waiting tasks, freezes and parked tasks that are shown; the line has all of them."""
HOURS: Final = 24


def overview(line: Line) -> dict[str, Any]:
    """Everything that the first page shows of the line, at one moment."""

    def look(gate: Gate) -> dict[str, Any]:
        return line.store.survey(lambda conn: _look(conn, line, gate))

    return evaluated(line, look)


def _look(conn: Connection, line: Line, gate: Gate) -> dict[str, Any]:
    now = line.now()
    frozen_known, paused_known = "freeze" not in gate.degraded, "paused" not in gate.degraded
    return {
        "stages": _in_order(outline.stage_counts(conn)),
        "counts": {"parked": 0, **queued.state_counts(conn, gate)},
        "oldest": _oldest(conn, line, gate),
        "freezes": outline.freezes_now(conn, gate, now, SHOWN) if frozen_known else [],
        "for_people": _for_people(conn) if paused_known else [],
        "degraded": sorted(gate.degraded),
    }


def _in_order(counted: dict[str, int]) -> dict[str, int]:
    """By the way a task takes; a stage that orch does not know comes last."""
    known = {stage: counted[stage] for stage in stages.STAGES if stage in counted}
    return known | {stage: counted[stage] for stage in sorted(counted.keys() - known.keys())}


def _oldest(conn: Connection, line: Line, gate: Gate) -> list[dict[str, Any]]:
    """Of each repo the task that waits longest, with all that holds it."""
    now = line.now()
    serving = views.agents_now(conn, now, line.limits.worker_stale)
    rows = outline.rows_of(conn, gate, now, outline.oldest_of_each(conn, gate, SHOWN))
    shown = explain.explained(conn, gate, now, rows)
    return [
        {
            **explain.waiting_entry(row, snapshot.hold(row["agent"], serving), None),
            "repo": row["repo"],
        }
        for row in shown
    ]


def _for_people(conn: Connection) -> list[dict[str, Any]]:
    return [
        {**row, "clear_with": explain.remedy(row, row["verdict"])}
        for row in outline.for_people(conn, SHOWN)
    ]


def trend(line: Line) -> dict[str, list[dict[str, Any]]]:
    """The last 24 hours, oldest first: how many waited at the end of each, how many landed in it.

    How many waited is what waits now, less what has come since and more what has gone since.
    """

    def look(conn: Connection) -> dict[str, list[dict[str, Any]]]:
        now: datetime = views.moment(conn, line.now())
        ends = [now - timedelta(hours=hour) for hour in range(HOURS, -1, -1)]
        waiting = queued.state_counts(conn, line.gate)["waiting"]
        points: dict[str, list[dict[str, Any]]] = {"waiting": [], "landed": []}
        for end, flow in zip(ends[:0:-1], outline.flows(conn, ends)[::-1], strict=True):
            points["waiting"].insert(0, {"at": end, "value": max(0, waiting)})
            points["landed"].insert(0, {"at": end, "value": flow["landed"]})
            waiting -= flow["grown"]
        return points

    return line.store.read(look)
