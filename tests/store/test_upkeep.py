"""Upkeep: what is over and saved goes, what is nowhere else stays, and strangers are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from orch import upkeep
from orch.adapters.memory_git import MemoryForge, MemoryWorkspaces
from orch.errors import GitUnreachable, IllegalTransition, NotFound
from orch.ports import Cut, Remote, Turn
from orch.store.schema import tasks
from orch.upkeep import Keeper, Room
from tests.factories import Rig

KEEP = 3600.0
HERE = Remote("app", "/nowhere", "main")


class House:
    """Tasks of one repo, and the workspaces they left."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.rig = rig
        self.forge = MemoryForge()
        self.rooms = MemoryWorkspaces(self.forge, folder)
        self.keeper = Keeper(self.rooms, self.rooms, self.forge, {"app": HERE}, KEEP, "here")

    def room(self, item: str, *, work: bool = True) -> Cut:
        """A workspace, with a commit in it unless told otherwise."""
        cut = self.rooms.cut(HERE, item, Turn(1, "first"))
        if work:
            self.rooms.commit(cut, f"{item}.py")
        return cut

    def ended(self, item: str, stage: str = "done", **more: object) -> None:
        """A task that ended at this moment."""
        self.rig.task(item, stage, job=None, finished_at=self.rig.clock(), **more)

    def landed(self, item: str) -> Cut:
        """A task whose work is on the default branch."""
        cut = self.room(item)
        head, base = self.rooms.spaces[item].head, self.rooms.spaces[item].base
        self.forge.offer(cut, head)
        self.ended(item, merge_sha=self.forge.land(cut, head, base).merge_sha)
        return cut

    def clean(self, *, dry_run: bool = False) -> dict[str, str]:
        rooms = upkeep.clean(self.rig.line, self.keeper, "ann", dry_run=dry_run)
        return {room.work_item: room.what for room in rooms}

    def why(self, item: str) -> str:
        rooms = upkeep.clean(self.rig.line, self.keeper, "ann")
        (why,) = [room.why for room in rooms if room.work_item == item]
        return why


@pytest.fixture
def house(rig: Rig, tmp_path: Path) -> House:
    return House(rig, tmp_path)


def test_what_has_landed_goes_after_its_time_and_its_branch_with_it(house: House) -> None:
    house.landed("A-1")
    house.rig.clock.advance(KEEP - 2)
    assert house.clean() == {}
    house.rig.clock.advance(2)
    assert house.clean(dry_run=True) == {"A-1": "due"}
    assert house.forge.branches.keys() == {"main", "feature/A-1"}
    assert house.clean() == {"A-1": "discarded"}
    assert (house.rooms.spaces, list(house.forge.branches)) == ({}, ["main"])
    (event,) = house.rig.events("task.cleared")
    assert (event["task_id"], event["repo"], event["actor"]) == (
        house.rig.row("A-1")["id"], "app", "ann",
    )  # fmt: skip
    assert house.clean() == {}


def test_the_branch_of_a_cancelled_task_stays_as_the_only_copy(house: House) -> None:
    cut = house.room("A-1")
    house.forge.offer(cut, house.rooms.spaces["A-1"].head)
    house.ended("A-1", "cancelled")
    house.rig.clock.advance(KEEP)
    assert house.clean() == {"A-1": "discarded"}
    assert "feature/A-1" in house.forge.branches


def test_a_branch_stays_whose_merge_was_taken_out_of_main_again(house: House) -> None:
    house.landed("A-1")
    house.forge.branches["main"] = house.forge.commit()
    house.rig.clock.advance(KEEP)
    house.clean()
    assert "feature/A-1" in house.forge.branches


@pytest.mark.parametrize("soiled", ["uncommitted", "unpushed"])
def test_work_that_is_nowhere_else_is_named_and_kept(house: House, soiled: str) -> None:
    if soiled == "unpushed":
        house.room("A-1")
        house.ended("A-1", "cancelled")
    else:
        house.landed("A-1")
        house.rooms.spaces["A-1"].dirty.add("notes.txt")
    house.rig.clock.advance(KEEP)
    assert house.clean() == {"A-1": "kept"}
    assert "A-1" in house.rooms.spaces
    assert house.rig.events("task.cleared") == []
    assert ("notes.txt" if soiled == "uncommitted" else "would be lost") in house.why("A-1")


