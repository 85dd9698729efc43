"""A person's word on a task that waits for one: it goes on, goes back, or gets its answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from orch import controls, preview
from orch.controls import Order
from orch.errors import BadInput, IllegalTransition
from orch.ports import AgentResult
from orch.repo_settings import RepoSettings
from orch.store import answers
from tests.factories import Rig, ScriptedRunner, dump

A, B = "A-1", "B-2"
ASKING = AgentResult("exited", 0, "needs_input", question="Which colour?")


def asked_approval(rig: Rig, stage: str = "analysis", **more: object) -> None:
    """A, whose `stage` passed and waits for a person; B behind it."""
    rig.task(A, stage, job="succeeded", **more)
    rig.task(B)
    task_id = rig.row_id(A)
    assert rig.store.write(lambda conn: answers.ask_approval(conn, task_id, rig.clock(), stage))


def asked_question(rig: Rig, folder: Path) -> None:
    """A, whose agent asked something; B behind it."""
    rig.task(A)
    rig.task(B)
    assert rig.work(rig.claimed(A), folder, ScriptedRunner(ASKING)) == "park"


# --- approve


def test_an_approved_task_goes_on_to_the_next_stage_of_its_track(rig: Rig) -> None:
    asked_approval(rig, track="fast")
    assert rig.claimable() == {B}
    answer = rig.order("approve", A, "looks right")
    assert (answer["changed"], answer["task"]["approval"], answer["reason"]) == (True, None, None)
    assert (rig.row(A)["stage"], rig.row(A)["paused_at"]) == ("development", None)
    job = rig.job(A)
    assert (job["agent"], job["stage"], job["status"], job["attempt"]) == (
        "developer", "development", "queued", 1,
    )  # fmt: skip
    (told,) = rig.events("task.approved")
    assert (told["actor"], told["reason"], told["from_state"], told["to_state"]) == (
        "ann", "looks right", "analysis", "development",
    )  # fmt: skip
    (moved,) = rig.events("task.moved")
    assert (moved["from_state"], moved["to_state"]) == ("analysis", "development")
    assert rig.claimable() == {A}


def test_the_approval_of_the_last_stage_ends_the_task_and_lets_its_dependents_go(rig: Rig) -> None:
    asked_approval(rig, "deploy")
    rig.order("depend", B, on=A)
    assert rig.claimable() == set()
    assert rig.order("approve", A)["state"] == "done"
    assert rig.row(A)["finished_at"] == rig.clock()
    assert rig.claimable() == {B}
    assert rig.order("approve", A)["changed"] is False


def test_an_approval_said_again_later_is_refused_for_the_stage_it_is_at_now(
    rig: Rig, tmp_path: Path
) -> None:
    asked_approval(rig)
    rig.order("approve", A)
    assert rig.order("approve", A)["changed"] is False
    rig.work(rig.claimed(A), tmp_path)
    with pytest.raises(IllegalTransition, match="does not wait for an approval"):
        rig.order("approve", A)


def test_a_task_on_a_track_nobody_declares_keeps_waiting(rig: Rig) -> None:
    asked_approval(rig, track="scenic")
    before = dump(rig.store)
    with pytest.raises(IllegalTransition, match="the track scenic, which nobody declares"):
        rig.order("approve", A)
    assert dump(rig.store) == before


def test_a_repos_own_track_says_where_its_tasks_go_and_come_back_to(rig: Rig) -> None:
    own = {"straight": ("analysis", "review", "deploy")}
    rig.repos = {"app": RepoSettings(url="/srv/git/app.git", tracks=own)}
    asked_approval(rig, track="straight")
    rig.order("approve", A)
    assert (rig.row(A)["stage"], rig.job(A)["agent"]) == ("review", "reviewer")
    rig.task("A-9", "review", job="succeeded", track="straight")
    nine = rig.row_id("A-9")
    rig.store.write(lambda conn: answers.ask_approval(conn, nine, rig.clock(), "review"))
    rig.order("reject", "A-9", "again")
    assert rig.row("A-9")["stage"] == "review"  # its track does not come by development


def test_what_an_approval_is_asked_for_is_shown(rig: Rig) -> None:
    rig.task(A, "development", job="succeeded")
    task_id, why = rig.row_id(A), "the change touches protected paths: CLAUDE.md"
    rig.store.write(
        lambda conn: answers.ask_approval(conn, task_id, rig.clock(), "development", why)
    )
    assert rig.why(A)["sentence"] == f"{A} is parked: {why}."
    assert "orch approve" in rig.why(A)["blockers"][0]["clear_with"]


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_a_task_that_a_program_moved_on_waits_for_no_approval(rig: Rig, verb: str) -> None:
    asked_approval(rig)
    rig.move(A, "development")
    with pytest.raises(IllegalTransition, match="it is at development"):
        rig.order(verb, A)
    assert rig.order("resume", A)["changed"] is True


def test_nobody_is_asked_about_a_stage_the_task_has_left(rig: Rig) -> None:
    rig.task(A, "development")
    task_id = rig.row_id(A)
    asking = rig.store.write(
        lambda conn: answers.ask_approval(conn, task_id, rig.clock(), "analysis")
    )
    assert (asking, rig.row(A)["approval"], rig.row(A)["paused_at"]) == (False, None, None)


# --- reject


@pytest.mark.parametrize(
    ("stage", "track", "back"),
    [
        ("analysis", "full", "analysis"),
        ("architecture", "full", "analysis"),
        ("development", "full", "development"),
        ("deploy", "docs", "development"),
        ("review", "scenic", "development"),
    ],
)
def test_a_rejected_task_is_done_again_where_its_rework_is_done(
    rig: Rig, stage: str, track: str, back: str
) -> None:
    asked_approval(rig, stage, track=track, reworks=2)
    assert rig.order("reject", A, "The discount\nis missing.")["changed"] is True
    row, job = rig.row(A), rig.job(A)
    assert (row["stage"], row["approval"], row["paused_at"], row["reworks"]) == (
        back, None, None, 3,
    )  # fmt: skip
    assert (job["stage"], job["status"], job["attempt"]) == (back, "queued", 1)
    (told,) = rig.events("task.rejected")
    assert (told["reason"], told["from_state"], told["to_state"]) == (
        "The discount\nis missing.", stage, back,
    )  # fmt: skip
    assert len(rig.events("task.moved")) == (stage != back)


def test_a_rejected_stage_that_passes_anew_waits_anew(rig: Rig) -> None:
    asked_approval(rig)
    rig.order("reject", A, "again")
    task_id = rig.row_id(A)
    rig.store.write(lambda conn: answers.ask_approval(conn, task_id, rig.clock(), "analysis"))
    assert rig.order("reject", A, "once more")["changed"] is True
    assert rig.row(A)["reworks"] == 2


# --- answer


def test_an_answered_task_is_asked_again_with_a_fresh_attempt(rig: Rig, tmp_path: Path) -> None:
    asked_question(rig, tmp_path)
    assert rig.why(A)["blockers"][0]["clear_with"] == f"orch answer {A} …"
    assert rig.claimable() == {B}
    assert rig.order("answer", A, "Blue.")["reason"] is None
    row, job = rig.row(A), rig.job(A)
    assert (row["stage"], row["paused_at"], row["reworks"]) == ("analysis", None, 0)
    assert (job["stage"], job["status"], job["attempt"]) == ("analysis", "queued", 1)
    (told,) = rig.events("task.answered")
    assert (told["actor"], told["reason"]) == ("ann", "Blue.")
    assert told["data"] == {"question": "needs input: Which colour?"}


def test_only_an_open_question_can_be_answered(rig: Rig, tmp_path: Path) -> None:
    rig.task(A)
    with pytest.raises(IllegalTransition, match="has no open question"):
        rig.order("answer", A, "Blue.")
    assert rig.work(rig.claimed(A), tmp_path, ScriptedRunner(ASKING)) == "park"
    rig.order("resume", A)
    with pytest.raises(IllegalTransition, match="has no open question"):
        rig.order("answer", A, "Blue.")


def test_a_task_that_waits_for_approval_takes_no_answer(rig: Rig) -> None:
    asked_approval(rig)
    with pytest.raises(IllegalTransition, match="waits for approval of analysis"):
        rig.order("answer", A, "Blue.")


# --- what holds for all three


@pytest.mark.parametrize("verb", ["resume", "retry"])
def test_neither_resume_nor_retry_passes_an_approval_by(rig: Rig, verb: str) -> None:
    asked_approval(rig)
    before = dump(rig.store)
    with pytest.raises(IllegalTransition, match="waits for approval of analysis") as refused:
        rig.order(verb, A)
    assert f"orch approve {A}" in refused.value.suggested_fix
    assert dump(rig.store) == before


def test_what_waits_for_a_person_names_the_command_wherever_it_is_shown(rig: Rig) -> None:
    asked_approval(rig)
    remedy = f"orch approve {A}, or orch reject {A} --note …"
    found = rig.why(A)
    assert (found["state"], found["reason"]) == ("parked", "paused")
    assert found["sentence"] == f"{A} is parked: waits for approval of analysis."
    (blocker,) = found["blockers"]
    assert (blocker["clear_with"], blocker["set_by"]) == (remedy, "orch")
    (parked,) = rig.lanes()["app"]["paused"]
    assert (parked["approval"], parked["clear_with"]) == ("analysis", remedy)


def test_whoever_depends_on_it_is_told_the_same_command(rig: Rig) -> None:
    asked_approval(rig)
    rig.task("C-3", repo="lib")
    rig.order("depend", "C-3", on=A)
    (blocker,) = rig.why("C-3")["blockers"]
    assert blocker["clear_with"] == f"orch approve {A}, or orch reject {A} --note …"


def test_an_ended_task_waits_for_no_approval(rig: Rig) -> None:
    asked_approval(rig)
    rig.order("cancel", A)
    assert rig.row(A)["approval"] is None


@pytest.mark.parametrize("verb", controls.SAID)
@pytest.mark.parametrize("words", ["", "  \n", "x" * 4001, "a\x1b[2J"])
def test_words_for_an_agent_have_to_be_there_and_plain(rig: Rig, verb: str, words: str) -> None:
    asked_approval(rig)
    with pytest.raises(BadInput):
        rig.order(verb, A, words)


def test_a_preview_of_an_approval_says_who_starts_and_changes_nothing(rig: Rig) -> None:
    asked_approval(rig)
    rig.workers()
    before = dump(rig.store)
    seen = preview.preview(rig.line, Order("approve", A, "ann"))
    assert (seen["starts"], seen["begins_waiting"]) == ([A], [B])
    assert dump(rig.store) == before
