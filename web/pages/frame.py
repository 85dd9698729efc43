"""What every page has: its declaration, its frame, an ETag, and times that people can read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from flask import Flask, Response, render_template, request, send_from_directory
from jinja2 import StrictUndefined
from markupsafe import Markup

import orch
from orch import events, names
from orch.errors import NotFound
from orch.tokens import Holder
from web.given import Given
from web.pages import done, words
from web.routes import Call, Routes

PAGES: Final = Routes()
"""Every page, as it is declared. Only people come here: cookies and forms, never tokens."""
STATIC: Final = Path(__file__).parent.parent / "static"
HTML: Final = "text/html; charset=utf-8"
MOST: Final = 30.0
"""How many seconds a page may be answered with 304, though nothing that it shows has an end."""
AGE: Final = 1e12
"""The revision without its own bucket of time: the tag of a page knows better when it ends."""
Ask = Callable[[], dict[str, Any]]
FOREVER: Final = "public, max-age=31536000, immutable"

NAVIGATION: Final = (
    ("/ui/", "Overview"),
    ("/ui/line", "Line"),
    ("/ui/agents", "Agents"),
    ("/ui/report", "Time"),
    ("/ui/simulate", "What if"),
    ("/ui/ledger", "Ledger"),
    ("/ui/notices", "Notices"),
    ("/ui/settings", "Settings"),
)


def navigation(holder: Holder | None) -> list[tuple[str, str]]:
    """The pages that somebody may look at; the routes themselves say who that is."""
    needed = {route.path: route.role for route in PAGES.all if route.method == "GET"}
    return [
        (address, name)
        for address, name in NAVIGATION
        if holder is None or holder.may(needed[address] or "viewer")
    ]


def prepare(app: Flask) -> None:
    """Teach the app's templates what the pages need."""
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(asset=asset, navigation=navigation, version=orch.__version__)
    said: list[Callable[..., Any]] = [when, ago, lasting, exact, span]
    said += [words.chip, words.told, words.opening, words.query, words.ways, words.parked]
    said += [words.titled, words.visible, words.plain, words.told_data]
    app.jinja_env.filters.update({each.__name__: each for each in said})


def show(call: Call[Any], template: str, *, status: int = 200, **facts: Any) -> Response:
    """A page in its frame; `facts` are what its template shows. `back` is its own address."""
    known = {"here": request.path, "back": request.full_path.rstrip("?"), "now": call.desk.clock()}
    known |= {"call": call, "holder": call.holder, "csrf": call.csrf, "visit": call.visit}
    known["flash"] = flash = done.said(call, request)
    response = Response(render_template(template, **{**known, **facts}), status, content_type=HTML)
    if flash:
        done.forget(response)
    return response


def live(call: Call[Any], template: str, ask: Ask, also: str = "", most: float = MOST) -> Response:
    """A page that refreshes: 304 when nothing changed, else the page of what `ask()` answers.

    `also` is what the page shows beside the line, as a text that changes with it. What time alone
    changes is part of the tag: it holds until the first moment to come that is among the facts,
    such as the end of a freeze, and for `most` seconds.
    """
    # Asked before the facts are: a write between the two makes the next answer new, never stale.
    seen = _seen(call, also)
    now = call.desk.clock()
    # Nothing of it is left in the browser; its own script remembers the tag, and asks with it.
    headers = {"Cache-Control": "no-store"}
    if not done.is_told(request):
        for tag in request.if_none_match.as_set(include_weak=True):
            if _still_holds(tag, seen, now):
                return Response(status=304, headers={**headers, "ETag": f'W/"{tag}"'})
    facts = ask()
    end = min([now + timedelta(seconds=most), *_moments_after(now, facts)])
    tag = f'W/"{seen}-{end.timestamp():.0f}"'
    response = show(call, template, tag=tag, **facts)
    response.headers.update(headers)
    if "Set-Cookie" not in response.headers:  # what was said once is not said again
        response.headers["ETag"] = tag
    return response


def _seen(call: Call[Any], also: str) -> str:
    who = f"{call.holder.name}|{call.holder.role}|{call.csrf}"
    parts = (events.revision(call.desk.line, AGE), who, request.full_path, also, _build())
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _still_holds(tag: str, seen: str, now: datetime) -> bool:
    known, _, end = tag.partition("-")
    return known == seen and end.isascii() and end.isdigit() and now.timestamp() < int(end)


def _moments_after(now: datetime, facts: Any) -> Iterator[datetime]:
    left = [facts]
    while left:
        each = left.pop()
        inside = each.values() if isinstance(each, Mapping) else each
        for value in inside:
            if isinstance(value, datetime):
                if value > now:
                    yield value
            elif isinstance(value, dict | list | tuple):
                left.append(value)


# --- times ------------------------------------------------------------------------------------


def when(moment: datetime | None, now: datetime) -> Markup:
    """A moment as people say it, with the exact one behind it."""
    if moment is None:
        return Markup("–")
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(
        exact(moment), _said(moment, now)
    )


def ago(moment: datetime, now: datetime) -> Markup:
    """The same for hundreds on a page: the exact moment is put behind it by the page."""
    # Nothing of it needs to be escaped, and to make sure costs more than to write it.
    return Markup(f'<time datetime="{exact(moment)}">{_said(moment, now)}</time>')  # noqa: S704


def _said(moment: datetime, now: datetime) -> str:
    seconds = (now - moment).total_seconds()
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


def lasting(since: datetime, now: datetime) -> Markup:
    """How long something has lasted, kept true by the page."""
    said = span(max(0.0, (now - since).total_seconds()))
    return Markup('<time data-plain datetime="{0}" title="{0}">{1}</time>').format(
        exact(since), said
    )


def exact(moment: datetime) -> str:
    """A moment as machines read it, to the second."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


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


def _is_ours(name: str) -> bool:
    try:
        file = (STATIC / name).resolve()
        return file.is_relative_to(STATIC) and file.is_file()
    except (ValueError, OSError):  # no file can be called so
        return False


@PAGES.add("GET", "/static/<path:name>", None, StaticFile)
def static_file(call: Call[StaticFile]) -> Any:
    """A script, style or picture of the pages."""
    name = call.given.name
    if not _is_ours(name):
        raise NotFound(f"There is no file {names.shown(name)} here.")
    response = send_from_directory(STATIC, name)
    kept = call.given.v == _digest(name) or name.startswith("vendor/")
    response.headers["Cache-Control"] = FOREVER if kept else "no-cache"
    return response
