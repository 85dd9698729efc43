"""On random states a simulation begins with what a dispatcher would claim, and no two turns of a
serialised repo overlap."""

from __future__ import annotations

import itertools
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
from tests.store.test_agreement import NOW, build, states, switches

a_fleet = st.fixed_dictionaries(
    {agent: st.sampled_from([1, 1, 2, 3, 0]) for agent in stages.AGENTS}
)


def filled(state: dict[str, Any], slots: dict[str, int], layers: Layers) -> Line:
    """The line of this state on a store of its own, in memory."""
    store = Store("sqlite://")

    def fill(conn: Connection) -> None:
        metadata.create_all(conn)
        build(conn, state)
        for agent, count in slots.items():
            fleet.register(conn, f"w-{agent}", stages.queue_of(agent), count, "1", NOW)

    store.write(fill)
    rig = Rig(store)
    return Line(store, rig.queue, lambda: NOW, rig.token, Gate(layers))


def known(state: dict[str, Any]) -> dict[str, Any]:
    """The same without stages that orch does not know: who claims such a job parks its task."""
    tasks = [
        {**task, "stage": "review" if task["stage"] == "mystery" else task["stage"]}
        for task in state["tasks"]
    ]
    return {**state, "tasks": tasks}


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(state=states.map(known), slots=a_fleet, layers=switches)
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


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
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
