"""Taking in what a tracker says: what becomes a task, and what that task follows."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from orch.repo_settings import RepoSettings
from orch.store.schema import tasks
from tests.factories import Rig
from tests.store.tracker_desk import ACTOR, Desk

A, B = "A-1", "A-2"


@pytest.fixture
def desk(rig: Rig) -> Desk:
    rig.repos["acme/shop"] = RepoSettings(url="https://git.example.org/acme/shop")
    return Desk(rig)


# --- what becomes a task


def test_an_item_in_a_start_state_becomes_a_task_with_its_words(desk: Desk) -> None:
    desk.tracker.add(
        "a-1", "Mend\x1b it", priority="urgent", labels=("repo:acme/shop", "track:fast", "ui")
    )
    desk.round()
    row = desk.rig.row(A)
    assert (row["plane_id"], row["repo"], row["track"]) == ("a-1", "acme/shop", "fast")
    assert (row["title"], row["description"], row["rank"]) == ("Mend it", "What a-1 is about.", -2)
    assert desk.rig.job(A)["agent"] == "analyst"
    (event,) = desk.rig.events("task.created")
    assert event["actor"] == ACTOR


@pytest.mark.parametrize(
    ("rules", "state", "by", "why"),
    [
        ({}, "Backlog", "ann", "not taken up: it is in Backlog, and an unstarted state starts it"),
        ({}, "In Progress", "ann", "not taken up: it is in In Progress"),
        ({"start_states": ("Backlog",)}, "Todo", "ann", "and Backlog starts it"),
        (
            {"start_actors": ("ann",)},
            "Todo",
            "eve",
            "not approved: moved to Todo by eve, who is not on the allow list",
        ),
        ({"start_actors": ("ann",)}, "Todo", "", "by nobody the tracker names"),
        ({}, "Todo", "orch", "not approved: moved to Todo by orch"),
    ],
)
def test_what_may_not_start_says_why(
    desk: Desk, rules: dict[str, tuple[str, ...]], state: str, by: str, why: str
) -> None:
    desk.with_rules(**rules).tracker.add("a-1", state=state, by=by)
    desk.rounds()
    assert not desk.exists(A)
    assert why in desk.reason()


def test_an_item_is_taken_in_once_somebody_who_may_has_moved_it(desk: Desk) -> None:
    desk.with_rules(start_actors=("ann",)).tracker.add("a-1", by="eve")
    desk.round()
    desk.tracker.move("a-1", "Todo", "ann")
    desk.round()
    assert desk.exists(A)
    assert desk.reason() == ""


def test_rules_that_change_are_applied_to_what_was_read_before(desk: Desk) -> None:
    desk.with_rules(start_actors=("ann",)).tracker.add("a-1", by="eve")
    desk.round()
    desk.with_rules(start_actors=("ann", "eve")).round()
    assert desk.exists(A)


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (("repo:acme/unknown",), "“acme/unknown” is no repo of orch.toml"),
        (("repo:acme/shop", "repo:app"), "more than one repo: acme/shop, app"),
        (("track:slow",), "“slow” is not a track"),
    ],
)
def test_labels_that_name_what_is_not_there_are_told(
    desk: Desk, labels: tuple[str, ...], why: str
) -> None:
    desk.tracker.add("a-1", labels=labels)
    desk.round()
    assert not desk.exists(A)
    assert why in desk.reason()


def test_a_task_of_the_same_name_that_was_added_by_hand_is_left_alone(desk: Desk) -> None:
    desk.rig.task(A)
    desk.tracker.add("a-1")
    desk.round()
    assert "there is a task of that name already" in desk.reason()
    assert desk.known()["task_id"] is None


def test_items_become_tasks_in_the_order_of_their_numbers(desk: Desk) -> None:
    desk.tracker.faults.pages_shift = True
    for number in (10, 9, 2):
        desk.tracker.add(f"a-{number}")
    desk.round()
    assert desk.rig.row_id("A-2") < desk.rig.row_id("A-9") < desk.rig.row_id("A-10")


# --- what its task follows


def test_words_and_priority_follow_until_the_task_has_started(desk: Desk) -> None:
    desk.taken()
    desk.tracker.retitle("a-1", "Another title")
    desk.tracker.weigh("a-1", "urgent")
    desk.round()
    assert (desk.rig.row(A)["title"], desk.rig.row(A)["rank"]) == ("Another title", -2)
    desk.rig.workers()
    desk.rig.started(A)
    desk.tracker.retitle("a-1", "Too late")
    desk.round()
    assert desk.rig.row(A)["title"] == "Another title"


def test_a_place_that_a_person_gave_is_not_taken_back(desk: Desk) -> None:
    desk.taken()
    desk.taken("a-2")
    desk.rig.order("promote", B)
    desk.tracker.weigh("a-2", "low")
    desk.round()
    assert desk.rig.row(B)["rank"] == -1


def test_the_incident_without_park_states_changes_nothing_but_the_note(desk: Desk) -> None:
    desk.taken()
    desk.taken("a-2", priority="low")
    desk.tracker.move("a-1", "Backlog")
    desk.rounds()
    assert desk.rig.row(A)["paused_at"] is None
    assert desk.rig.reasons() == {A: None, B: "active-task"}
    assert (
        desk.reason()
        == "it is in Backlog there, which pauses nothing: park_states does not name it"
    )


def test_the_incident_with_park_states_pauses_and_lets_the_next_one_run(desk: Desk) -> None:
    desk.with_rules(park_states=("Backlog",)).taken()
    desk.taken("a-2", priority="low")
    desk.tracker.move("a-1", "Backlog")
    desk.round()
    row = desk.rig.row(A)
    assert (row["paused_by"], row["paused_reason"]) == (
        ACTOR,
        "moved to Backlog in the tracker by ann",
    )
    assert desk.rig.reasons() == {A: "paused", B: None}
    desk.tracker.move("a-1", "Todo")
    desk.round()
    assert desk.rig.row(A)["paused_at"] is None


def test_only_the_trackers_own_pause_is_taken_back_by_moving_out(desk: Desk) -> None:
    desk.with_rules(park_states=("Backlog",)).taken()
    desk.rig.order("pause", A, "wait for me")
    for state in ("Backlog", "Todo"):
        desk.tracker.move("a-1", state)
        desk.round()
    assert desk.rig.row(A)["paused_reason"] == "wait for me"


def test_a_person_who_resumes_has_the_last_word_until_the_item_is_moved_again(desk: Desk) -> None:
    desk.with_rules(park_states=("Backlog",)).taken()
    desk.tracker.move("a-1", "Backlog")
    desk.round()
    desk.rig.order("resume", A)
    desk.rounds()
    assert desk.rig.row(A)["paused_at"] is None
    desk.tracker.move("a-1", "Todo")
    desk.round()
    desk.tracker.move("a-1", "Backlog")
    desk.round()
    assert desk.rig.row(A)["paused_by"] == ACTOR


def test_a_state_that_orch_itself_has_set_parks_nothing(desk: Desk) -> None:
    desk.with_rules(park_states=("Needs Input",)).taken()
    desk.rig.asked(A)
    desk.rounds()
    assert desk.tracker.state_of("a-1") == "Needs Input"
    desk.tracker.remark("a-1", "Blue.")
    desk.rounds(3)
    assert desk.rig.row(A)["paused_at"] is None
    assert len(desk.rig.events("task.paused")) == 1


@pytest.mark.parametrize("state", ["Done", "Cancelled"])
def test_f43_a_person_who_ends_an_item_wins(desk: Desk, state: str) -> None:
    desk.taken()
    desk.rig.workers()
    desk.rig.started(A)
    desk.tracker.move("a-1", state)
    desk.rounds()
    assert desk.rig.row(A)["stage"] == "cancelled"
    assert desk.rig.job(A)["stop_requested"] == "cancelled"
    assert (
        f"in the tracker by ann: moved to {state}" in desk.rig.events("task.cancelled")[0]["reason"]
    )
    assert desk.tracker.state_of("a-1") == state  # and it is not moved back


def test_f42_a_deleted_item_ends_its_task_and_an_archived_one_that_comes_back_says_so(
    desk: Desk,
) -> None:
    desk.taken()
    desk.tracker.drop("a-1")
    desk.rounds()
    assert desk.rig.row(A)["stage"] == "cancelled"
    assert desk.reason() == "deleted or archived in the tracker"
    desk.tracker.restore("a-1")
    desk.rounds()
    assert desk.reason() == "its task is cancelled: make a new item for more"


def test_f42_a_deleted_item_stops_the_agent_that_is_at_it(desk: Desk) -> None:
    desk.taken()
    desk.rig.workers()
    desk.rig.started(A)
    desk.tracker.drop("a-1")
    desk.round()
    assert desk.rig.job(A)["stop_requested"] == "cancelled"


def test_f42_what_has_landed_is_carried_to_its_end_and_flagged(desk: Desk) -> None:
    desk.taken()
    landed(desk)
    desk.tracker.drop("a-1")
    desk.rounds(3)
    assert desk.rig.row(A)["stage"] != "cancelled"
    assert "its change has landed already" in desk.reason()
    assert len(desk.rig.events("task.overtaken")) == 1


def landed(desk: Desk) -> None:
    desk.rig.store.write(lambda conn: conn.execute(update(tasks).values(merge_sha="m" * 40)))


def test_an_item_that_only_cannot_be_read_is_not_gone(desk: Desk) -> None:
    desk.taken()
    desk.tracker.faults.broken_items = {"a-1"}
    desk.tracker.retitle("a-1", "x")
    desk.rounds()
    assert desk.rig.row(A)["stage"] == "analysis"
    assert desk.feed()["failing_since"] is None
