"""A whole pipeline in one process: a real git remote, scripted agents that commit, and commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from orch import stages, worker
from orch.adapters.git.command import Access, GitCommand
from orch.adapters.git.forge import PlainForge
from orch.adapters.git.workspaces import GitWorkspaces
from orch.adapters.memory_commands import MemoryCommands
from orch.ports import (
    AgentCommand,
    AgentResult,
    AgentWork,
    Remote,
    RepoCommand,
    Watch,
)
from orch.prompting import load_prompts
from orch.qg.commands import COMMANDS
from orch.workshop import Plan, Workshop
from tests.factories import Rig
from tests.git_bench import PATH, commit, git

REPO = "app"
HEAD = "---\nverdict: pass\nsummary: fine\n---\n"
DOCUMENTS = {
    "analysis": {
        "01-brief.md": "# Brief\n\n## Goal\n\nOne line more.\n\n## Scope\n\nThe README.\n",
        "02-requirements.md": "# Requirements\n\n## Requirements\n\n- one line\n",
        "03-acceptance-criteria.md": "# Criteria\n\n## Acceptance criteria\n\n- it is there\n",
        "04-test-plan.yaml": "tests:\n  - look\n",
    },
    "architecture": {
        "06-adr/ADR-001-one-line.md": "# One line\n\n## Context\n\nNone.\n\n## Decision\n\nYes.\n\n"
        "## Consequences\n\nNone.\n",
        "07-design.md": "# Design\n\n## Design\n\nOne line.\n",
    },
    "review": {"12-review.md": HEAD + "# Review\n\n## Findings\n\nNone.\n"},
    "testing": {"13-test-report.md": HEAD + "# Report\n\n## Results\n\nGreen.\n"},
    "deploy-staging": {"14-staging-log.md": HEAD + "# Staging\n\n## Log\n\nDone.\n"},
    "deploy": {"15-deploy-log.md": HEAD + "# Deploy\n\n## Log\n\nDone.\n"},
}

Act = Callable[[AgentWork], AgentResult | None]
PASSED = AgentResult("exited", 0, "pass", summary="done", session_id="session-1")


@dataclass
class Team:
    """Agents that write what their stage delivers, but for what a test lets one of them do."""

    acts: dict[str, list[Act]] = field(default_factory=dict)
    """Per stage: what happens in its next turns instead, or besides when it answers None."""
    seen: list[AgentWork] = field(default_factory=list)

    def run(self, work: AgentWork, watch: Watch, beat: float) -> AgentResult:
        self.seen.append(work)
        waiting = self.acts.get(work.stage, [])
        answer = waiting.pop(0)(work) if waiting else None
        return answer or self.deliver(work)

    def deliver(self, work: AgentWork) -> AgentResult:
        """The documents of the stage, and in development a line of work."""
        mark = f"{work.job_id}-{len(self.seen)}"
        self.deliver_in(work.workdir, work.stage, work.work_item_id, mark)
        return PASSED

    @staticmethod
    def deliver_in(workdir: Path, stage: str, item: str, mark: str) -> None:
        """Write and commit what a stage delivers; the mark makes each turn's different."""
        folder = f"docs/work-items/{item}"
        files: dict[str, str | bytes] = {
            f"{folder}/{name}": text + (f"\nTurn {mark}.\n" if ".md" in name else "")
            for name, text in DOCUMENTS.get(stage, {}).items()
        }
        if stage == "development":
            files[f"src/{item}.txt"] = f"the work of {mark}\n"
        commit(workdir, files, f"{stage} of {item}")

    def prompts(self, stage: str) -> list[str]:
        """What was asked at a stage, oldest first."""
        return [work.prompt for work in self.seen if work.stage == stage]


class Pipeline:
    """A line whose repo `app` lies in a bare repository, and everything that works on it."""

    def __init__(self, rig: Rig, folder: Path, **of_plan: Any) -> None:
        self.rig = rig
        self.bare, self.person = folder / "app.git", folder / "person"
        git(folder, "init", "-q", "--bare", "-b", "main", str(self.bare))
        git(folder, "init", "-q", "-b", "main", "person")
        git(self.person, "remote", "add", "origin", str(self.bare))
        commit(self.person, {"README": "one\ntwo\nthree\n"}, "Begin")
        git(self.person, "push", "-q", "origin", "HEAD:main")
        self.team, self.commands = Team(), MemoryCommands()
        command = GitCommand(Access(path=PATH))
        known = {name: RepoCommand(name, ("run", name)) for name in COMMANDS}  # type: ignore[arg-type]
        plan = Plan(Remote(REPO, str(self.bare)), load_prompts(), known)
        self.data = data = folder / "data"
        keys = (f"{number:032x}" for number in count(1))
        self.forge = PlainForge(command, data)
        self.shop = Workshop(
            GitWorkspaces(command, data),
            self.forge,
            self.commands,
            {REPO: replace(plan, **of_plan)},
            lambda: next(keys),
        )
        commands = {agent: AgentCommand(agent, ("true",)) for agent in stages.AGENTS}
        self.bench = worker.Bench("w", self.team, commands, data, self.shop)

    def use(self, **tools: Any) -> None:
        """Work with these tools of the workshop from now on."""
        self.shop = replace(self.shop, **tools)
        self.bench = replace(self.bench, workshop=self.shop)

    def turn(self, item: str) -> str:
        """Let the gate choose in the repo and the worker do the item's job; what it came to."""
        return worker.work_on(self.rig.line, self.bench, self.rig.claimed(item))

    def until(self, item: str, stage: str, most: int = 20) -> None:
        """Turn after turn until the task is at a stage."""
        for _ in range(most):
            if self.rig.row(item)["stage"] == stage:
                return
            self.turn(item)
        raise AssertionError(f"{item} is at {self.rig.row(item)['stage']}, not at {stage}")

    def move_main(self, files: dict[str, str | bytes]) -> str:
        """Somebody else lands something."""
        git(self.person, "fetch", "-q", "origin")
        git(self.person, "reset", "-q", "--hard", "origin/main")
        sha = commit(self.person, files, "A colleague's work")
        git(self.person, "push", "-q", "origin", "HEAD:main")
        return sha

    def at(self, branch: str) -> str:
        """Where a branch of the remote is; empty when there is none."""
        return git(self.bare, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")

    def main(self) -> list[str]:
        """The subjects on main, newest first, merges only counted once."""
        return git(self.bare, "log", "--first-parent", "--format=%s", "main").splitlines()
