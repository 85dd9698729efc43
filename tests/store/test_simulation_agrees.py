"""On random states a simulation begins with what a dispatcher would claim, and no two turns of a
serialised repo overlap."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orch import dispatcher, simulation, stages
from orch.line import Line
from orch.serial_gate import Gate, Layers
from orch.simulation import Plan
from orch.store import fleet
from orch.store.schema import metadata
from orch.store.session import Connection, Store
from tests.factories import Rig, dump
from tests.store.test_agreement import NOW, build, states

a_fleet = st.fixed_dictionaries(
    {agent: st.sampled_from([1, 1, 2, 3, 0]) for agent in stages.AGENTS}
)


SWITCHES = (
    Layers(),
    Layers(serial_gate_yield_enabled=False),
    Layers(serial_gate_enabled=False),
    Layers(serial_gate_entry_only=True),
    Layers(serial_gate_repos=("app*",), serial_gate_pause_enabled=False),
    Layers(serial_gate_freeze_enabled=False, task_deps_enabled=False),
)
"""Few, so that what one has built serves all states."""


@cache
def kept() -> Store:
    """One store in memory for all states."""
    store = Store("sqlite://")
    store.write(metadata.create_all)
    return store


def filled(state: dict[str, Any], slots: dict[str, int], layers: Layers) -> Line:
    """The line of this state."""
    store = kept()

    def fill(conn: Connection) -> None:
        for table in reversed(metadata.sorted_tables):
            conn.execute(table.delete())
        build(conn, state)
        for agent, count in slots.items():
            fleet.register(conn, f"w-{agent}", stages.queue_of(agent), count, "1", NOW)

    store.write(fill)
    rig = Rig(store)
    return Line(store, rig.queue, lambda: NOW, rig.token, Gate(layers))


def steady(state: dict[str, Any]) -> dict[str, Any]:
    """The same without what a worker would put right at once, so that one tick tells it all: jobs
    that are claimed and not begun, queued jobs of tasks that are over, stages nobody knows."""
    busy: set[str] = set()
    return {**state, "tasks": [_steady(dict(task), busy) for task in state["tasks"]]}


def _steady(task: dict[str, Any], busy: set[str]) -> dict[str, Any]:
    if task["stage"] == "mystery":
        task["stage"] = "review"
    if task["job"] in ("claimed", "running"):
        task["job"] = "queued" if task["repo"] in busy else "running"
        busy.add(task["repo"])
    if task["job"] == "queued" and task["stage"] in stages.TERMINAL:
        task["job"] = None
    return task


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(state=states.map(steady), slots=a_fleet, layers=st.sampled_from(SWITCHES))
def test_it_begins_with_what_a_tick_claims(
    state: dict[str, Any], slots: dict[str, int], layers: Layers
) -> None:
    line = filled(state, slots, layers)
    before = dump(line.store)
    found = simulation.run(line, Plan())
    assert dump(line.store) == before
    at_once = [row for row in found["rows"] if row["starts_at"] == NOW and not row["running"]]
    dispatcher.sweep(line)
    # A claim that waited for its worker in the store starts in both, without a tick.
    live = {each.work_item_id for each in live_tasks(line)}
    claimed = {each.task_id for each in dispatcher.tick(line).claimed}
    ids = {f"T-{number}": number for number in range(1, 9)}
    assert {
        ids[row["work_item_id"]] for row in at_once if row["work_item_id"] not in live
    } == claimed


def live_tasks(line: Line) -> list[Any]:
    """Tasks with a live job."""
    question = (
        "SELECT t.work_item_id FROM tasks t JOIN jobs j ON j.task_id = t.id "
        "WHERE j.status IN ('claimed', 'running')"
    )
    return line.store.read(lambda conn: list(conn.exec_driver_sql(question)))


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(state=states, slots=a_fleet)
def test_no_two_turns_of_a_repo_overlap(state: dict[str, Any], slots: dict[str, int]) -> None:
    line = filled(state, slots, Layers())
    found = simulation.run(line, Plan(seed=1))
    by_repo = sorted(found["rows"], key=lambda row: (row["repo"], row["starts_at"]))
    for _, rows in itertools.groupby(by_repo, key=lambda row: row["repo"]):
        for one, other in itertools.pairwise(rows):
            assert one["ends_at"] <= other["starts_at"]
    ended = {each["work_item_id"] for each in found["tasks"] if each["done_at"] is not None}
    left = {each["work_item_id"] for each in found["never"]}
    assert ended | left >= {each["work_item_id"] for each in found["tasks"]}
    assert not ended & left
