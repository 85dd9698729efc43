"""What a turn comes to: every ending, every verdict, every budget."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orch.jobs import TRANSITIONS, VERDICTS
from orch.line import Limits
from orch.outcomes import Decision, decide
from orch.ports import AgentResult
from orch.stages import BY_NAME, STAGES

LIMITS = Limits(max_attempts=3, max_reworks=5)
OK = AgentResult("exited", 0)


def said(verdict: str | None, code: int = 0, **more: str) -> AgentResult:
    return replace(OK, verdict=verdict, exit_code=code, **more)  # type: ignore[arg-type]


def at(
    result: AgentResult, stage: str = "development", attempt: int = 1, reworks: int = 0
) -> Decision:
    return decide(result, stage, attempt, reworks, LIMITS)


@pytest.mark.parametrize("verdict", ["pass", "no_work"])
def test_a_good_word_and_a_clean_exit_advance(verdict: str) -> None:
    found = at(said(verdict))
    assert (found.event, found.next, found.verdict) == ("succeed", "advance", verdict)


@pytest.mark.parametrize("verdict", ["pass", "no_work", "fail", None])
def test_a_good_word_does_not_outweigh_a_failed_exit(verdict: str | None) -> None:
    found = at(said(verdict, 1))
    assert (found.event, found.next, found.failure) == ("fail", "retry", "agent_failed")


def test_a_clean_exit_without_a_word_parks() -> None:
    found = at(said(None))
    assert (found.event, found.next, found.failure) == ("fail", "park", "no_verdict")


@pytest.mark.parametrize("code", [0, 1])
def test_a_question_parks_without_a_failure(code: int) -> None:
    found = at(said("needs_input", code, question="Which colour?"))
    assert (found.event, found.next, found.failure) == ("succeed", "park", None)
    assert found.reason == "needs input: Which colour?"


def test_a_question_without_words_still_says_something() -> None:
    assert at(said("needs_input")).reason == "needs input: it asked without a question"


@pytest.mark.parametrize("stage", [name for name in STAGES if BY_NAME[name].rework_to])
def test_rework_goes_back_as_the_table_says(stage: str) -> None:
    found = at(said("rework", summary="no tests"), stage, reworks=4)
    assert (found.next, found.rework_to, found.reason) == (
        "rework", BY_NAME[stage].rework_to, "no tests",
    )  # fmt: skip


@pytest.mark.parametrize("reworks", [5, 6])
def test_spent_reworks_park_with_the_last_reason(reworks: int) -> None:
    found = at(said("rework", summary="no tests"), "review", reworks=reworks)
    assert (found.event, found.next) == ("fail", "park")
    assert found.reason == f"{reworks} reworks are spent; the last: no tests"


@pytest.mark.parametrize(("attempt", "next_"), [(1, "retry"), (2, "retry"), (3, "park")])
def test_rework_where_nothing_leads_back_costs_an_attempt(attempt: int, next_: str) -> None:
    found = at(said("rework"), "analysis", attempt)
    assert (found.next, found.failure) == (next_, "rework_requested")


@pytest.mark.parametrize("ending", ["timeout", "stalled", "spawn_failed"])
@pytest.mark.parametrize(
    ("attempt", "next_"), [(1, "retry"), (2, "retry"), (3, "park"), (9, "park")]
)
def test_a_broken_turn_is_tried_again_until_its_attempts_are_spent(
    ending: str, attempt: int, next_: str
) -> None:
    found = at(AgentResult(ending, detail="why"), attempt=attempt)  # type: ignore[arg-type]
    assert (found.event, found.next, found.failure) == ("fail", next_, ending)
    if next_ == "park":
        assert found.reason == f"{attempt} attempts are spent; the last: {ending}, why"


@pytest.mark.parametrize("ending", ["exited", "timeout", "stalled"])
@pytest.mark.parametrize("verdict", ["pass", None])
def test_a_failure_the_program_named_outweighs_its_word_and_its_exit(
    ending: str, verdict: str | None
) -> None:
    result = AgentResult(ending, 0, verdict, failure="agent_failed", detail="why")  # type: ignore[arg-type]
    found = at(result)
    assert (found.next, found.failure, found.reason) == ("retry", "agent_failed", "why")


def test_a_refused_key_parks_at_once_for_a_person() -> None:
    found = at(AgentResult("exited", 1, failure="auth_invalid", detail="Please run /login."))
    assert (found.event, found.next, found.failure) == ("fail", "park", "auth_invalid")
    assert "Please run /login." in found.reason


def test_a_reached_limit_is_its_own_failure() -> None:
    found = at(AgentResult("exited", 1, failure="provider_limited", detail="Wait."))
    assert (found.next, found.failure) == ("suspend", "provider_limited")


@pytest.mark.parametrize(
    ("stop", "event", "next_"),
    [
        ("cancelled", "cancel", "nothing"),
        ("paused", "release", "release"),
        ("shutdown", "release", "release"),
    ],
)
def test_a_stopped_turn_costs_nothing(stop: str, event: str, next_: str) -> None:
    result = AgentResult("stopped", stop_reason=stop)  # type: ignore[arg-type]
    found = at(result, attempt=3, reworks=5)
    assert (found.event, found.next) == (event, next_)


@pytest.mark.parametrize("stop", ["fenced", None])
def test_a_turn_that_lost_its_lease_writes_nothing(stop: str | None) -> None:
    assert at(AgentResult("stopped", stop_reason=stop)).next == "fenced"  # type: ignore[arg-type]


@pytest.mark.parametrize("verdict", [*VERDICTS, None, "gibberish"])
@pytest.mark.parametrize("code", [0, 1, -9, None])
@pytest.mark.parametrize("attempt", [1, 3])
def test_every_turn_ends_a_running_job_in_a_possible_way(
    verdict: str | None, code: int | None, attempt: int
) -> None:
    found = at(replace(OK, verdict=verdict, exit_code=code), "review", attempt)
    assert ("running", found.event) in TRANSITIONS
    assert (found.failure is None) == (found.event == "succeed")
    assert found.next in ("advance", "rework", "retry", "park")
    if found.next == "park":
        assert found.reason
