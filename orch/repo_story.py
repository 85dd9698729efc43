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
"""How many of the freezes of a broken main are looked back on."""


def about(line: Line, repo: str) -> dict[str, Any]:
    """All there is to know of one repo. Raises NotFound for one nobody has heard of."""
    events.require_repos(line, (repo,))
    lane = snapshot.snapshot(line, Wanted((repo,), WAITING))["serial_gate"]["per_repo"][repo]
    return {"repo": repo, "lane": lane, **line.store.survey(lambda conn: _look(conn, line, repo))}


def _look(conn: Connection, line: Line, repo: str) -> dict[str, Any]:
    known = line.repos.get(repo)
    red = ended.red_freezes(conn, repo, DAYS)
    watched = bool(known and known.health)
    round_ = vitals.beats_now(conn).get("monitor")
    return {
        "landings": [dict(row) for row in ended.landings(conn, repo, LANDINGS)],
        "lease": ended.lease(conn, repo, line.now()),
        "health": {
            "watched": watched,
            "looked_at": round_["at"] if round_ else None,
            **_health(red, was_seen=watched and round_ is not None),
        },
    }


def _health(red: Sequence[Row], was_seen: bool) -> dict[str, Any]:
    """What is known of main: `red`, `green`, `lifted` or `unknown`.

    Who finds it broken freezes the repo; the monitor says in its own freeze when it is green again.
    A person who lifts a freeze says nothing of that: it is lifted, and was not found red since.
    """
    history = [dict(row) for row in red]
    if not red:
        state = "green" if was_seen else "unknown"
        return {"state": state, "since": None, "detail": "", "history": history}
    last = red[0]
    is_over = last["cleared_at"] is not None
    over = "lifted" if is_over else "red"
    state = "green" if monitor.AGAIN in last["reason"] else over
    since = last["cleared_at"] if is_over else last["frozen_at"]
    return {"state": state, "since": since, "detail": last["reason"], "history": history}
