"""The calls that change something: what they answer and leave behind, asked once or twice."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from orch import controls
from orch.store import answers
from tests.factories import Rig, dump
from tests.web.conftest import Web
from web.api import ROUTES

ONCE_AND_AGAIN = [
    ("POST", "/serial-gate/pause?work_item=APP-1&reason=later"),
    ("POST", "/serial-gate/freeze?repo=app&reason=deploy"),
    ("POST", "/serial-gate/freeze?repo=ap*&reason=deploy"),
    ("POST", "/serial-gate/promote?work_item=APP-2"),
    ("POST", "/tasks/APP-1/cancel"),
    ("POST", "/tasks/APP-2/dependencies?on=APP-1"),
]


@pytest.mark.parametrize(("method", "address"), ONCE_AND_AGAIN)
def test_asked_twice_a_control_changes_nothing_more(
    web_on_both: Web, method: str, address: str
) -> None:
    web_on_both.rig.task("APP-1")
    web_on_both.rig.task("APP-2")
    first = web_on_both.client.open(address, method=method)
    assert (first.status_code, first.get_json()["changed"]) == (200, True)
    before = dump(web_on_both.rig.store)
    again = web_on_both.client.open(address, method=method)
    assert (again.status_code, again.get_json()["changed"]) == (200, False)
    assert dump(web_on_both.rig.store) == before


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("POST", "/serial-gate/resume?work_item=APP-1"),
        ("POST", "/serial-gate/unfreeze?repo=app"),
        ("DELETE", "/tasks/APP-1/dependencies?on=APP-2"),
    ],
)
def test_undoing_what_was_not_done_changes_nothing(web: Web, method: str, address: str) -> None:
    web.rig.task("APP-1")
    web.rig.task("APP-2")
    before = dump(web.rig.store)
    answer = web.client.open(address, method=method)
    assert (answer.status_code, answer.get_json()["changed"]) == (200, False)
    assert dump(web.rig.store) == before


def test_the_answer_to_a_control_is_the_state_after_it(web: Web) -> None:
    web.rig.task("APP-1")
    web.rig.task("APP-2")
    paused = web.client.post("/serial-gate/pause?work_item=APP-1&reason=later&until=%2B2h")
    task = paused.get_json()["task"]
    assert (task["paused_reason"], task["paused_by"]) == ("later", "local")
    assert task["paused_until"] == "2026-03-01T14:00:02Z"
    frozen = web.client.post("/serial-gate/freeze?repo=app", json={"reason": "deploy day"})
    lane = frozen.get_json()["serial_gate"]["per_repo"]["app"]
    assert (lane["frozen"], lane["frozen_reason"]) == (True, "deploy day")
    assert web.client.get("/why?work_item=APP-2").get_json()["reason"] == "freeze"


def test_the_incident_and_its_cure(web: Web) -> None:
    web.rig.task("ORCH-116", "development")
    web.rig.task("ORCH-123")
    blocked = web.client.get("/why?work_item=ORCH-123").get_json()
    assert (blocked["reason"], blocked["holder"]["work_item_id"]) == ("active-task", "ORCH-116")
    assert blocked["blockers"][0]["clear_with"] == "orch pause ORCH-116"
    web.client.post("/serial-gate/pause?work_item=ORCH-116", json={"reason": "back to the backlog"})
    assert web.client.get("/why?work_item=ORCH-123").get_json()["reason"] is None


def test_a_value_may_stand_in_the_body_or_in_the_query(web: Web) -> None:
    web.rig.task("APP-1")
    body = {"work_item": "APP-1", "reason": "later", "now": True}
    web.client.post("/serial-gate/pause", json=body)
    (event,) = web.rig.events("task.paused")
    assert (event["reason"], event["data"]["kill"]) == ("later", True)


def test_html_in_a_reason_stays_text(web: Web) -> None:
    reason = "<script>alert(1)</script> {{7*7}} %s"
    answer = web.client.post("/serial-gate/freeze?repo=app", json={"reason": reason})
    assert answer.content_type == "application/json"
    assert answer.get_json()["serial_gate"]["per_repo"]["app"]["frozen_reason"] == reason


BACK = [
    ("POST", "/serial-gate/resume?work_item=APP-3"),
    ("POST", "/serial-gate/unfreeze?repo=lib"),
    ("POST", "/tasks/APP-3/retry"),
    ("DELETE", "/tasks/APP-2/dependencies?on=APP-3"),
]


@pytest.mark.parametrize(("method", "address"), BACK)
def test_a_preview_of_taking_back_changes_nothing(
    web_on_both: Web, method: str, address: str
) -> None:
    rig, client = web_on_both.rig, web_on_both.client
    for item in ("APP-1", "APP-2", "APP-3"):
        rig.task(item)
    for verb, target in (("pause", "APP-3"), ("freeze", "lib")):
        rig.order(verb, target)
    rig.order("depend", "APP-2", on="APP-3")
    before = dump(rig.store)
    sign = "&" if "?" in address else "?"
    answer = client.open(f"{address}{sign}preview=1", method=method).get_json()
    assert (answer["preview"], answer["changed"]) == (True, True)
    assert answer["sentence"].endswith("; nothing else changes")
    assert dump(rig.store) == before


def test_every_control_can_be_previewed() -> None:
    addresses = " ".join(
        f"{route.method} {route.path}"
        for route in ROUTES.all
        if "preview" in route.takes.model_fields
    )
    depend = {"depend": "POST", "undepend": "DELETE"}
    for verb in controls.VERBS:
        said = f"{depend[verb]} /tasks/<work_item>/dependencies" if verb in depend else f"/{verb}"
        assert said in addresses


@pytest.mark.parametrize(("method", "address"), ONCE_AND_AGAIN)
def test_a_preview_changes_nothing(web_on_both: Web, method: str, address: str) -> None:
    web_on_both.rig.task("APP-1")
    web_on_both.rig.task("APP-2")
    before = dump(web_on_both.rig.store)
    sign = "&" if "?" in address else "?"
    answer = web_on_both.client.open(f"{address}{sign}preview=1", method=method).get_json()
    assert answer["preview"] is True
    assert answer["sentence"]
    assert dump(web_on_both.rig.store) == before
    assert web_on_both.rig.queue.kicked == 0


def add(client: FlaskClient, item: str, **more: object) -> int:
    return client.post("/tasks", json={"work_item": item, "repo": "app", **more}).status_code


def test_a_task_is_taken_in_with_its_job_and_its_dependencies(web_on_both: Web) -> None:
    client = web_on_both.client
    assert add(client, "APP-1", title="First") == 201
    answer = client.post(
        "/tasks",
        json={"work_item_id": "LIB-1", "repo": "lib", "depends_on": ["APP-1"], "track": "docs"},
    )
    assert answer.headers["Location"] == "/tasks/LIB-1"
    assert answer.get_json()["reason"] == "dependency"
    shown = client.get("/tasks/LIB-1").get_json()
    assert [each["work_item_id"] for each in shown["depends_on"]] == ["APP-1"]
    assert [job["status"] for job in shown["jobs"]] == ["queued"]
    assert shown["events"][0]["kind"] == "task.created"
    assert "claim_token" not in shown["jobs"][0]
    assert client.get("/tasks/APP-1").get_json()["dependents"][0]["work_item_id"] == "LIB-1"
    assert web_on_both.rig.queue.kicked == 1


def test_a_task_is_taken_in_once(web: Web) -> None:
    assert [add(web.client, "APP-1"), add(web.client, "APP-1")] == [201, 409]


def test_a_cycle_of_dependencies_is_refused_and_shown(web: Web) -> None:
    for item in ("APP-1", "APP-2"):
        web.rig.task(item)
    assert web.client.post("/tasks/APP-2/dependencies?on=APP-1").status_code == 200
    refused = web.client.post("/tasks/APP-1/dependencies", json={"on": "APP-2"})
    problem = refused.get_json(force=True)
    assert (refused.status_code, problem["code"]) == (409, "dependency_cycle")
    assert "APP-1" in problem["detail"]
    assert web.client.delete("/tasks/APP-2/dependencies?on=APP-1").get_json()["changed"] is True


def test_tasks_are_listed_newest_first_a_page_at_a_time(web_on_both: Web) -> None:
    for number in range(1, 6):
        web_on_both.rig.task(f"APP-{number}")
    seen, cursor = [], ""
    for _ in range(3):
        page = web_on_both.client.get(f"/tasks?limit=2{cursor}").get_json()
        seen += [task["work_item_id"] for task in page["tasks"]]
        cursor = f"&cursor={page['next']}"
    assert seen == ["APP-5", "APP-4", "APP-3", "APP-2", "APP-1"]
    assert page["next"] is None


def test_tasks_are_found_by_what_they_are_and_what_they_do(web_on_both: Web) -> None:
    rig = web_on_both.rig
    rig.task("APP-1", "development", job="running")
    rig.task("APP-2")
    rig.task("APP-3", "done", job=None)
    rig.task("APP-4", "review", job=None, paused_at=rig.clock())
    rig.task("APP-5", "review", job=None)
    rig.task("LIB-1", repo="lib", job="claimed")

    def found(query: str) -> list[str]:
        answer = web_on_both.client.get(f"/tasks?{query}").get_json()
        return [task["work_item_id"] for task in answer["tasks"]]

    states = {
        "running": "APP-1", "waiting": "APP-2", "done": "APP-3", "parked": "APP-4",
        "idle": "APP-5", "claimed": "LIB-1",
    }  # fmt: skip
    assert {state: found(f"state={state}") for state in states} == {
        state: [item] for state, item in states.items()
    }
    assert found("repo=lib") == ["LIB-1"]
    assert found("stage=review&repo=app") == ["APP-5", "APP-4"]
    assert found("agent=developer") == ["APP-1"]
    for state, item in states.items():
        assert web_on_both.client.get(f"/why?work_item={item}").get_json()["state"] == state


def wait_for_a_person(rig: Rig) -> None:
    """APP-1 passed its analysis and waits for approval; APP-2 asked something."""
    rig.task("APP-1", job="succeeded")
    task_id = rig.row_id("APP-1")
    rig.store.write(lambda conn: answers.ask_approval(conn, task_id, rig.clock(), "analysis"))
    rig.task("APP-2", job="succeeded")
    rig.asked("APP-2")


WORDS: list[tuple[str, dict[str, object], str]] = [
    ("/tasks/APP-1/approve", {"reason": "good"}, "task.approved"),
    ("/tasks/APP-1/reject", {"note": "The tax\nis missing."}, "task.rejected"),
    ("/tasks/APP-2/answer", {"text": "Blue."}, "task.answered"),
]


@pytest.mark.parametrize(("address", "body", "kind"), WORDS)
def test_a_persons_word_is_taken_once_and_can_be_tried_first(
    web_on_both: Web, address: str, body: dict[str, object], kind: str
) -> None:
    rig, client = web_on_both.rig, web_on_both.client
    wait_for_a_person(rig)
    before = dump(rig.store)
    assert client.post(address, json={**body, "preview": True}).get_json()["preview"] is True
    assert dump(rig.store) == before
    first = client.post(address, json=body)
    assert (first.status_code, first.get_json()["changed"]) == (200, True)
    assert client.post(address, json=body).get_json()["changed"] is False
    (told,) = rig.events(kind)
    assert (told["actor"], told["reason"]) == ("local", next(iter(body.values())))


@pytest.mark.parametrize(("address", "body", "kind"), WORDS)
def test_a_word_needs_an_operator(
    web: Web, address: str, body: dict[str, object], kind: str
) -> None:
    wait_for_a_person(web.rig)
    assert web.client_of("viewer").post(address, json=body).status_code == 403
    assert web.client_of("operator").post(address, json=body).status_code == 200


@pytest.mark.parametrize(
    ("address", "body", "status", "code"),
    [
        ("/tasks/APP-1/reject", {}, 400, "bad_input"),
        ("/tasks/APP-1/reject", {"note": " "}, 400, "bad_input"),
        ("/tasks/APP-2/answer", {"text": "a\u0007"}, 400, "bad_input"),
        ("/tasks/APP-1/answer", {"text": "Blue."}, 409, "illegal_transition"),
        ("/tasks/APP-2/approve", {}, 409, "illegal_transition"),
        ("/tasks/APP-9/approve", {}, 404, "unknown_task"),
        ("/serial-gate/resume?work_item=APP-1", {}, 409, "illegal_transition"),
    ],
)
def test_a_word_that_cannot_be_taken_is_a_problem_and_changes_nothing(
    web: Web, address: str, body: dict[str, object], status: int, code: str
) -> None:
    wait_for_a_person(web.rig)
    before = dump(web.rig.store)
    answer = web.client.post(address, json=body)
    problem = answer.get_json(force=True)
    assert (answer.status_code, problem["code"]) == (status, code)
    assert problem["suggested_fix"]
    assert dump(web.rig.store) == before


def test_the_story_of_a_task_is_one_answer(web_on_both: Web) -> None:
    client = web_on_both.client
    add(client, "APP-1", title="First")
    client.post("/serial-gate/pause?work_item=APP-1", json={"reason": "later"})
    web_on_both.rig.clock.advance(30)
    found = client.get("/tasks/APP-1/story").get_json()
    assert [visit["stage"] for visit in found["stages"]] == ["created", "analysis"]
    assert found["spent"] == {"pause": 30.0}
    assert (found["held"][0]["since"], found["held"][0]["until"]) == ("2026-03-01T12:00:00Z", None)
    assert client.get("/tasks/APP-9/story").status_code == 404
