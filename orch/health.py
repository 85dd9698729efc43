"""How the line itself is: does anybody tick, do claims get started, what is degraded."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from orch.errors import StoreUnavailable
from orch.line import Line
from orch.store import probes, revisions, views, vitals
from orch.store.session import Connection

STUCK_SECONDS: Final = 15.0
"""A worker starts what it was given within a fraction of a second. A claim so old, beside live
workers, means that messages do not arrive."""
TICKS_MISSED: Final = 5
"""So many ticks may be late before the line counts as unattended."""


def require_ready(line: Line) -> None:
    """Raise StoreUnavailable or SchemaMismatch unless requests can be served."""
    revisions.require_current(line.store)


def report(line: Line, tick_seconds: float) -> dict[str, Any]:
    """What healthz says: `ok`, or `degraded` with each thing that is wrong named in `problems`."""
    broker = line.queue.reachable()
    try:
        found = line.store.read(lambda conn: _look(conn, line))
        degraded = _degraded(line)
    except StoreUnavailable as error:
        return {
            "status": "degraded",
            "problems": [type(error).__doc__],
            "database": False,
            "broker": broker,
        }
    problems = [
        *_problems(found, tick_seconds),
        *(f"clause {name} is unreadable" for name in degraded),
    ]
    if not broker:
        problems.append("the broker does not answer")
    shown = {
        "status": "degraded" if problems else "ok",
        "problems": problems,
        "database": True,
        "broker": broker,
        "degraded": degraded,
    }
    return {**shown, **found}


def _look(conn: Connection, line: Line) -> dict[str, Any]:
    now, stale = line.now(), line.limits.worker_stale
    moment = views.moment(conn, now)
    told = vitals.beats_now(conn)
    agents = views.agents_now(conn, now, stale)
    return {
        "generated_at": moment,
        "beat": _beat(told.get("beat"), moment),
        "sweep": _beat(told.get("sweep"), moment),
        "workers": [dict(row) for row in vitals.live_workers(conn, now, stale)],
        "agents": {name: _agent(known) for name, known in agents.items()},
        "stalled": [
            {**row, "seconds": age(row["oldest"], moment)}
            for row in vitals.stuck_claims(conn, now, STUCK_SECONDS, stale)
        ],
    }


def _agent(known: dict[str, Any]) -> dict[str, Any]:
    return {**known, "free": max(0, known["slots"] - known["live"])}


def _beat(row: Any, moment: datetime) -> dict[str, Any]:
    if row is None:
        return {"at": None, "seconds": None}
    return {**row["detail"], "at": row["at"], "seconds": age(row["at"], moment)}


def age(since: datetime | None, moment: datetime) -> float | None:
    """Seconds from then to now, never below zero; None for what never was."""
    return None if since is None else max(0.0, round((moment - since).total_seconds(), 3))


def _problems(found: dict[str, Any], tick_seconds: float) -> list[str]:
    problems = []
    seconds = found["beat"]["seconds"]
    if seconds is None:
        problems.append("beat has never rung")
    elif seconds > tick_seconds * TICKS_MISSED:
        problems.append(f"beat last rang {seconds:.0f} s ago")
    for name, known in found["agents"].items():
        if not known["workers"]:
            problems.append(f"no worker serves {name}")
    for row in found["stalled"]:
        problems.append(
            f"{row['claims']} claimed jobs of {row['agent']} are not started although workers live"
        )
    return problems


def _degraded(line: Line) -> list[str]:
    with line.store.rolled_back() as conn:
        return sorted(probes.probe(conn, line.gate, line.now()).degraded)
