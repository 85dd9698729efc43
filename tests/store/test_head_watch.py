"""The head watch: who blocks others for too long is told once, and parked where that is wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from orch import head_watch, health
from orch.line import Limits
from orch.repo_settings import RepoSettings
from orch.serial_gate import Layers
from orch.store import claims, watches
from tests.factories import Rig

A, B, C = "A-1", "B-2", "C-3"
HOUR = 3600.0


def watching(rig: Rig, park: bool = False, seconds: float = HOUR) -> Rig:
    rig.limits = Limits(head_watch=seconds, head_watch_park=park)
    return rig


def look(rig: Rig, after: float = 0) -> list[str]:
    """One look, so many seconds from now; who was told of."""
    rig.clock.advance(after)
    return head_watch.look(rig.line)


def test_a_head_that_blocks_others_for_too_long_is_told_of_once(rig: Rig) -> None:
    watching(rig).workers()
    rig.task(A, "development")
    rig.task(B)
    rig.task(C)
    assert [look(rig), look(rig, HOUR - 1), look(rig, 1), look(rig, HOUR)] == [[], [], [A], []]
    (event,) = rig.events("head.watch")
    assert (event["actor"], event["repo"], event["task_id"]) == ("head-watch", "app", rig.row_id(A))
    assert event["reason"].startswith(f"{A} has held app for 1 h while 2 others wait. {A} may")
    known = {"work_item_id": A, "waiting": 2, "seconds": 3600, "live": False}
    assert known.items() <= event["data"].items()
    assert rig.counted("head_watch") == 1


def test_what_the_head_waits_for_is_named(rig: Rig) -> None:
    watching(rig)
    rig.task(A, "development")
    rig.task(B)
    look(rig)
    look(rig, HOUR)
    (event,) = rig.events("head.watch")
    assert event["data"]["waits_for"] == f"{A} may start, but no worker serves developer."


def test_a_task_at_work_blocks_as_well(rig: Rig) -> None:
    watching(rig, park=True)
    rig.task(A, "development", job="running")
    rig.task(B)
    look(rig)
    assert look(rig, HOUR) == [A]
    (event,) = rig.events("head.watch")
    assert (event["data"]["live"], event["data"]["waits_for"]) == (
        True, f"{A} is running: developer has it at development.",
    )  # fmt: skip
    assert rig.row(A)["paused_at"] is None  # an agent at work is left alone


Hold = Callable[[Rig], object]
HELD: dict[str, Hold] = {
    "frozen": lambda rig: rig.order("freeze", "app"),
    "paused": lambda rig: rig.order("pause", B),
    "dependent": lambda rig: rig.order("depend", B, on=C),
    "alone": lambda rig: rig.order("cancel", B),
}


@pytest.mark.parametrize("how", HELD)
def test_nobody_is_blocked_by_the_head_who_is_held_by_something_else(rig: Rig, how: str) -> None:
    watching(rig)
    rig.task(A, "development")
    rig.task(B)
    rig.task(C, repo="lib")
    HELD[how](rig)
    assert [look(rig), look(rig, HOUR), look(rig, HOUR)] == [[], [], []]


def test_a_break_in_the_blocking_begins_the_time_anew(rig: Rig) -> None:
    watching(rig)
    rig.task(A, "development")
    rig.task(B)
    look(rig)
    rig.order("freeze", "app")
    look(rig, HOUR / 2)
    rig.order("unfreeze", "app")
    assert [look(rig, HOUR / 2), look(rig, HOUR - 1), look(rig, 1)] == [[], [], [A]]


def test_another_head_has_its_own_time(rig: Rig) -> None:
    watching(rig)
    rig.task(A, "development")
    rig.task(B)
    rig.task(C)
    look(rig)
    assert look(rig, HOUR) == [A]
    rig.order("pause", A)
    assert [look(rig), look(rig, HOUR - 1), look(rig, 1)] == [[], [], [B]]


def test_it_is_shown_until_it_is_over(rig: Rig) -> None:
    watching(rig)
    rig.task(A, "development")
    rig.task(B)
    look(rig)
    assert rig.lanes()["app"]["head_watch"] is None
    since = rig.clock()
    problem = "tasks that keep others waiting for too long: 1"
    look(rig, HOUR)
    shown = rig.lanes()["app"]["head_watch"]
    assert (shown["since"], shown["work_item_id"], shown["waiting"]) == (since, A, 1)
    assert rig.why(B)["head_watch"] == shown
    assert problem in health.report(rig.line)["problems"]
    rig.order("pause", A)
    look(rig)
    assert rig.lanes()["app"]["head_watch"] is None
    assert problem not in health.report(rig.line)["problems"]


def test_the_policy_parks_a_head_that_nobody_works_on_once(rig: Rig) -> None:
    watching(rig, park=True).workers()
    rig.task(A, "development")
    rig.task(B)
    look(rig)
    assert look(rig, HOUR) == [A]
    row = rig.row(A)
    assert (row["paused_by"], row["paused_until"]) == ("head-watch", None)
    assert row["paused_reason"] == "it held app for longer than 1 h before one other task"
    assert (rig.queue.kicked, rig.claimable()) == (1, {B})
    assert [look(rig), look(rig, HOUR)] == [[], []]
    assert len(rig.events("task.paused")) == 1


def test_a_person_who_takes_it_back_gives_it_its_time_again(rig: Rig) -> None:
    watching(rig, park=True)
    rig.task(A, "development")
    rig.task(B)
    look(rig)
    look(rig, HOUR)
    rig.clock.advance(1)
    rig.order("resume", A)
    assert [look(rig), look(rig, HOUR - 1)] == [[], []]
    assert rig.row(A)["paused_at"] is None
    assert look(rig, 1) == [A]
    assert len(rig.events("task.paused")) == 2


def test_a_head_that_was_at_work_is_parked_when_it_only_waits(rig: Rig) -> None:
    watching(rig, park=True).workers()
    rig.task(A, "development")
    rig.task(B)
    claim = rig.started(A)
    look(rig)
    assert look(rig, HOUR) == [A]
    assert rig.row(A)["paused_at"] is None
    rig.store.write(lambda conn: claims.release(conn, claim, rig.clock(), reason="lost"))
    assert look(rig) == []  # told before
    assert rig.row(A)["paused_by"] == "head-watch"


def test_an_agent_that_starts_in_the_last_moment_is_left_alone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching(rig, park=True).workers()
    rig.task(A, "development")
    rig.task(B)
    look(rig)
    original = rig.store.write

    def start_before_parking(work: Any) -> Any:
        if getattr(work, "func", None) is head_watch._park:
            monkeypatch.undo()
            rig.started(A)
        return original(work)

    monkeypatch.setattr(rig.store, "write", start_before_parking)
    assert look(rig, HOUR) == [A]
    assert rig.job(A)["status"] == "running"
    assert rig.row(A)["paused_at"] is None


@pytest.mark.parametrize("layer", ["serial_gate_enabled", "serial_gate_pause_enabled"])
def test_where_a_layer_is_off_nothing_is_parked_for_nothing(rig: Rig, layer: str) -> None:
    rig.layers = replace(Layers(), **{layer: False})
    watching(rig, park=True)
    rig.task(A, "development")
    rig.task(B)
    look(rig)
    told = look(rig, HOUR)
    assert told == ([A] if layer == "serial_gate_pause_enabled" else [])
    assert rig.row(A)["paused_at"] is None


def test_a_repo_has_its_own_time_and_its_own_policy(rig: Rig) -> None:
    watching(rig)
    rig.repos = {
        "app": RepoSettings(url="/srv/app.git", head_watch_seconds=60, head_watch_park=True),
        "lib": RepoSettings(url="/srv/lib.git", head_watch_seconds=0),
    }
    for repo in ("app", "lib"):
        rig.task(f"{repo}-1", "development", repo=repo)
        rig.task(f"{repo}-2", repo=repo)
    look(rig)
    assert look(rig, 60) == ["app-1"]
    assert rig.row("app-1")["paused_by"] == "head-watch"
    assert look(rig, HOUR) == []


def test_switched_off_it_forgets_what_it_showed(rig: Rig) -> None:
    watching(rig)
    rig.task(A, "development")
    rig.task(B)
    look(rig)
    look(rig, HOUR)
    assert rig.lanes()["app"]["head_watch"]
    watching(rig, seconds=0)
    assert look(rig) == []
    assert rig.lanes()["app"]["head_watch"] is None


def test_while_a_clause_cannot_be_read_all_stays_as_it_is(
    rig: Rig, break_clause: Callable[..., None]
) -> None:
    watching(rig, park=True)
    rig.task(A, "development")
    rig.task(B)
    look(rig)
    break_clause("freeze")
    assert look(rig, HOUR) == []
    assert rig.events("head.watch") == rig.events("task.paused") == []
    known = rig.store.read(lambda conn: watches.known_alarms(conn, watches.HEAD))
    assert len(known) == 1
