"""OpenAPI and the page to read, both from the declarations the server itself runs by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Any, Final

import orch
from orch import errors
from web.problems import OF_HTTP, TooManySimulations, TooManyStreams, status_of
from web.routes import Route

PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "suggested_fix"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence for a person."},
        "code": {"type": "string", "description": "The same for a program."},
        "suggested_fix": {"type": "string", "description": "What to do next."},
    },
    "additionalProperties": True,
}
_TEXT: Final = {"/jobs/<job_id>/log": "text/plain", "/metrics": "text/plain", "/docs": "text/html"}


def openapi(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole interface."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        address = re.sub(r"<(\w+)>", r"{\1}", route.path)
        paths.setdefault(address, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "orch", "version": orch.__version__},
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": route.view.__name__,
        "summary": route.says,
        "parameters": [*_parameters(route)],
        "responses": _responses(route),
        "security": [{"token": []}] if route.role else [],
    }
    if route.role:
        described["description"] = f"Needs the role {route.role}."
    if route.source != "query":
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
        if route.source == "body" and not in_path:
            continue
        needed = in_path or (name in required and route.source == "query")
        found.append(
            {
                "name": name,
                "in": "path" if in_path else "query",
                "required": needed,
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
    whole: dict[str, Any] = {"type": "object", "properties": shapes, "additionalProperties": False}
    required = [name for name in schema.get("required", ()) if name in shapes]
    if route.source == "body":
        whole["required"] = required
    described = {"required": route.source == "body", "content": {"application/json": {}}}
    described["content"] = {"application/json": {"schema": whole}}
    if route.source == "either":
        needed = f" {', '.join(required)} must stand in one of them." if required else ""
        described["description"] = f"Each value may stand here or in the query.{needed}"
    return described


def _responses(route: Route) -> dict[str, Any]:
    kind = _TEXT.get(route.path, "application/json")
    shape = {"type": "object"} if kind == "application/json" else {"type": "string"}
    good = "201" if route.endpoint == "POST /tasks" else "200"
    found: dict[str, Any] = {good: {"description": "Done.", "content": {kind: {"schema": shape}}}}
    if route.path == "/events":
        found[good]["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    if route.path == "/queue":
        found["304"] = {"description": "Nothing has changed since the ETag that was sent."}
    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
    found["default"] = {
        "description": "What is wrong, and what to do.",
        "content": {"application/problem+json": reference},
    }
    return found


@cache
def codes() -> dict[str, tuple[int, str, str]]:
    """Every code a problem may carry: status, meaning, what to do."""
    known = [each for each in vars(errors).values() if isinstance(each, type)]
    found = {code: (status, "", fix) for status, (code, fix) in OF_HTTP.items()}
    for each in [*known, TooManyStreams, TooManySimulations]:
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
