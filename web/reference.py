"""Writes docs/api.md from the OpenAPI document: `python -m web.reference [--check]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from orch import docs
from web import documents
from web.api import ROUTES

SERVER: Final = "http://127.0.0.1:8765"
_IN_PATH: Final = {"work_item": "ORCH-123", "job_id": "17", "notice_id": "4", "agent": "developer"}
_TOKEN: Final = "-H 'Authorization: Bearer …'"  # noqa: S105 - a place for one

INTRO: Final = """\
`orch web` (or `orch up`) answers on `http://127.0.0.1:8765`. `/openapi.json` describes every call
for programs, `/docs` is a short list on the server itself; this page is made from the former.

## Who may call

`orch token add NAME --role viewer|operator|admin` makes a token and shows it once; only its hash
is kept. Send it as `Authorization: Bearer <token>`, never in the address. Until the first token
or person is made, callers on the same machine may do everything, as `local`; from then on nobody
may anything without a token, also when it has been revoked. `--repos GLOB` limits an operator's
token to some repos. People come by [another door](sign-in.md).

It answers only to `localhost` and the address it is bound to; other host names stand in
`ORCH_WEB_NAMES`. A page of another site may change nothing, there is no CORS, and cookies mean
nothing.

| role | may |
|---|---|
| `viewer` | read everything |
| `operator` | and steer |
| `admin` | and configure |

## Controls

Values of a control go into the query or into a JSON body. With `preview=1` nothing is written,
and the answer says what would happen at the next tick: `starts` names the tasks it would start
and would not start without the order, `held` those whose gate opens and that lack a slot or a
worker, `begins_waiting` those that would wait from then on; `changes` has each with its reason
before and after, `not_compared` what was too much to look at, `sentence` all of it in words.
Every other answer to a control is the state *after* the write, with `changed` saying whether
anything was.

