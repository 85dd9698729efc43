"""Every control: done once, audited, keeping the first time, answered with the state after it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orch import controls, dispatcher
from orch.controls import NewTask, Order
from orch.errors import AlreadyThere, BadInput, IllegalTransition, OrchError, UnknownTask
from orch.ports import AgentResult
from orch.store import answers, claims
from tests.factories import START, Rig, ScriptedRunner, dump

A, B, C = "A-1", "B-2", "C-3"

TOLD_BY = {
    "pause": ("task.paused", "in line", "parked"),
    "resume": ("task.resumed", "parked", "in line"),
    "promote": ("task.promoted", "rank 0", "rank -1"),
    "cancel": ("task.cancelled", "analysis", "cancelled"),
    "retry": ("task.retried", "idle", "due"),
    "approve": ("task.approved", "analysis", "architecture"),
    "reject": ("task.rejected", "analysis", "analysis"),
    "answer": ("task.answered", "question", "answered"),
    "depend": ("dependency.added", "independent", "dependent"),
    "undepend": ("dependency.removed", "dependent", "independent"),
    "freeze": ("repo.frozen", "open", "frozen"),
    "unfreeze": ("repo.unfrozen", "frozen", "open"),
}
"""The event of each control, with its state before and after."""


JOB_FOR = {"retry": None, "approve": "succeeded", "reject": "succeeded", "answer": "succeeded"}


def stage_for(rig: Rig, verb: str) -> dict[str, Any]:
    """Rows on which the verb has something to do; answers what the order takes besides."""
    rig.task(A)
    rig.task(B, job=JOB_FOR.get(verb, "queued"))
    match verb:
        case "approve" | "reject":
            rig.store.write(
                lambda conn: answers.ask_approval(conn, rig.row_id(B), rig.clock(), "analysis")
            )
        case "answer":
            rig.asked(B)
        case "resume":
            rig.order("pause", B)
        case "undepend":
            rig.order("depend", B, on=A)
        case "unfreeze":
            rig.order("freeze", "app")
    return {"on": A} if verb in ("depend", "undepend") else {}


@pytest.mark.parametrize("verb", controls.VERBS)
def test_a_control_is_done_once_and_audited_once(rig: Rig, verb: str) -> None:
    kind, more = TOLD_BY[verb][0], stage_for(rig, verb)
    target = "app" if verb in controls.OF_REPOS else B
    earlier = len(rig.events(kind))
    at = rig.clock()
    assert rig.order(verb, target, "for good", **more)["changed"] is True
    after = dump(rig.store)
    rig.clock.advance(60)
    assert rig.order(verb, target, "again", **more)["changed"] is False
    assert dump(rig.store) == after
    told = rig.events(kind)[earlier:]
    assert [(each["actor"], each["reason"], each["at"]) for each in told] == [
        ("ann", "for good", at)
    ]
    assert (told[0]["kind"], told[0]["from_state"], told[0]["to_state"]) == TOLD_BY[verb]


@pytest.mark.parametrize("verb", controls.VERBS)
def test_a_control_rings_the_dispatcher(rig: Rig, verb: str) -> None:
    more = stage_for(rig, verb)
    rig.queue.clear_kick()
    rig.order(verb, "app" if verb in controls.OF_REPOS else B, **more)
    assert rig.queue.kick_waits


@pytest.mark.parametrize("verb", controls.VERBS)
def test_a_control_works_while_the_broker_is_away(rig: Rig, verb: str) -> None:
    more = stage_for(rig, verb)
    rig.queue.down = True
    assert rig.order(verb, "app" if verb in controls.OF_REPOS else B, **more)["changed"] is True


@pytest.mark.parametrize("verb", sorted(set(controls.VERBS) - controls.OF_REPOS))
@pytest.mark.parametrize("stage", ["done", "cancelled"])
def test_a_task_that_is_over_changes_no_more(rig: Rig, verb: str, stage: str) -> None:
    rig.task(A, stage, job=None)
    before = dump(rig.store)
    if (verb, stage) == ("cancel", "cancelled"):
        assert rig.order(verb, A)["changed"] is False
    else:
        with pytest.raises(IllegalTransition, match=f"{A} is {stage}"):
            rig.order(verb, A, on=A)
    assert dump(rig.store) == before


@pytest.mark.parametrize("verb", sorted(set(controls.VERBS) - controls.OF_REPOS))
def test_an_unknown_task_is_named_with_its_likes(rig: Rig, verb: str) -> None:
    rig.task(A)
    with pytest.raises(UnknownTask) as refused:
        rig.order(verb, "A-999", on="A-999")
    assert refused.value.facts["did_you_mean"] == [A]


BAD = {
    "verb": Order("explode", A, "ann"),
    "work item": Order("pause", "../etc", "ann"),
    "repo": Order("freeze", "-rf", "ann", "why"),
    "no reason": Order("freeze", "app", "ann", ""),
    "long reason": Order("pause", A, "ann", "x" * 501),
    "control character": Order("pause", A, "ann", "a\x1b[2J"),
    "actor": Order("pause", A, "ann\nroot"),
    "allow": Order("freeze", "app", "ann", "why", allow="a b"),
    "on": Order("depend", A, "ann", on="a b"),
}


@pytest.mark.parametrize("what", BAD)
def test_an_order_that_cannot_be_read_changes_nothing(rig: Rig, what: str) -> None:
    rig.task(A)
    before = dump(rig.store)
    with pytest.raises(BadInput):
        controls.carry_out(rig.line, BAD[what])
    assert dump(rig.store) == before


# --- pause and resume


def test_pausing_twice_keeps_the_first_time_actor_and_reason(rig: Rig) -> None:
    rig.task(A)
    at = rig.clock()
    rig.order("pause", A, "first")
    rig.clock.advance(60)
    again = controls.carry_out(rig.line, Order("pause", A, "bob", "second"))
    task = again["task"]
    assert (task["paused_at"], task["paused_by"], task["paused_reason"]) == (at, "ann", "first")


def test_the_answer_is_the_state_after_the_write(rig: Rig) -> None:
    rig.task(A, "development")
    rig.task(B)
    answer = rig.order("pause", A)
    assert (answer["reason"], answer["state"]) == ("paused", "waiting")
    assert answer["holder"]["work_item_id"] == B
    assert answer["blockers"][0]["clear_with"] == f"orch resume {A}"
    assert rig.order("freeze", "app")["serial_gate"]["per_repo"]["app"]["frozen"] is True
    assert rig.order("unfreeze", "app")["serial_gate"]["per_repo"]["app"]["frozen"] is False
    assert rig.order("resume", A)["reason"] is None
    assert rig.order("cancel", A)["state"] == "cancelled"


def test_a_pause_ends_by_itself_at_its_time(rig: Rig) -> None:
    rig.task(A)
    rig.workers()
    until = rig.clock() + timedelta(seconds=30)
    assert rig.order("pause", A, until=until)["task"]["paused_until"] == until
    rig.clock.advance(29)
    assert dispatcher.tick(rig.line).claimed == []
    rig.clock.advance(1)
    done = dispatcher.tick(rig.line)
    assert (done.expired, len(done.claimed)) == (1, 1)
    row = rig.row(A)
    assert (row["paused_at"], row["paused_until"], row["paused_by"]) == (None, None, None)
    (event,) = rig.events("task.resumed")
    assert (event["actor"], event["reason"]) == ("orch", "its time was over")


def test_a_resumed_task_is_next_and_not_beside(rig: Rig) -> None:
    rig.task(A, "development")
    rig.task(B, "development")
    rig.task(C)
    rig.order("pause", A)
    assert list(rig.waiting()) == [B, A, C]
    rig.order("resume", A)
    assert rig.row(A)["admitted_at"] == rig.clock()
    assert rig.reasons() == {B: None, A: "active-task", C: "active-task"}
    rig.order("pause", B)
    assert rig.claimable() == {A}


def test_a_task_paused_while_it_runs_gives_up_the_slot_when_it_ends(
    rig: Rig, tmp_path: Path
) -> None:
    rig.task(A)
    rig.task(B)
    drained = ScriptedRunner(meanwhile=lambda: rig.order("pause", A))
    assert rig.work(rig.claimed(A), tmp_path, drained) == "advance"
    assert rig.row(A)["stage"] == "architecture"
    assert rig.reasons() == {A: "paused", B: None}


def test_a_task_paused_now_is_stopped_and_gives_up_the_slot_at_once(
    rig: Rig, tmp_path: Path
) -> None:
    rig.task(A)
    rig.task(B)
    rig.limits = type(rig.limits)(heartbeat=1)
    killed = ScriptedRunner(meanwhile=lambda: rig.order("pause", A, now=True))
    assert rig.work(rig.claimed(A), tmp_path, killed) == "release"
    assert (rig.row(A)["stage"], rig.job(A)["attempt"]) == ("analysis", 1)
    assert rig.reasons() == {A: "paused", B: None}


def test_a_drained_task_can_still_be_stopped_and_that_is_told(rig: Rig) -> None:
    rig.task(A)
    rig.started(A)
    rig.order("pause", A)
    assert rig.job(A)["stop_requested"] is None
    at = rig.row(A)["paused_at"]
    rig.clock.advance(5)
    answer = rig.order("pause", A, "it burns", now=True)
    assert (answer["changed"], rig.job(A)["stop_requested"]) == (True, "paused")
    assert rig.row(A)["paused_at"] == at
    (event,) = rig.events("job.stop_requested")
    assert (event["actor"], event["reason"], event["at"]) == ("ann", "it burns", rig.clock())
    assert rig.order("pause", A, now=True)["changed"] is False


def test_resume_queues_a_fresh_first_attempt_where_none_is_open(rig: Rig, tmp_path: Path) -> None:
    rig.task(A, "development")
    silent = ScriptedRunner(AgentResult("exited", 0, None))
    assert rig.work(rig.claimed(A), tmp_path, silent) == "park"
    assert (rig.row(A)["paused_by"], rig.job(A)["status"]) == ("orch", "failed")
    rig.order("resume", A)
    job = rig.job(A)
    assert (job["agent"], job["status"], job["attempt"]) == ("developer", "queued", 1)
    assert rig.claimable() == {A}


def test_resume_leaves_an_open_job_alone(rig: Rig) -> None:
    rig.task(A)
    before = rig.job(A)
    rig.order("pause", A)
    rig.order("resume", A)
    assert rig.job(A) == before


def test_a_question_parks_with_the_question_and_resume_asks_again(rig: Rig, tmp_path: Path) -> None:
    rig.task(A)
    asking = ScriptedRunner(AgentResult("exited", 0, "needs_input", question="Which colour?"))
    assert rig.work(rig.claimed(A), tmp_path, asking) == "park"
    assert rig.row(A)["paused_reason"] == "needs input: Which colour?"
    rig.order("resume", A)
    assert (rig.row(A)["stage"], rig.job(A)["status"]) == ("analysis", "queued")


# --- promote


def test_the_promoted_task_is_the_next_of_those_not_started(rig: Rig) -> None:
    for item in (A, B, C):
        rig.task(item)
    rig.order("promote", C)
    assert rig.reasons() == {C: None, A: "active-task", B: "active-task"}
    rig.order("promote", B)
    assert list(rig.waiting()) == [B, C, A]
    assert rig.order("promote", C)["changed"] is True
    assert list(rig.waiting()) == [C, B, A]


def test_promotion_passes_nobody_who_has_started(rig: Rig) -> None:
    rig.task(A, "development")
    rig.task(B)
    rig.order("promote", B)
    assert rig.claimable() == {A}
    with pytest.raises(IllegalTransition, match=f"{A} has started already"):
        rig.order("promote", A)


def test_promotion_stays_in_its_own_repo(rig: Rig) -> None:
    rig.task(A)
    rig.task(B, repo="lib")
    rig.task(C, repo="lib")
    rig.order("promote", C)
    assert rig.reasons() == {A: None, C: None, B: "active-task"}


# --- cancel


def test_cancelling_a_waiting_task_ends_its_job_and_lets_the_next_go(rig: Rig) -> None:
    rig.task(A, "development")
    rig.task(B)
    rig.order("cancel", A)
    job = rig.job(A)
    assert (job["status"], job["failure"], job["finished_at"]) == (
        "cancelled", "cancelled", rig.clock(),
    )  # fmt: skip
    assert rig.row(A)["finished_at"] == rig.clock()
    assert rig.claimable() == {B}


def test_a_cancelled_task_keeps_the_slot_until_its_agent_has_stopped(
    rig: Rig, tmp_path: Path
) -> None:
    rig.task(A)
    rig.task(B)
    rig.limits = type(rig.limits)(heartbeat=1)
    seen: list[Any] = []

    def cancel() -> None:
        rig.order("cancel", A)
        seen.append((rig.job(A)["status"], rig.reasons()))

    stopped = rig.work(rig.claimed(A), tmp_path, ScriptedRunner(meanwhile=cancel))
    assert (stopped, seen) == ("nothing", [("running", {B: "active-task"})])
    assert rig.job(A)["status"] == "cancelled"
    assert rig.claimable() == {B}


def test_a_claim_of_a_cancelled_task_is_not_started(rig: Rig, tmp_path: Path) -> None:
    rig.task(A)
    rig.task(B)
    claim = rig.claimed(A)
    rig.order("cancel", A)
    assert rig.reasons() == {B: "active-task"}
    assert rig.work(claim, tmp_path) == "cancelled"
    assert (rig.job(A)["status"], rig.claimable()) == ("cancelled", {B})


def test_cancelling_a_paused_task_leaves_nothing_paused(rig: Rig) -> None:
    rig.task(A)
    rig.order("pause", A)
    rig.order("cancel", A)
    assert rig.lanes().get("app", {"paused": []})["paused"] == []


# --- retry


def test_retry_lets_a_backing_off_job_go_at_once(rig: Rig) -> None:
    rig.task(A)
    claim = rig.claimed(A)
    rig.store.write(
        lambda conn: claims.release(conn, claim, rig.clock(), reason="later", delay=600)
    )
    rig.workers()
    assert rig.reasons() == {A: "backoff"}
    assert rig.order("retry", A)["reason"] is None
    assert len(dispatcher.tick(rig.line).claimed) == 1


def test_retry_takes_a_parked_task_back_into_the_line(rig: Rig) -> None:
    rig.task(A, job="failed")
    rig.order("pause", A)
    rig.order("retry", A)
    assert (rig.row(A)["paused_at"], rig.job(A)["status"]) == (None, "queued")


# --- new work


def test_a_new_task_is_told_and_enters_the_line(rig: Rig) -> None:
    answer = controls.add_task(rig.line, NewTask(A, "app", title="t"), "ann")
    assert (answer["task"]["stage"], answer["reason"], answer["hold"]) == (
        "analysis", None, "no-worker",
    )  # fmt: skip
    kinds = ("task.created", "task.moved", "job.queued")
    assert [len(rig.events(kind)) for kind in kinds] == [1, 1, 1]
    assert rig.row(A)["created_at"] == START
    assert rig.claimable() == {A}


def test_a_task_can_come_in_paused(rig: Rig) -> None:
    controls.add_task(rig.line, NewTask(A, "app", paused=True), "ann")
    assert rig.reasons() == {A: "paused"}


NOT_NEW: dict[str, tuple[NewTask, type[OrchError]]] = {
    "twice": (NewTask(A, "app"), AlreadyThere),
    "track": (NewTask(B, "app", track="scenic"), BadInput),
    "repo": (NewTask(B, "a b"), BadInput),
    "title": (NewTask(B, "app", title="x" * 256), BadInput),
    "lines": (NewTask(B, "app", title="a\nb"), BadInput),
}


@pytest.mark.parametrize("what", NOT_NEW)
def test_a_task_that_cannot_come_in_leaves_nothing(rig: Rig, what: str) -> None:
    rig.task(A)
    before = dump(rig.store)
    new, error = NOT_NEW[what]
    with pytest.raises(error):
        controls.add_task(rig.line, new, "ann")
    assert dump(rig.store) == before
