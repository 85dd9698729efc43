"""Agents and the workers that serve them."""

from __future__ import annotations

from typing import Any

from flask import Response

from orch import fleet_now
from web.given import Given
from web.pages import frame
from web.pages.frame import PAGES
from web.routes import Call


@PAGES.add("GET", "/ui/agents", "viewer")
def agents(call: Call[Given]) -> Response:
    """What each agent is at, and who serves it."""
    return frame.live(call, "agents.html", lambda: _facts(call), most=10)


def _facts(call: Call[Given]) -> dict[str, Any]:
    found = fleet_now.fleet_now(call.desk.line)
    return {**found, "alive": sum(bool(each["alive"]) for each in found["workers"])}
