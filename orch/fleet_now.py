"""The fleet at one moment: what each agent is at and came to, and which workers serve it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from orch.line import Line
from orch.store import ended, fleet, views
from orch.store.session import Connection

OUTCOMES: Final = 12
"""How many of an agent's last jobs are told."""


def fleet_now(line: Line) -> dict[str, Any]:
    """The agents with what their last jobs came to, and the workers, silent ones included.

    `{agents, workers}`: an agent as `listed` has it, with `outcomes`, the newest first.
    """

    def look(conn: Connection) -> dict[str, Any]:
        now, stale = line.now(), line.limits.worker_stale
        last: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in ended.outcomes(conn):
            if len(last[row["agent"]]) < OUTCOMES:
                last[row["agent"]].append(dict(row))
        known = views.agents_now(conn, now, stale).items()
        return {
            "agents": [{"agent": name, **each, "outcomes": last[name]} for name, each in known],
            "workers": [dict(row) for row in fleet.workers_known(conn, now, stale)],
        }

    return line.store.survey(look)
