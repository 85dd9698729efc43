"""Stages, tracks and the agent of each stage, as data. Everything else is derived from here.

`TABLE` is the one place that says which stages exist, whose job each is, and where a task goes
from there. The terminal set is defined here and nowhere else, and pause never enters it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

StageName = Literal[
    "created",
    "analysis",
    "architecture",
    "development",
    "review",
    "testing",
    "deploy-staging",
    "deploy",
    "done",
    "cancelled",
]
Move = Literal["start", "pass", "skip", "rework", "cancel"]


@dataclass(frozen=True)
class Stage:
    """One step of a task: whose job it is, what it has to show, and where rework leads."""

    name: StageName
    agent: str | None = None
    rework_to: StageName | None = None
    delivers: tuple[str, ...] = ()
    """The documents due in the work item's folder; `orch.qg.documents` says how each looks."""
    checks: tuple[str, ...] = ()
    """The quality checks to pass before it is left, by their names in `orch.qg.checks`."""


TABLE: Final[tuple[Stage, ...]] = (
    Stage("created"),
    Stage(
        "analysis",
        agent="analyst",
        delivers=(
            "01-brief.md",
            "02-requirements.md",
            "03-acceptance-criteria.md",
            "04-test-plan.yaml",
        ),
        checks=("check_analysis_complete",),
    ),
    Stage(
        "architecture",
        agent="architect",
        rework_to="analysis",
        delivers=("06-adr/ADR-NNN-<slug>.md", "07-design.md"),
        checks=("check_architecture_done",),
    ),
    Stage("development", agent="developer", checks=("check_tests_pass",)),
    Stage(
        "review",
        agent="reviewer",
        rework_to="development",
        delivers=("12-review.md",),
        checks=("check_review_approved",),
    ),
    Stage(
        "testing",
        agent="tester",
        rework_to="development",
        delivers=("13-test-report.md",),
        checks=("check_test_report", "check_tests_pass"),
    ),
    Stage(
        "deploy-staging",
        agent="deployer",
        rework_to="development",
        delivers=("14-staging-log.md",),
        checks=("check_staging_healthy",),
    ),
    Stage(
        "deploy",
        agent="deployer",
        rework_to="development",
        delivers=("15-deploy-log.md",),
        checks=("check_landed", "check_deploy_healthy"),
    ),
    Stage("done"),
    Stage("cancelled"),
)
BY_NAME: Final[dict[str, Stage]] = {stage.name: stage for stage in TABLE}
STAGES: Final[tuple[str, ...]] = get_args(StageName)

FIRST: Final = "created"
ENTRY: Final = "analysis"
DONE: Final = "done"
CANCELLED: Final = "cancelled"
TERMINAL: Final[frozenset[str]] = frozenset({DONE, CANCELLED})
BEFORE_OR_AT_ENTRY: Final[tuple[str, ...]] = (FIRST, ENTRY)
# Started is told by what it is not, so that a stage orch does not know is never forgotten.
NOT_STARTED_OR_OVER: Final[tuple[str, ...]] = (*BEFORE_OR_AT_ENTRY, DONE, CANCELLED)

LANDING: Final[tuple[str, ...]] = tuple(
    stage.name for stage in TABLE if "check_landed" in stage.checks
)
"""Where work lands and is deployed."""

ENTRY_AGENT: Final[str] = "analyst"
AGENTS: Final[tuple[str, ...]] = tuple(
    dict.fromkeys(stage.agent for stage in TABLE if stage.agent is not None)
)

NONE: Final[Mapping[str, tuple[str, ...]]] = {}
DEFAULT_TRACK: Final = "full"
TRACKS: Final[dict[str, tuple[str, ...]]] = {
    "full": tuple(stage.name for stage in TABLE if stage.agent is not None),
    "fast": ("analysis", "development", "review", "testing", "deploy"),
    "docs": ("analysis", "development", "review", "deploy"),
}


Tracks = Mapping[str, tuple[str, ...]]


def after(stage: str, track: str = DEFAULT_TRACK, own: Tracks = NONE) -> str:
    """The stage a task of this track reaches when `stage` passes; `done` after the last.

    `own` are the tracks of the task's repo, which stand before those of every repo. Raises KeyError
    for a track nobody declared and ValueError for a stage that cannot pass.
    """
    if stage == FIRST:
        return ENTRY  # where every track begins
    path = own.get(track) or TRACKS[track]
    if stage in TERMINAL:
        raise ValueError(f"{stage} is terminal: nothing comes after it")
    later = [name for name in path if STAGES.index(name) > STAGES.index(stage)]
    return later[0] if later else DONE


def _later(stage: str) -> tuple[str, ...]:
    return STAGES[STAGES.index(stage) + 1 : STAGES.index(DONE) + 1]


def _moves_of(stage: Stage) -> dict[Move, tuple[str, ...]]:
    if stage.name in TERMINAL:
        return {}
    forward = tuple(dict.fromkeys(after(stage.name, track) for track in TRACKS))
    moves: dict[Move, tuple[str, ...]] = {
        ("start" if stage.name == FIRST else "pass"): forward,
        "cancel": (CANCELLED,),
    }
    skipped = tuple(name for name in _later(stage.name) if name not in forward)
    if stage.name != FIRST and skipped:
        moves["skip"] = skipped
    if stage.rework_to is not None:
        moves["rework"] = (stage.rework_to,)
    return moves


STAGE_TRANSITIONS: Final[dict[str, dict[Move, tuple[str, ...]]]] = {
    stage.name: _moves_of(stage) for stage in TABLE
}
"""Per stage and move: the stages a task may reach by it. A move not listed is not possible; `skip`
is for a repo's own track, which may leave out any stage but the first."""


def may_move(from_stage: str, to_stage: str) -> bool:
    """Whether the table has an edge between the two; a stage it does not know can be cancelled."""
    edges = STAGE_TRANSITIONS.get(from_stage, {"cancel": (CANCELLED,)})
    return any(to_stage in reached for reached in edges.values())


def agent_of(stage: str) -> str | None:
    """The agent whose job this stage is; None where nobody works."""
    return BY_NAME[stage].agent


def queue_of(agent: str) -> str:
    """The Celery queue on which this agent's jobs arrive."""
    return f"agent.{agent}"


CONTROL_QUEUE: Final = "orch.control"
QUEUES: Final[tuple[str, ...]] = (CONTROL_QUEUE, *(queue_of(agent) for agent in AGENTS))
