"""Random edits of a tracker, with and without faults: in the end the store says the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orch.adapters.memory_tracker import MemoryTracker
from orch.store.session import Store
from tests.factories import Rig
from tests.kept import empty
from tests.store.tracker_desk import Desk

ITEMS = ("a-1", "a-2", "a-3", "a-4")
ITEM = st.sampled_from(ITEMS)
Edit = tuple[Any, ...]
EDITS = st.one_of(
    st.tuples(st.just("retitle"), ITEM, st.sampled_from(["x", "y", "z"])),
    st.tuples(st.just("weigh"), ITEM, st.sampled_from(["urgent", "high", "none", "low"])),
    st.tuples(st.just("relate"), ITEM, st.lists(ITEM, max_size=2, unique=True)),
    st.tuples(st.just("move"), ITEM, st.sampled_from(["Backlog", "Todo", "Cancelled", "Done"])),
    st.tuples(st.just("drop"), ITEM),
)
FAULTS = st.lists(st.booleans(), max_size=8)
STEPS = st.lists(st.tuples(EDITS, FAULTS, st.lists(ITEM, max_size=4)), min_size=1, max_size=6)


def edit(tracker: MemoryTracker, what: Edit) -> None:
    """One edit, of an item that is neither over nor gone."""
    verb, item_id, *rest = what
    there = tracker.item(item_id)
    if there is None or there.group in ("completed", "cancelled"):
        return
    if verb == "relate":
        tracker.relate(item_id, *(each for each in rest[0] if each != item_id))
    else:
        getattr(tracker, verb)(item_id, *rest)


def played(store: Store, steps: list[tuple[Edit, list[bool], list[str]]], faulty: bool) -> Any:
    store.write(empty)
    desk = Desk(Rig(store)).with_rules(park_states=("Backlog",))
    for item_id in ITEMS:
        desk.tracker.add(item_id)
    desk.rounds()
    for what, faults, hints in steps:
        edit(desk.tracker, what)
        if faulty:
            desk.tracker.faults.next_calls = list(faults)
            desk.tracker.faults.pages_shift = True
            desk.hint(*hints)
        desk.round()
        desk.tracker.faults.next_calls = []
    desk.rounds(2)
    return state(desk)


def state(desk: Desk) -> Any:
    """All that the gate and people see, but for when and in which order it came to be."""
    seen: tuple[Callable[[Any], Any], ...] = (
        lambda row: row["stage"],
        lambda row: row["stage"] == "cancelled" or (row["title"], row["rank"]),
        lambda row: row["stage"] == "cancelled" or (row["paused_by"], row["paused_reason"]),
    )
    rows = {item_id: desk.rig.row(item_id.upper()) for item_id in ITEMS}
    tasks = {item_id: [look(row) for look in seen] for item_id, row in rows.items()}
    return tasks, desk.deps(), desk.rig.claimable()


@pytest.fixture
def own_sqlite(sqlite_database: str) -> Iterator[Store]:
    opened = Store(sqlite_database, synchronous="OFF")
    yield opened
    opened.dispose()


@given(STEPS)
@settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_f34_to_f44_after_the_faults_the_store_says_what_it_would_have_said_without_them(
    own_sqlite: Store, steps: list[tuple[Edit, list[bool], list[str]]]
) -> None:
    assert played(own_sqlite, steps, faulty=True) == played(own_sqlite, steps, faulty=False)
