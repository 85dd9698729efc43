"""Agents as a whole: who serves them, whether one is suspended, and ending that.

A suspended agent gets nothing new to do, of whichever task; what runs goes on. orch suspends one
whose provider says that its limit is reached; a person may do both.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from orch import names, stages, tokens
from orch.errors import NotFound
from orch.line import Line
from orch.store import fleet, views
from orch.store.session import Connection

SAME_SECONDS: Final = 30.0
"""“For two hours”, said again within this time, is the same order: a click sent twice."""


def listed(line: Line) -> list[dict[str, Any]]:
    """Every agent: live jobs, slots and workers, and until when and why it is suspended."""
    serving = line.store.read(
        lambda conn: views.agents_now(conn, line.now(), line.limits.worker_stale)
    )
    return [{"agent": name, **known} for name, known in serving.items()]


@dataclass(frozen=True)
class Order:
    """One control of an agent: `suspend` or `resume`, which agent, who asks and why."""

    verb: str
    agent: str
    actor: str = "orch"
    reason: str = ""
    until: datetime | None = None
    """Suspend: until when; by default for a quarter of an hour."""
    within: tuple[str, ...] = ()
    """The repos whoever asks may steer; empty is all of them."""


def suspend(
    line: Line,
    agent: str,
    actor: str,
    reason: str,
    until: datetime | None = None,
    within: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Give an agent nothing to do until then, by default for a quarter of an hour.

    Raises BadInput, NotFound for an agent no stage has, and Forbidden for whoever may steer some
    repos only.
    """
    return carry_out(line, Order("suspend", agent, actor, reason, until, within))


def resume(
    line: Line, agent: str, actor: str, reason: str = "", within: tuple[str, ...] = ()
) -> dict[str, Any]:
    """End an agent's suspension, and let what waits for it start.

    Raises BadInput, NotFound for an agent no stage has, and Forbidden for whoever may steer some
    repos only.
    """
    return carry_out(line, Order("resume", agent, actor, reason, within=within))


def carry_out(line: Line, order: Order) -> dict[str, Any]:
    """Do it, and answer the agent as it is after it. Raises BadInput, NotFound."""
    name = check(order)

    def run(conn: Connection) -> dict[str, Any]:
        changed = act(conn, line, order)
        known = views.agents_now(conn, line.now(), line.limits.worker_stale)[name]
        return {"changed": changed, "agent": name, **known}

    answer = line.store.write(run)
    if order.verb == "resume":
        line.opened(line)
    return answer


def check(order: Order) -> str:
    """The agent's name. Raises BadInput for words that cannot be used, NotFound for the agent, and
    Forbidden for whoever may steer some repos only."""
    name = _known(order.agent)
    names.reason(order.reason, required=order.verb == "suspend")
    tokens.require_reach(order.within, order.actor, tokens.EVERYWHERE)
    return name


def act(conn: Connection, line: Line, order: Order) -> bool:
    """The control itself inside a transaction; False when it is so already."""
    why = names.reason(order.reason)
    if order.verb == "resume":
        return fleet.lift(conn, order.agent, line.now(), actor=order.actor, reason=why)
    return fleet.suspend(
        conn, order.agent, order.until, why, line.now(), actor=order.actor, near=SAME_SECONDS
    )


def _known(agent: str) -> str:
    name = names.agent(agent)
    if name not in stages.AGENTS:
        raise NotFound(
            f"No agent is called {name}.",
            suggested_fix="`orch agent list` names them.",
            did_you_mean=difflib.get_close_matches(name, stages.AGENTS, 2),
        )
    return name
