"""Telling a tracker: what, in which words and order, once for people, and through every fault."""

from __future__ import annotations

from typing import Any

import pytest

from orch.outside import telling
from orch.store import freezes, ledger
from tests.factories import Rig
from tests.store.tracker_desk import ACTOR, NAME, Desk

A, B = "A-1", "A-2"
TAKEN = "orch has taken this up: it waits for its turn in app."


@pytest.fixture
def desk(rig: Rig) -> Desk:
    return Desk(rig)


def move(desk: Desk, item: str, to_stage: str) -> None:
    """Let a task get to a stage, with the event of it."""
    row = desk.rig.row(item)
    told = {"task_id": row["id"], "repo": row["repo"]}
    told |= {"from_state": row["stage"], "to_state": to_stage}
    desk.rig.move(item, to_stage)
    record(desk, "task.moved", **told)


def record(desk: Desk, kind: str, **told: Any) -> None:
    desk.rig.store.write(lambda conn: ledger.record(conn, desk.rig.clock(), kind, **told))


def test_an_item_is_told_what_becomes_of_its_task(desk: Desk) -> None:
    desk.taken()
    desk.rig.workers()
    desk.rig.started(A)
    desk.rounds()
    assert desk.tracker.state_of("a-1") == "In Progress"
    move(desk, A, "development")
    desk.rig.order("pause", A, "wait")
    desk.rounds()
    assert desk.tracker.state_of("a-1") == "Blocked"
    desk.rig.order("resume", A)
    sha = {"merge_sha": "c0ffee"}
    record(desk, "task.landed", task_id=desk.rig.row_id(A), repo="app", data=sha)
    move(desk, A, "done")
    desk.rounds()
    assert desk.tracker.state_of("a-1") == "Done"
    assert desk.said() == [
        TAKEN,
        "Work has begun.",
        "Now at development.",
        "Parked by ann: wait",
        "It goes on: because",
        "Landed in app as c0ffee.",
        "Done.",
    ]
    parked = desk.tracker.comments["a-1"][3]
    assert "What takes it on: orch resume A-1\nhttps://orch.example.org/ui/tasks/A-1" in parked


def test_a_question_is_told_with_all_its_lines_and_how_to_answer(desk: Desk) -> None:
    desk.taken()
    desk.rig.asked(A, "Which colour?\nBlue is taken.")
    desk.rounds()
    asked = desk.tracker.comments["a-1"][-1]
    assert "Which colour?\nBlue is taken.\nAnswer with a comment here." in asked
    assert desk.tracker.state_of("a-1") == "Needs Input"


def test_a_pause_by_the_tracker_leaves_the_item_where_its_person_put_it(desk: Desk) -> None:
    desk.with_rules(park_states=("Backlog",)).taken()
    desk.tracker.move("a-1", "Backlog")
    desk.rounds(3)
    assert desk.tracker.state_of("a-1") == "Backlog"
    assert desk.said()[-1] == "Paused: moved to Backlog in the tracker by ann"


@pytest.mark.parametrize("actor", ["ann", ACTOR])
def test_a_cancelled_task_is_told_by_whom(desk: Desk, actor: str) -> None:
    desk.taken()
    if actor == "ann":
        desk.rig.order("cancel", A, "no need")
    else:
        desk.tracker.move("a-1", "Cancelled")
    desk.rounds(3)
    assert desk.tracker.state_of("a-1") == "Cancelled"
    last = desk.said()[-1]
    said = "Cancelled by ann" if actor == "ann" else "orch has stopped work on this"
    assert last.startswith(said)


def test_a_frozen_repo_is_told_to_the_items_whose_tasks_have_started(desk: Desk) -> None:
    desk.taken("a-1")
    desk.taken("a-2")
    move(desk, A, "development")
    desk.rig.order("freeze", "ap*", "main is red")
    desk.rounds()
    assert desk.said("a-1")[-1] == "ap* is frozen: main is red"
    assert desk.tracker.state_of("a-1") == "Blocked"
    desk.rig.order("unfreeze", "ap*", "green")
    desk.rounds()
    assert desk.said("a-1")[-1] == "ap* is no longer frozen: green"
    assert desk.tracker.state_of("a-1") == "In Progress"
    assert desk.said("a-2") == [TAKEN]
    assert desk.rig.store.read(lambda conn: freezes.active_freeze(conn, "ap*")) is None


def test_tasks_of_no_tracker_are_told_to_nobody(desk: Desk) -> None:
    desk.taken()
    desk.rig.task("B-9")
    desk.rig.order("pause", "B-9")
    desk.rounds()
    assert desk.said() == [TAKEN]


# --- through faults


