"""How the line itself is: does anybody tick, do claims get started, what is degraded."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from orch.errors import StoreUnavailable
from orch.line import Limits, Line
from orch.outside import inbox
from orch.store import feeds, outbox, probes, revisions, views, vitals, watches
from orch.store.session import Connection

STUCK_SECONDS: Final = 15.0
"""A worker starts what it was given within a fraction of a second. A claim so old, beside live
workers, means that messages do not arrive."""
TICKS_MISSED: Final = 5
"""So many ticks, or sweeps, may be missing before the line counts as unattended."""
SILENT_SECONDS: Final = 120.0
"""So long a tracker or forge may be away before that is worth a word."""
TRIES: Final = 3
"""So often a notice may have been tried before its channel counts as broken."""
TIMES: Final = ("beat", "sweep")
"""What has to happen again and again, and when it last did."""


def require_ready(line: Line) -> None:
    """Raise StoreUnavailable or SchemaMismatch unless requests can be served."""
    revisions.require_current(line.store)


def report(line: Line) -> dict[str, Any]:
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
    problems = [*troubles(shown, line.limits).values()]
    return {"status": "degraded" if problems else "ok", "problems": problems, **shown}


def for_anybody(found: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """As much of a report as strangers are told: how the line is, and no name, number or reason.

    `problems` are words that stay the same, such as `broker` and `worker`.
    """
    told = {name: found[name] for name in ("status", "database", "broker")}
    if not found["database"]:
        return {**told, "problems": ["database"]}
    beats = {name: {key: found[name][key] for key in ("at", "seconds")} for name in TIMES}
    wrong = sorted({name.partition(":")[0] for name in troubles(found, limits)})
    return {**told, "problems": wrong, "generated_at": found["generated_at"], **beats}


def _look(conn: Connection, line: Line) -> dict[str, Any]:
    now, stale = line.now(), line.limits.worker_stale
    moment = views.moment(conn, now)
    told = vitals.beats_now(conn)
    agents = views.agents_now(conn, now, stale)
    return {
        "generated_at": moment,
        **{name: _beat(told.get(name), moment) for name in TIMES},
        "workers": [dict(row) for row in vitals.live_workers(conn, now, stale)],
        "agents": {name: _agent(known) for name, known in agents.items()},
        "stalled": [
            {**row, "seconds": age(row["oldest"], moment)}
            for row in vitals.stuck_claims(conn, now, STUCK_SECONDS, stale)
        ],
        "late_heads": len(watches.told_heads(conn)),
        "notices": [dict(row) for row in outbox.waiting(conn)],
        "webhooks": {
            source: {**known, "seconds": age(known["seen_at"], moment)}
            for source, known in inbox.standing(conn).items()
        },
        "feeds": [_feed(row, moment) for row in feeds.all_rows(conn)],
    }


def _feed(row: Any, moment: datetime) -> dict[str, Any]:
    """How old its word is. What went wrong there stands on the pages and in `orch tracker list`."""
    return {
        "name": row["name"],
        "answered_at": row["answered_at"],
        "seconds": age(row["answered_at"], moment),
        "failing_seconds": age(row["failing_since"], moment),
        "stopped": bool(row["stopped"]),
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


def troubles(found: dict[str, Any], limits: Limits) -> dict[str, str]:
    """What is wrong in a report, under names that stay the same while the sentences change."""
    late = late_rounds(found, limits)
    wrong = {name: ROUNDS[name](found[name]["seconds"]) for name in late if late[name]}
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
    wrong |= _unread(found["webhooks"]) | _silent(found["feeds"])
    return wrong | _unsent(found["notices"])


def late_rounds(found: dict[str, Any], limits: Limits) -> dict[str, bool]:
    """Which of what should happen again and again has not, for as long as counts as never."""
    told = {"beat": limits.tick, "sweep": limits.sweep}
    ages = {name: found.get(name, {}).get("seconds") for name in told}
    return {
        name: ages[name] is None or ages[name] > TICKS_MISSED * every
        for name, every in told.items()
    }


def _said_of_beat(seconds: float | None) -> str:
    return "beat has never rung" if seconds is None else f"beat last rang {seconds:.0f} s ago"


def _said_of_sweep(seconds: float | None) -> str:
    if seconds is None:
        return "the dispatcher has never looked at every repo"
    return f"the dispatcher last looked at every repo {seconds:.0f} s ago"


ROUNDS: Final = {"beat": _said_of_beat, "sweep": _said_of_sweep}
"""What is to happen again and again, and what is said of it when it does not."""


def _unread(webhooks: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {
        f"webhooks:{source}": f"nobody takes up the webhooks of {source}: {known['waiting']} wait"
        for source, known in webhooks.items()
        if known["waiting"] >= inbox.MOST
    }


def _unsent(waiting: list[dict[str, Any]]) -> dict[str, str]:
    return {
        f"notices:{row['channel']}": f"notices for {row['channel']} wait ({row['notices']}), the "
        f"first was tried {row['tries']} times"
        for row in waiting
        if row["tries"] >= TRIES
    }


def _silent(known: list[dict[str, Any]]) -> dict[str, str]:
    wrong = {}
    for row in known:
        if row["stopped"]:
            wrong[f"feed:{row['name']}"] = f"{row['name']} refuses orch, and is asked no more"
        elif (row["failing_seconds"] or 0) >= SILENT_SECONDS:
            wrong[f"feed:{row['name']}"] = (
                f"{row['name']} has not answered for {row['failing_seconds']:.0f} s"
            )
    return wrong


def _degraded(line: Line) -> list[str]:
    with line.store.rolled_back() as conn:
        return sorted(probes.probe(conn, line.gate, line.now()).degraded)
