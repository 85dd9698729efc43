"""What one turn works with, and what is known at its end, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from orch import names
from orch.jobs import Failure
from orch.line import Line
from orch.outcomes import Decision, decide, failed
from orch.ports import AgentResult, AgentWork, Cut, RepoWork, Tree, Watch
from orch.qg.checks import Checked, Landing
from orch.qg.commands import CommandName, CommandRun
from orch.turns import Outcome, Turn
from orch.workshop import Plan, Workshop

WORD_LIMIT: Final = 1_000
"""Characters of one argument, reason or question that a report keeps."""
TEXTS_LIMIT: Final = 20_000
"""Characters of all the evidence in a report, or all the details of one check."""
PASSED_LIMIT: Final = 1_000
"""Characters of the output of a run that passed."""


@dataclass(frozen=True)
class Place:
    """Where and how one turn is worked on."""

    line: Line
    shop: Workshop
    plan: Plan
    turn: Turn
    rundir: Path
    watch: Watch
    beat: float
    run_agent: Callable[[AgentWork], AgentResult]
    kept: Callable[[], AbstractContextManager[None]]
    """Keeps the job's lease while git works, which asks nobody whether to stop."""
    asked: AgentWork
    """The agent's work, but for what only the workspace knows."""

    @property
    def stage(self) -> str:
        """The stage the task is at."""
        return str(self.turn.task["stage"])


@dataclass(frozen=True)
class Seen:
    """What is known of a turn's work: where it stands, what ran, what was found."""

    cut: Cut
    result: AgentResult
    tree: Tree
    runs: tuple[CommandRun, ...] = ()
    checked: tuple[Checked, ...] = ()
    landing: Landing | None = None
    rounds: int = 0
    evidence: tuple[str, ...] = ()
    offered: str = ""
    """The commit that the remote has as the topic branch now; empty when this turn put none there,
    and another host could not find it."""
    protected: Mapping[str, str] = field(default_factory=dict)
    """Paths that need a person and that nobody has approved as they are now."""


def decided(place: Place, result: AgentResult) -> Decision:
    """What the agent's own end comes to, before orch has looked at anything."""
    job, task = place.turn.job, place.turn.task
    return decide(result, place.stage, job["attempt"], task["reworks"], place.line.limits)


def again(place: Place, failure: Failure, reason: str, verdict: str | None) -> Decision:
    """A further attempt at the stage, if there is one left."""
    return failed(failure, reason, place.turn.job["attempt"], place.line.limits, verdict)


def command(place: Place, cut: Cut, name: CommandName, head_sha: str) -> CommandRun:
    """Run a command of the repo on this commit, which is checked out."""
    known = place.plan.commands.get(name)
    if known is None:
        detail = f"no {name} command is configured for {cut.remote.repo}"
        return CommandRun(name, (), None, 0, "", head_sha, detail=detail)
    number = len(list(place.rundir.glob("command-*"))) + 1
    rundir = place.rundir / f"command-{number}-{name}"
    asked = RepoWork(
        known, cut.remote.repo, cut.work_item, head_sha, cut.path, rundir, place.asked.silence
    )
    return place.shop.commands.run(asked, place.watch, place.beat)


def stopped(place: Place, why: str) -> Decision:
    """What it comes to that a command was stopped from outside."""
    reason: Any = why if why in ("cancelled", "paused", "fenced", "shutdown") else "shutdown"
    return decided(place, AgentResult("stopped", stop_reason=reason))


def outcome(place: Place, seen: Seen, decision: Decision) -> Outcome:
    """The turn's outcome, with everything that is to be shown of it."""
    shas = {"base_sha": seen.cut.base_sha, "head_sha": seen.tree.head_sha}
    noted = shas | {"head_sha": seen.offered}
    report: dict[str, Any] = {
        "prompt": str(place.rundir / "prompt.md"),
        "argv": [_short(word, WORD_LIMIT) for word in seen.result.argv],
        "env_names": list(seen.result.env_names),
        "reason": _short(decision.reason, WORD_LIMIT),
        "question": _short(seen.result.question, WORD_LIMIT),
        "session_id": seen.result.session_id,
        "workspace": str(seen.cut.path),
        "branch": seen.cut.branch,
        **shas,
        "checks": [asdict(each) | {"details": _bounded(each.details)} for each in seen.checked],
        "runs": [_run_report(each) for each in seen.runs],
        "evidence": _bounded(seen.evidence),
        "protected": dict(seen.protected),
    }
    if seen.landing is not None:
        report["landing"] = asdict(seen.landing) | {"rounds": seen.rounds}
    return Outcome(seen.result, decision, noted, report)


def _run_report(run: CommandRun) -> Mapping[str, Any]:
    tail = run.tail[-PASSED_LIMIT:] if run.passed else run.tail
    argv = [_short(word, WORD_LIMIT) for word in run.argv]
    return asdict(run) | {"passed": run.passed, "tail": tail, "argv": argv}


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


def _bounded(texts: Iterable[str]) -> list[str]:
    """The first of these texts, so many characters in all."""
    kept, left = [], TEXTS_LIMIT
    for text in texts:
        if left <= 0:
            break
        kept.append(_short(text, left))
        left -= len(text)
    return kept


def evidence_of(seen: Seen, refused: Checked) -> tuple[str, ...]:
    """What the next prompt should show of a check that refused, each text once."""
    red = (run.tail for run in seen.runs if not run.passed)
    return tuple(dict.fromkeys(text for text in (*refused.details, *red) if text))


def listed(paths: tuple[str, ...], most: int = 5) -> str:
    """The first of these paths, and how many more there are."""
    shown = ", ".join(names.shown(path) for path in paths[:most])
    return f"{shown} and {len(paths) - most} more" if len(paths) > most else shown
