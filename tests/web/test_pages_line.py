"""The line as a page: why each task waits, what clears it, filters, weight, and hostile words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, update

from orch.store import answers
from orch.store.schema import jobs, tasks
from tests.factories import Rig, add_job, add_task
from tests.web.conftest import Web
from tests.web.reader import Element, client_of, read, viewer_of

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %} %s ${jndi:ldap://x}",
    "x" * 10_000,
    "",
    "\u0301\u0301",
    "left \u202eright",
    "one\r\nSet-Cookie: two",
)


def page(web: Web, address: str = "/ui/line", status: int = 200) -> Element:
    answer = client_of(web).get(address)
    assert answer.status_code == status
    return read(answer.text)


def rows(found: Element) -> dict[str, Element]:
    """The rows of a page by work item."""
    return {row.all("a", class_="item")[0].text: row for row in found.all("li", class_="row")}


def many(web: Web, count: int, repo: str = "app", title: str = "Do one of many things") -> None:
    """A lane with a task at work and all others behind it."""
    now = web.rig.clock()

    def make(conn: Connection) -> None:
        for number in range(count):
            stage = "analysis" if number else "development"
            made = add_task(conn, f"ORCH-{number}", repo, now, stage, title=f"{title} {number}")
            add_job(conn, made, now, status="queued" if number else "running")

    web.rig.store.write(make)


def test_a_waiting_row_says_why_since_when_and_what_clears_it(web_on_both: Web) -> None:
    web_on_both.rig.task("APP-1", "development", job="running", title="Rework the cache")
    web_on_both.rig.task("APP-2", title="Urgent")
    found = rows(page(web_on_both))
    holder, row = found["APP-1"], found["APP-2"]
    assert "developer is at work on it" in holder.text
    assert "APP-1 holds the repo at development" in row.text
    assert row.one("p").one("a")["href"] == "/ui/tasks/APP-1"
    assert row.one("time")["datetime"] == "2026-03-01T12:00:00Z"
    assert row.one("button")["value"] == "pause APP-1"


def test_a_holder_shows_its_time_against_its_limit(web: Web) -> None:
    known = {"developer": {"command": ["true"], "timeout": 60}}
    limited = Web(web.rig, web.folder, agents=known)
    limited.rig.task("APP-1", "development", job="running")
    limited.rig.clock.advance(29)
    bar = rows(page(limited))["APP-1"].one("progress")
    assert (bar["value"], bar["max"]) == ("30", "60")


def test_a_parked_task_stands_apart_with_why_by_whom_and_until(web: Web) -> None:
    web.rig.task("APP-1")
    web.rig.order("pause", "APP-1", "back on Monday", until=web.rig.clock() + timedelta(days=1))
    row = rows(page(web))["APP-1"]
    assert row["id"] == "p-APP-1"
    assert "back on Monday by ann until in 1 d" in row.text
    assert row.one("button")["value"] == "resume APP-1"


def stuck(rig: Rig) -> None:
    """A task for every kind of reason there is."""
    for item in ("A-1", "A-2", "B-1", "B-2", "C-1", "D-1", "E-1", "F-1", "G-1"):
        rig.task(item, repo={"A": "app", "B": "lib"}.get(item[0], item))
    rig.order("pause", "B-1", "later")
    rig.order("depend", "B-2", on="A-2")
    rig.order("freeze", "C-1", "main is red")
    rig.order("freeze", "D-*", "release")
    later = update(jobs).where(jobs.c.task_id == rig.row_id("E-1"))
    due = rig.clock() + timedelta(hours=1)
    rig.store.write(lambda conn: conn.execute(later.values(available_at=due)))
    rig.asked("F-1")
    waits = update(tasks).where(tasks.c.work_item_id == "G-1").values(stage="review")
    rig.store.write(lambda conn: conn.execute(waits))
    task_id, now = rig.row_id("G-1"), rig.clock()
    rig.store.write(lambda conn: answers.ask_approval(conn, task_id, now, "review"))


def test_every_row_that_waits_has_a_button_that_leads_to_a_control(web: Web) -> None:
    stuck(web.rig)
    web.rig.workers()
    found = rows(page(web))
    pressed = {item: [each["value"] for each in row.all("button")] for item, row in found.items()}
    assert pressed == {
        "A-1": [],
        "A-2": ["pause A-1"],
        "B-1": ["resume B-1"],
        "B-2": ["undepend B-2 A-2"],
        "C-1": ["unfreeze C-1"],
        "D-1": ["unfreeze D-*"],
        "E-1": ["retry E-1"],
        "F-1": ["answer F-1"],
        "G-1": ["approve G-1", "reject G-1"],
    }
    for values in pressed.values():
        for value in values:
            asked = {"do": value, "back": "/ui/line"}
            form = client_of(web).get("/ui/do", query_string=asked, follow_redirects=True)
            assert form.status_code == 200
            assert read(form.text).one("form", id="control")


def test_a_task_whose_gate_is_open_says_what_it_still_lacks(web: Web) -> None:
    web.rig.task("APP-1")
    assert "no worker serves analyst" in rows(page(web))["APP-1"].text
    web.rig.workers()
    assert "the next tick starts it" in rows(page(web))["APP-1"].text
    web.client.post("/agents/analyst/suspend?reason=limit")
    row = rows(page(web))["APP-1"]
    assert row.one("button")["value"] == "resume_agent analyst"


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("repo=lib", {"B-1", "B-2"}),
        ("q=a-&repo=&stage=&reason=", {"A-1", "A-2"}),
        ("reason=dependency", {"B-2"}),
        ("reason=paused", {"B-1", "F-1", "G-1"}),
        ("reason=freeze", {"C-1", "D-1"}),
        ("stage=review", {"G-1"}),
        ("q=a-", {"A-1", "A-2"}),
        ("q=LATER", {"B-1"}),
        ("repo=nobody", set()),
        ("repo=%3Cscript%3E&reason=nothing&stage=none&q=%25", set()),
    ],
)
def test_filters_leave_what_they_say_and_stay_in_the_form(
    web: Web, query: str, left: set[str]
) -> None:
    stuck(web.rig)
    found = page(web, f"/ui/line?{query}")
    assert set(rows(found)) == left
    (first, value) = query.split("&")[0].split("=")
    if first in ("repo", "q") and "%" not in value:
        fields = found.one("search").all("input", name=first)
        assert fields[0]["value"] == value


def test_long_lanes_and_many_repos_come_in_pages(web: Web) -> None:
    many(web, 60)
    for number in range(21):
        web.rig.task(f"R-{number}", repo=f"r{number:02}")
    first = page(web)
    assert len(first.all("section", class_="lane")) == 20
    assert first.one("section", id="lane-app").one("p", class_="more").text.startswith("34 more.")
    assert len(page(web, "/ui/line?page=2").all("section", class_="lane")) == 2
    second = page(web, "/ui/line?repo=app&rows=25&page=2")
    assert {"ORCH-26", "ORCH-50"} <= set(rows(second))
    assert rows(second)["ORCH-26"].one("i").text == "26"
    for link in second.one("p", class_="more").all("a"):
        assert page(web, link["href"])


@contextmanager
def counted(rig: Rig) -> Iterator[list[str]]:
    """The statements sent meanwhile."""
    sent: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    for engine in (rig.store.writer, rig.store.reader):
        event.listen(engine, "before_cursor_execute", note)
    yield sent
    for engine in (rig.store.writer, rig.store.reader):
        event.remove(engine, "before_cursor_execute", note)


def test_five_hundred_rows_weigh_little_and_take_no_more_questions_than_fifty(web: Web) -> None:
    many(web, 501, title="A title of some forty characters or so:")
    address = "/ui/line?repo=app&rows=500"
    client = client_of(web)
    client.get(address)
    with counted(web.rig) as sent:
        heavy = client.get(address)
    assert heavy.text.count('id="w-') == 500
    assert len(heavy.data) < 300_000
    with counted(web.rig) as few:
        client.get("/ui/line?repo=app&rows=50")
    assert len(sent) == len(few) <= 30


def test_an_empty_line_says_so(web: Web) -> None:
    assert "nothing is parked" in page(web).one("p", class_="empty").text
    assert "Nothing matches" in page(web, "/ui/line?q=x").one("p", class_="empty").text


def test_hostile_titles_stay_text_and_short(web: Web) -> None:
    for number, title in enumerate(HOSTILE):
        web.rig.task(f"APP-{number}", title=title)
        web.rig.task(f"LIB-{number}", title=title, repo="lib")
        web.rig.order("pause", f"LIB-{number}")
        parked = update(tasks).where(tasks.c.work_item_id == f"LIB-{number}")
        web.rig.store.write(lambda conn, t=title, p=parked: conn.execute(p.values(paused_reason=t)))
    for address in ("/ui/line", "/ui/", "/ui/line?repo=app"):
        answer = client_of(web).get(address)
        found = read(answer.text)
        assert {script.text for script in found.all("script")} == {""}
        assert not [each for each in found.all("img") if each["src"] == "x"]
        assert not {"\u202e", "\r"} & set(answer.text)
        assert len(answer.data) < 60_000
        assert "two" not in answer.headers.get("Set-Cookie", "")
    for number, title in enumerate(HOSTILE):
        shown = rows(page(web))[f"APP-{number}"].one("div").text
        assert "(no title)" in shown if len(title) < 3 else title[:3] in shown


def test_a_viewer_sees_the_line_and_no_control(web: Web) -> None:
    stuck(web.rig)
    viewer = viewer_of(web)
    found = read(viewer.get("/ui/line").text)
    assert set(rows(found)) >= {"A-1", "B-1"}
    assert not found.all("button", form="do")
    assert not found.all("button", name="verb")
    assert not found.all("a", class_="act")
    assert not found.all("input", name="item")
    for address in ("/ui/control?verb=pause&target=A-1", "/ui/do?do=pause%20A-1"):
        assert viewer.get(address).status_code == 403
    assert viewer.post("/ui/bulk", data={"verb": "pause", "item": "A-1"}).status_code == 403


# --- refreshed without being sent anew --------------------------------------------------------


def again(web: Web, address: str, tag: str) -> int:
    return client_of(web).get(address, headers={"If-None-Match": tag}).status_code


@pytest.mark.parametrize("address", ["/ui/", "/ui/line", "/ui/line?repo=app"])
def test_a_page_that_shows_the_same_is_not_sent_again(web_on_both: Web, address: str) -> None:
    web_on_both.rig.task("APP-1")
    answer = client_of(web_on_both).get(address)
    tag = answer.headers["ETag"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert read(answer.text).one("div", id="live")["data-tag"] == tag
    web_on_both.rig.clock.advance(10)
    same = client_of(web_on_both).get(address, headers={"If-None-Match": tag})
    assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", tag)
    web_on_both.rig.order("pause", "APP-1")
    assert again(web_on_both, address, tag) == 200


def test_a_page_is_new_when_time_ends_something_that_it_shows(web: Web) -> None:
    web.rig.task("APP-1")
    web.rig.order("freeze", "app", until=web.rig.clock() + timedelta(seconds=12))
    tag = client_of(web).get("/ui/line").headers["ETag"]
    web.rig.clock.advance(11)
    assert again(web, "/ui/line", tag) == 304
    web.rig.clock.advance(1)
    assert again(web, "/ui/line", tag) == 200


def test_a_page_is_new_after_a_while_and_for_somebody_else(web: Web) -> None:
    tag = client_of(web).get("/ui/line").headers["ETag"]
    assert again(web, "/ui/line", tag) == 304
    assert again(web, "/ui/line?repo=app", tag) == 200
    web.rig.clock.advance(30)
    assert again(web, "/ui/line", tag) == 200
    tag = client_of(web).get("/ui/line").headers["ETag"]
    other = viewer_of(web).get("/ui/line", headers={"If-None-Match": tag})
    assert other.status_code == 200


@pytest.mark.parametrize("tag", ['"x"', 'W/"-"', f'W/"{"0" * 32}-²"', f'W/"{"0" * 32}-9999999999"'])
def test_a_tag_nobody_gave_is_no_reason_to_send_nothing(web: Web, tag: str) -> None:
    assert again(web, "/ui/line", tag) == 200
