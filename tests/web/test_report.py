"""Where the time went, over HTTP."""

from __future__ import annotations

import pytest

from orch import waits
from tests.web.conftest import Web


def test_a_viewer_reads_where_the_time_went(web_on_both: Web) -> None:
    rig = web_on_both.rig
    waits.watch(rig.line)
    rig.task("APP-1", job="running")
    rig.task("APP-2")
    waits.watch(rig.line)
    rig.clock.advance(58)
    client = web_on_both.client_of("viewer")
    found = client.get("/report").get_json()
    assert found["totals"]["worked"]["seconds"] == 60.0
    assert {row["reason"]: row["seconds"] for row in found["by_reason"]} == {
        "work": 60.0, "active-task": 59.0,
    }  # fmt: skip
    assert found["since"] == "2026-02-01T12:01:00Z"
    part = client.get("/report?repo=app&since=-30s&by=repo&by=task&top=1").get_json()
    assert {name for name in part if name.startswith("by_")} == {"by_repo", "by_task"}
    assert (part["seconds"], len(part["by_task"])) == (60.0, 1)
    of_task = client.get("/tasks/APP-2/waits").get_json()
    assert (of_task["spent"], of_task["spells"][0]["blocker"]) == ({"active-task": 59.0}, "APP-1")


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [
        ("/report?since=%2B2h", 400, "bad_input"),
        ("/report?since=2099-01-01T00:00:00Z", 409, "does_not_fit"),
        ("/report?since=2026-01-01", 400, "bad_input"),
        ("/report?since=-9999999w", 400, "bad_input"),
        ("/report?by=colour", 400, "bad_input"),
        ("/report?top=0", 400, "bad_input"),
        ("/report?repo=nobody", 404, "not_found"),
        ("/report?repo=%1b[31m", 400, "bad_input"),
        ("/tasks/APP-9/waits", 404, "unknown_task"),
        ("/tasks/-x/waits", 400, "bad_input"),
    ],
)
def test_bad_questions_get_a_sentence(web: Web, address: str, status: int, code: str) -> None:
    answer = web.client.get(address)
    assert (answer.status_code, answer.get_json(force=True)["code"]) == (status, code)


def test_the_earliest_moment_there_is_can_be_asked_for(web_on_both: Web) -> None:
    waits.watch(web_on_both.rig.line)
    web_on_both.rig.task("APP-1")
    waits.watch(web_on_both.rig.line)
    for since in ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00%2B14:00", "-999999w"):
        found = web_on_both.client.get(f"/report?since={since}").get_json()
        assert found["by_week"][0]["week"] == "2026-W09"
