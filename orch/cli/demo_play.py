"""What the demo's scenes play with: the stage, the controls, the store as it reads, the claims."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from orch import controls, listing, snapshot, stages
from orch.cli.demo_stage import Stage
from orch.controls import NewTask, Order

ACTOR: Final = "cli:demo"
TRACK: Final = "docs"
"""The shortest one, so that the whole fits into a minute or so."""


@dataclass
class Play:
    """The stage, and what has been claimed so far."""

    stage: Stage
    claims: list[tuple[str, bool]] = field(default_factory=list)
    paused_at: datetime | None = None
    pushed: str = ""
    """The colleague's commit."""

    def claim(self, words: str, holds: object) -> None:
        """Write down something that must be true."""
        self.claims.append((words, bool(holds)))
        mark, style = ("✓", "green") if holds else ("✗ NOT SO:", "bold red")
        self.stage.screen.say(f"  {mark} {words}", style)

    def act(self, verb: str, target: str, shown: str = "", **more: Any) -> dict[str, Any]:
        """Carry out a control as the command line would, and show how it is typed."""
        said = f' --reason "{more["reason"]}"' if more.get("reason") else ""
        self.stage.screen.command(f"{verb} {target}{shown}{said}")
        return controls.carry_out(self.stage.line, Order(verb, target, ACTOR, **more))

    def add(self, work_item: str, repo: str, title: str) -> None:
        """Add one more task."""
        self.stage.screen.command(f"add {work_item} --repo {repo} --title '{title}'")
        controls.add_task(self.stage.line, NewTask(work_item, repo, title, track=TRACK), ACTOR)

    # --- reading the store

    def jobs(self, work_item: str) -> list[dict[str, Any]]:
        """The jobs of a task, oldest first."""
        found: list[dict[str, Any]] = listing.task(self.stage.line, work_item)["jobs"]
        return found

    def every_job(self) -> Iterator[dict[str, Any]]:
        """The jobs of all tasks."""
        for task in self.all_tasks():
            yield from self.jobs(task["work_item_id"])

    def starts(self, *work_items: str) -> list[datetime]:
        """When agents began turns on these tasks, earliest first."""
        begun = (job["started_at"] for item in work_items for job in self.jobs(item))
        return sorted(moment for moment in begun if moment is not None)

    def task(self, work_item: str) -> dict[str, Any]:
        """One task's row."""
        found: dict[str, Any] = listing.task(self.stage.line, work_item)["task"]
        return found

    def all_tasks(self) -> list[dict[str, Any]]:
        """Every task's row."""
        found: list[dict[str, Any]] = listing.tasks(self.stage.line, listing.Wanted())["tasks"]
        return found

    def of_repo(self, repo: str) -> list[str]:
        """The work items of a repo."""
        return [task["work_item_id"] for task in self.all_tasks() if task["repo"] == repo]

    def lane(self, repo: str) -> dict[str, Any]:
        """How the snapshot shows a repo."""
        lanes = snapshot.snapshot(self.stage.line)["serial_gate"]["per_repo"]
        found: dict[str, Any] = lanes.get(repo, {})
        return found

    def is_over(self, work_item: str) -> bool:
        """Whether a task is done or cancelled."""
        return self.task(work_item)["stage"] in stages.TERMINAL

    def events(self, work_item: str, kind: str) -> list[dict[str, Any]]:
        """The events of this kind that are about a task, oldest first."""
        told = listing.task(self.stage.line, work_item)["events"]
        return [each for each in told if each["kind"] == kind]


def known(moment: datetime | None) -> datetime:
    """A moment that has been written down before."""
    assert moment is not None  # noqa: S101 - its event was written just before
    return moment
