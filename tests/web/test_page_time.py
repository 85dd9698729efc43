"""The pages about time: where it went, and how it would go."""

from __future__ import annotations

import pytest

from orch import controls, waits
from orch.controls import Order
from tests.web.conftest import Web
from tests.web.page import HOSTILE, Page, get, person
from web import api


def page(web: Web, address: str, role: str = "operator") -> Page:
    return get(person(web, role), address)


@pytest.fixture
def busy(web: Web) -> Web:
    """Two tasks of one repo, one of which is parked for an hour, and workers for all."""
    web.rig.workers()
    waits.watch(web.line, 1000)
    for item in ("APP-1", "APP-2"):
        web.rig.task(item, title=HOSTILE[0])
    controls.carry_out(web.line, Order("pause", "APP-1", "ann", HOSTILE[1]))
    waits.watch(web.line, 1000)
    web.rig.clock.advance(3600)
    web.rig.workers()
    waits.watch(web.line, 1000)
    return web


# --- where it went


def test_the_time_is_told_by_reason_and_drawn_with_its_numbers(busy: Web) -> None:
    found = page(busy, "/ui/report")
    assert "parked, until somebody takes it back parked 1 h" in found.text
    drawings = [given for tag, given in found.tags if tag == "svg" and given.get("role") == "img"]
    assert any("parked, until somebody takes it back 1 h" in str(d["aria-label"]) for d in drawings)
    widths = [float(str(given["width"])) for tag, given in found.tags if tag == "rect"]
    assert max(widths) <= 1000


def test_the_part_that_is_asked_for_stands_in_the_address(busy: Web) -> None:
    assert "in app" in page(busy, "/ui/report?repo=app&since=-7d").text
    for query, status in (("repo=nowhere", 404), ("since=soon", 400), ("repo=a%20b", 400)):
        assert person(busy).get(f"/ui/report?{query}").status_code == status


def test_nothing_recorded_is_said_to_be_so(web: Web) -> None:
    found = page(web, "/ui/report?repo=")
    assert "Nothing has waited, worked or been parked in this time" in found.text
    assert "nobody has looked yet" in found.text


# --- how it would go


def test_a_plan_is_played_and_drawn_and_the_line_is_left_alone(busy: Web) -> None:
    query = "control=resume+APP-1%0D%0Apromote+APP-1&slots=developer=1,+tester=1&seed=3&go=1"
    found = page(busy, f"/ui/simulate?{query}")
    assert "resume APP-1 done first" in found.text
    labels = [given["aria-label"] for tag, given in found.tags if tag == "svg" and "role" in given]
    assert [str(label).split(",")[0] for label in labels] == ["7 turns", "7 turns"]
    assert busy.rig.row("APP-1")["paused_at"] is not None


def test_what_never_starts_says_because_of_what_and_how_it_would(busy: Web) -> None:
    found = page(busy, "/ui/simulate?go=1")
    assert f"APP-1 never starts because paused by ann: {HOSTILE[1]}" in found.text
    assert "resume" in found.controls()
    assert page(busy, "/ui/simulate?go=1", "viewer").controls() == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("control=jump+APP-1", "is no control"),
        ("slots=many", "is no slots"),
        ("seed=x", "seed"),
        (f"control=pause+{'x' * 80}", "is not a work item id"),
    ],
)
def test_what_cannot_be_tried_is_said_beside_the_words_that_were_typed(
    busy: Web, query: str, said: str
) -> None:
    answer = person(busy).get(f"/ui/simulate?{query}&go=1")
    assert answer.status_code == 400
    found = Page(answer.text)
    assert said in found.text
    name, _, value = query.replace("+", " ").partition("=")
    kept = [given.get("value") for tag, given in found.tags if given.get("name") == name]
    assert value in kept or value in found.text


def test_one_is_played_at_a_time_and_the_words_are_kept(busy: Web) -> None:
    with api._SIMULATING:
        answer = person(busy).get("/ui/simulate?control=promote+APP-2&go=1")
    assert answer.status_code == 429
    assert "promote APP-2" in answer.text


def test_the_form_alone_plays_nothing(busy: Web) -> None:
    with api._SIMULATING:
        assert "Play it" in page(busy, "/ui/simulate").text
