"""The interface as documents: in step with what is served, because both come from one place."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.web.conftest import Web
from web.documents import codes
from web.routes import is_page

METHODS = {"get", "post", "delete", "put", "patch"}


@pytest.fixture
def spec(web: Web) -> dict[str, Any]:
    found: dict[str, Any] = web.client.get("/openapi.json").get_json()
    return found


def operations(spec: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (path, method): operation
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    }


def is_for_people(path: str) -> bool:
    return is_page(path) or path.startswith("/static/")


def test_every_call_is_documented_and_every_documented_call_exists(
    web: Web, spec: dict[str, Any]
) -> None:
    served = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in web.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
        if not is_for_people(rule.rule)
    }
    assert set(operations(spec)) == served


def test_every_parameter_in_an_address_is_documented(spec: dict[str, Any]) -> None:
    for (path, _), operation in operations(spec).items():
        in_path = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))


def test_every_schema_is_one(spec: dict[str, Any]) -> None:
    for operation in operations(spec).values():
        schemas = [each["schema"] for each in operation["parameters"]]
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        for schema in [*schemas, *([body["schema"]] if body else [])]:
            Draft202012Validator.check_schema(schema)
            assert "$ref" not in str(schema)


def test_names_of_operations_are_unique(spec: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(spec).values()]
    assert len(names) == len(set(names))


def test_what_needs_a_token_says_so(spec: dict[str, Any]) -> None:
    for (path, _), operation in operations(spec).items():
        is_open = path in ("/healthz", "/readyz", "/openapi.json", "/docs")
        is_open = is_open or path.startswith("/webhooks/")  # signed instead
        assert operation["security"] == ([] if is_open else [{"token": []}])


def test_every_parameter_that_is_documented_is_taken(web: Web, spec: dict[str, Any]) -> None:
    web.rig.task("APP-1")
    for (path, method), operation in operations(spec).items():
        address = path.replace("{work_item}", "APP-1").replace("{job_id}", "1")
        for each in operation["parameters"]:
            if each["in"] == "query":
                answer = web.client.open(f"{address}?{each['name']}=%7F", method=method)
                assert "is not known here" not in answer.text, (path, each["name"])


def test_a_problem_is_what_the_document_says(web: Web, spec: dict[str, Any]) -> None:
    schema = Draft202012Validator(spec["components"]["schemas"]["Problem"])
    for address in ("/why", "/why?work_item=NO-1", "/nowhere", "/queue?limit=x"):
        schema.validate(web.client.get(address).get_json(force=True))


def test_the_page_names_every_call_and_every_code(web: Web, spec: dict[str, Any]) -> None:
    answer = web.client.get("/docs")
    assert answer.content_type == "text/html; charset=utf-8"
    for path, method in operations(spec):
        shown = path.replace("{", "&lt;").replace("}", "&gt;")
        assert f"<code>{method.upper()} {shown}</code>" in answer.text
    for code in codes():
        assert f'id="{code}"' in answer.text
    assert "<script" not in answer.text
    assert "http" not in answer.text.replace("HTTP", "").replace("The http", "")
