"""Every error as application/problem+json: one sentence, a code, and what to do next."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import structlog
from flask import Flask, Response, current_app, g, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as Answer

from orch.errors import (
    BadInput,
    BrokerUnavailable,
    DoesNotFit,
    Forbidden,
    IllegalTransition,
    LostRace,
    NotFound,
    OrchError,
    SchemaMismatch,
    StoreUnavailable,
    TooManyTries,
    Unauthorised,
)
from web import entrance, turned_away
from web.visits import Visit

log = structlog.get_logger(__name__)
TYPE: Final = "application/problem+json"
RETRY_AFTER: Final = "5"
"""Seconds after which somebody turned away by load or by a service that is down may come again."""


class TooManyStreams(OrchError):
    """As many streams are open as this server keeps open at a time."""

    code: ClassVar[str] = "too_many_streams"
    fix: ClassVar[str] = "Close one, or ask again in a moment without following."


class TooManySimulations(OrchError):
    """This server is playing another line forward at the moment."""

    code: ClassVar[str] = "too_many_simulations"
    fix: ClassVar[str] = "Ask again in a few seconds."


class DoorClosed(NotFound):
    """No webhooks of this sender are taken: no secret for them is set."""

    code: ClassVar[str] = "door_closed"
    fix: ClassVar[str] = "Set ORCH_<SENDER>_WEBHOOK_SECRET to the secret that the sender has."


class BadSignature(Unauthorised):
    """The signature is not that of this body under the secret that is set here."""

    code: ClassVar[str] = "bad_signature"
    fix: ClassVar[str] = "Give the sender's webhook and orch the same secret; see docs/webhooks.md."


class InboxFull(TooManyTries):
    """As many hints of this sender wait as are kept; what is missed is found by asking it."""

    code: ClassVar[str] = "inbox_full"
    fix: ClassVar[str] = "Nothing needs to be sent again."


OF_THE_WEB: Final[tuple[type[OrchError], ...]] = (
    TooManyStreams,
    TooManySimulations,
    DoorClosed,
    BadSignature,
    InboxFull,
)
"""Errors that only the web knows."""

STATUS: Final[dict[type[OrchError], int]] = {
    BadInput: 400,
    DoesNotFit: 409,
    Unauthorised: 401,
    Forbidden: 403,
    NotFound: 404,
    IllegalTransition: 409,
    LostRace: 409,
    TooManyStreams: 429,
    TooManyTries: 429,
    TooManySimulations: 429,
    BrokerUnavailable: 503,
    StoreUnavailable: 503,
    SchemaMismatch: 503,
    OrchError: 500,
}
"""The status of each error; a subclass has that of the nearest class above it."""

OF_HTTP: Final[dict[int, tuple[str, str]]] = {
    400: ("bad_request", "Send a well-formed request, to a host name this server answers to."),
    404: ("no_such_page", "See /docs for every call there is."),
    405: ("method_not_allowed", "Use one of the methods named in the Allow header; see /docs."),
    413: ("too_large", "Send less: a body may have one megabyte."),
    414: ("address_too_long", "Send less in the address: it may have eight kilobytes."),
    415: ("wrong_content_type", "Send `Content-Type: application/json`, not compressed."),
    416: ("range_not_there", "Ask for a range within the length named in Content-Range."),
    431: ("headers_too_large", "Send fewer or shorter headers."),
}
"""Code and next step for what the web framework refuses by itself."""

REFUSED: Final = ("refused", "See /docs for every call there is.")
"""The same for anything else."""

IN_A_BROWSER: Final[dict[str, str]] = {
    "no_such_page": "Look at the address again, or go on from the overview.",
    "method_not_allowed": "This address takes a form: go back, and send it from its page.",
}
"""What to do next, where the words of `OF_HTTP` are for programs."""

# What failed inside may name hosts and accounts: the log gets it, the caller does not.
_NOT_TOLD: Final = (StoreUnavailable, BrokerUnavailable)


def status_of(error: OrchError) -> int:
    """The HTTP status of an error of orch."""
    return next(STATUS[known] for known in type(error).__mro__ if known in STATUS)


def register(app: Flask) -> None:
    """Answer every error, the framework's own included, as a problem."""
    app.register_error_handler(OrchError, _of_orch)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(Exception, _unexpected)


