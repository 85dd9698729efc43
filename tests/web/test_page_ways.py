"""Ways that lead somewhere: links are offered where something is, and a dead end has a way back."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote_plus

import pytest
from sqlalchemy import update

from orch import estimates, head_watch
from orch.line import Limits
from orch.store.schema import jobs
from tests.web.conftest import Web
from tests.web.page import Page, get, person
from web.pages import simulate
from web.serve import REQUEST_LINE


def test_every_link_of_a_task_whose_job_waits_leads_somewhere(web: Web) -> None:
    web.rig.task("APP-1")
    client = person(web)
    found = get(client, "/ui/tasks/APP-1").links()
    assert not [link for link in found if link.endswith(("/prompt", "/log", "/diff"))]
    log = get(client, f"/ui/jobs/{web.rig.job('APP-1')['id']}/log").links()
    assert not [link for link in log if link.endswith(("/prompt", "/raw"))]
    for link in {each for each in found + log if each.startswith("/")}:
        assert client.get(link).status_code in (200, 302), link


def test_a_change_is_linked_once_a_job_has_ended_with_one(web: Web) -> None:
    web.rig.task("APP-1", "development", job="succeeded")
    report = {"base_sha": "a" * 40, "head_sha": "b" * 40}
    web.rig.store.write(lambda conn: conn.execute(update(jobs).values(report=report)))
    assert "/ui/tasks/APP-1/diff" in get(person(web), "/ui/tasks/APP-1").links()


def chips(page: Page) -> list[str]:
    """The looks of the chips of a page."""
    classes = [str(given.get("class", "")) for tag, given in page.tags if tag == "b"]
    return [each.removeprefix("chip ") for each in classes if each.startswith("chip")]


def test_a_paused_task_is_paused_though_a_job_of_it_is_queued(web: Web) -> None:
    web.rig.task("APP-1")
    web.rig.order("pause", "APP-1")
    found = get(person(web), "/ui/tasks/APP-1")
    assert chips(found)[0] == "pause"
    assert "promote" not in found.controls()
    assert "resume" in found.controls()


def test_a_question_is_one_on_every_page(web: Web) -> None:
    web.rig.task("APP-1", "development", job="succeeded")
    web.rig.asked("APP-1")
    for address in ("/ui/", "/ui/line", "/ui/tasks/APP-1"):
        assert 'class="chip ask">needs input' in person(web).get(address).text, address


@pytest.mark.parametrize(
    ("role", "shown"), [("viewer", False), ("operator", False), ("admin", True)]
)
def test_only_pages_one_may_see_are_in_the_navigation(web: Web, role: str, shown: bool) -> None:
    client = person(web, role)
    links = get(client, "/ui/").links()
    assert ("/ui/settings" in links) is shown
    for link in {each for each in links if each.startswith("/ui/")}:
        assert client.get(link).status_code == 200, link


@pytest.mark.parametrize(("address", "status"), [("/ui/settings", 403), ("/ui/nothing", 404)])
def test_a_refusal_speaks_to_people_and_has_ways_out(web: Web, address: str, status: int) -> None:
    client = person(web, "viewer")
    before = {"Referer": "http://localhost/ui/line?repo=app"}
    answer = client.get(address, headers=before)
    found = Page(answer.text)
    assert answer.status_code == status
    assert {"/ui/", "/ui/line?repo=app", "/ui/me"} <= set(found.links())
    assert "Sign out" in found.text
    assert "token" not in found.text
    assert "every call" not in found.text


@pytest.mark.parametrize("came", ["http://elsewhere/ui/line", "http://[", "//localhost//x"])
def test_a_way_back_leads_to_no_other_host(web: Web, came: str) -> None:
    answer = person(web, "viewer").get("/ui/nothing", headers={"Referer": came})
    assert answer.status_code == 404
    assert ">Back<" not in answer.text


def test_whatever_may_be_typed_into_what_if_fits_the_line_of_a_request(web: Web) -> None:
    typed = {name: quote_plus("\u20ac" * most) for name, most in simulate.LONGEST.items()}
    query = "&".join(f"{name}={value}" for name, value in typed.items())
    assert len(f"GET /ui/simulate?{query}&go=1 HTTP/1.1\r\n") <= REQUEST_LINE
    assert person(web).get(f"/ui/simulate?{query}").status_code == 200


def test_what_runs_is_not_said_to_start(web: Web) -> None:
    web.rig.workers()
    web.rig.task("APP-1", "development", job="running")
    web.rig.task("APP-2")
    assert "When would it be done?" in get(person(web), "/ui/tasks/APP-1").text
    assert "When would it start?" in get(person(web), "/ui/tasks/APP-2").text
    found = get(person(web), "/ui/simulate?go=1").text
    assert "runs already" in found
    assert (
        "0 s ago" not in found.split("Who starts when")[1].split("Every turn")[0].split("APP-2")[0]
    )


def test_a_task_says_when_it_may_start_and_works_that_out_once_a_minute(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    known = estimates.why

    def why(line: object, item: str) -> object:
        asked.append(item)
        return known(web.line, item)

    monkeypatch.setattr(estimates, "why", why)
    web.rig.workers()
    web.rig.task("APP-1", "development", job="running")
    web.rig.task("APP-2")
    client = person(web, "viewer")
    found = get(client, "/ui/tasks/APP-2").text
    assert "APP-2 starts at about" in found
    assert "Rests on:" in found
    web.rig.order("freeze", "lib")
    assert get(client, "/ui/tasks/APP-2").text
    assert asked == ["APP-2"]
    web.rig.clock.advance(61)
    assert get(client, "/ui/tasks/APP-2").text
    assert asked == ["APP-2", "APP-2"]


def test_a_head_that_keeps_others_waiting_is_on_the_line_and_on_the_overview(web: Web) -> None:
    web.line = replace(web.line, limits=Limits(head_watch=3600))
    for item in ("APP-1", "APP-2", "APP-3"):
        web.rig.task(item, "development" if item == "APP-1" else "analysis")
    assert "keeps others waiting" not in person(web).get("/ui/").text.lower()
    head_watch.look(web.line)
    web.rig.clock.advance(3600)
    head_watch.look(web.line)
    said = ("held app for 1 h while 2 others wait", "but no worker serves developer")
    for address, button in (("/ui/", "verb=pause&amp;target=APP-1"), ("/ui/line", "pause APP-1")):
        found = person(web).get(address).text
        assert all(words in found for words in said), address
        assert button in found
        assert button not in person(web, "viewer").get(address).text