def test_a_workspace_of_no_task_is_named_and_left_alone(house: House) -> None:
    house.room("X-9", work=False)
    house.room(upkeep.HEALTH_ROOM, work=False)
    house.rig.task("X-9", "done", repo="lib", job=None)
    assert house.clean() == {"X-9": "orphan"}
    assert "X-9" in house.rooms.spaces


def test_a_task_under_way_or_with_an_agent_at_it_is_left_alone(house: House) -> None:
    for item, stage, job in (("A-1", "review", "queued"), ("A-2", "cancelled", "running")):
        house.room(item, work=False)
        house.rig.task(item, stage, job=job)
    house.rig.clock.advance(10 * KEEP)
    assert house.clean() == {}


def test_a_task_ended_by_hand_counts_from_when_it_came_in(house: House) -> None:
    house.room("A-1", work=False)
    house.rig.task("A-1", "done", job=None)
    assert house.clean() == {}
    house.rig.clock.advance(KEEP)
    assert house.clean() == {"A-1": "discarded"}


def test_a_remote_that_is_away_keeps_the_room_and_the_others_go_on(house: House) -> None:
    house.landed("A-1")
    house.room("B-1", work=False)
    house.ended("B-1", "cancelled")
    house.rig.clock.advance(KEEP)
    house.forge.down = True
    assert house.clean() == {"A-1": "kept", "B-1": "discarded"}
    house.forge.down = False
    assert house.clean() == {"A-1": "discarded"}


def test_a_person_may_discard_what_is_kept_but_nothing_under_way(house: House) -> None:
    house.room("A-1")
    house.ended("A-1", "cancelled")
    house.room("B-1")
    house.rig.task("B-1", "development")
    line, keeper = house.rig.line, house.keeper
    assert upkeep.discard(line, keeper, "A-1", "ann") == [
        Room("app", "A-1", "discarded", "by force")
    ]
    (event,) = house.rig.events("task.cleared")
    assert event["reason"] == "its workspace was discarded by force"
    with pytest.raises(IllegalTransition, match="not over"):
        upkeep.discard(line, keeper, "B-1", "ann")
    with pytest.raises(NotFound):
        upkeep.discard(line, keeper, "A-1", "ann")
    assert list(house.rooms.spaces) == ["B-1"]


def test_the_use_of_the_disk_is_measured_once_and_read_often(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.room("A-1")
    upkeep.measure(house.rig.line, house.keeper)
    (found,) = upkeep.disk(house.rig.line)
    assert (found["host"], found["at"], found["free"]) == ("here", house.rig.clock(), 0)
    assert found["repos"] == {"app": {"depot": 2, "workspaces": 1}}

    def away(_repo: str) -> None:
        raise GitUnreachable("nobody may look now")

    monkeypatch.setattr(house.rooms, "disk_use", away)
    upkeep.measure(house.rig.line, house.keeper)
    assert upkeep.disk(house.rig.line)[0]["repos"] == {}


def test_who_is_to_go_looks_into_no_further_room(house: House) -> None:
    house.landed("A-1")
    house.rig.clock.advance(KEEP)
    keeper = Keeper(house.rooms, house.rooms, house.forge, {"app": HERE}, KEEP, "h", lambda: True)
    assert upkeep.clean(house.rig.line, keeper, "ann") == []
    upkeep.measure(house.rig.line, keeper)
    assert upkeep.disk(house.rig.line) == []


def test_an_end_nobody_wrote_down_is_no_end(house: House) -> None:
    house.landed("A-1")
    house.rig.clock.advance(KEEP)
    open_again = update(tasks).values(stage="deploy")
    house.rig.store.write(lambda conn: conn.execute(open_again))
    assert house.clean() == {}