def problem(status: int, code: str, detail: str, fix: str, **facts: Any) -> Response:
    """One problem as a response; to a person with a browser as a page."""
    response = _for_people(status, code, detail, fix)
    if response is None:
        response = _for_programs(status, code, detail, fix, facts)
        if status == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="orch"'
    if status in (429, 503):
        response.headers["Retry-After"] = str(facts.get("retry_after", RETRY_AFTER))
    return response


def _for_people(status: int, code: str, detail: str, fix: str) -> Response | None:
    if not request.path.startswith("/ui/"):
        return None
    title, visit = HTTPStatus(status).phrase, _visit(status)
    who = {"visit": visit, "holder": visit and visit.holder, "csrf": visit.csrf if visit else ""}
    said = {"title": title, "detail": detail, "fix": IN_A_BROWSER.get(code, fix)}
    text = render_template("problem.html", here=request.path, before=_before(), **said, **who)
    return Response(text, status, content_type="text/html; charset=utf-8")


def _visit(status: int) -> Visit | None:
    """Whose page it is, also where nothing is that anybody could have been let into."""
    visit: Visit | None = g.get("visit")
    if visit is not None or status != HTTPStatus.NOT_FOUND:
        return visit
    desk = current_app.extensions["orch"]
    try:
        return entrance.visit(desk.line, desk.settings, request)
    except OrchError as error:
        log.info("web.refused", method=request.method, status=status, code=error.code)
        return None


def _before() -> str:
    """The page of ours that led here; empty where it was none, or this one."""
    try:
        came = urlsplit(request.referrer or "")
    except ValueError:  # a program may send anything
        return ""
    address = came.path + (f"?{came.query}" if came.query else "")
    # Not by `request.host`, which a name that is not ours would end.
    ours = came.netloc == request.headers.get("Host") and turned_away.local(address) == address
    return address if ours and address != request.full_path.rstrip("?") else ""


def _for_programs(status: int, code: str, detail: str, fix: str, facts: dict[str, Any]) -> Response:
    return Response(_told(status, code, detail, fix, facts), status, content_type=TYPE)


def _told(status: int, code: str, detail: str, fix: str, facts: dict[str, Any]) -> str:
    body = {
        **facts,
        "type": f"/docs#{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "suggested_fix": fix,
    }
    return json.dumps(body, default=str)


def unread(status: int) -> str:
    """The problem of a request that the server refuses before anybody has read it."""
    code, fix = OF_HTTP.get(status, REFUSED)
    return _told(status, code, HTTPStatus(status).description or "It cannot be read.", fix, {})


def _of_orch(error: OrchError) -> Response:
    status = status_of(error)
    hidden = isinstance(error, _NOT_TOLD)
    if status >= 500:
        log.error("web.failed", method=request.method, path=request.path, error=error.message)
    else:
        log.info("web.refused", method=request.method, status=status, code=error.code)
    detail = (type(error).__doc__ or "").splitlines()[0] if hidden else error.message
    return problem(status, error.code, detail, error.suggested_fix, **error.facts)


def _of_http(error: HTTPException) -> Answer:
    given = error.get_response(request.environ)
    status = given.status_code
    if status < 400:
        return given
    code, fix = OF_HTTP.get(status, REFUSED)
    log.info("web.refused", method=request.method, status=status, code=code)
    response = problem(status, code, error.description or HTTPStatus(status).phrase, fix)
    for name in ("Allow", "Content-Range"):
        if name in given.headers:
            response.headers[name] = given.headers[name]
    return response


def _unexpected(error: Exception) -> Response:
    log.exception("web.crashed", method=request.method, path=request.path, exc_info=error)
    return problem(
        500,
        "internal_error",
        "Something in orch went wrong; nothing was changed halfway.",
        "Look at the log of the web process.",
    )
