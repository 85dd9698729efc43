"""The snapshot and `why`: their shape, every blocker at once, and the order of admission."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta

import pytest

from orch import snapshot, stages
from orch.errors import UnknownTask
from orch.ports import Claim
from orch.serial_gate import Layers
from orch.snapshot import Wanted
from orch.store import claims, endings, looks
from tests.factories import MANY, Rig

A, B, C, D = "A-1", "B-2", "C-3", "D-4"

LANE = {
    "active_task", "paused", "waiting", "frozen", "frozen_reason", "frozen_at", "frozen_by", "live",
}  # fmt: skip
WAITING = {
    "job_id", "task_id", "work_item_id", "agent", "stage", "position", "reason", "hold", "since",
    "blockers",
}  # fmt: skip
BLOCKER = {"clause", "id", "work_item_id", "detail", "since", "set_by", "clear_with"}
AGENT = {"live", "slots", "workers", "suspended_until", "suspended_reason"}


def everything(rig: Rig) -> None:
    """Something of every kind in one repo, and a quiet one beside it."""
    rig.task(A, "development", job="running")
    rig.task(B, "review")
    rig.task(C)
    rig.task(D, repo="lib")
    rig.order("depend", C, on=D)
    rig.order("pause", B)
    rig.order("freeze", "app", "deploy day")
    rig.workers(slots=2)


def test_the_snapshot_has_the_promised_shape(rig: Rig) -> None:
    everything(rig)
    shown = rig.shown()
    assert {"generated_at", "degraded", "serial_gate", "agents"} <= set(shown)
    assert shown["generated_at"] == rig.clock()
    switches = {each.name for each in fields(Layers)}
    assert set(shown["serial_gate"]) == {*switches, "per_repo"}
    for lane in shown["serial_gate"]["per_repo"].values():
        assert set(lane) >= LANE
        for entry in lane["waiting"]:
            assert set(entry) >= WAITING
            for blocker in entry["blockers"]:
                assert set(blocker) >= BLOCKER
    assert set(shown["agents"]) >= set(stages.AGENTS)
    assert all(set(agent) == AGENT for agent in shown["agents"].values())
    json.dumps(shown, default=str)


def test_the_lane_tells_who_holds_it_who_runs_and_who_is_parked(rig: Rig) -> None:
    everything(rig)
    lane = rig.lanes()["app"]
    holder = lane["active_task"]
    assert (holder["work_item_id"], holder["stage"], holder["agent"], holder["live"]) == (
        A, "development", "developer", True,
    )  # fmt: skip
    assert [(each["work_item_id"], each["status"]) for each in lane["live"]] == [(A, "running")]
    (parked,) = lane["paused"]
    assert (parked["work_item_id"], parked["paused_by"], parked["paused_reason"]) == (
        B, "ann", "because",
    )  # fmt: skip
    assert [(each["position"], each["work_item_id"]) for each in lane["waiting"]] == [
        (1, B), (2, C),
    ]  # fmt: skip
    quiet = rig.lanes()["lib"]
    assert (quiet["frozen"], quiet["paused"], quiet["live"]) == (False, [], [])
    assert quiet["active_task"]["work_item_id"] == D


def test_why_names_every_blocker_at_once_and_how_to_clear_each(rig: Rig) -> None:
    everything(rig)
    rig.order("pause", C, "waits for the customer")
    found = rig.why(C)
    assert (found["reason"], found["holder"]["work_item_id"], found["frozen"]) == (
        "freeze", A, True,
    )  # fmt: skip
    assert [(each["clause"], each["clear_with"]) for each in found["blockers"]] == [
        ("freeze", "orch unfreeze app"),
        ("paused", f"orch resume {C}"),
        ("dependency", f"orch depend {C} --on {D} --remove"),
        ("active-task", f"orch pause {A}"),
    ]
    assert all(each["since"] is not None for each in found["blockers"])
    assert found["blockers"][3]["detail"] == (
        f"{A} holds the repo at development: developer is at work on it"
    )
    assert found["sentence"] == f"{C} waits: app is frozen by ann: deploy day."


def test_clearing_each_blocker_as_told_opens_the_gate(rig: Rig) -> None:
    everything(rig)
    rig.order("pause", C)
    reasons = []
    for verb, target, on in (
        ("unfreeze", "app", None), ("resume", C, None), ("undepend", C, D), ("cancel", A, None),
    ):  # fmt: skip
        reasons.append(rig.order(verb, target, on=on) and rig.why(C)["reason"])
    assert reasons == ["paused", "dependency", "active-task", "active-task"]
    rig.clock.advance(7200)
    rig.tick()
    assert rig.why(C)["reason"] is None


def run_through(rig: Rig, claim: Claim) -> None:
    now = rig.clock()
    rig.store.write(lambda conn: claims.start(conn, rig.gate, claim, now, worker="w"))
    rig.store.write(lambda conn: endings.finish(conn, claim, now, "succeed"))


def admissions(rig: Rig, repo: str) -> Iterator[str]:
    """Work items in the order in which the gate lets them run, each to its end."""
    while True:
        claimed = rig.store.write(
            lambda conn: looks.claim(conn, rig.gate, [repo], MANY, rig.clock(), token=rig.token())
        )
        if not claimed:
            return
        (one,) = claimed
        run_through(rig, one.claim)
        (item,) = [key for key in (A, B, C, D, "E-5", "F-6") if rig.row_id(key) == one.task_id]
        rig.move(item, "done")
        yield item


def test_positions_are_the_order_of_admission(rig: Rig) -> None:
    rig.task(A)
    rig.task(B, "review")
    rig.task(C, "development")
    rig.task(D)
    rig.task("E-5")
    rig.task("F-6", "testing")
    rig.order("promote", "E-5")
    rig.order("pause", B)
    rig.order("resume", B)
    shown = list(rig.waiting())
    assert shown == [C, "F-6", B, "E-5", A, D]
    assert [entry["position"] for entry in rig.waiting().values()] == [1, 2, 3, 4, 5, 6]
    assert list(admissions(rig, "app")) == shown


def test_what_is_ahead_of_a_task_is_named(rig: Rig) -> None:
    for item in (A, B, C, D):
        rig.task(item)
    rig.order("pause", B)
    assert rig.why(D)["ahead"] == [A, C]
    assert rig.why(A)["ahead"] == []
    rig.order("freeze", "app")
    assert rig.why(D)["ahead"] == [A, C]


STATES = {
    "waiting": ("queued", "X-1 may start, but no worker serves analyst."),
    "running": ("running", "X-1 is running: analyst has it at analysis."),
    "claimed": ("claimed", "X-1 is claimed: analyst has it at analysis."),
    "idle": ("failed", "X-1 has no job queued at analysis; `orch retry X-1` queues one."),
}


@pytest.mark.parametrize("state", STATES)
def test_why_answers_in_one_sentence(rig: Rig, state: str) -> None:
    job, sentence = STATES[state]
    rig.task("X-1", job=job)
    found = rig.why("X-1")
    assert (found["state"], found["sentence"]) == (state, sentence)


def test_why_of_a_parked_and_of_an_ended_task(rig: Rig) -> None:
    rig.task(A, job=None)
    rig.task(B, "done", job=None)
    rig.order("pause", A, "no budget")
    assert rig.why(A)["sentence"] == f"{A} is parked: no budget."
    assert rig.why(B)["sentence"] == f"{B} is done."
    with pytest.raises(UnknownTask):
        rig.why("A-2")


def test_an_open_gate_waits_for_a_worker_for_a_slot_or_for_nothing(rig: Rig) -> None:
    rig.task(A)
    assert rig.waiting()[A]["hold"] == "no-worker"
    rig.workers(slots=1)
    assert rig.waiting()[A]["hold"] is None
    assert rig.why(A)["sentence"] == f"{A} may start now."
    rig.task(B, repo="lib", job="running")
    assert rig.waiting()[A]["hold"] == "capacity"
    assert rig.why(A)["sentence"] == f"{A} may start as soon as a slot of analyst is free."


def test_a_blocked_job_shows_since_when(rig: Rig) -> None:
    rig.task(A)
    rig.clock.advance(60)
    at = rig.clock()
    rig.order("pause", A, until=at + timedelta(hours=1))
    entry = rig.waiting()[A]
    assert entry["since"] == at
    assert entry["blockers"][0]["until"] == at + timedelta(hours=1)


def test_only_the_repos_asked_for_are_shown_also_quiet_ones(rig: Rig) -> None:
    rig.task(A)
    rig.task(B, repo="lib")
    found = snapshot.snapshot(rig.line, Wanted(repos=("lib", "quiet")))
    lanes = found["serial_gate"]["per_repo"]
    assert set(lanes) == {"lib", "quiet"}
    assert (lanes["quiet"]["active_task"], lanes["quiet"]["waiting"]) == (None, [])


def test_a_page_shows_the_first_and_counts_all(rig: Rig) -> None:
    for number in range(5):
        rig.task(f"T-{number}")
    lane = snapshot.snapshot(rig.line, Wanted(limit=2))["serial_gate"]["per_repo"]["app"]
    assert [each["work_item_id"] for each in lane["waiting"]] == ["T-0", "T-1"]
    assert lane["waiting_total"] == 5


def test_a_parked_and_a_frozen_repo_are_shown_though_nothing_waits_there(rig: Rig) -> None:
    rig.task(A, job=None)
    rig.order("pause", A)
    rig.order("freeze", "new")
    assert set(rig.lanes()) == {"app", "new"}
