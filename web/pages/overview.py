"""The first page: is the line well, what waits longest and why, what is frozen, what needs you."""

from __future__ import annotations

from typing import Any

from flask import Response, redirect
from werkzeug.wrappers import Response as Answer

from orch import head_watch
from orch import overview as outline
from orch.health import late_rounds
from web.given import Given
from web.pages import frame
from web.pages.frame import PAGES
from web.routes import Call

BEAT_SECONDS = 15.0
"""How old the age of beat may be that is shown while all is well."""


@PAGES.add("GET", "/", None)
def front(_: Call[Given]) -> Answer:
    """The way to the pages."""
    return redirect("/ui/")


@PAGES.add("GET", "/ui/", "viewer")
def overview(call: Call[Given]) -> Response:
    """How the line is, at a glance."""
    health = call.desk.health()
    # What is wrong says since when, so while something is wrong the page is always new.
    also = repr([health.get(name) for name in ("problems", "broker", "database", "agents")])
    return frame.live(call, "overview.html", lambda: facts(call, health), also, BEAT_SECONDS)


def facts(call: Call[Given], health: dict[str, Any]) -> dict[str, Any]:
    """What the page shows."""
    seen = outline.overview(call.desk.line)
    trend = call.desk.trend()
    return {
        "health": health,
        "seen": seen,
        "trend": trend,
        "landed": sum(point["value"] for point in trend["landed"]),
        "late_heads": head_watch.late(call.desk.line),
        "late": late_rounds(health, call.desk.line.limits),
    }
