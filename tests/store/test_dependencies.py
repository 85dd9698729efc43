"""Dependencies: what waits for what, who is woken, and which are refused."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from orch import controls, dispatcher, task_deps
from orch.controls import NewTask
from orch.errors import BadInput, DependencyCycle, UnknownTask
from tests.factories import Rig, dump

A, B, C = "A-1", "B-2", "C-3"


def test_a_task_waits_for_every_predecessor(rig: Rig) -> None:
    rig.task(A, repo="x")
    rig.task(B, repo="y")
    rig.task(C, repo="z")
    rig.order("depend", C, on=A)
    rig.order("depend", C, on=B)
    rig.move(A, "done")
    assert rig.waiting()[C]["reason"] == "dependency"
    assert [each["work_item_id"] for each in rig.waiting()[C]["blockers"]] == [B]
    rig.move(B, "cancelled")
    assert rig.waiting()[C]["reason"] is None


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_cycle_is_refused_and_spelled_out(rig: Rig, length: int) -> None:
    items = [f"T-{number}" for number in range(length)]
    for item in items:
        rig.task(item)
    for item, first in pairwise(items):
        rig.order("depend", item, on=first)
    before = dump(rig.store)
    with pytest.raises(DependencyCycle) as refused:
        rig.order("depend", items[-1], on=items[0])
    assert dump(rig.store) == before
    if length > 1:
        cycle = [items[-1], *items]
        assert refused.value.facts["cycle"] == cycle
        assert " → ".join(cycle) in refused.value.message


def test_a_diamond_is_no_cycle(rig: Rig) -> None:
    for item in (A, B, C, "D-4"):
        rig.task(item)
    for item, before in ((B, A), (C, A), ("D-4", B), ("D-4", C)):
        assert rig.order("depend", item, on=before)["changed"] is True
    assert rig.claimable() == {A}


def test_declared_twice_it_is_declared_once(rig: Rig) -> None:
    rig.task(A)
    rig.task(B)
    assert rig.order("depend", B, on=A)["changed"] is True
    assert rig.order("depend", B, on=A)["changed"] is False
    assert len(rig.events("dependency.added")) == 1
    assert rig.order("undepend", B, on=A)["changed"] is True
    assert rig.order("undepend", B, on=A)["changed"] is False
    assert len(rig.events("dependency.removed")) == 1


def test_the_event_names_both_and_who(rig: Rig) -> None:
    rig.task(A)
    rig.task(B)
    rig.order("depend", B, on=A)
    (event,) = rig.events("dependency.added")
    assert (event["task_id"], event["actor"], event["data"]) == (
        rig.row(B)["id"], "ann", {"depends_on": A},
    )  # fmt: skip


def test_a_waiting_task_yields_its_place_and_gets_it_back(rig: Rig) -> None:
    rig.task(A)
    rig.task(B)
    rig.task(C, repo="lib")
    rig.order("depend", A, on=C)
    assert rig.reasons() == {A: "dependency", B: None, C: None}
    assert rig.lanes()["app"]["active_task"]["work_item_id"] == B
    rig.move(C, "done")
    assert rig.reasons() == {A: None, B: "active-task", C: "active-task"} | {C: rig.reasons()[C]}


def test_a_task_past_entry_that_waits_yields_too(rig: Rig) -> None:
    rig.task(A, "development")
    rig.task(B)
    rig.task(C, repo="lib")
    rig.order("depend", A, on=C)
    assert rig.claimable() == {B, C}


def test_the_end_of_a_predecessor_wakes_the_other_repo(rig: Rig, tmp_path: Path) -> None:
    rig.task(A, "deploy")
    rig.task(B, repo="lib")
    rig.order("depend", B, on=A)
    rig.workers()
    (first,) = rig.tick().claimed
    assert dispatcher.tick(rig.line).claimed == []
    rig.work(first.claim, tmp_path)
    assert rig.row(A)["stage"] == "done"
    assert [each.repo for each in dispatcher.tick(rig.line).claimed] == ["lib"]


@pytest.mark.parametrize("how", ["cancel", "undepend"])
def test_so_does_its_cancellation_and_taking_the_dependency_back(rig: Rig, how: str) -> None:
    rig.task(A, job=None)
    rig.task(B, repo="lib")
    rig.order("depend", B, on=A)
    rig.workers()
    rig.tick()
    rig.order("cancel", A) if how == "cancel" else rig.order("undepend", B, on=A)
    assert [each.repo for each in dispatcher.tick(rig.line).claimed] == ["lib"]


def test_a_paused_predecessor_is_named_with_the_command_that_helps(rig: Rig) -> None:
    rig.task(A)
    rig.task(B, repo="lib")
    rig.order("depend", B, on=A)
    (blocker,) = rig.why(B)["blockers"]
    assert (blocker["work_item_id"], blocker["clear_with"]) == (
        A, f"orch depend {B} --on {A} --remove",
    )  # fmt: skip
    rig.order("pause", A)
    (blocker,) = rig.why(B)["blockers"]
    assert blocker["clear_with"] == f"orch resume {A}"
    assert blocker["detail"] == f"{A} comes first and is at analysis, paused in app"


def test_pausing_the_dependent_bypasses_nothing(rig: Rig) -> None:
    rig.task(A)
    rig.task(B, repo="lib")
    rig.order("depend", B, on=A)
    rig.order("pause", B)
    rig.order("resume", B)
    assert rig.reasons()[B] == "dependency"


def test_an_ended_predecessor_may_be_declared_and_stops_nothing(rig: Rig) -> None:
    rig.task(A, "done", job=None)
    rig.task(B)
    assert rig.order("depend", B, on=A)["changed"] is True
    assert rig.reasons() == {B: None}


def test_store_level_dependencies_answer_false_where_nothing_can_change(rig: Rig) -> None:
    over = rig.task(A, "done", job=None)
    other = rig.task(B)

    def add(task_id: int | None, on: int | None) -> bool:
        return rig.store.write(
            lambda conn: task_deps.add_dependency(conn, task_id, on, rig.clock())
        )

    assert (add(over, other), add(other, 999), add(999, other)) == (False, False, False)


def test_a_strange_predecessor_is_refused_by_name(rig: Rig) -> None:
    rig.task(A)
    with pytest.raises(UnknownTask):
        rig.order("depend", A, on="NOBODY-1")
    with pytest.raises(BadInput):
        rig.order("depend", A)


def test_a_task_comes_in_with_its_dependencies_or_not_at_all(rig: Rig) -> None:
    rig.task(A)
    controls.add_task(rig.line, NewTask(B, "lib", depends_on=(A,)), "ann")
    assert rig.reasons()[B] == "dependency"
    before = dump(rig.store)
    with pytest.raises(UnknownTask):
        controls.add_task(rig.line, NewTask(C, "new", depends_on=(A, "NOBODY-1")), "ann")
    assert dump(rig.store) == before


def test_what_waits_is_not_claimed_though_its_time_came_long_ago(rig: Rig) -> None:
    rig.task(A, job=None, repo="x")
    rig.task(B, repo="lib")
    rig.order("depend", B, on=A)
    rig.workers()
    rig.clock.advance(10 * 86400)
    rig.workers()
    assert rig.tick().claimed == []
