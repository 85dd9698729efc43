"""Rounds of asking: with all hints or none, many or late, the store ends the same."""

from __future__ import annotations

import pytest

from orch.adapters.memory_tracker import MemoryTracker
from tests.factories import Rig
from tests.store.tracker_desk import Desk

A, B, C = "A-1", "A-2", "A-3"


@pytest.fixture
def desk(rig: Rig) -> Desk:
    return Desk(rig)


def states(desk: Desk) -> dict[str, tuple[str, str, bool]]:
    rows = {item: desk.rig.row(item) for item in (A, B, C)}
    return {
        item: (row["stage"], row["title"], row["paused_at"] is not None)
        for item, row in rows.items()
    }


def edit(desk: Desk) -> None:
    desk.tracker.retitle("a-1", "New")
    desk.tracker.move("a-2", "Backlog")
    desk.tracker.move("a-3", "Cancelled")


EDITED = {
    A: ("analysis", "New", False),
    B: ("analysis", "The title of a-2", True),
    C: ("cancelled", "The title of a-3", False),
}


def three(desk: Desk) -> None:
    desk.with_rules(park_states=("Backlog",))
    for item in ("a-1", "a-2", "a-3"):
        desk.taken(item)


def test_f38_without_any_webhook_one_interval_is_enough(desk: Desk) -> None:
    three(desk)
    edit(desk)
    assert desk.look() is None
    desk.round()
    assert states(desk) == EDITED


def test_f39_webhooks_tripled_shuffled_and_late_lead_to_the_same(desk: Desk) -> None:
    three(desk)
    edit(desk)
    desk.hint("a-3", "a-1", "a-1", "a-2", "a-3", "a-3", "a-2")
    assert desk.look() is not None  # at once
    assert states(desk) == EDITED
    desk.round(3000)
    desk.hint("a-2", "a-1", "a-3")
    desk.look()
    assert states(desk) == EDITED
    assert len(desk.rig.events("task.cancelled")) == len(desk.rig.events("task.updated")) == 1


def test_f40_many_hints_of_one_item_are_one_reading(desk: Desk) -> None:
    desk.taken()
    desk.hint(*["a-1"] * 100)
    desk.tracker.calls.clear()
    desk.look()
    assert desk.tracker.calls == ["items", "item"]
    assert desk.look() is None


def test_f41_an_item_that_cannot_be_seen_yet_is_looked_for_a_few_times(desk: Desk) -> None:
    desk.round()
    desk.hint("a-1")
    desk.look()
    looks = [desk.round(6) is not None for _ in range(5)]
    assert looks == [True, True, False, False, False]
    desk.hint("a-2")
    desk.look()
    desk.tracker.add("a-2")
    desk.round(6)
    assert desk.exists(B)


def test_a_bulk_edit_is_read_within_a_bound_and_soon_again(desk: Desk) -> None:
    for number in range(1, 31):
        desk.tracker.add(f"a-{number}")
    desk.round()
    assert desk.tracker.calls.count("item") == 12
    desk.round(6)
    desk.round(6)
    assert all(desk.exists(f"A-{number}") for number in range(1, 31))


def test_a_tracker_that_tells_all_in_its_list_is_not_asked_item_by_item(desk: Desk) -> None:
    desk.tracker = MemoryTracker(detailed=True)
    desk.taken("a-1")
    desk.taken("a-2")
    desk.tracker.calls.clear()
    desk.tracker.relate("a-1", "a-2")
    desk.rounds()
    assert desk.deps() == {(A, B)}
    assert desk.tracker.calls == ["items", "items"]


def test_taking_in_rings_for_a_dispatcher(desk: Desk) -> None:
    desk.taken()
    assert desk.rig.queue.kicked == 1
