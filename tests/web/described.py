"""Every answer of the API that a test sees, compared with what openapi.json says about it."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from flask.testing import FlaskClient
from jsonschema import Draft202012Validator, FormatChecker
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from web import documents
from web.api import ROUTES

FORMATS = FormatChecker(())


@FORMATS.checks("date-time", raises=ValueError)
def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@cache
def _described() -> tuple[dict[str, Any], dict[str, Any]]:
    """What is said of the answers of each endpoint, and the shapes that have a name."""
    spec = documents.openapi(ROUTES.all)
    said = {
        route.endpoint: spec["paths"][documents.address(route)][route.method.lower()]["responses"]
        for route in ROUTES.all
    }
    return said, spec["components"]


@cache
def _validator(endpoint: str, status: str, kind: str) -> Draft202012Validator | None:
    said, components = _described()
    content = said[endpoint][status].get("content", {})
    if kind not in content:
        return None
    schema = {**content[kind]["schema"], "components": components}
    return Draft202012Validator(schema, format_checker=FORMATS)


def differences(endpoint: str, answer: TestResponse) -> list[str]:
    """What is in an answer and not in the description of this call, or the other way round."""
    status, kind = str(answer.status_code), answer.mimetype
    if status not in _described()[0][endpoint]:
        return [f"{endpoint}: {status} is not described: {answer.text[:300]}"]
    validator = _validator(endpoint, status, kind)
    if validator is None:
        return [f"{endpoint}: {status} as {kind} is not described"] if answer.data else []
    if "json" not in kind:
        return []
    return [
        f"{endpoint} {status} {each.json_path}: {part.message}"
        for each in validator.iter_errors(answer.get_json(force=True))
        for part in each.context or [each]
    ]


class Comparing(FlaskClient):
    """Somebody who believes the description, and says where it is wrong."""

    def open(self, *args: Any, **more: Any) -> TestResponse:
        answer = super().open(*args, **more)
        asked = answer.request
        try:
            endpoint, _ = self.application.url_map.bind("").match(asked.path, asked.method)
        except HTTPException:
            return answer
        if endpoint in _described()[0]:
            wrong = differences(endpoint, answer)
            assert not wrong, "\n".join(wrong)
        return answer
