"""What came with a request, read strictly: one model a call, nothing unknown, nothing twice."""

from __future__ import annotations

import json
import math
from typing import Any, ClassVar, Final, Literal, TypeVar
from urllib.parse import unquote_to_bytes

from flask import Request
from pydantic import BaseModel, ConfigDict, ValidationError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from orch import names
from orch.errors import BadInput

BODY_LIMIT: Final = 1024 * 1024
CSRF: Final = "csrf"
"""The field of a form that proves that it came from a page of ours."""
LARGEST_NUMBER: Final = 2**63 - 1
Source = Literal["query", "body", "either", "form", "raw"]
"""Where a call takes its values from; those in the path come on top. A form is a page's; a raw body
is left to the call, which looks at its bytes before anything in them."""


class Given(BaseModel):
    """The values of one call. A value nobody asked for is an error, not a surprise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    many: ClassVar[frozenset[str]] = frozenset()
    """The parameters that may be given more than once."""


G = TypeVar("G", bound=Given)


def read(model: type[G], request: Request, path: dict[str, Any], source: Source) -> G:
    """The values of a request. Raises BadInput, and HTTP errors for a body that is not JSON."""
    query = _query(request, model.many)
    body: dict[str, Any] = {}
    if source == "form":
        body = _form(request, model.many)
    elif source in ("body", "either"):
        body = _body(request)
        _require_booleans(model, body)
    if source == "query" and (request.content_length or 0) > 0:
        raise BadInput("This call takes no body.")
    # A preview is a way of asking, so it stands in the query whatever the rest does.
    stray = sorted(set(query) - {"preview"}) if source in ("body", "form") else []
    if stray:
        raise BadInput(f"This call takes {', '.join(stray)} in its body.", fields=stray)
    values = dict(path)
    for where in (query, body):
        twice = sorted(values.keys() & where.keys())
        if twice:
            raise BadInput(f"{', '.join(map(names.shown, twice))}: given twice.", fields=twice)
        values |= where
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _explained(error, model) from None


def _require_booleans(model: type[Given], body: dict[str, Any]) -> None:
    """Raise BadInput for a 0, a 1 or a "true": only a query or a form has to write them so."""
    for name, value in body.items():
        field = model.model_fields.get(name)
        if field is not None and field.annotation is bool and not isinstance(value, bool):
            raise BadInput(f"{name}: write true or false, without quotes.", fields=[name])


def _query(request: Request, many: frozenset[str]) -> dict[str, Any]:
    try:
        unquote_to_bytes(request.query_string.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise BadInput("The query is not valid UTF-8.") from None
    for name in request.args:
        if name.lower() in ("token", "access_token", "authorization", "api_key"):
            raise BadInput(
                "A token does not belong into an address: it would end up in logs.",
                suggested_fix="Send it as `Authorization: Bearer <token>`, and make a new one.",
                field=name,
            )
    return _each_once(request.args, many)


def _each_once(values_of: MultiDict[str, str], many: frozenset[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, values in values_of.lists():
        if name not in many and len(values) > 1:
            raise BadInput(f"{names.shown(name)}: given twice.", fields=[names.shown(name)])
        found[name] = values if name in many else values[0]
    return found


def _form(request: Request, many: frozenset[str]) -> dict[str, Any]:
    """What a page's form sent. Its CSRF token was looked at before anything else."""
    if (request.content_length or 0) > BODY_LIMIT:
        raise RequestEntityTooLarge
    if request.mimetype not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        raise UnsupportedMediaType("A page sends a form.")
    found = _each_once(request.form, many)
    found.pop(CSRF, None)
    return found


def _body(request: Request) -> dict[str, Any]:
    refuse_announced(request)
    data = raw_body(request)
    if not data:
        return {}
    require_json(request)
    return parse_object(data)


def refuse_announced(request: Request) -> None:
    """Refuse what need not be read: a body that is said to be too large, or compressed."""
    if (request.content_length or 0) > BODY_LIMIT:
        raise RequestEntityTooLarge
    if request.content_encoding:
        raise UnsupportedMediaType("A compressed body is not taken.")


def require_json(request: Request) -> None:
    """Refuse what is not said to be JSON."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("The body must be JSON.")


def raw_body(request: Request) -> bytes:
    """The bytes of the body; never more are read than a body may have."""
    # Where no length was announced, Flask stops one byte later and says nothing.
    data = request.get_data(cache=False)
    if len(data) > BODY_LIMIT:
        raise RequestEntityTooLarge
    return data


def parse_object(data: bytes) -> dict[str, Any]:
    """A JSON object, and nothing that two parsers could read differently. Raises BadInput."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise _not_json("it is not valid UTF-8") from None
    try:
        found = json.loads(
            text,
            object_pairs_hook=_without_doubles,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_bounded,
        )
        # A lone surrogate passes the parser and cannot be stored anywhere.
        json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise _not_json("it is nested too deeply") from None
    except UnicodeEncodeError:
        raise _not_json("it holds half a character") from None
    except json.JSONDecodeError as error:
        raise _not_json(f"{error.msg} at character {error.pos}") from None
    if not isinstance(found, dict):
        raise _not_json("an object is needed")
    return found


def _not_json(why: str) -> BadInput:
    return BadInput(
        f"The body cannot be used: {why}.",
        suggested_fix='Send one JSON object, such as {"reason": "deploy day"}.',
    )


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _not_json(f"“{names.shown(name)}” stands in it twice")
        found[name] = value
    return found


def _no_constant(name: str) -> Any:
    raise _not_json(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _not_json("a number is too large")
    return number


def _bounded(text: str) -> int:
    # The length first: turning a million digits into a number takes seconds.
    if len(text) > 20 or abs(number := int(text)) > LARGEST_NUMBER:
        raise _not_json("a number is too large")
    return number


def _explained(error: ValidationError, model: type[Given]) -> BadInput:
    """The first problems as one sentence that names each parameter."""
    problems, fields = [], []
    for each in error.errors(include_url=False, include_input=False)[:5]:
        field = names.shown(".".join(map(str, each["loc"])))
        fields.append(field)
        problems.append(
            {"extra_forbidden": f"{field} is not known here", "missing": f"{field} is missing"}.get(
                each["type"], f"{field}: {each['msg'][0].lower()}{each['msg'][1:]}"
            )
        )
    return BadInput(
        "; ".join(problems) + ".",
        suggested_fix=f"This call knows: {', '.join(model.model_fields) or 'no parameters'}.",
        fields=fields,
    )
