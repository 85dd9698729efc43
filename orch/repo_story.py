"""One repo: who holds it and who waits, what landed in it, how its main is, who lands now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from orch import events, monitor, snapshot
from orch.line import Line
from orch.snapshot import Wanted
from orch.store import ended, vitals
from orch.store.session import Connection, Row

LANDINGS: Final = 30
WAITING: Final = 20
"""Waiting rows shown; the line shows the others."""
DAYS: Final = 5
"""How many of the monitor's freezes are looked back on."""


def about(line: Line, repo: str) -> dict[str, Any]:
    """All there is to know of one repo. Raises NotFound for one nobody has heard of."""
    events.require_repos(line, (repo,))
    lane = snapshot.snapshot(line, Wanted((repo,), WAITING))["serial_gate"]["per_repo"][repo]
    return {"repo": repo, "lane": lane, **line.store.survey(lambda conn: _look(conn, line, repo))}


def _look(conn: Connection, line: Line, repo: str) -> dict[str, Any]:
    known = line.repos.get(repo)
    red = ended.freezes_by(conn, repo, monitor.SOURCE, DAYS)
    round_ = vitals.beats_now(conn).get("monitor")
    return {
        "landings": [dict(row) for row in ended.landings(conn, repo, LANDINGS)],
        "lease": ended.lease(conn, repo, line.now()),
        "health": {
            "watched": bool(known and known.health),
            "looked_at": round_["at"] if round_ else None,
            **_health(red),
        },
    }


def _health(red: Sequence[Row]) -> dict[str, Any]:
    """What the monitor's freezes tell of main: it freezes a repo when it is red, and says in that
    freeze when it is green again."""
    history = [dict(row) for row in red]
    if not red:
        return {"state": "green", "since": None, "detail": "", "history": history}
    last = red[0]
    again = monitor.AGAIN in last["reason"]
    state = "green" if last["cleared_at"] is not None or again else "red"
    since = last["cleared_at"] if last["cleared_at"] is not None else last["frozen_at"]
    return {"state": state, "since": since, "detail": last["reason"], "history": history}
