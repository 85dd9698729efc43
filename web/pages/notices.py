"""What people were told, through which channel, and what came of it; and a test of the channels."""

from __future__ import annotations

from typing import Any

from flask import Response, redirect
from werkzeug.wrappers import Response as Answer

from orch import bootstrap, notices
from orch.errors import IllegalTransition
from web import values
from web.given import Given
from web.pages import frame
from web.pages.frame import PAGES
from web.routes import Call


@PAGES.add("GET", "/ui/notices", "viewer", values.Notices)
def told(call: Call[values.Notices]) -> Response:
    """The newest notices, and how many wait."""
    return frame.show(call, "notices.html", **_facts(call, call.given))


@PAGES.add("POST", "/ui/notices/test", "admin", Given, "form")
def test_notices(call: Call[Given]) -> Response:
    """Send a true notice through every channel now, and show what came of each."""
    channels = bootstrap.build_channels(call.desk.settings)
    try:
        came_to = notices.test(call.desk.line, call.holder.name, channels)
    except IllegalTransition as error:
        said = {"error": error.message, "suggested_fix": error.suggested_fix}
        came_to = [{"channel": "", "ok": False, **said}]
    return frame.show(call, "notices.html", **_facts(call, values.Notices(), came_to))


@PAGES.add("POST", "/ui/notices/<notice_id>/retry", "operator", values.OfNotice, "form")
def retry_notice(call: Call[values.OfNotice]) -> Answer:
    """Try a notice again now, also one that was given up."""
    notices.retry(call.desk.line, call.given.notice_id, **call.holder.signing)
    return redirect("/ui/notices", 303)


def _facts(call: Call[Any], asked: values.Notices, came_to: Any = None) -> dict[str, Any]:
    wanted = notices.Wanted(asked.state, asked.before, asked.limit)
    named = bootstrap.build_subscription(call.desk.settings).channels
    found = notices.listed(call.desk.line, wanted)
    return {**found, "asked": asked, "channels": named, "came_to": came_to}
