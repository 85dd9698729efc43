"""The numbers of the first page agree with the line, with each other, and with what waits."""

from __future__ import annotations

from typing import Any

import pytest

from orch import controls, mirror, overview, snapshot, stages
from orch.controls import NewTask
from orch.snapshot import Only, Wanted
from tests.factories import Rig


def seen(rig: Rig) -> dict[str, Any]:
    return overview.overview(rig.line)


def seven(rig: Rig) -> None:
    """Seven open tasks: two run, three wait, two are parked; and one that still ends its turn."""
    rig.task("APP-1", "development", job="running")
    rig.task("LIB-1", "development", repo="lib", job="running")
    for number in range(2, 7):
        rig.task(f"APP-{number}")
    for item in ("APP-5", "APP-6", "LIB-1"):
        rig.order("pause", item)


def test_every_open_task_runs_waits_or_is_parked(rig: Rig) -> None:
    seven(rig)
    counts = seen(rig)["counts"]
    assert counts == {"running": 2, "waiting": 3, "parked": 2}
    assert sum(counts.values()) == sum(seen(rig)["stages"].values())


@pytest.mark.parametrize("only", [Only(), Only(stage=stages.ENTRY)], ids=["all", "filtered"])
def test_the_line_counts_as_the_first_page_does(rig: Rig, only: Only) -> None:
    seven(rig)
    seen = snapshot.snapshot(rig.line, Wanted(("app",), only=only))
    lane = seen["serial_gate"]["per_repo"]["app"]
    assert (lane["waiting_total"], lane["listed_total"]) == (3, 5)
    assert (len(lane["waiting"]), len(lane["paused"])) == (5, 2)


def test_a_freeze_counts_only_who_is_in_line(rig: Rig) -> None:
    seven(rig)
    rig.order("freeze", "ap*")
    (freeze,) = seen(rig)["freezes"]
    assert freeze["waiting"] == 3


def test_who_waits_is_found_behind_repos_whose_tasks_are_all_parked(rig: Rig) -> None:
    for number in range(overview.SHOWN):
        rig.task(f"OLD-{number}", repo=f"old-{number}")
        rig.order("pause", f"OLD-{number}")
    rig.task("NEW-1", "development", repo="new", job="running")
    rig.task("NEW-2", repo="new")
    assert [entry["work_item_id"] for entry in seen(rig)["oldest"]] == ["NEW-2"]


def test_a_pause_takes_out_of_the_line_and_a_resume_puts_back(rig: Rig) -> None:
    for item in ("APP-1", "APP-2"):
        controls.add_task(rig.line, NewTask(item, "app"), "ann")
    rig.clock.advance(3601)
    rig.order("pause", "APP-2")
    assert [each["value"] for each in overview.trend(rig.line)["waiting"]][-3:] == [0, 2, 1]
    rig.clock.advance(3601)
    rig.order("resume", "APP-2")
    assert [each["value"] for each in overview.trend(rig.line)["waiting"]][-4:] == [0, 2, 1, 2]


def test_the_end_of_a_freeze_and_who_may_pass_are_in_its_lane(rig: Rig) -> None:
    rig.task("APP-1")
    until = rig.clock.now.replace(year=rig.clock.now.year + 1)
    rig.order("freeze", "app", until=until, allow="APP-1")
    lane = rig.lanes()["app"]
    assert (lane["frozen_until"], lane["frozen_allow"]) == (until, "APP-1")


def test_a_sentence_about_a_question_ends_once(rig: Rig) -> None:
    rig.task("APP-1")
    rig.asked("APP-1", "Which colour?")
    assert mirror.why(rig.line, "APP-1")["sentence"].endswith("Which colour?")
    assert (rig.job("APP-1")["status"], rig.row("APP-1")["paused_by"]) == ("succeeded", "orch")
