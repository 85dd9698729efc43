"""OpenAPI and the page to read, both from the declarations the server itself runs by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Any, Final

import orch
from orch import errors
from web.answers import ANSWERS, OF_TASK
from web.problems import OF_HTTP, OF_THE_WEB, status_of
from web.routes import Route
from web.schemas import SCHEMAS

_PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}
_ADDRESSED: Final = {
    "/queue": ("If-None-Match", "The ETag of an earlier answer: 304 if nothing changed."),
    "/events": ("Last-Event-ID", "Of a stream: the last event that was seen."),
    "/jobs/<job_id>/log": ("Range", "A part of the log: bytes=0-1023."),
}
"""The one header that a call reads beside its token."""
_SAYS: Final = {
    400: "A value is missing, unknown or cannot be used.",
    401: "No valid token.",
    403: "The role is too small, the repo is not among the token's, or a foreign page asked.",
    404: "Nothing of that name.",
    409: "Not possible in this state, or at this time.",
    413: "The body is too large.",
    414: "The address is too long.",
    415: "The body is not JSON, or compressed.",
    416: "The log is shorter.",
    429: "Too many at a time, or too many tries.",
    431: "The headers are too large.",
    500: "Something in orch went wrong.",
    503: "The database or the broker does not answer.",
}
_BUSY: Final = ("/events", "/jobs/<job_id>/log", "/simulate")
ABOUT: Final = (
    "Every error is a problem as of RFC 9457. A method that an address does not know is answered "
    "with 405 and `Allow`, an unknown address with 404."
)
_SIGNED: Final[dict[str, Any]] = {
    "required": True,
    "description": "What the service sends, byte for byte as it signed it.",
    "content": {"application/json": {"schema": {"type": "object"}}},
}
EITHER: Final = "Each value may stand in the query instead, `preview=1` as well; none in both."
# OpenAPI has no word for "here or there": the body is described, and that the query is read, too.
IN_QUERY_TOO: Final = "x-in-query-too"
_TEXT: Final = {"/jobs/<job_id>/log": "text/plain", "/metrics": "text/plain", "/docs": "text/html"}


def openapi(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole interface."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(address(route), {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "orch", "version": orch.__version__, "description": ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def address(route: Route) -> str:
    """Its path in OpenAPI's words."""
    return re.sub(r"<(\w+)>", r"{\1}", route.path)


def _operation(route: Route) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": route.view.__name__,
        "summary": route.says,
        "parameters": [*_parameters(route), *_headers(route)],
        "responses": _responses(route),
        "security": [{"token": []}] if route.role else [],
    }
    if route.role:
        described["description"] = f"Needs the role {route.role}."
    if route.source == "raw":
        described["requestBody"] = _SIGNED
    elif route.source != "query":
        described["requestBody"] = _body(route)
    return described


def _schema(route: Route) -> dict[str, Any]:
    # By name: an alias is taken, but there is one word that is documented.
    return route.takes.model_json_schema(by_alias=False, ref_template="#/{model}")


def _parameters(route: Route) -> list[dict[str, Any]]:
    schema = _schema(route)
    required = set(schema.get("required", ()))
    found = []
    for name, shape in schema.get("properties", {}).items():
        in_path = name in route.path_names
        if route.source != "query" and not in_path:
            continue
        found.append(
            {
                "name": name,
                "in": "path" if in_path else "query",
                "required": in_path or name in required,
                "description": shape.get("description", ""),
                "schema": {key: value for key, value in shape.items() if key != "description"},
            }
        )
    return found


def _body(route: Route) -> dict[str, Any]:
    schema = _schema(route)
    shapes = {
        name: shape for name, shape in schema["properties"].items() if name not in route.path_names
    }
    required = [name for name in schema.get("required", ()) if name in shapes]
    whole = {"type": "object", "properties": shapes, "additionalProperties": False}
    if required:
        whole["required"] = required
    described: dict[str, Any] = {"required": bool(required)}
    described["content"] = {"application/json": {"schema": whole}}
    if route.source == "either":
        described |= {"description": EITHER, IN_QUERY_TOO: True}
    return described


