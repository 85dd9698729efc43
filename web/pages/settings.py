"""The settings in force, and where each comes from."""

from __future__ import annotations

from flask import Response

from orch import in_force
from web.given import Given
from web.pages import frame
from web.pages.frame import PAGES
from web.routes import Call


@PAGES.add("GET", "/ui/settings", "admin")
def settings(call: Call[Given]) -> Response:
    """Every setting, its value and its origin; secrets masked."""
    every = in_force.every(call.desk.settings)
    given = sum(each.origin != in_force.DEFAULT for each in every)
    return frame.show(call, "settings.html", every=every, given=given)
