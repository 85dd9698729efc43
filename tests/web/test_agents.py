"""Agents over HTTP: listed, suspended, resumed; who may, and what /metrics shows."""

from __future__ import annotations

import pytest

from tests.web.conftest import Web


def test_an_operator_suspends_and_resumes_an_agent_once_each(web_on_both: Web) -> None:
    client = web_on_both.client_of("operator")
    address = "/agents/analyst/suspend?reason=quota&until=%2B2h"
    first = client.post(address).get_json()
    assert (first["changed"], first["suspended_reason"]) == (True, "quota")
    assert first["suspended_until"] == "2026-03-01T14:00:00Z"
    assert client.post(address).get_json()["changed"] is False
    listed = {row["agent"]: row for row in client.get("/agents").get_json()["agents"]}
    assert listed["analyst"]["suspended_reason"] == "quota"
    gauge = 'orch_agent_suspended_until_seconds{agent="analyst"} 1.7723736e+09'
    assert gauge in client.get("/metrics").text
    after = client.post("/agents/analyst/resume").get_json()
    assert (after["changed"], after["suspended_until"]) == (True, None)
    assert client.post("/agents/analyst/resume").get_json()["changed"] is False
    (event,) = web_on_both.rig.events("agent.resumed")
    assert event["actor"] == "the-operator"


@pytest.mark.parametrize("until", ["", "&until=%2B2h"])
def test_the_same_suspension_sent_again_at_once_changes_nothing(
    web_on_both: Web, until: str
) -> None:
    client = web_on_both.client_of("operator")
    address = f"/agents/analyst/suspend?reason=quota{until}"
    said = []
    for passed in (0, 0.2, 2, 60):
        web_on_both.rig.clock.advance(passed)
        said.append(client.post(address).get_json()["changed"])
    assert said == [True, False, False, True]
    assert len(web_on_both.rig.events("agent.suspended")) == 2


def test_a_viewer_may_only_look(web: Web) -> None:
    client = web.client_of("viewer")
    assert client.get("/agents").status_code == 200
    assert client.post("/agents/analyst/resume").status_code == 403
    assert client.post("/agents/analyst/suspend?reason=x").status_code == 403


def test_bad_names_and_reasons_are_refused(web: Web) -> None:
    cases = {
        "/agents/plumber/resume": (404, "not_found"),
        "/agents/Analyst/resume": (400, "bad_input"),
        "/agents/analyst/suspend": (400, "bad_input"),
        "/agents/analyst/suspend?reason=x&until=yesterday": (400, "bad_input"),
        "/agents/analyst/resume?reason=%1b[31m": (400, "bad_input"),
    }
    for address, expected in cases.items():
        answer = web.client.post(address)
        assert (answer.status_code, answer.get_json(force=True)["code"]) == expected
    assert web.rig.events("agent.suspended") == []
