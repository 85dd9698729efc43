"""The published schemas of a service, read into checks of what goes over the wire.

Reads the files of `tests/contracts/data/`: OpenAPI 3.0, Swagger 2.0, and their trimmed forms.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from jsonschema import Draft202012Validator, FormatChecker

DATA: Final = Path(__file__).parent / "data"
LONG: Final = frozenset({"ref", "branch", "basehead", "filepath"})
"""Parameters of a path that may hold slashes."""
_REF: Final = re.compile(r"#/(?:components/schemas|definitions)/([\w.-]+)")


def contract(name: str) -> dict[str, Any]:
    """What is known of a service's API: its endpoints, schemas and exchanges."""
    known: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text("utf-8"))
    return known


@dataclass(frozen=True)
class Endpoint:
    """One method on one path, and what may go there and come back."""

    id: str
    method: str
    template: str
    pattern: re.Pattern[str]
    query: Mapping[str, Any]
    body: Draft202012Validator | None
    answers: Mapping[str, Draft202012Validator]

    def wrong_in_query(self, query: Mapping[str, str]) -> Iterator[str]:
        """What the service does not know, or does not take."""
        for name, value in query.items():
            if name not in self.query:
                yield f"query {name}: not known"
                continue
            check = Draft202012Validator(_plain(self.query[name], closed=True))
            yield from (f"query {name}: {e.message}" for e in check.iter_errors(_typed(value)))

    def wrong_in_body(self, body: Any) -> Iterator[str]:
        """What of a request's body the schema does not allow; unknown names are wrong as well."""
        if self.body is None:
            if body is not None:
                yield "a body where none is taken"
            return
        yield from _wrong("body", self.body, body)

    def wrong_in_answer(self, status: int, body: Any) -> Iterator[str]:
        """What of an answer is not as published; nothing at a status that is not."""
        if (check := self.answers.get(str(status))) is not None:
            yield from _wrong(f"answer {status}", check, body)


def endpoints(known: Mapping[str, Any]) -> list[Endpoint]:
    """All of a contract, the most particular path first."""
    schemas = dict.fromkeys(_REF.findall(json.dumps(known["endpoints"]))) | (
        known.get("schemas") or known.get("definitions") or {}
    )
    closed = {name: _plain(each, closed=True) for name, each in schemas.items()}
    opened = {name: _plain(each, closed=False) for name, each in schemas.items()}

    def one(each: Mapping[str, Any]) -> Endpoint:
        body = each.get("request_schema") or each.get("body")
        answers = {
            status: _check(schema, opened, closed=False)
            for status, schema in each.get("responses", {}).items()
            if isinstance(schema, dict)
        }
        return Endpoint(
            each["id"],
            each["method"],
            each["path"],
            _pattern(each["path"]),
            each.get("query_params") or each.get("query") or {},
            _check(body, closed, closed=True) if body else None,
            answers,
        )

    found = [one(each) for each in known["endpoints"]]
    return sorted(found, key=lambda each: (each.template.count("{"), -len(each.template)))


def parameters(endpoint: Endpoint, path: str) -> dict[str, str] | None:
    """What stands in a path for the template's parameters; None where it is another path."""
    found = endpoint.pattern.fullmatch(path)
    return found and {name: unquote(value) for name, value in found.groupdict().items()}


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    names = [f"(?P<{n}>{'.+' if n in LONG else '[^/]+'})" for n in parts[1::2]]
    texts = [re.escape(text) for text in parts[::2]]
    return re.compile("".join(text + name for text, name in zip(texts, [*names, ""], strict=True)))


def _check(schema: Any, known: Mapping[str, Any], *, closed: bool) -> Draft202012Validator:
    whole = {**_plain(schema, closed=closed), "$defs": known}
    return Draft202012Validator(whole, format_checker=FormatChecker())


def _plain(schema: Any, *, closed: bool) -> dict[str, Any]:
    """A schema of OpenAPI as one of JSON Schema; `closed` allows no name beside those given."""
    if not isinstance(schema, dict):
        return {}  # trimmed to a name
    if "$ref" in schema:
        found = _REF.fullmatch(schema["$ref"])
        assert found is not None, schema["$ref"]
        return {"$ref": f"#/$defs/{found[1]}"}
    # What was trimmed away allows anything, so that more than one of several may fit.
    plain = {w.replace("oneOf", "anyOf"): _part(w, v, closed) for w, v in schema.items()}
    nullable = plain.pop("nullable", False)
    if plain.get("x-trimmed-enum"):
        del plain["enum"]
    if closed and "properties" in plain:
        plain.setdefault("additionalProperties", False)
    return {"anyOf": [plain, {"type": "null"}]} if nullable else plain


def _part(word: str, value: Any, closed: bool) -> Any:
    if word in ("allOf", "anyOf", "oneOf"):
        return [_plain(each, closed=closed) for each in value]
    if word == "properties":
        # Plane and Gitea answer null where their schemas do not say so.
        known = {name: _plain(each, closed=closed) for name, each in value.items()}
        null = {"type": "null"}
        return known if closed else {k: {"anyOf": [v, null]} for k, v in known.items()}
    return _plain(value, closed=closed) if word == "items" else value


def _typed(value: str) -> Any:
    if re.fullmatch(r"-?\d{1,18}", value):
        return int(value)
    return {"true": True, "false": False}.get(value, value)


def _wrong(where: str, check: Draft202012Validator, value: Any) -> Iterator[str]:
    for error in check.iter_errors(value):
        place = ".".join(str(each) for each in error.absolute_path)
        yield f"{where} {place or 'itself'}: {error.message[:300]}"
