"""What an agent's turn comes to: which end the job takes, and what the task does next.

Pure: a result and a few counts in, a decision out. The worker carries it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, assert_never

from orch.jobs import Failure, JobEvent
from orch.line import Limits
from orch.ports import AgentResult
from orch.stages import BY_NAME

Next = Literal[
    "advance", "approve", "rework", "retry", "park", "suspend", "release", "fenced", "nothing"
]

ASKED: Final = "needs input: "
"""How the reason of a pause begins that an agent's question has led to."""


@dataclass(frozen=True)
class Decision:
    """The end of a job and the next step of its task."""

    event: JobEvent
    next: Next
    failure: Failure | None = None
    verdict: str | None = None
    reason: str = ""
    rework_to: str = ""
    delay: float = 0
    """With `release`: seconds before the job may start again."""
    until: datetime | None = None
    """With `suspend`: when the agent is served again, as far as was stated."""


def decide(result: AgentResult, stage: str, attempt: int, reworks: int, limits: Limits) -> Decision:
    """Decide from how the command ended, what it said, and what its budgets have left."""
    match result.ending:
        case "stopped":
            return _stopped(result)
        case "exited" | "timeout" | "stalled" if result.failure is not None:
            return _told(result, result.failure, attempt, limits)
        case "timeout" | "stalled" | "spawn_failed":
            return failed(result.ending, result.detail, attempt, limits)
        case "exited":
            return _said(result, stage, attempt, reworks, limits)
        case never:
            assert_never(never)


def _stopped(result: AgentResult) -> Decision:
    match result.stop_reason:
        case "cancelled":
            return Decision("cancel", "nothing", "cancelled", reason="the task was cancelled")
        case "paused":
            return Decision("release", "release", reason="the task was paused, its agent stopped")
        case "shutdown":
            return Decision("release", "release", reason="its worker was shut down")
        case "fenced" | None:
            return Decision("release", "fenced", reason="the lease was lost to another worker")
        case never:
            assert_never(never)


def _told(result: AgentResult, failure: Failure, attempt: int, limits: Limits) -> Decision:
    """The program itself named its failure: it outweighs a good word and a clean exit."""
    if failure == "auth_invalid":  # nobody but a person can help, and no further attempt
        reason = f"the provider refuses the agent: {result.detail}"
        return Decision("fail", "park", failure, result.verdict, reason)
    if failure == "provider_limited":  # no fault of this task, and no attempt of it
        reason = result.detail or "the provider's limit is reached"
        return Decision("release", "suspend", failure, None, reason, until=result.limited_until)
    return failed(failure, result.detail, attempt, limits, result.verdict)


def _said(result: AgentResult, stage: str, attempt: int, reworks: int, limits: Limits) -> Decision:
    match result.verdict:
        case "pass" | "no_work" if result.exit_code == 0:
            return Decision("succeed", "advance", verdict=result.verdict)
        case "rework":
            return _rework(result, stage, attempt, reworks, limits)
        case "needs_input":
            question = result.question or result.summary or "it asked without a question"
            return Decision("succeed", "park", None, "needs_input", f"{ASKED}{question}")
        case None if result.exit_code == 0:
            reason = "the agent ended cleanly without a verdict"
            return Decision("fail", "park", "no_verdict", reason=reason)
        case _:
            reason = result.summary or result.detail or f"exit code {result.exit_code}"
            return failed("agent_failed", reason, attempt, limits, result.verdict)


def _rework(
    result: AgentResult, stage: str, attempt: int, reworks: int, limits: Limits
) -> Decision:
    back = BY_NAME[stage].rework_to
    reason = result.summary or "rework was asked for"
    if back is None:
        return failed("rework_requested", reason, attempt, limits, "rework")
    return sent_back("rework_requested", back, reason, reworks, limits, "rework")


def sent_back(
    failure: Failure,
    back: str,
    reason: str,
    reworks: int,
    limits: Limits,
    verdict: str | None = None,
) -> Decision:
    """Back to an earlier stage, while the task's budget of reworks lasts."""
    if reworks >= limits.max_reworks:
        spent = f"{reworks} reworks are spent; the last: {reason}"
        return Decision("fail", "park", failure, verdict, spent)
    return Decision("fail", "rework", failure, verdict, reason, back)


def failed(
    failure: Failure, reason: str, attempt: int, limits: Limits, verdict: str | None = None
) -> Decision:
    """Once more at the same stage, while its budget of attempts lasts."""
    if attempt >= limits.max_attempts:
        spent = f"{attempt} attempts are spent; the last: {failure}"
        return Decision("fail", "park", failure, verdict, f"{spent}, {reason}" if reason else spent)
    return Decision("fail", "retry", failure, verdict, reason)


def over_budget(task: Mapping[str, Any], limits: Limits) -> str:
    """Why no further turn of the task is paid for; empty while its budgets last."""
    if limits.task_budget_usd and task["cost_usd"] >= limits.task_budget_usd:
        return (
            f"the task's budget is spent: {task['cost_usd']:.2f} of "
            f"{limits.task_budget_usd:.2f} USD"
        )
    if limits.task_max_turns and task["turns"] >= limits.task_max_turns:
        return f"the task's turns are spent: {task['turns']} of {limits.task_max_turns}"
    return ""
