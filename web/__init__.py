"""The web app: orch's use cases over HTTP, and the pages for people beside the API."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Flask, Response, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import SecurityError

from orch import bootstrap
from orch.changes import Changes
from orch.clock import Clock, utc_now
from orch.config import Settings
from orch.line import Line
from orch.passwords import Passwords
from web import problems
from web.given import BODY_LIMIT
from web.proxies import Proxies, Wsgi
from web.routes import Desk
from web.streams import Streams

ON_THIS_MACHINE: Final = ("localhost", "127.0.0.1", "::1")
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # To no other host; with `no-referrer` browsers would call the origin of our own forms null.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "Cache-Control": "no-store",
}
"""On every answer that does not say otherwise itself."""


TRANSPORT: Final = "max-age=31536000"
"""How long a browser that came by HTTPS comes by nothing else."""


def _with_host(app: Wsgi) -> Wsgi:
    """The host in lower case: in capitals it is the same, but Werkzeug knows none such."""

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "").lower()
        try:
            environ["HTTP_HOST"] = urlsplit(f"http://{host}").netloc
        except ValueError:  # what is no host of any kind is not ours
            environ["HTTP_HOST"] = ""
        return app(environ, start_response)

    return answer


class _App(Flask):
    """Flask behind whatever proxies the settings name."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("web", static_folder=None)
        self._proxies = Proxies(_with_host(super().wsgi_app), settings)

    def wsgi_app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Serve one request."""
        return self._proxies(environ, start_response)


class _Json(DefaultJSONProvider):
    """Times as ISO 8601 in UTC, keys in the order in which they were written."""

    sort_keys = False

    @staticmethod
    def default(value: Any) -> Any:
        """What JSON has no word for."""
        if isinstance(value, datetime):
            return value.isoformat().replace("+00:00", "Z")
        return DefaultJSONProvider.default(value)


def create_app(
    line: Line,
    settings: Settings,
    *,
    clock: Clock = utc_now,
    streams: Streams | None = None,
    changes: Changes | None = None,
    passwords: Passwords | None = None,
) -> Flask:
    """The app on a line that is ready. It opens no session of its own and reads no environment."""
    from web import pages
    from web.api import ROUTES

    app = _App(settings)
    app.json = _Json(app)
    app.config.update(
        MAX_CONTENT_LENGTH=BODY_LIMIT + 1,
        MAX_FORM_MEMORY_SIZE=BODY_LIMIT,
    )
    app.extensions["orch"] = desk = Desk(
        line,
        settings,
        clock,
        streams or Streams(),
        changes or bootstrap.build_changes(settings),
        passwords or Passwords(),
    )
    problems.register(app)
    names = trusted_hosts(settings)
    app.before_request(lambda: _refuse_other_names(names))
    app.after_request(_secured)
    ROUTES.register(app, desk)
    pages.register(app, desk)
    return app


def trusted_hosts(settings: Settings) -> frozenset[str]:
    """The names a request may call this server by: a page elsewhere cannot rebind its own to us."""
    bound = [] if settings.web_host in ("0.0.0.0", "::", "") else [settings.web_host]  # noqa: S104
    return frozenset(map(_one_form, (*ON_THIS_MACHINE, *bound, *settings.web_names)))


def _one_form(host: str) -> str:
    """A host's name or address without brackets, however it was written."""
    host = host.lower().strip("[]")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def _refuse_other_names(known: frozenset[str]) -> None:
    # Not Werkzeug's own check, which knows no address of IPv6.
    host = urlsplit(request.host_url).hostname
    if host is None or _one_form(host) not in known:
        raise SecurityError("This server is not called so; ORCH_WEB_NAMES names it.")


def _secured(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", TRANSPORT)
    return response
