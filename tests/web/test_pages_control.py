"""Controls as pages: asked for a reason, previewed, carried out, said on the next page."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from orch import preview
from orch.controls import VERBS, Order
from orch.store import answers
from orch.store.schema import jobs, tasks
from tests.factories import Rig, dump
from tests.web.conftest import Web
from tests.web.reader import Element, client_of, read, values
from web.pages import control, done

CASES = {
    "pause": "APP-1",
    "resume": "PAUSED-1",
    "freeze": "app",
    "unfreeze": "lib",
    "promote": "APP-2",
    "cancel": "APP-1",
    "retry": "PAUSED-1",
    "approve": "WAITS-1",
    "reject": "WAITS-1",
    "answer": "ASKS-1",
    "depend": "APP-1",
    "undepend": "APP-2",
    "suspend_agent": "analyst",
    "resume_agent": "tester",
}
"""Every control, and something to which it does something."""
ON = {"depend": "LIB-1", "undepend": "LIB-1"}


def everything(rig: Rig) -> None:
    """A line in which every control has something to do."""
    for item in ("APP-1", "APP-2", "PAUSED-1"):
        rig.task(item)
    rig.task("LIB-1", repo="lib")
    rig.task("ASKS-1", repo="asks")
    rig.task("WAITS-1", "review", repo="waits", job=None)
    rig.order("pause", "PAUSED-1")
    rig.order("freeze", "lib", "main is red")
    rig.order("depend", "APP-2", on="LIB-1")
    rig.asked("ASKS-1")
    task_id, now = rig.row_id("WAITS-1"), rig.clock()
    rig.store.write(lambda conn: answers.ask_approval(conn, task_id, now, "review"))
    rig.workers()


def form_of(client: FlaskClient, verb: str, target: str, **more: str) -> dict[str, list[str]]:
    asked = {"verb": verb, "target": target, "back": "/ui/line?repo=app", **more}
    answer = client.get("/ui/control", query_string=asked)
    assert answer.status_code == 200
    return values(read(answer.text).one("form", id="control"))


def sent(client: FlaskClient, fields: dict[str, list[str]], status: int, **more: str) -> Element:
    answer = client.post("/ui/control", data={**fields, **more})
    assert answer.status_code == status, answer.text
    return read(answer.text)


def test_every_control_has_a_page() -> None:
    assert set(CASES) == set(VERBS) | {"suspend_agent", "resume_agent"} == set(done.PAST)
    assert set(control.ABOUT) == set(CASES)


@pytest.mark.parametrize("verb", CASES)
def test_a_control_is_asked_previewed_done_and_said(web: Web, verb: str) -> None:
    everything(web.rig)
    client, target = client_of(web), CASES[verb]
    if verb == "resume_agent":
        client.post("/agents/tester/suspend?reason=limit")
    fields = form_of(client, verb, target, **({"on": ON[verb]} if verb in ON else {}))
    before = dump(web.rig.store)
    page = sent(client, fields, 200, reason="said by a person", step="preview")
    assert dump(web.rig.store) == before
    assert "nothing would change" not in page.text
    confirmed = values(page.one("form", id="control")) | {"step": ["confirm"]}
    answer = client.post("/ui/control", data=confirmed)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/line?repo=app")
    assert dump(web.rig.store) != before
    said = read(client.get("/ui/line").text).one("div", id="flash").text
    assert f"{target} was {done.PAST[verb]}." in said
    assert read(client.get("/ui/line").text).one("div", id="flash").text == ""
    again = client.post("/ui/control", data=confirmed, follow_redirects=True)
    assert again.status_code in (200, 409)


@pytest.mark.parametrize(
    ("verb", "target"), [("pause", "APP-1"), ("freeze", "app"), ("cancel", "APP-1")]
)
def test_what_a_preview_says_is_what_then_happens(web: Web, verb: str, target: str) -> None:
    everything(web.rig)
    client = client_of(web)
    before = web.rig.waiting()
    order = Order(verb, target, "local", "because")
    expected = preview.preview(web.rig.line, order)
    fields = form_of(client, verb, target) | {"reason": ["because"]}
    shown = sent(client, fields, 200).text
    assert expected["sentence"] in shown
    assert client.post("/ui/control", data={**fields, "step": "confirm"}).status_code == 303
    after = web.rig.waiting()
    reasons = {item: entry["reason"] for item, entry in after.items()}
    for item in expected["starts"]:
        assert reasons[item] is None
    for item in expected["begins_waiting"]:
        assert reasons[item] is not None
    changed = {change["work_item_id"] for change in expected["changes"]}
    for item in (before.keys() | after.keys()) - changed:
        assert before[item]["reason"] == after[item]["reason"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"verb": "pause"}, "its developer works on to the end"),
        ({"verb": "pause", "now": "yes"}, "its developer is told to stop"),
        ({"verb": "cancel"}, "its developer is told to stop"),
    ],
)
def test_a_preview_says_what_becomes_of_an_agent_at_work(
    web: Web, fields: dict[str, str], said: str
) -> None:
    web.rig.task("APP-1", "development", job="running")
    asked = {name: [value] for name, value in fields.items()}
    assert said in sent(client_of(web), asked | {"target": ["APP-1"]}, 200).text
    web.rig.task("LIB-1", repo="lib")
    assert "its developer" not in sent(client_of(web), asked | {"target": ["LIB-1"]}, 200).text


@pytest.mark.parametrize(
    ("verb", "target", "fields", "status", "marked"),
    [
        ("pause", "APP-1", {"until": "yesterday"}, 400, "until"),
        ("freeze", "app", {"reason": " "}, 400, "reason"),
        ("freeze", "app", {"allow": "../etc"}, 400, ""),
        ("depend", "APP-1", {"on": ""}, 400, "on"),
        ("depend", "LIB-1", {"on": "APP-2"}, 409, ""),
        ("pause", "APP-9", {}, 404, ""),
        ("pause", "no such thing", {}, 400, "target"),
        ("promote", "WAITS-1", {}, 409, ""),
        ("suspend_agent", "nobody", {}, 404, ""),
    ],
)
def test_what_cannot_be_comes_back_with_every_word_typed(
    web: Web, verb: str, target: str, fields: dict[str, str], status: int, marked: str
) -> None:
    everything(web.rig)
    client = client_of(web)
    before = dump(web.rig.store)
    given = {"verb": verb, "target": target, "reason": "a long <b>story</b>", **fields}
    for step in ("preview", "confirm"):
        page = sent(client, {name: [value] for name, value in given.items()}, status, step=step)
        form = page.one("form", id="control")
        assert form.one("p", class_="alert").text
        kept = values(form)
        assert {name: kept[name] for name in given} == {k: [v] for k, v in given.items()}
        invalid = [each["name"] for each in form.all("input", aria_invalid="true")]
        assert not marked or marked == "target" or invalid == [marked]
    assert dump(web.rig.store) == before


@pytest.mark.parametrize(
    "back",
    [
        "https://elsewhere.example/",
        "//elsewhere.example/ui/",
        "/ui/..//elsewhere.example",
        "/\\elsewhere.example",
        "/ui/\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "",
    ],
)
def test_nobody_is_sent_elsewhere_after_a_control(web: Web, back: str) -> None:
    everything(web.rig)
    asked = {"verb": "pause", "target": "APP-1", "back": back, "step": "confirm"}
    answer = client_of(web).post("/ui/control", data=asked)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/line")


@pytest.mark.parametrize(
    "cookie", ["x", "pause:1:<script>", "pause:1:NOBODY-1", "freeze:1:a b", "nothing:1:APP-1", "::"]
)
def test_a_forged_message_says_nothing(web: Web, cookie: str) -> None:
    everything(web.rig)
    client = client_of(web)
    client.set_cookie("orch_done", cookie, path="/ui/")
    answer = client.get("/ui/line")
    assert (answer.status_code, read(answer.text).one("div", id="flash").text) == (200, "")


def test_a_page_that_has_something_to_say_is_not_answered_from_memory(web: Web) -> None:
    everything(web.rig)
    client = client_of(web)
    form = {"verb": "resume", "target": "APP-1", "step": "confirm", "back": "/ui/line"}
    tag = client.get("/ui/line").headers["ETag"]
    assert client.post("/ui/control", data=form).status_code == 303
    answer = client.get("/ui/line", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert "so already" in read(answer.text).one("div", id="flash").text
    assert answer.headers["Cache-Control"] == "no-store"


# --- many at once -----------------------------------------------------------------------------


def failed(web: Web, count: int) -> list[str]:
    """Tasks that were parked because they failed, and one that was parked by a person."""
    items = [f"APP-{number}" for number in range(count)]
    for item in items:
        web.rig.task(item)
        web.rig.order("pause", item, "failed three times")
    web.rig.task("APP-X")
    web.rig.order("pause", "APP-X", "on purpose")
    return items


def bulk(client: FlaskClient, status: int = 200, **fields: object) -> Element:
    answer = client.post("/ui/bulk", data=fields)
    assert answer.status_code == status
    return read(answer.text)


def test_all_that_match_are_retried_after_they_were_counted_and_confirmed(web: Web) -> None:
    items, client = failed(web, 10), client_of(web)
    before = dump(web.rig.store)
    page = bulk(client, verb="retry", whole="yes", filter="reason=paused&q=failed")
    assert page.one("h1").text == "Retry 10 tasks?"
    assert dump(web.rig.store) == before
    form = values(page.one("form", class_="control"))
    assert form["item"] == items
    form |= {"step": ["confirm"], "reason": ["the disk is free again"]}
    ended = bulk(client, **form)
    assert ended.one("h1").text == "10 of 10 tried again"
    told = web.rig.events("task.resumed")
    assert [(each["task_id"], each["actor"]) for each in told] == [
        (web.rig.row_id(item), "local") for item in items
    ]
    assert web.rig.row("APP-X")["paused_at"] is not None
    before = dump(web.rig.store)
    again = bulk(client, **form)
    assert again.one("h1").text == "0 of 10 tried again"
    assert dump(web.rig.store) == before


def test_what_cannot_be_done_to_one_is_said_and_stops_nothing(web_on_both: Web) -> None:
    web = web_on_both
    web.rig.task("APP-1")
    web.rig.task("APP-2", "done", job=None)
    web.rig.task("APP-3")
    chosen = ["APP-1", "APP-2", "NOBODY-1", "APP-3"]
    client = client_of(web)
    asked = bulk(client, verb="pause", item=chosen)
    assert (
        "2 would be paused, 2 cannot be. Nothing else changes."
        in asked.one("div", class_="preview").text
    )
    ended = bulk(client, verb="pause", item=chosen, step="confirm", reason="release")
    assert ended.one("h1").text == "2 of 4 paused"
    told = {row.all("td")[0].text: row.text for row in ended.one("tbody").all("tr")}
    assert "it cannot be changed any more" in told["APP-2"]
    assert "No task is known" in told["NOBODY-1"]
    assert {web.rig.row(item)["paused_reason"] for item in ("APP-1", "APP-3")} == {"release"}


def test_a_thousand_at_a_time_and_the_rest_is_said(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orch.bulk.LIMIT", 3)
    failed(web, 5)
    page = bulk(client_of(web), verb="cancel", whole="yes", filter="")
    assert page.one("h1").text == "Cancel 3 tasks?"
    assert "6 match" in page.one("p", class_="alert").text


@pytest.mark.parametrize(
    "fields",
    [
        {"verb": "pause"},
        {"verb": "pause", "whole": "yes", "filter": "q=nothing-like-it"},
        {"verb": "pause", "whole": "yes", "filter": "page=no"},
        {"verb": "pause", "whole": "yes", "filter": "wrong=1"},
        {"verb": "pause", "item": ["../etc"]},
        {"verb": "pause", "item": ["APP-1"], "step": "confirm", "reason": "x" * 600},
    ],
)
def test_a_selection_that_cannot_be_used_changes_nothing(
    web: Web, fields: dict[str, object]
) -> None:
    web.rig.task("APP-1")
    before = dump(web.rig.store)
    assert bulk(client_of(web), 400, **fields).one("p", class_="alert").text
    assert dump(web.rig.store) == before


def test_hand_written_states_do_not_break_the_pages(web: Web) -> None:
    web.rig.task("APP-1", job=None)
    odd = update(tasks).where(tasks.c.work_item_id == "APP-1").values(stage="limbo")
    web.rig.store.write(lambda conn: conn.execute(odd))
    web.rig.task("APP-2", "development", repo="lib")
    bare = update(jobs).where(jobs.c.task_id == web.rig.row_id("APP-2")).values(status="running")
    web.rig.store.write(lambda conn: conn.execute(bare))
    tasks_pages = ("/ui/tasks/APP-1", "/ui/tasks/APP-2", "/ui/control?verb=pause&target=APP-1")
    for address in (
        "/ui/",
        "/ui/line",
        "/ui/agents",
        "/ui/repos/lib",
        "/ui/simulate",
        *tasks_pages,
    ):
        assert client_of(web).get(address).status_code == 200, address
