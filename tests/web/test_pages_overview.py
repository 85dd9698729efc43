"""The first page: health, what waits longest and why, what is frozen, who waits for a person."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orch import health, overview
from orch.adapters.memory_queue import MemoryQueue
from orch.store import fleet, inbox, ledger
from tests.factories import PASSED, Rig, ScriptedRunner
from tests.web.conftest import Web
from tests.web.reader import Element, client_of, read


def first(web: Web) -> Element:
    answer = client_of(web).get("/ui/")
    assert answer.status_code == 200
    return read(answer.text)


def card(page: Element, heading: str) -> Element:
    return page.one("section", aria_labelledby=heading)


def test_the_front_door_leads_to_the_first_page(web: Web) -> None:
    assert client_of(web).get("/").headers["Location"] == "/ui/"


def test_an_empty_line_is_told_as_such(web: Web) -> None:
    page = first(web)
    assert "Nothing waits" in card(page, "why").text
    assert "Nobody is waited for" in card(page, "asks").text
    assert "No repo is frozen" in card(page, "frozen").text
    assert "beat has never rung" in card(page, "health").text


def test_whoever_sends_webhooks_was_last_heard_of_at_a_time(web: Web) -> None:
    web.rig.store.write(lambda conn: inbox.hear(conn, "gitea", web.rig.clock()))
    web.rig.clock.advance(7200)
    told = card(first(web), "health").text
    assert "Webhooks of gitea" in told
    assert "the last came 2 h ago" in " ".join(told.split())


def test_the_longest_wait_of_each_repo_says_what_would_make_it_run(web_on_both: Web) -> None:
    rig = web_on_both.rig
    rig.workers()
    rig.task("APP-1", "development", job="running")
    rig.task("LIB-1", repo="lib")
    rig.task("APP-2")
    rig.task("APP-3")
    rig.order("freeze", "lib", "main is red")
    (lib, app) = card(first(web_on_both), "why").all("li", class_="row")
    assert "LIB-1" in lib.text
    assert "lib is frozen by ann: main is red" in lib.text
    assert "verb=unfreeze&target=lib" in lib.all("a", class_="act")[0]["href"]
    assert "APP-1 holds the repo at development" in app.text
    assert "verb=pause&target=APP-1" in app.all("a", class_="act")[0]["href"]
    assert "APP-3" not in card(first(web_on_both), "why").text


def test_what_only_a_person_can_take_on_is_named(web: Web) -> None:
    web.rig.task("APP-1")
    web.rig.asked("APP-1", "Which colour?")
    web.rig.task("APP-2")
    web.rig.order("pause", "APP-2", "later")
    asks = card(first(web), "asks")
    assert "Which colour?" in asks.text
    assert "APP-2" not in asks.text
    assert [link.text for link in asks.all("a", class_="act")] == ["Answer APP-1"]


def test_a_frozen_repo_shows_cause_age_and_how_many_wait(web: Web) -> None:
    for item in ("APP-1", "APP-2"):
        web.rig.task(item)
    web.rig.order("freeze", "ap*", "release", until=web.rig.clock() + timedelta(hours=2))
    web.rig.clock.advance(60)
    told = card(first(web), "frozen").text
    for words in ("ap*", "release", "by ann", "1 min ago", "until in 1 h 59 min", "2 waiting"):
        assert words in told


def test_a_broker_that_is_away_and_a_beat_that_is_late_are_said(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.rig.store.write(lambda conn: fleet.note_beat(conn, "beat", web.rig.clock()))
    web.rig.workers()
    assert health.report(web.line)["problems"] == ["the dispatcher has never looked at every repo"]
    web.rig.store.write(lambda conn: fleet.note_beat(conn, "sweep", web.rig.clock()))
    assert "well" in card(first(web), "health").one("header").text
    tag = client_of(web).get("/ui/").headers["ETag"]
    monkeypatch.setattr(MemoryQueue, "reachable", lambda self: False)
    web.rig.clock.advance(14)
    answer = client_of(web).get("/ui/", headers={"If-None-Match": tag})
    told = card(read(answer.text), "health").text
    assert "the broker does not answer" in told
    assert "beat last rang 14 s ago" in told


def test_workers_and_their_free_slots_are_shown(web: Web) -> None:
    web.rig.workers(slots=3)
    web.rig.task("APP-1", "development", job="running")
    found = {row.one("th").text: row for row in card(first(web), "agents").one("tbody").all("tr")}
    assert [each.text for each in found["developer"].all("td")][:3] == ["1", "1", "2"]


def test_the_stages_come_in_the_order_of_the_way(web: Web) -> None:
    for item, stage in (("A-1", "review"), ("A-2", "analysis"), ("A-3", "created")):
        web.rig.task(item, stage, repo=item)
    shown = [row.text for row in card(first(web), "stages").one("tbody").all("tr")]
    assert shown == ["created 1", "analysis 1", "review 1"]


def hours(rig: Rig, name: str) -> list[int]:
    return [point["value"] for point in overview.trend(rig.line)[name]]


def test_the_last_hours_are_counted_from_what_happened(web_on_both: Web) -> None:
    rig = web_on_both.rig
    rig.workers()
    client = client_of(web_on_both)
    for number in range(3):
        client.post("/tasks", json={"work_item": f"APP-{number}", "repo": "app"})
    rig.clock.advance(3601)
    client.post("/tasks", json={"work_item": "APP-3", "repo": "app"})
    client.post("/tasks/APP-0/cancel")
    claim = rig.started("APP-1")
    assert hours(rig, "waiting")[-3:] == [0, 3, 2]
    rig.clock.advance(3601)
    rig.workers()
    rig.work(claim, web_on_both.folder, ScriptedRunner(PASSED))
    assert hours(rig, "waiting")[-4:-1] == [0, 3, 2]
    assert hours(rig, "waiting")[-1] == len(rig.waiting())
    assert len(hours(rig, "landed")) == overview.HOURS


def test_landings_are_counted_in_their_hour(web_on_both: Web) -> None:
    rig = web_on_both.rig
    for ago in (30 * 3600, 5 * 3600, 60, 30):
        task_id = rig.task(f"APP-{ago}", "done", job=None)
        rig.clock.advance(-1)
        told = {"repo": "app", "task_id": task_id}
        then = rig.clock() - timedelta(seconds=ago)
        rig.store.write(lambda conn, t=then, k=told: ledger.record(conn, t, "task.landed", **k))
    assert hours(rig, "landed")[-6:] == [0, 1, 0, 0, 0, 2]
    assert sum(hours(rig, "landed")) == 3
    assert "3" in first(web_on_both).one("div", class_="figures").text


def test_numbers_that_are_drawn_can_be_read_as_well(web: Web) -> None:
    drawing, *_ = first(web).all("figure", class_="spark")
    picture = drawing.one("svg")
    assert picture.one("title").text == "Waiting"
    assert picture.one("desc").text.startswith("tasks, by the hour")
    assert len(drawing.one("tbody").all("tr")) == overview.HOURS