def test_f34_while_it_is_down_work_goes_on_and_then_all_is_told_in_order(desk: Desk) -> None:
    desk.taken()
    desk.tracker.faults.away = True
    for stage in ("architecture", "development", "review"):
        move(desk, A, stage)
        desk.round(600)
    waiting = [row for row in desk.outbox() if row["told_at"] is None]
    assert len(waiting) == 3
    assert desk.feed()["failing_since"] is not None
    assert not desk.feed()["stopped"]
    desk.tracker.faults.away = False
    desk.rounds()
    stages = ["Now at architecture.", "Now at development.", "Now at review."]
    assert desk.said() == [TAKEN, *stages]
    assert desk.feed()["failing_since"] is None


def test_f35_a_stated_patience_is_kept_whatever_comes_in(desk: Desk) -> None:
    desk.taken()
    desk.tracker.faults.retry_after = 240
    desk.round()
    desk.tracker.calls.clear()
    for _ in range(23):
        desk.hint("a-1")
        desk.rig.order("freeze", "app")
        desk.rig.order("unfreeze", "app")
        assert desk.round(10) is None
    assert desk.tracker.calls == []
    desk.tracker.faults.retry_after = None
    assert desk.round(10) is not None


def test_f35_what_does_not_answer_is_asked_ever_more_seldom(desk: Desk) -> None:
    desk.taken()
    desk.tracker.faults.away = True
    desk.round()
    desk.tracker.calls.clear()
    for _ in range(180):  # half an hour
        desk.round(10)
    assert 8 <= len(desk.tracker.calls) <= 14


def test_f36_what_was_told_without_an_answer_is_seen_once(desk: Desk) -> None:
    desk.taken()
    desk.tracker.faults.lose_answers = 2
    desk.rig.order("pause", A, "lunch")
    desk.rounds(4)
    told = [each for each in desk.tracker.told if "lunch" in each.text]
    assert len(told) == 3
    assert len({each.uid for each in told}) == 1
    assert desk.said() == [TAKEN, "Parked by ann: lunch"]


def test_f37_a_key_that_is_refused_stops_everything_with_one_alarm(desk: Desk) -> None:
    desk.taken()
    desk.tracker.faults.refused = "The key is not valid."
    desk.rig.order("pause", A, "wait")
    desk.rounds()
    desk.tracker.calls.clear()
    for _ in range(50):
        desk.hint("a-1")
        desk.round(600)
    assert desk.tracker.calls == []
    (event,) = desk.rig.events("feed.stopped")
    assert event["reason"].startswith("The key is not valid. Put right what the message names")
    assert desk.feed()["stopped"]
    desk.tracker.faults.refused = ""
    desk.rotate_key()
    desk.rounds()
    assert desk.said()[-1] == "Parked by ann: wait"
    assert len(desk.rig.events("feed.resumed")) == 1


def test_f42_what_is_told_of_a_deleted_item_is_dropped(desk: Desk) -> None:
    desk.taken()
    desk.taken("a-2")
    desk.tracker.drop("a-1")
    desk.rig.order("pause", A, "wait")
    desk.rig.order("pause", B, "wait")
    desk.rounds(3)
    dropped = {row["last_error"] for row in desk.outbox() if row["failed_at"]}
    assert dropped >= {"A-1 is not there any more."}
    assert desk.said("a-2")[-1] == "Parked by ann: wait"
    assert desk.rig.events("task.untold")


def test_f43_what_was_still_to_be_told_does_not_move_a_closed_item_back(desk: Desk) -> None:
    desk.taken()
    move(desk, A, "development")
    desk.tracker.move("a-1", "Done")
    desk.look()
    desk.rounds(3)
    assert desk.tracker.state_of("a-1") == "Done"
    assert desk.rig.row(A)["stage"] == "cancelled"


def test_f45_a_state_that_was_deleted_is_told_as_a_fault_of_the_set_up(desk: Desk) -> None:
    desk.taken()
    del desk.tracker.states["Needs Input"]
    desk.rig.asked(A)
    desk.rounds(5)
    assert "There is no state Needs Input any more." in desk.feed()["stopped"]
    assert desk.rig.row(A)["paused_reason"] == "needs input: Which colour?"
    assert len(desk.rig.events("feed.stopped")) == 1


def test_one_item_that_cannot_be_told_holds_up_no_other(desk: Desk) -> None:
    desk.taken("a-1")
    desk.taken("a-2")
    desk.tracker.faults.broken_items = {"a-1"}
    desk.rig.order("pause", A)
    desk.rig.order("pause", B)
    desk.rounds(3, seconds=6)
    assert desk.said("a-2")[-1] == "Parked by ann: because"
    assert desk.said("a-1") == [TAKEN]
    assert desk.feed()["failing_since"] is None


def test_what_is_too_old_is_given_up_with_its_reason(desk: Desk) -> None:
    desk.taken()
    desk.tracker.faults.away = True
    desk.rig.order("pause", A)
    desk.round()
    desk.rig.clock.advance(telling.NEWS)
    desk.tracker.faults.away = False
    desk.tracker.faults.broken_items = {"a-1"}
    desk.rounds()
    (event,) = desk.rig.events("task.untold")
    assert event["data"]["tracker"] == NAME
