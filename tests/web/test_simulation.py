"""GET /simulate, and the estimate in GET /why."""

from __future__ import annotations

import pytest

from tests.web.conftest import Web
from web import api


@pytest.fixture
def busy(web: Web) -> Web:
    """Two tasks of one repo and workers for all."""
    web.rig.workers()
    for item in ("APP-1", "APP-2"):
        web.rig.task(item, "deploy")
    return web


def test_the_line_is_played_under_what_the_query_says(busy: Web) -> None:
    query = (
        "control=promote+APP-2&control=pause+APP-1&slots=deployer%3D1&duration=deploy=10m&seed=3"
    )
    busy.rig.move("APP-2", "analysis")
    found = busy.client.get(f"/simulate?{query}&switch=yield=off&repo=app").get_json()
    assert found["rows"][0]["work_item_id"] == "APP-2"
    assert [each["changed"] for each in found["changed"]] == [True, True]
    assert found["never"][0]["clear_with"] == "orch resume APP-1"
    assert found["agents"]["deployer"]["slots"] == 1
    assert busy.rig.row("APP-1")["paused_at"] is None


def test_the_same_question_has_the_same_answer_to_the_byte(busy: Web) -> None:
    one, other = (busy.client.get("/simulate?seed=3").data for _ in range(2))
    assert one == other
    assert b'"ends_at": "2026-03-01T13:00:02Z"' in one or b'"ends_at":"2026-03-01T13:00:02Z"' in one


@pytest.mark.parametrize(
    "query",
    ["control=jump+APP-1", "slots=x", "duration=deploy=-1m", "seed=-1", "repo=a%20b", "colour=red"],
)
def test_what_cannot_be_tried_is_a_bad_request(busy: Web, query: str) -> None:
    answer = busy.client.get(f"/simulate?{query}")
    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")


def test_an_unknown_repo_or_task_is_not_found(busy: Web) -> None:
    assert busy.client.get("/simulate?repo=nowhere").status_code == 404
    assert busy.client.get("/simulate?control=pause+APP-9").status_code == 404


def test_one_is_played_at_a_time(busy: Web) -> None:
    with api._SIMULATING:
        answer = busy.client.get("/simulate")
    assert (answer.status_code, answer.get_json()["code"]) == (429, "too_many_simulations")
    assert answer.headers["Retry-After"]
    assert busy.client.get("/simulate").status_code == 200


def test_a_viewer_may_and_a_stranger_may_not(busy: Web) -> None:
    assert busy.client_of("viewer").get("/simulate").status_code == 200
    assert busy.client.get("/simulate").status_code == 401


def test_why_estimates_unless_told_not_to(busy: Web) -> None:
    found = busy.client.get("/why?work_item=APP-2").get_json()
    assert found["eta"]["done_at"] == "2026-03-01T13:00:02Z"
    assert "eta" not in busy.client.get("/why?work_item=APP-2&eta=0").get_json()
    assert b'"eta"' not in busy.client.get("/queue").data