```console
$ curl -s -X POST 'http://127.0.0.1:8765/serial-gate/pause?work_item=ORCH-116&preview=1' \\
    -H 'Authorization: Bearer …' -H 'Content-Type: application/json' -d '{"reason": "in Backlog"}'
{"preview": true, "changed": true, "starts": ["ORCH-123"], "begins_waiting": ["ORCH-116"], …
 "sentence": "ORCH-123 starts; ORCH-130 waits for ORCH-123; ORCH-116 is parked"}
```
"""


def page() -> str:
    """docs/api.md: who may call, and every call with its parameters, an example, its errors."""
    spec = documents.openapi(ROUTES.all)
    lines = ["# The HTTP interface", docs.NOTE, "", INTRO.rstrip(), "", "## Calls", ""]
    lines += ["| call | role | does |", "|---|---|---|"]
    for route in ROUTES.all:
        place = _anchor(route.method, route.path)
        lines.append(
            f"| [`{route.method} {route.path}`](#{place}) | {route.role or '–'} | {route.says} |"
        )
    for route in ROUTES.all:
        address = documents.address(route)
        said = spec["paths"][address][route.method.lower()]
        lines += ["", *_call(route.method, address, route.role, said, spec)]
    return "\n".join([*lines, "", *_problems(), ""])


def _anchor(method: str, path: str) -> str:
    kept = "".join(each for each in path.lower() if each.isalnum() or each in "_-")
    return f"{method.lower()}-{kept}"


def _call(
    method: str, address: str, role: str | None, said: Mapping[str, Any], spec: Mapping[str, Any]
) -> list[str]:
    lines = [f"### {method} {address}", "", said["summary"], ""]
    lines += [
        f"Role: {role or _open(address)}.",
        "",
    ]
    rows = _parameters(said)
    if rows:
        lines += ["| parameter | in | means |", "|---|---|---|", *rows, ""]
    lines += ["```console", f"$ {_curl(method, address, role, said)}", "```", "", "Answers:", ""]
    for status, answer in said["responses"].items():
        lines.append(f"- {status} {HTTPStatus(int(status)).phrase}: {_answer(answer, spec)}")
    return lines


def _open(address: str) -> str:
    return "none, but a signature" if "/webhooks/" in address else "none, anybody may ask"


def _parameters(said: Mapping[str, Any]) -> list[str]:
    rows = [
        _row(each["name"], each["in"], each["required"], each["description"], each["schema"])
        for each in said["parameters"]
    ]
    body = said.get("requestBody")
    if body is None:
        return rows
    schema = body["content"]["application/json"]["schema"]
    where = "body or query" if body.get(documents.IN_QUERY_TOO) else "body"
    rows += [
        _row(name, where, name in schema.get("required", ()), shape.get("description", ""), shape)
        for name, shape in schema.get("properties", {}).items()
    ]
    return rows


def _row(name: str, where: str, needed: bool, says: str, shape: Mapping[str, Any]) -> str:
    default = shape.get("default")
    facts = [says] if says else []
    facts += ["Required."] if needed else []
    facts += [f"One of {', '.join(map(str, shape['enum']))}."] if "enum" in shape else []
    facts += [f"Usually {json.dumps(default)}."] if default not in (None, "", []) else []
    return f"| `{name}` | {where} | {' '.join(facts).replace('|', chr(92) + '|')} |"


def _curl(method: str, address: str, role: str | None, said: Mapping[str, Any]) -> str:
    path = address
    for name, value in _IN_PATH.items():
        path = path.replace(f"{{{name}}}", value)
    words = ["curl -s", *([f"-X {method}"] if method != "GET" else [])]
    needed = {
        each["name"]: each["schema"]
        for each in said["parameters"]
        if each["required"] and each["in"] == "query"
    }
    query = "&".join(f"{name}={_example(shape)}" for name, shape in needed.items())
    words.append(f"'{SERVER}{path}{'?' + query if query else ''}'")
    words += [_TOKEN] if role else []
    if "requestBody" in said:
        schema = said["requestBody"]["content"]["application/json"]["schema"]
        shapes = schema.get("properties", {})
        wanted = [*schema.get("required", ()), *(["reason"] if "reason" in shapes else [])]
        sent = {name: _example(shapes[name]) for name in dict.fromkeys(wanted)}
        if sent:
            given = json.dumps(sent).replace("'", "")
            words += ["-H 'Content-Type: application/json'", f"-d '{given}'"]
    return " ".join(words)


def _example(shape: Mapping[str, Any]) -> str:
    known = [*shape.get("examples", ()), *shape.get("enum", ()), "…"]
    return str(known[0])


def _answer(answer: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    kinds = []
    for kind, content in answer.get("content", {}).items():
        if kind == "application/problem+json":
            continue
        names = _names(content["schema"], spec)
        kinds.append(
            f"`{kind}`" + (f" with {', '.join(f'`{each}`' for each in names)}" if names else "")
        )
    return " ".join([answer["description"], *(f"{each}." for each in [" or ".join(kinds)] if each)])


def _names(schema: Mapping[str, Any], spec: Mapping[str, Any]) -> list[str]:
    """The names on the outside of an answer; of several shapes, those of the first."""
    if "$ref" in schema:
        return _names(spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]], spec)
    parts = [*schema.get("allOf", ()), *schema.get("anyOf", ())[:1]]
    found = [name for part in parts for name in _names(part, spec)]
    return [*schema.get("properties", {}), *found]


def _problems() -> list[str]:
    rows = [
        f"| `{code}` | {status} | {meaning} | {fix} |"
        for code, (status, meaning, fix) in documents.codes().items()
    ]
    about = "`application/problem+json`: `type, title, status, detail`, a word for programs in"
    return [
        "## Errors",
        "",
        f"{about} `code`, what to do in `suggested_fix`. With 429 and 503 `Retry-After` says",
        "when to come back; a 404 lists in `did_you_mean` what looks like it.",
        "",
        "| code | status | means | do |",
        "|---|---|---|---|",
        *rows,
    ]


PAGES: Final[docs.Pages] = {"docs/api.md": page}

if __name__ == "__main__":
    sys.exit(docs.main(sys.argv[1:], PAGES))
