"""The quality checks: what orch finds out itself before a stage may pass.

A check sees the worktree's documents and what orch itself ran. A word of an agent can fail it and
never pass it alone; and what was said or run for another commit counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from orch.qg import documents
from orch.qg.commands import COMMANDS, CommandName, CommandRun
from orch.qg.verdict import Statement
from orch.stages import BY_NAME, TABLE


@dataclass(frozen=True)
class Landing:
    """What is known of a landing, read back from where it landed."""

    tested_sha: str
    merge_sha: str
    contains: bool
    """Whether the default branch, as the forge has it now, contains the tested commit."""
    anew: bool = True
    """False when it was found there: a person merged it, or an answer was lost."""
    seconds: float | None = None
    """From the landing lease to the merge; None when it was another turn that merged."""


@dataclass(frozen=True)
class CheckContext:
    """What a check may look at. All shas are full; `head_sha` is what the task's branch has now."""

    work_item: str
    stage: str
    worktree: Path
    base_sha: str
    head_sha: str
    statement: Statement = field(default_factory=Statement)
    statement_sha: str = ""
    """The commit the branch had when the agent had spoken."""
    runs: tuple[CommandRun, ...] = ()
    """What orch ran, in that order."""
    landing: Landing | None = None
    configured: frozenset[str] = frozenset(COMMANDS)
    """The commands the repo's settings name."""


@dataclass(frozen=True)
class Checked:
    """What one check found: a reason in one sentence, and what a person or a prompt needs of it."""

    name: str
    passed: bool
    reason: str
    details: tuple[str, ...] = ()


Check = Callable[[CheckContext], Checked]


@dataclass(frozen=True)
class _Fault:
    """Why something does not hold."""

    reason: str
    details: tuple[str, ...] = ()


def check_analysis_complete(context: CheckContext) -> Checked:
    """The documents of the analysis are there and well formed."""
    fault = _documents(context, "analysis")
    return _checked("check_analysis_complete", fault, "The documents of the analysis are complete.")


def check_architecture_done(context: CheckContext) -> Checked:
    """The design and at least one decision record are there and well formed."""
    fault = _documents(context, "architecture")
    return _checked("check_architecture_done", fault, "The design and its decisions are there.")


def check_tests_pass(context: CheckContext) -> Checked:
    """The repo's tests passed when orch ran them on exactly this commit."""
    fault = _nothing_done(context) or _ran(context, "test", context.head_sha)
    good = f"The tests pass on {_short(context.head_sha)}."
    return _checked("check_tests_pass", fault, good)


def check_review_approved(context: CheckContext) -> Checked:
    """The review is there and approves, and was given for exactly this commit."""
    fault = _documents(context, "review") or _approved(context, "review")
    good = f"The review approves {_short(context.head_sha)}."
    return _checked("check_review_approved", fault, good)


def check_test_report(context: CheckContext) -> Checked:
    """The test report is there and passes the work, and was given for exactly this commit."""
    fault = _documents(context, "testing") or _approved(context, "testing")
    good = f"The test report passes {_short(context.head_sha)}."
    return _checked("check_test_report", fault, good)


def check_staging_healthy(context: CheckContext) -> Checked:
    """This commit went to staging by orch's own hand, and is healthy there."""
    fault = _documents(context, "deploy-staging") or _says_pass(context, "deploy-staging")
    if fault is None and not context.configured & {"staging", "health"}:
        fault = _Fault(
            "No staging and no health command is configured for this repo: name one of them, or "
            "use a track without staging."
        )
    fault = fault or _out_and_healthy(context, "staging", context.head_sha)
    good = f"{_short(context.head_sha)} is healthy on staging."
    return _checked("check_staging_healthy", fault, good)


def check_landed(context: CheckContext) -> Checked:
    """The default branch contains the commit that orch tested, and that is the task's last one."""
    fault = _not_landed(context) or _ran(context, "test", context.head_sha)
    landed = "" if context.landing is None else context.landing.merge_sha
    good = f"{_short(context.head_sha)} has landed in {_short(landed)}."
    return _checked("check_landed", fault, good)


def deploy_is_written_up(context: CheckContext) -> Checked:
    """The deploy log is there and says `pass`: asked before the landing, when it can still be
    mended."""
    fault = _documents(context, "deploy") or _says_pass(context, "deploy")
    return _checked("deploy_is_written_up", fault, "The deploy log is there.")


def check_deploy_healthy(context: CheckContext) -> Checked:
    """What landed was deployed by orch's own hand, as far as the repo has commands, and is well."""
    merge_sha = "" if context.landing is None else context.landing.merge_sha
    fault = _documents(context, "deploy") or _says_pass(context, "deploy")
    if fault is None and not merge_sha:
        fault = _Fault("Nothing has landed, so there is nothing whose health could be told.")
    fault = fault or _out_and_healthy(context, "deploy", merge_sha)
    run = [name for name in ("deploy", "health") if name in context.configured]
    good = f"After {' and '.join(run)}, {_short(merge_sha)} is healthy."
    if not run:
        good = "This repo has no deploy and no health command: landing was all there was to do."
    return _checked("check_deploy_healthy", fault, good)


