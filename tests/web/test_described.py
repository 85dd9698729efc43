"""What compares every answer of the other tests with openapi.json does see what differs."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Response

from tests.web.conftest import Web


def test_a_field_that_is_not_described_is_seen(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orch.agents.listed", lambda _: [_agent() | {"mood": "good"}])
    with pytest.raises(AssertionError, match="'mood' was unexpected"):
        web.client.get("/agents")


def test_a_field_that_is_missing_is_seen(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orch.agents.listed", lambda _: [{"agent": "developer"}])
    with pytest.raises(AssertionError, match="'slots' is a required property"):
        web.client.get("/agents")


@pytest.mark.parametrize("until", ["soon", "2026-03-01T12:00:00", 5])
def test_a_value_of_another_kind_is_seen(
    web: Web, monkeypatch: pytest.MonkeyPatch, until: object
) -> None:
    monkeypatch.setattr("orch.agents.listed", lambda _: [_agent() | {"suspended_until": until}])
    with pytest.raises(AssertionError, match="suspended_until"):
        web.client.get("/agents")


@pytest.mark.parametrize(("status", "kind"), [(202, "application/json"), (200, "text/css")])
def test_an_answer_of_another_kind_is_seen(
    web: Web, monkeypatch: pytest.MonkeyPatch, status: int, kind: str
) -> None:
    said = Response('{"agents": []}', status, content_type=kind)
    monkeypatch.setitem(web.app.view_functions, "GET /agents", lambda: said)
    with pytest.raises(AssertionError, match="is not described"):
        web.client.get("/agents")


def test_every_object_of_ours_is_described_whole(web: Web) -> None:
    """Each names its properties and takes no other, or says that its names are data."""
    spec = web.client.get("/openapi.json").get_json()
    answers = [
        content["schema"]
        for methods in spec["paths"].values()
        for operation in methods.values()
        for status, answer in operation["responses"].items()
        if status < "300"
        for content in answer.get("content", {}).values()
    ]
    loose = [at for each in [spec["components"]["schemas"], answers] for at in _open_objects(each)]
    # RFC 9457 lets a problem tell more; the document describes itself; clocks say what they like.
    assert sorted(loose) == [
        ["at", "seconds"],
        ["at", "seconds"],
        _PROBLEM,
        ["info", "openapi", "paths"],
    ]


_PROBLEM = ["code", "detail", "status", "suggested_fix", "title", "type"]


def _open_objects(schema: Any) -> list[list[str]]:
    if isinstance(schema, list):
        return [found for each in schema for found in _open_objects(each)]
    if not isinstance(schema, dict):
        return []
    inner = [found for each in schema.values() for found in _open_objects(each)]
    if "properties" in schema and schema.get("additionalProperties") is not False:
        return [sorted(schema["properties"]), *inner]
    return inner


def _agent() -> dict[str, Any]:
    nothing = {"suspended_until": None, "suspended_reason": None}
    return {"agent": "developer", "live": 0, "slots": 0, "workers": 0, **nothing}
