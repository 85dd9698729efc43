"""Agents as a whole: who serves them, whether one is suspended, and ending that.

A suspended agent gets nothing new to do, of whichever task; what runs goes on. orch suspends one
whose provider says that its limit is reached; a person may do both.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from orch import names, stages
from orch.errors import NotFound
from orch.line import Line
from orch.store import fleet, views
from orch.store.session import Connection


def listed(line: Line) -> list[dict[str, Any]]:
    """Every agent: live jobs, slots and workers, and until when and why it is suspended."""
    serving = line.store.read(
        lambda conn: views.agents_now(conn, line.now(), line.limits.worker_stale)
    )
    return [{"agent": name, **known} for name, known in serving.items()]


def suspend(
    line: Line, agent: str, actor: str, reason: str, until: datetime | None = None
) -> dict[str, Any]:
    """Give an agent nothing to do until then, by default for a quarter of an hour.

    Raises BadInput, and NotFound for an agent no stage has.
    """
    name, why = _known(agent), names.reason(reason, required=True)

    def act(conn: Connection) -> bool:
        return fleet.suspend(conn, name, until, why, line.now(), actor=actor)

    return _done(line, name, act)


def resume(line: Line, agent: str, actor: str, reason: str = "") -> dict[str, Any]:
    """End an agent's suspension, and let what waits for it start.

    Raises BadInput, and NotFound for an agent no stage has.
    """
    name, why = _known(agent), names.reason(reason)

    def act(conn: Connection) -> bool:
        return fleet.lift(conn, name, line.now(), actor=actor, reason=why)

    answer = _done(line, name, act)
    line.opened(line)
    return answer


def _done(line: Line, name: str, act: Callable[[Connection], bool]) -> dict[str, Any]:
    """The act, and the agent as it is after it."""

    def run(conn: Connection) -> dict[str, Any]:
        changed = act(conn)
        known = views.agents_now(conn, line.now(), line.limits.worker_stale)[name]
        return {"changed": changed, "agent": name, **known}

    return line.store.write(run)


def _known(agent: str) -> str:
    name = names.agent(agent)
    if name not in stages.AGENTS:
        raise NotFound(
            f"No agent is called {name}.",
            suggested_fix="`orch agent list` names them.",
            did_you_mean=difflib.get_close_matches(name, stages.AGENTS, 2),
        )
    return name