QG_CHECKS: Final[dict[str, Check]] = {
    "check_analysis_complete": check_analysis_complete,
    "check_architecture_done": check_architecture_done,
    "check_tests_pass": check_tests_pass,
    "check_review_approved": check_review_approved,
    "check_test_report": check_test_report,
    "check_staging_healthy": check_staging_healthy,
    "check_landed": check_landed,
    "check_deploy_healthy": check_deploy_healthy,
}
CHECKS_OF: Final[dict[str, tuple[str, ...]]] = {stage.name: stage.checks for stage in TABLE}


def check_stage(context: CheckContext) -> tuple[Checked, ...]:
    """What every check of the context's stage found, in the order of the table."""
    return tuple(QG_CHECKS[name](context) for name in BY_NAME[context.stage].checks)


def _checked(name: str, fault: _Fault | None, good: str) -> Checked:
    if fault is None:
        return Checked(name, True, good)
    return Checked(name, False, fault.reason, fault.details)


def _documents(context: CheckContext, stage: str) -> _Fault | None:
    wrong = documents.problems(context.worktree, context.work_item, stage)
    if not wrong:
        return None
    more = f" ({len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return _Fault(wrong[0] + more, wrong)


def _says_pass(context: CheckContext, stage: str) -> _Fault | None:
    """Whether the stage's own document says `pass`."""
    said = documents.own_verdict(context.worktree, context.work_item, stage)
    name = documents.OWN[stage]
    if said is None:
        return _Fault(f"{name} says no verdict.")
    if said.verdict != "pass":
        return _Fault(f"{name} says `{said.verdict}`.", (said.summary,))
    return None


def _approved(context: CheckContext, stage: str) -> _Fault | None:
    """Document and statement both say `pass`, the latter for the commit that is there now."""
    fault = _says_pass(context, stage)
    if fault is not None:
        return fault
    word = context.statement.word
    if word != "pass":
        said = "gave no verdict" if word is None else f"said `{word}`"
        why = context.statement.summary or context.statement.detail
        return _Fault(f"The agent {said}, whatever its document says.", (why,) if why else ())
    if not context.head_sha or context.statement_sha != context.head_sha:
        for_what = _short(context.statement_sha)
        return _Fault(f"The verdict was given for {for_what}, not for {_short(context.head_sha)}.")
    return None


def _nothing_done(context: CheckContext) -> _Fault | None:
    """Developing is committing, unless the agent says that there was nothing to do."""
    is_due = context.stage == "development" and context.statement.word != "no_work"
    if is_due and context.head_sha == context.base_sha:
        return _Fault("The branch has no commit beyond where it was cut.")
    return None


def _ran(context: CheckContext, name: CommandName, sha: str, since: int = 0) -> _Fault | None:
    """Whether orch's last run of this command on this commit passed."""
    ours = [run for run in context.runs[since:] if run.name == name]
    matching = [run for run in ours if run.head_sha == sha]
    if not sha or not matching:
        others = ", ".join(dict.fromkeys(_short(run.head_sha) for run in ours))
        hint = f" It ran on {others} only." if others else ""
        if name not in context.configured:
            hint = " The repo's settings name no such command."
        return _Fault(f"orch has not run the {name} command on {_short(sha)}.{hint}")
    run = matching[-1]
    if run.passed:
        return None
    return _Fault(_end_of(run), tuple(part for part in (run.detail, run.tail) if part))


def _end_of(run: CommandRun) -> str:
    what = f"The {run.name} command on {_short(run.head_sha)}"
    if run.timed_out:
        return f"{what} was stopped at its time limit, after {run.seconds:.0f} s."
    if run.stopped:
        return f"{what} was stopped before its end: {run.stopped}."
    if run.exit_code is None:
        return f"{what} could not be run."
    return f"{what} failed with exit code {run.exit_code}, after {run.seconds:.0f} s."


def _out_and_healthy(context: CheckContext, out: CommandName, sha: str) -> _Fault | None:
    """The commit was brought out and was healthy after that, as far as there are commands."""
    since = 0
    if out in context.configured:
        fault = _ran(context, out, sha)
        if fault is not None:
            return fault
        # What was healthy before it was brought out says nothing of it.
        since = max(at for at, run in enumerate(context.runs) if run.name == out) + 1
    return _ran(context, "health", sha, since) if "health" in context.configured else None


def _not_landed(context: CheckContext) -> _Fault | None:
    landing = context.landing
    if landing is None or not landing.merge_sha:
        return _Fault("Nothing has landed yet.")
    if not landing.tested_sha or landing.tested_sha != context.head_sha:
        tested, head = _short(landing.tested_sha), _short(context.head_sha)
        return _Fault(f"What was tested before landing is {tested}, not {head}.")
    if not landing.contains:
        tested, merged = _short(landing.tested_sha), _short(landing.merge_sha)
        return _Fault(f"The default branch does not contain {tested}, though {merged} was made.")
    return None


def _short(sha: str) -> str:
    return sha[:12] or "no commit"
