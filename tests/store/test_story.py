"""A task's story: what rows and ledger tell of it, and what they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from orch import controls, story
from orch.errors import UnknownTask
from orch.ports import AgentResult
from orch.store import answers, endings
from orch.store.schema import jobs, tasks
from tests.factories import Rig, ScriptedRunner

A, B = "A-1", "B-2"
REPORT: dict[str, Any] = {
    "base_sha": "a" * 40,
    "checks": [{"name": "check_tests_pass", "passed": True, "reason": "", "details": []}],
    "runs": [{"name": "test", "exit_code": 0, "seconds": 1.5, "tail": "OK", "timed_out": False}],
    "landing": {"base_sha": "a" * 40, "tested_sha": "b" * 40, "merge_sha": "c" * 40, "rounds": 2},
}


def told(rig: Rig, item: str = A) -> dict[str, Any]:
    found = story.story(rig.line, item)
    json.dumps(found, default=str)
    return found


def taken_in(rig: Rig, item: str = A) -> None:
    """A task with all its events, as `orch add` leaves it."""
    controls.add_task(rig.line, controls.NewTask(item, "app", title="Tax"), "ann")


def end_with(rig: Rig, folder: Path, seconds: float, result: AgentResult) -> None:
    """Claim A's job, work on it for so long, and end it."""
    claim = rig.claimed(A)
    runner = ScriptedRunner(result, meanwhile=lambda: rig.clock.advance(seconds))
    rig.work(claim, folder, runner)


def passed(**usage: float) -> AgentResult:
    return AgentResult("exited", 0, "pass", summary="done", usage=usage)


def test_stages_attempts_and_time_are_told_in_order(rig: Rig, tmp_path: Path) -> None:
    taken_in(rig)
    rig.clock.advance(10)
    end_with(rig, tmp_path, 30, passed(cost_usd=0.5, turns=3))
    rig.clock.advance(5)
    found = told(rig)
    assert [(each["stage"], each["seconds"]) for each in found["stages"]] == [
        ("created", 0.0), ("analysis", 40.0), ("architecture", 5.0),
    ]  # fmt: skip
    first, second = found["jobs"]
    assert (first["waited_seconds"], first["worked_seconds"], first["verdict"]) == (10, 30, "pass")
    assert (second["waited_seconds"], second["worked_seconds"]) == (5, 0)
    assert "claim_token" not in first
    assert (found["seconds"], found["spent"]) == (45.0, {"work": 30.0, "line": 15.0})
    assert found["usage"] == {"cost_usd": 0.5, "turns": 3}
    assert (found["state"], found["sentence"]) == ("waiting", rig.why(A)["sentence"])


def test_what_it_waited_for_is_told_with_who_and_why(rig: Rig) -> None:
    taken_in(rig, B)
    taken_in(rig)
    rig.order("pause", A, "later")
    rig.clock.advance(20)
    rig.order("resume", A)
    rig.order("depend", A, on=B)
    rig.clock.advance(30)
    rig.order("cancel", B)
    rig.order("freeze", "ap*", "release")
    rig.clock.advance(40)
    rig.order("unfreeze", "ap*")
    rig.order("freeze", "app", "not for the fix", allow=A)
    rig.clock.advance(5)
    found = told(rig)
    facts = ("why", "seconds", "by", "reason")
    assert [tuple(each[name] for name in facts) for each in found["held"]] == [
        ("pause", 20, "ann", "later"),
        ("dependency", 30, "ann", B),
        ("freeze", 40, "ann", "ap*: release"),
    ]  # fmt: skip
    assert found["spent"] == {"pause": 20, "freeze": 40, "dependency": 30, "line": 5}
    rig.order("freeze", "app*", "red")
    rig.clock.advance(7)
    last = told(rig)["held"][-1]
    assert (last["why"], last["until"], last["seconds"]) == ("freeze", None, 7)


def test_a_further_attempt_waits_for_its_time(rig: Rig, tmp_path: Path) -> None:
    taken_in(rig)
    end_with(rig, tmp_path, 1, AgentResult("exited", 3, None))
    rig.clock.advance(50)
    found = told(rig)
    assert found["spent"] == {"work": 1, "backoff": 30, "line": 20}
    assert [(each["why"], each["reason"]) for each in found["held"]] == [("backoff", "attempt 2")]


def test_a_persons_words_and_the_wait_for_them_are_told(rig: Rig, tmp_path: Path) -> None:
    taken_in(rig)
    asking = AgentResult("exited", 0, "needs_input", question="Which colour?")
    end_with(rig, tmp_path, 1, asking)
    rig.clock.advance(60)
    rig.order("answer", A, "Blue.")
    task_id, claim = rig.row_id(A), rig.started(A)
    ended = {"verdict": "pass"}
    rig.store.write(lambda conn: endings.finish(conn, claim, rig.clock(), "succeed", **ended))
    rig.store.write(lambda conn: answers.ask_approval(conn, task_id, rig.clock(), "analysis"))
    rig.clock.advance(90)
    rig.order("approve", A, "good")
    found = told(rig)
    assert [(each["kind"], each["reason"]) for each in found["said"]] == [
        ("task.answered", "Blue."), ("task.approval_asked", "waits for approval of analysis"),
        ("task.approved", "good"),
    ]  # fmt: skip
    assert found["spent"] == {"work": 1, "answer": 60, "approval": 90}


def test_checks_commits_and_the_landing_come_from_the_report(rig: Rig) -> None:
    rig.task(A, "deploy", job="succeeded")
    rig.store.write(lambda conn: conn.execute(update(jobs).values(report=REPORT)))
    shas = {"base_sha": "a" * 40, "merge_sha": "c" * 40}
    rig.store.write(lambda conn: conn.execute(update(tasks).values(**shas)))
    found = told(rig)
    assert found["jobs"][0]["report"] == REPORT
    assert found["landing"]["rounds"] == 2
    assert found["commits"] == {**shas, "head_sha": None, "tested_sha": None}


def test_the_story_of_a_task_that_is_over_ends_with_it(rig: Rig) -> None:
    taken_in(rig)
    rig.clock.advance(10)
    rig.order("freeze", "app")
    rig.clock.advance(10)
    rig.order("cancel", A)
    rig.clock.advance(1000)
    found = told(rig)
    assert (found["state"], found["seconds"]) == ("cancelled", 20.0)
    assert found["stages"][-1]["seconds"] is None
    assert found["spent"] == {"line": 10, "freeze": 10}
    assert found["held"][0]["until"] is not None


def test_what_nobody_told_is_named(rig: Rig, tmp_path: Path) -> None:
    rig.task(A, "development")  # as a program writing by hand would leave it
    assert "What an agent makes of it: none has begun yet." in told(rig)["not_known"]
    end_with(rig, tmp_path, 1, passed())
    found = told(rig)
    assert found["usage"] == {}
    assert found["not_known"] == [
        "The cost of 1 of 1 attempts: their agents told none.",
        "Quality checks of 1 of 1 attempts: none were kept.",
        "Its base commit: nothing was cut from a remote.",
    ]
    rig.move(A, "testing")
    assert "When it came to testing: no event tells." in told(rig)["not_known"]


def test_the_story_of_nobody_is_refused_with_its_likes(rig: Rig) -> None:
    rig.task(A)
    with pytest.raises(UnknownTask) as refused:
        story.story(rig.line, "A-999")
    assert refused.value.facts["did_you_mean"] == [A]
