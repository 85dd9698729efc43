"""What every page has: its declaration, its frame, an ETag, and times that people can read."""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from flask import Flask, Response, render_template, request, send_from_directory
from jinja2 import StrictUndefined
from markupsafe import Markup

import orch
from orch import events
from orch.errors import NotFound
from web.given import Given
from web.routes import Call, Routes

PAGES: Final = Routes()
"""Every page, as it is declared. Only people come here: cookies and forms, never tokens."""
STATIC: Final = Path(__file__).parent.parent / "static"
HTML: Final = "text/html; charset=utf-8"
FRESH_SECONDS: Final = 5.0
"""How old a page may be that is answered with 304, where only time has changed something."""
FOREVER: Final = "public, max-age=31536000, immutable"

NAVIGATION: Final = (
    ("/ui/", "Overview"),
    ("/ui/line", "Line"),
    ("/ui/agents", "Agents"),
    ("/ui/report", "Time"),
    ("/ui/simulate", "What if"),
    ("/ui/ledger", "Ledger"),
    ("/ui/settings", "Settings"),
)


def prepare(app: Flask) -> None:
    """Teach the app's templates what the pages need."""
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(asset=asset, navigation=NAVIGATION, version=orch.__version__)
    app.jinja_env.filters.update(when=when, span=span)


def show(call: Call[Any], template: str, *, status: int = 200, **facts: Any) -> Response:
    """A page in its frame; `facts` are what its template shows."""
    text = render_template(
        template, call=call, holder=call.holder, now=call.desk.clock(), here=request.path, **facts
    )
    return Response(text, status, content_type=HTML)


def unless_known(call: Call[Any]) -> tuple[Response | None, dict[str, str]]:
    """A 304 when the browser has this page as it is, else None; and the headers of a new answer.

    To be asked before the facts are: a write between the two then makes the next answer new, never
    stale.
    """
    revision = events.revision(call.desk.line, FRESH_SECONDS)
    seen = f"{revision}|{call.holder.name}|{call.holder.role}|{request.full_path}|{_build()}"
    tag = hashlib.sha256(seen.encode()).hexdigest()[:32]
    headers = {"ETag": f'W/"{tag}"', "Cache-Control": "private, no-cache"}
    if request.if_none_match.contains_weak(tag):
        return Response(status=304, headers=headers), headers
    return None, headers


def live(call: Call[Any], template: str, ask: Any) -> Response:
    """A page that refreshes: 304 when nothing changed, else the page of what `ask()` answers."""
    known, headers = unless_known(call)
    if known is not None:
        return known
    response = show(call, template, **ask())
    response.headers.update(headers)
    return response


# --- times ------------------------------------------------------------------------------------


def when(moment: datetime | None, now: datetime) -> Markup:
    """A moment as people say it, with the exact one behind it."""
    if moment is None:
        return Markup("–")
    exact = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    seconds = (now - moment).total_seconds()
    said = f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(exact, said)


def span(seconds: float) -> str:
    """A length of time in its two largest units."""
    left, parts = int(seconds), []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


# --- files ------------------------------------------------------------------------------------


def asset(name: str) -> str:
    """The address of a static file; it changes with the content, so it may be kept for ever."""
    return f"/static/{name}?v={_digest(name)}"


@lru_cache(maxsize=64)
def _digest(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]


@lru_cache(maxsize=1)
def _build() -> str:
    """Changes with every template and file, so that no page outlives an upgrade."""
    files = sorted([*STATIC.parent.glob("templates/**/*.html"), *STATIC.glob("*.*")])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


class StaticFile(Given):
    """Which file."""

    name: str
    v: str = ""


@PAGES.add("GET", "/static/<path:name>", None, StaticFile)
def static_file(call: Call[StaticFile]) -> Any:
    """A script, style or picture of the pages."""
    name = call.given.name
    file = (STATIC / name).resolve()
    if not (file.is_relative_to(STATIC) and file.is_file()):
        raise NotFound(f"There is no file {name} here.")
    response = send_from_directory(STATIC, name)
    kept = call.given.v == _digest(name) or name.startswith("vendor/")
    response.headers["Cache-Control"] = FOREVER if kept else "no-cache"
    return response
