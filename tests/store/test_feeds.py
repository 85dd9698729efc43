"""Feeds: one process at a time, back-off, stops, and what is known of their age."""

from __future__ import annotations

import pytest

from orch import health, mirror
from orch.errors import GitUnreachable, IllegalTransition, NotFound, OrchError, TrackerRefused
from orch.outside import feeds, rounds
from orch.outside.feeds import HOLD, Answered, Feed, Ran
from orch.store import feeds as rows
from orch.store.session import Row
from tests.factories import Rig
from tests.store.tracker_desk import FEED, NAME, Desk

FORGE = Feed("forge:app", 30, refusals=(IllegalTransition,))


@pytest.fixture
def desk(rig: Rig) -> Desk:
    return Desk(rig)


def run(rig: Rig, error: OrchError | None = None, urgent: bool = False) -> Ran | None:
    def ask(taken: Row) -> Answered:
        if error is not None:
            raise error
        return Answered(["looked"])

    return feeds.run(rig.line, FORGE, ask, urgent=urgent)


def test_what_was_asked_is_not_due_before_its_time_but_for_what_is_urgent(rig: Rig) -> None:
    assert run(rig) == Ran(["looked"])
    assert run(rig) is None
    assert run(rig, urgent=True) == Ran(["looked"])
    rig.clock.advance(30)
    assert run(rig) == Ran(["looked"])


def test_two_who_ask_at_once_are_one(rig: Rig) -> None:
    seen: list[Ran | None] = []

    def ask(taken: Row) -> Answered:
        seen.append(run(rig, urgent=True))
        return Answered()

    assert feeds.run(rig.line, FORGE, ask) is not None
    assert seen == [None]


def test_one_who_was_away_too_long_writes_nothing_over_the_next(rig: Rig) -> None:
    def ask(taken: Row) -> Answered:
        rig.clock.advance(HOLD)
        assert run(rig) is not None  # somebody else
        raise GitUnreachable("late")

    feeds.run(rig.line, FORGE, ask)
    row = rig.store.read(lambda conn: rows.row(conn, "forge:app"))
    assert row is not None
    assert (row["fault"], row["failing_since"]) == ("", None)


def test_a_fault_of_orch_is_a_fault_of_the_feed_and_ends_no_thread(rig: Rig) -> None:
    def ask(taken: Row) -> Answered:
        raise ZeroDivisionError

    ran = feeds.run(rig.line, FORGE, ask)
    assert ran is not None
    assert "A fault in orch" in ran.fault


def test_what_refuses_is_stopped_until_a_person_has_acted(desk: Desk) -> None:
    desk.taken()
    desk.tracker.faults.refused = "No."
    assert desk.round() == Ran([], f"No. {TrackerRefused.fix}", stopped=True)
    desk.tracker.faults.refused = ""
    assert desk.round(10_000) is None
    answer = rounds.resume(desk.rig.line, desk.outside, NAME, "ann")
    assert (answer["changed"], answer["stopped"]) == (True, "")
    assert desk.look() is not None
    (event,) = desk.rig.events("feed.resumed")
    assert (event["actor"], event["data"]) == ("ann", {"feed": FEED})
    with pytest.raises(IllegalTransition, match="was not stopped"):
        rounds.resume(desk.rig.line, desk.outside, NAME, "ann")
    with pytest.raises(NotFound, match="known: plan"):
        rounds.resume(desk.rig.line, desk.outside, "plam", "ann")


def test_a_person_may_have_one_asked_that_fails(desk: Desk) -> None:
    desk.taken()
    desk.tracker.faults.away = True
    desk.round()
    desk.tracker.faults.away = False
    desk.tracker.add("a-2")
    ran = rounds.sync(desk.rig.line, desk.outside, NAME)
    assert ran is not None
    assert "A-2 was taken in" in ran.done
    (row,) = rounds.listed(desk.rig.line, desk.outside)
    assert (row["state"], row["items"]) == ("ok", {"seen": 2, "tasks": 2, "open": 2})


def test_health_tells_of_one_that_does_not_answer_when_it_has_lasted(desk: Desk) -> None:
    desk.taken()
    desk.tracker.faults.away = True
    desk.round()
    assert not feed_problems(desk)
    desk.round(200)
    assert feed_problems(desk) == [f"{FEED} has not answered for 200 s"]
    desk.tracker.faults.away = False
    desk.round(1000)
    assert not feed_problems(desk)


def feed_problems(desk: Desk) -> list[str]:
    found = health.report(desk.rig.line)
    return [each for each in found["problems"] if FEED in each]


def test_why_says_how_old_the_trackers_word_is(desk: Desk) -> None:
    desk.taken()
    answered = desk.feed()["answered_at"]
    desk.tracker.faults.away = True
    desk.round()
    found = mirror.why(desk.rig.line, "A-1")["tracker"]
    assert (found["name"], found["state"], found["as_of"]) == (NAME, "Todo", answered)
    assert found["failing_since"] == desk.rig.clock()
    desk.rig.task("B-9")
    assert mirror.why(desk.rig.line, "B-9")["tracker"] is None
