"""What a turn of an agent comes to, and what a tick makes of the line."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from orch import controls, dispatcher, turns
from orch.controls import NewTask
from orch.errors import StoreUnavailable
from orch.line import Line
from orch.outcomes import Decision
from orch.ports import AgentResult, Claim
from orch.serial_gate import Layers
from orch.store import looks
from orch.store.schema import agents, jobs, wakes
from tests.factories import Rig, ScriptedRunner, dump

A, B = "A-1", "B-2"


# --- what a turn comes to


def test_a_passed_turn_moves_the_task_and_queues_the_next_agent(rig: Rig, tmp_path: Path) -> None:
    rig.task(A)
    done = rig.claimed(A).job_id
    claim = Claim(done, rig.job(A)["claim_token"], "analyst")
    assert rig.work(claim, tmp_path) == "advance"
    job = rig.job(A)
    assert (rig.row(A)["stage"], job["agent"], job["status"]) == (
        "architecture", "architect", "queued",
    )  # fmt: skip
    (moved,) = rig.events("task.moved")
    assert (moved["from_state"], moved["to_state"]) == ("analysis", "architecture")
    (ended,) = rig.events("job.succeeded")
    assert (ended["job_id"], ended["data"]["verdict"]) == (done, "pass")


def passed_for_a_person(rig: Rig, turn: turns.Turn) -> None:
    """The agent passed, and its stage needs an approval."""
    result = AgentResult("exited", 0, "pass", summary="done")
    decision = Decision("succeed", "approve", verdict="pass", reason="waits for approval of it")
    assert turns.settle(rig.line, turn, turns.Outcome(result, decision), None).written


def test_a_stage_that_needs_approval_parks_its_task_until_it_has_it(rig: Rig) -> None:
    rig.task(A)
    rig.task(B)
    turn = turns.begin(rig.line, rig.claimed(A), "w")
    assert turn is not None
    passed_for_a_person(rig, turn)
    row = rig.row(A)
    assert (row["stage"], row["approval"], row["paused_by"]) == ("analysis", "analysis", "orch")
    assert row["paused_reason"] == "waits for approval of it"
    assert rig.claimable() == {B}
    rig.order("approve", A)
    assert (rig.row(A)["stage"], rig.job(A)["agent"]) == ("architecture", "architect")


def test_a_task_moved_while_its_agent_worked_asks_for_no_approval_and_goes_on(rig: Rig) -> None:
    rig.task(A)
    turn = turns.begin(rig.line, rig.claimed(A), "w")
    assert turn is not None
    rig.move(A, "review")
    passed_for_a_person(rig, turn)
    assert (rig.row(A)["approval"], rig.row(A)["paused_at"]) == (None, None)
    assert (rig.job(A)["stage"], rig.job(A)["status"]) == ("review", "queued")


def test_failed_attempts_wait_longer_each_and_the_third_parks(rig: Rig, tmp_path: Path) -> None:
    rig.task(A, "development")
    crash = ScriptedRunner(AgentResult("exited", 1, None, detail="boom"))
    for delay in (30, 60):
        assert rig.work(rig.claimed(A), tmp_path, crash) == "retry"
        assert rig.job(A)["available_at"] == rig.clock() + timedelta(seconds=delay)
        rig.clock.advance(delay)
    assert rig.job(A)["attempt"] == 3
    assert rig.work(rig.claimed(A), tmp_path, crash) == "park"
    assert rig.row(A)["paused_reason"] == "3 attempts are spent; the last: agent_failed, boom"
    rig.order("resume", A)
    assert rig.job(A)["attempt"] == 1


def test_rework_goes_back_and_the_sixth_parks(rig: Rig, tmp_path: Path) -> None:
    rig.task(A, "review", reworks=4)
    again = ScriptedRunner(AgentResult("exited", 0, "rework", summary="no tests"))
    assert rig.work(rig.claimed(A), tmp_path, again) == "rework"
    assert (rig.row(A)["stage"], rig.row(A)["reworks"]) == ("development", 5)
    assert rig.work(rig.claimed(A), tmp_path) == "advance"
    assert rig.work(rig.claimed(A), tmp_path, again) == "park"
    assert rig.row(A)["paused_reason"] == "5 reworks are spent; the last: no tests"
    rig.order("resume", A)
    assert (rig.row(A)["reworks"], rig.job(A)["status"]) == (0, "queued")


def test_a_rework_asked_of_a_cancelled_task_is_not_counted(rig: Rig) -> None:
    rig.task(A, "review")
    turn = turns.begin(rig.line, rig.claimed(A), "w")
    assert turn is not None
    rig.order("cancel", A)
    again = Decision("fail", "rework", rework_to="development", verdict="rework")
    result = AgentResult("exited", 0, "rework")
    assert turns.settle(rig.line, turn, turns.Outcome(result, again), None).written
    assert (rig.row(A)["stage"], rig.row(A)["reworks"]) == ("cancelled", 0)


# --- a tick


def test_a_tick_with_nothing_to_do_changes_nothing(rig: Rig) -> None:
    rig.workers()
    rig.task(A, "development", job=None)
    rig.task(B)
    rig.tick()
    before = dump(rig.store)
    for _ in range(2):
        assert dispatcher.tick(rig.line) == dispatcher.Tick()
    assert dump(rig.store) == before


def test_open_work_without_a_slot_stays_in_the_store_until_there_is_one(rig: Rig) -> None:
    rig.task(A)
    rig.task(B, repo="lib")
    assert rig.tick().claimed == []
    assert {entry["hold"] for entry in rig.waiting().values()} == {"no-worker"}
    rig.workers(slots=1)
    assert [each.repo for each in dispatcher.tick(rig.line).claimed] == ["app"]
    assert rig.waiting()[B]["hold"] == "capacity"
    rig.order("freeze", "lib")
    assert (rig.waiting()[B]["reason"], rig.waiting()[B]["hold"]) == ("freeze", None)
    rig.order("unfreeze", "lib")
    rig.workers(slots=2)
    assert [each.repo for each in dispatcher.tick(rig.line).claimed] == ["lib"]


def test_a_worker_unheard_of_has_no_slots(rig: Rig) -> None:
    rig.task(A)
    rig.workers()
    rig.clock.advance(rig.limits.worker_stale + 1)
    assert rig.tick().claimed == []
    assert rig.waiting()[A]["hold"] == "no-worker"


def test_a_tick_marks_nothing_twice(rig: Rig) -> None:
    rig.task(A)
    rig.workers()
    rig.tick()
    assert rig.store.read(lambda conn: conn.execute(select(wakes)).all()) == []


def test_a_live_job_written_past_the_lock_costs_only_its_own_repo_a_round(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.task(A)
    rig.task(B, repo="lib")
    rig.task("X-1", job=None)
    rig.workers()
    real, blocked = looks.take, iter([True, True])

    def racing(conn: Connection, gate: Any, names: Any, *rest: Any, **more: Any) -> Any:
        found = real(conn, gate, names, *rest, **more)
        if "app" in names and next(blocked, False):
            values = {"agent": "analyst", "repo": "app", "task_id": rig.row("X-1")["id"]}
            conn.execute(insert(jobs).values(**values, status="running"))
        return found

    monkeypatch.setattr(looks, "take", racing)
    done = rig.tick()
    assert ([each.repo for each in done.claimed], done.lost_races) == (["lib"], 1)
    assert rig.counted("lost_races") == 1
    rig.clock.advance(1)
    assert [each.repo for each in dispatcher.tick(rig.line).claimed] == ["app"]


def test_an_unserialised_job_is_no_concern_of_the_law(rig: Rig) -> None:
    rig.layers = Layers(serial_gate_enabled=False)
    rig.task(A)
    rig.task(B)
    rig.workers()
    assert [each.repo for each in rig.tick().claimed] == ["app", "app"]
    assert (rig.job(A)["serialised"], rig.job(B)["serialised"]) == (False, False)


# --- a look by whoever opened a gate


def looking(rig: Rig) -> Line:
    """The line of a process that looks itself."""
    return replace(rig.line, opened=dispatcher.look)


def test_a_process_that_stays_claims_what_it_lets_in(rig: Rig) -> None:
    rig.workers()
    answer = controls.add_task(looking(rig), NewTask(A, "app"), "ann")
    assert answer["changed"]
    assert [claim.agent for claim in rig.queue.take()] == ["analyst"]
    assert (rig.job(A)["status"], rig.queue.kicked) == ("claimed", 0)


def test_nothing_is_claimed_that_cannot_be_sent(rig: Rig) -> None:
    rig.workers()
    rig.queue.down = True
    assert controls.add_task(looking(rig), NewTask(A, "app"), "ann")["changed"]
    assert rig.job(A)["status"] == "queued"
    rig.queue.down = False
    dispatcher.tick(rig.line)
    assert rig.job(A)["status"] == "claimed"


def test_a_look_that_fails_is_left_to_a_dispatcher_and_loses_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("The task store does not answer.")

    rig.workers()
    with monkeypatch.context() as patch:
        patch.setattr(looks, "take", away)
        assert controls.add_task(looking(rig), NewTask(A, "app"), "ann")["changed"]
    assert (rig.job(A)["status"], rig.queue.kicked) == ("queued", 1)
    dispatcher.tick(rig.line)
    assert rig.job(A)["status"] == "claimed"


# --- going on in the slot that comes free


def test_a_suspended_agent_goes_on_with_nothing(rig: Rig, tmp_path: Path) -> None:
    rig.workers()
    for number in (1, 2):
        rig.task(f"STOP-{number}", stage="deploy")
    (claimed,) = rig.tick().claimed
    until = {"suspended_until": rig.clock() + timedelta(hours=1)}
    rig.store.write(lambda conn: conn.execute(update(agents).values(**until)))
    assert rig.work_through(claimed.claim, tmp_path, ScriptedRunner(), most=10) == ["advance"]
    assert rig.job("STOP-2")["status"] == "queued"
    rig.clock.advance(3601)
    rig.workers()
    assert [each.claim.job_id for each in rig.tick().claimed] == [rig.job("STOP-2")["id"]]


def test_an_end_is_written_even_when_the_look_behind_it_fails(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.workers()
    for number in (1, 2):
        rig.task(f"END-{number}", stage="deploy")
    (claimed,) = rig.tick().claimed

    def fails(*_: object, **__: object) -> None:
        raise ValueError("Invalid isoformat string")

    with monkeypatch.context() as patch:
        patch.setattr(looks, "take", fails)
        came_to = rig.work_through(claimed.claim, tmp_path, ScriptedRunner(), most=10)
    assert (came_to, rig.row("END-1")["stage"]) == (["advance"], "done")
    assert rig.queue.kicked
    assert [each.claim.job_id for each in dispatcher.tick(rig.line).claimed] == [
        rig.job("END-2")["id"]
    ]


def test_a_slot_goes_on_with_the_oldest_job_of_its_agent_wherever_it_is(
    rig: Rig, tmp_path: Path
) -> None:
    for item, repo in (("OLD-1", "app"), ("OLD-2", "lib"), ("OLD-3", "app"), ("OLD-4", "lib")):
        rig.task(item, stage="deploy", repo=repo)
    rig.workers(slots=1)
    (claimed,) = rig.tick().claimed
    runner = ScriptedRunner()
    rig.work_through(claimed.claim, tmp_path, runner, most=10)
    seen = [work.work_item_id for work in runner.seen]
    assert seen == ["OLD-1", "OLD-2", "OLD-3", "OLD-4"]


def test_who_reached_a_limit_goes_on_with_nothing_and_loses_no_attempt(
    rig: Rig, tmp_path: Path
) -> None:
    rig.workers()
    for number in (1, 2):
        rig.task(f"LIMIT-{number}", stage="deploy")
    (claimed,) = rig.tick().claimed
    until = rig.clock() + timedelta(hours=1)
    reached = AgentResult("exited", 1, failure="provider_limited", limited_until=until)
    came_to = rig.work_through(claimed.claim, tmp_path, ScriptedRunner(reached), most=10)
    assert came_to == ["suspend"]
    assert (rig.job("LIMIT-1")["status"], rig.job("LIMIT-1")["attempt"]) == ("queued", 1)
    assert rig.job("LIMIT-2")["status"] == "queued"
    assert rig.tick().claimed == []
    rig.clock.advance(3601)
    rig.workers()
    assert [each.claim.job_id for each in rig.tick().claimed] == [rig.job("LIMIT-1")["id"]]


def test_a_turn_on_a_track_that_was_taken_away_ends_and_parks(rig: Rig, tmp_path: Path) -> None:
    rig.task(A, "development", track="scenic")
    assert rig.work(rig.claimed(A), tmp_path) == "park"
    assert rig.row(A)["paused_reason"] == "it is on the track scenic, which nobody declares"
    assert rig.last_job(A)["status"] == "succeeded"
