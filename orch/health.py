"""How the line itself is: does anybody tick, do claims get started, what is degraded."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from orch.errors import StoreUnavailable
from orch.line import Line
from orch.store import outbox, probes, revisions, views, vitals, watches
from orch.store.session import Connection

STUCK_SECONDS: Final = 15.0
"""A worker starts what it was given within a fraction of a second. A claim so old, beside live
workers, means that messages do not arrive."""
TICKS_MISSED: Final = 5
"""So many ticks may be late before the line counts as unattended."""
TRIES: Final = 3
"""So often a notice may have been tried before its channel counts as broken."""


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
    shown = {"database": True, "broker": broker, "degraded": degraded, **found}
    problems = [*troubles(shown, tick_seconds).values()]
    return {"status": "degraded" if problems else "ok", "problems": problems, **shown}


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
        # How many, and not which: this is told to everybody.
        "late_heads": len(watches.told_heads(conn)),
        "notices": [dict(row) for row in outbox.waiting(conn)],
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


def troubles(found: dict[str, Any], tick_seconds: float) -> dict[str, str]:
    """What is wrong in a report, under names that stay the same while the sentences change."""
    wrong = _late_beat(found["beat"]["seconds"], tick_seconds)
    for name, known in found["agents"].items():
        if not known["workers"]:
            wrong[f"worker:{name}"] = f"no worker serves {name}"
    for row in found["stalled"]:
        wrong[f"stalled:{row['agent']}"] = (
            f"{row['claims']} claimed jobs of {row['agent']} are not started although workers live"
        )
    for name in found["degraded"]:
        wrong[f"clause:{name}"] = f"clause {name} is unreadable"
    if not found["broker"]:
        wrong["broker"] = "the broker does not answer"
    if found["late_heads"]:
        wrong["heads"] = f"tasks that keep others waiting for too long: {found['late_heads']}"
    return wrong | _unsent(found["notices"])


def _late_beat(seconds: float | None, tick_seconds: float) -> dict[str, str]:
    if seconds is None:
        return {"beat": "beat has never rung"}
    late = seconds > tick_seconds * TICKS_MISSED
    return {"beat": f"beat last rang {seconds:.0f} s ago"} if late else {}


def _unsent(waiting: list[dict[str, Any]]) -> dict[str, str]:
    return {
        f"notices:{row['channel']}": f"notices for {row['channel']} wait ({row['notices']}), the "
        f"first was tried {row['tries']} times"
        for row in waiting
        if row["tries"] >= TRIES
    }


def _degraded(line: Line) -> list[str]:
    with line.store.rolled_back() as conn:
        return sorted(probes.probe(conn, line.gate, line.now()).degraded)
