"""The first page: is the line well, what runs, what waits longest, what is frozen."""

from __future__ import annotations

from flask import Response, redirect
from werkzeug.wrappers import Response as Answer

from web.given import Given
from web.pages import frame
from web.pages.frame import PAGES
from web.routes import Call


@PAGES.add("GET", "/", None)
def front(_: Call[Given]) -> Answer:
    """The way to the pages."""
    return redirect("/ui/")


@PAGES.add("GET", "/ui/", "viewer")
def overview(call: Call[Given]) -> Response:
    """How the line is, at a glance."""
    return frame.live(call, "overview.html", lambda: {"health": call.desk.health()})
