"""A part of the line: filters ask the gate's own columns, so they never disagree with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import update

from orch import bulk, snapshot
from orch.serial_gate import Layers
from orch.snapshot import REASONS, Only, Wanted
from orch.store.schema import jobs
from tests.factories import Rig

REPOS = ("app", "lib", "pay")


class Chance:
    """Choices that look like chance, and are the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.seed, self.asked = seed, 0

    def of(self, values: Sequence[str]) -> str:
        self.asked += 1
        drawn = hashlib.sha256(f"{self.seed} {self.asked}".encode()).digest()
        return values[int.from_bytes(drawn[:4]) % len(values)]

    def some(self, values: Sequence[str], count: int) -> list[str]:
        found: dict[str, None] = {}
        while len(found) < count:
            found[self.of(values)] = None
        return list(found)


def filled(rig: Rig, seed: int) -> None:
    """Lanes with a bit of everything, the same for the same seed."""
    chance = Chance(seed)
    items = [f"T-{number}" for number in range(18)]
    for item in items:
        stage = chance.of(["analysis", "analysis", "development", "review"])
        rig.task(item, stage, repo=chance.of(REPOS), title=chance.of(["Log in", "CACHE"]))
    for item in chance.some(items, 4):
        rig.order("pause", item, chance.of(["later", "failed three times"]))
    first, second = sorted(chance.some(items, 2))
    rig.order("depend", second, on=first)
    rig.order("freeze", chance.of(REPOS), "main is red")
    later = rig.clock() + timedelta(hours=1)
    waits = update(jobs).where(jobs.c.task_id == rig.row_id(chance.of(items)))
    rig.store.write(lambda conn: conn.execute(waits.values(available_at=later)))
    rig.workers()
    rig.tick()


def shown(rig: Rig, only: Only) -> list[str]:
    """The waiting work items that a filter leaves, in the order of the snapshot."""
    names, more = snapshot.lanes_page(rig.line, only, 0, 20)
    assert not more
    seen = snapshot.snapshot(rig.line, Wanted(tuple(names), 100, only))
    lanes = seen["serial_gate"]["per_repo"].values()
    assert all(lane["listed_total"] == len(lane["waiting"]) for lane in lanes)
    return [entry["work_item_id"] for lane in lanes for entry in lane["waiting"]]


@pytest.mark.parametrize("seed", range(3))
def test_a_filter_by_reason_leaves_those_that_wait_for_it(rig: Rig, seed: int) -> None:
    filled(rig, seed)
    everything = rig.waiting()
    for reason in REASONS[1:]:
        expected = "" if reason == "open" else reason
        wanted = [item for item, each in everything.items() if (each["reason"] or "") == expected]
        assert shown(rig, Only(reason=reason)) == wanted


def test_what_is_filtered_keeps_its_position(rig: Rig) -> None:
    filled(rig, 1)
    places = {item: entry["position"] for item, entry in rig.waiting().items()}
    for only in (Only(stage="analysis"), Only(text="cache"), Only(reason="active-task")):
        names, _ = snapshot.lanes_page(rig.line, only, 0, 20)
        seen = snapshot.snapshot(rig.line, Wanted(tuple(names), 100, only))
        for lane in seen["serial_gate"]["per_repo"].values():
            for entry in lane["waiting"]:
                assert entry["position"] == places[entry["work_item_id"]]


def test_pages_of_a_lane_follow_each_other(rig: Rig) -> None:
    for number in range(7):
        rig.task(f"APP-{number}")
    found = []
    for skip in (0, 3, 6):
        seen = snapshot.snapshot(rig.line, Wanted(("app",), 3, skip=skip))
        found += seen["serial_gate"]["per_repo"]["app"]["waiting"]
    assert [entry["work_item_id"] for entry in found] == list(rig.waiting())
    assert [entry["position"] for entry in found] == [1, 2, 3, 4, 5, 6, 7]


EVERY_KIND = (
    Only(),
    Only(repo="lib"),
    Only(stage="development"),
    Only(text="LATER"),
    Only(reason="running"),
    Only(reason="paused"),
    Only(reason="freeze", text="log"),
)


def test_all_that_match_are_those_on_the_page(rig: Rig) -> None:
    filled(rig, 3)
    for only in EVERY_KIND:
        names, _ = snapshot.lanes_page(rig.line, only, 0, 20)
        seen = snapshot.snapshot(rig.line, Wanted(tuple(names), 100, only))
        lanes = seen["serial_gate"]["per_repo"].values()
        rows = [each for lane in lanes for each in (*lane["waiting"], *lane["paused"])]
        page = {each["work_item_id"] for each in rows}
        running = {each["work_item_id"] for lane in lanes for each in lane["live"]}
        found = bulk.matching(rig.line, only)
        assert found["total"] == len(found["items"]) == bulk.count(rig.line, only)
        assert page - running == set(found["items"]) - running
        assert only.narrows or running <= set(found["items"])


def test_without_the_pause_layer_a_parked_task_is_found_once(rig: Rig) -> None:
    rig.layers = Layers(serial_gate_pause_enabled=False)
    rig.task("APP-1")
    rig.order("pause", "APP-1")
    assert bulk.matching(rig.line, Only()) == {"items": ["APP-1"], "total": 1}


def test_what_likens_a_pattern_is_looked_for_as_it_is(rig: Rig) -> None:
    rig.task("APP-1", title="100% done")
    rig.task("APP-2", title="100 and done")
    rig.task("APP-3", title="a_b")
    assert shown(rig, Only(text="100%")) == ["APP-1"]
    assert shown(rig, Only(text="a_b")) == ["APP-3"]
    assert shown(rig, Only(text="'; --")) == []