def _headers(route: Route) -> list[dict[str, Any]]:
    if route.path not in _ADDRESSED:
        return []
    name, says = _ADDRESSED[route.path]
    where = {"name": name, "in": "header", "required": False}
    # What cannot be used is passed over, as HTTP has it.
    return [{**where, "description": says, "schema": {"type": "string"}}]


def _good(route: Route) -> dict[str, Any]:
    if route.path in _TEXT:
        content = {_TEXT[route.path]: {"schema": {"type": "string"}}}
    else:
        content = {"application/json": {"schema": ANSWERS.get(route.endpoint, OF_TASK)}}
    if route.path == "/events":
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return {"description": "Done.", "content": content}


def _responses(route: Route) -> dict[str, Any]:
    good = _good(route)
    found: dict[str, Any] = {"200": good}
    if route.endpoint == "POST /tasks":
        where = {"description": "Where it is.", "required": True, "schema": {"type": "string"}}
        found = {"201": {**good, "headers": {"Location": where}}}
    if route.path == "/queue":
        tag = {"description": "Of this answer.", "required": True, "schema": {"type": "string"}}
        good["headers"] = {"ETag": tag}
        found["304"] = {"description": "Nothing has changed since the ETag that was sent."}
    if route.path == "/jobs/<job_id>/log":
        found["206"] = {**good, "description": "The range that was asked for."}
    for status in refusals(route):
        content = {"application/problem+json": {"schema": _PROBLEM}}
        found[str(status)] = {"description": _SAYS[status], "content": content}
        if status in (429, 503):
            after = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
            found[str(status)]["headers"] = {"Retry-After": after}
    return found


def refusals(route: Route) -> list[int]:
    """The statuses with which a call may be refused."""
    found = {400, 414, 431, 500, 503}
    if route.role:
        found |= {401, 403, 429}
    if route.source == "raw":
        found |= {401, 404, 429}
    if route.path_names or {"work_item", "repo", "control"} & set(route.takes.model_fields):
        found.add(404)
    if (route.method != "GET" and route.source != "raw") or route.path in (
        "/report",
        "/simulate",
        "/tasks/<work_item>/story",
    ):
        found.add(409)
    if route.source != "query":
        found |= {413, 415}
    if route.path in _BUSY:
        found.add(429)
    if route.path == "/jobs/<job_id>/log":
        found.add(416)
    return sorted(found)


@cache
def codes() -> dict[str, tuple[int, str, str]]:
    """Every code a problem may carry: status, meaning, what to do."""
    known = [each for each in vars(errors).values() if isinstance(each, type)]
    found = {code: (status, "", fix) for status, (code, fix) in OF_HTTP.items()}
    for each in [*known, *OF_THE_WEB]:
        if issubclass(each, errors.OrchError):
            meaning = (each.__doc__ or "").splitlines()[0]
            found[each.code] = (status_of(each()), meaning, each.fix)
    found["internal_error"] = (500, "Something in orch went wrong.", "Look at the web's log.")
    return dict(sorted(found.items(), key=lambda item: (item[1][0], item[0])))


def page(routes: Sequence[Route]) -> str:
    """The interface for a person: every call and every code, without a script or a style."""
    calls = "".join(map(_call, routes))
    rows = "".join(
        f'<tr id="{escape(code)}"><td><code>{escape(code)}</code><td>{status}'
        f"<td>{escape(meaning)}<td>{escape(fix)}"
        for code, (status, meaning, fix) in codes().items()
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>orch: the HTTP interface'
        "</title><h1>The HTTP interface</h1><p>JSON in, JSON out; errors are "
        "<code>application/problem+json</code>. Send <code>Authorization: Bearer &lt;token&gt;"
        '</code>. For programs: <a href="/openapi.json">openapi.json</a>.<h2>Calls</h2><dl>'
        f"{calls}</dl><h2>Problems</h2><table><tr><th>code<th>status<th>meaning<th>what to do"
        f"{rows}</table></html>"
    )


def _call(route: Route) -> str:
    takes = "".join(
        f"<li><code>{escape(name)}</code> {escape(shape.get('description', ''))}"
        for name, shape in _schema(route).get("properties", {}).items()
    )
    return (
        f"<dt><code>{escape(route.endpoint)}</code> ({route.role or 'everybody'})"
        f"<dd>{escape(route.says)}<ul>{takes}</ul>"
    )
