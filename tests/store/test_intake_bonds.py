"""What blocks an item in its tracker, and answers below it, reach its task."""

from __future__ import annotations

import pytest

from tests.factories import Rig
from tests.store.tracker_desk import ACTOR, Desk

A, B, C = "A-1", "A-2", "A-3"


@pytest.fixture
def desk(rig: Rig) -> Desk:
    return Desk(rig)


def test_blocked_by_is_a_dependency_both_ways(desk: Desk) -> None:
    desk.taken("a-1")
    desk.taken("a-2")
    desk.tracker.relate("a-1", "a-2")  # no time of change tells of it
    desk.rounds()
    assert desk.deps() == {(A, B)}
    assert desk.rig.reasons()[A] == "dependency"
    desk.tracker.relate("a-1")
    desk.rounds()
    assert desk.deps() == set()


def test_a_dependency_that_a_person_declared_is_not_taken_back(desk: Desk) -> None:
    desk.taken("a-1")
    desk.taken("a-2")
    desk.rig.order("depend", A, on=B)
    desk.tracker.relate("a-1", "a-2")
    desk.rounds()
    desk.tracker.relate("a-1")
    desk.rounds()
    assert desk.deps() == {(A, B)}


def test_a_blocker_that_is_no_task_blocks_all_the_same(desk: Desk) -> None:
    desk.tracker.add("a-2", state="Backlog")
    desk.tracker.add("a-1")
    desk.tracker.relate("a-1", "a-2")
    desk.rounds()
    assert desk.rig.row(A)["paused_reason"] == (
        "blocked by A-2, which is in Backlog and no task of orch yet"
    )
    assert desk.rig.claimable() == set()
    desk.tracker.move("a-2", "Todo")
    desk.rounds()
    assert (desk.rig.row(A)["paused_at"], desk.deps()) == (None, {(A, B)})


@pytest.mark.parametrize("end", ["Done", "dropped"])
def test_a_blocker_that_is_no_task_and_ends_holds_nobody(desk: Desk, end: str) -> None:
    desk.tracker.add("a-2", state="Backlog")
    desk.tracker.add("a-1")
    desk.tracker.relate("a-1", "a-2")
    desk.rounds()
    if end == "dropped":
        desk.tracker.drop("a-2")
    else:
        desk.tracker.move("a-2", end)
    desk.rounds()
    assert desk.rig.row(A)["paused_at"] is None


def test_f44_all_members_of_a_cycle_wait_and_others_do_not(desk: Desk) -> None:
    for item in ("a-1", "a-2", "a-3", "a-4"):
        desk.taken(item)
    desk.tracker.relate("a-1", "a-2")
    desk.tracker.relate("a-2", "a-3")
    desk.tracker.relate("a-3", "a-1")
    desk.rounds(3)
    reasons = {item: desk.rig.row(item)["paused_reason"] for item in (A, B, C)}
    assert reasons == {
        A: "a cycle of blocked-by: A-1 → A-2 → A-3 → A-1",
        B: "a cycle of blocked-by: A-2 → A-3 → A-1 → A-2",
        C: "a cycle of blocked-by: A-3 → A-1 → A-2 → A-3",
    }
    assert desk.rig.claimable() == {"A-4"}
    desk.tracker.relate("a-3")
    desk.rounds(3)
    assert desk.deps() == {(A, B), (B, C)}
    assert [desk.rig.row(item)["paused_at"] for item in (A, B, C)] == [None] * 3


def test_f44_a_cycle_with_a_dependency_of_a_persons_is_told_as_well(desk: Desk) -> None:
    desk.taken("a-1")
    desk.taken("a-2")
    desk.rig.order("depend", A, on=B)
    desk.tracker.relate("a-2", "a-1")
    desk.rounds()
    assert desk.rig.row(B)["paused_reason"] == "a cycle of dependencies: A-2 → A-1 → A-2"
    assert desk.rig.claimable() == set()


# --- answers


def test_an_answer_below_the_item_resumes_the_task(desk: Desk) -> None:
    desk.taken()
    desk.tracker.remark("a-1", "Nice idea.")
    desk.rig.asked(A, "Which colour?")
    desk.rounds()
    assert desk.rig.row(A)["paused_at"] is not None  # that was said before
    desk.tracker.remark("a-1", "Blue.\nDark blue.")
    desk.round()
    (event,) = desk.rig.events("task.answered")
    assert (event["actor"], event["reason"]) == (f"{ACTOR}/ann", "Blue.\nDark blue.")
    assert desk.rig.row(A)["paused_at"] is None


def test_who_is_not_on_the_allow_list_answers_nothing(desk: Desk) -> None:
    desk.with_rules(start_actors=("ann",)).taken()
    desk.rig.asked(A)
    desk.round()
    desk.tracker.remark("a-1", "Delete everything.", by="eve")
    desk.rounds(3)
    assert desk.rig.row(A)["paused_at"] is not None
    (event,) = desk.rig.events("task.remark_ignored")
    assert event["reason"] == "eve is not on the allow list"
    desk.tracker.remark("a-1", "Blue.")
    desk.round()
    assert desk.rig.row(A)["paused_at"] is None


def test_a_second_question_is_not_answered_by_what_answered_the_first(desk: Desk) -> None:
    desk.taken()
    desk.rig.asked(A)
    desk.round()
    desk.tracker.remark("a-1", "Blue.")
    desk.round()
    desk.rig.asked(A, "Which blue?")
    desk.rounds()
    assert desk.rig.row(A)["paused_reason"] == "needs input: Which blue?"
