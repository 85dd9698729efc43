"""The demo's scenes: the incident, its cure, freeze, dependency, resume; and what each proves.

Every claim is settled from the store and from the lines the agents wrote, not from what was shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from orch import controls, listing, mirror, stages
from orch.cli.adding import read_tasks
from orch.cli.demo_stage import Stage
from orch.controls import NewTask, Order

EARLIER, URGENT, DEPENDENT, BEHIND = "ORCH-116", "ORCH-123", "SITE-2", "SITE-3"
NOT_STARTED: Final = ("ORCH-118", "ORCH-120")
UNWANTED, ASKING = "SITE-4", "LIB-3"
REPO: Final = "shop"
ACTOR: Final = "cli:demo"
TICKS_SHOWN: Final = 2.5
"""Seconds in which both beats ring at least twice: whatever could start would have."""
ALL_DONE_SECONDS: Final = 90.0


@dataclass
class Play:
    """The stage, and what has been claimed so far."""

    stage: Stage
    claims: list[tuple[str, bool]] = field(default_factory=list)
    paused_at: datetime | None = None

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

    # --- reading the store

    def jobs(self, work_item: str) -> list[dict[str, Any]]:
        """The jobs of a task, oldest first."""
        found: list[dict[str, Any]] = listing.task(self.stage.line, work_item)["jobs"]
        return found

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

    def event(self, work_item: str, kind: str) -> datetime | None:
        """When something last happened to a task."""
        told = listing.task(self.stage.line, work_item)["events"]
        return max((each["at"] for each in told if each["kind"] == kind), default=None)


def play(play: Play) -> None:
    """All scenes in their order."""
    for scene in (fill, incident, cure, frozen, dependency, next_not_beside, to_the_end):
        play.stage.screen.say("")
        play.stage.screen.say(f"— {scene.__doc__}", "bold")
        scene(play)
    proofs(play)


def fill(play: Play) -> None:
    """Twelve tasks of three repos go in: one task at a time in each repo, oldest first."""
    play.stage.screen.command("add --file work-items.toml")
    for new in read_tasks(play.stage.folder / "work-items.toml", {}):
        controls.add_task(play.stage.line, new, ACTOR)
    play.act("cancel", UNWANTED, reason="nobody wants snow")
    seen = play.stage.over_http("/queue")
    lanes = (seen or {}).get("serial_gate", {}).get("per_repo", {})
    play.claim(f"the web app shows the same line on port {play.stage.port}", REPO in lanes)


def incident(play: Play) -> None:
    """The incident: ORCH-116 is moved to Backlog in the tracker, and nobody works on it."""
    stage, screen = play.stage, play.stage.screen
    stage.until(
        f"{EARLIER} to wait for its second attempt",
        lambda: mirror.why(stage.line, EARLIER)["reason"] == "backoff",
    )
    screen.say("  Its first attempt at development failed; the tracker's status is a mere hint.")
    screen.command(f"add {URGENT} --repo {REPO} --title 'Customers cannot pay'")
    new = NewTask(URGENT, REPO, "Customers cannot pay", track="docs")
    controls.add_task(stage.line, new, ACTOR)
    play.act("promote", URGENT, reason="customers cannot pay")
    found = stage.why(URGENT)
    stage.watch(TICKS_SHOWN)
    holders = [each["work_item_id"] for each in found["blockers"]]
    play.claim(
        f"{EARLIER}, parked in the tracker only, keeps urgent {URGENT} from starting",
        found["reason"] == "active-task" and holders == [EARLIER] and not play.starts(URGENT),
    )


def cure(play: Play) -> None:
    """The cure: an explicit pause, kept in the store and read by the gate."""
    play.act("pause", EARLIER, reason="in the backlog")
    play.paused_at = play.task(EARLIER)["paused_at"]
    play.stage.until(f"{URGENT} to start", lambda: play.starts(URGENT))
    took = (play.starts(URGENT)[0] - _known(play.paused_at)).total_seconds()
    play.claim(f"{EARLIER} paused, {URGENT} starts ({took * 1000:.0f} ms later)", took >= 0)


def frozen(play: Play) -> None:
    """Freeze: nothing starts in the repo, whatever the state of its tasks."""
    stage = play.stage
    play.act("freeze", REPO, reason="deploy day")
    stage.until(f"{REPO} to be at rest", lambda: not _live(play))
    at_rest = len(play.starts(*_of_repo(play)))
    found = stage.why(URGENT)
    stage.watch(TICKS_SHOWN)
    held = len(play.starts(*_of_repo(play))) == at_rest and not _live(play)
    play.claim(
        "while the repo is frozen nothing of it starts", held and found["reason"] == "freeze"
    )
    play.act("unfreeze", REPO)
    stage.until(f"{URGENT} to go on", lambda: len(play.starts(*_of_repo(play))) > at_rest)
    still = play.task(EARLIER)["paused_at"] == play.paused_at
    play.claim(f"unfrozen, {URGENT} goes on, and {EARLIER} is still parked", still)


def dependency(play: Play) -> None:
    """A dependency: pausing what comes first does not get around it."""
    found = play.stage.why(DEPENDENT)
    first = [each["work_item_id"] for each in found["blockers"] if each["clause"] == "dependency"]
    play.claim(
        f"{DEPENDENT} depends on {EARLIER}: parked is not over, so it waits",
        first == [EARLIER] and not play.starts(DEPENDENT),
    )


def next_not_beside(play: Play) -> None:
    """Resume: next, not beside."""
    stage = play.stage
    stage.until(
        f"{URGENT} to be past its first stage",
        lambda: play.task(URGENT)["stage"] not in stages.BEFORE_OR_AT_ENTRY,
    )
    play.act("resume", EARLIER)
    play.act("retry", EARLIER)
    if not _over(play, URGENT):
        found = stage.why(EARLIER)
        play.claim(
            f"{EARLIER}, resumed, waits for {URGENT}",
            found["reason"] == "active-task" or _over(play, URGENT),
        )
    stage.until(f"{EARLIER} to start", lambda: _begun_since_resume(play))


def to_the_end(play: Play) -> None:
    """To the end: every line runs empty."""
    play.stage.until(
        "every task to end or to be parked",
        lambda: all(_at_rest(task) for task in play.all_tasks()),
        ALL_DONE_SECONDS,
    )


def proofs(play: Play) -> None:
    """What the store and the agents' own lines say about the whole."""
    screen = play.stage.screen
    screen.say("")
    screen.say("— Checked from the store and from what the agents wrote", "bold")
    again = _begun_since_resume(play)
    ended = play.task(URGENT)["finished_at"]
    others = play.starts(*NOT_STARTED)
    play.claim(
        f"{EARLIER} went on after {URGENT} was done and before {' and '.join(NOT_STARTED)}",
        again and ended and others and ended <= again[0] < others[0],
    )
    done = play.task(EARLIER)["finished_at"]
    dependent = play.starts(DEPENDENT)
    play.claim(f"{DEPENDENT} started after {EARLIER} was done", dependent and done <= dependent[0])
    play.claim(
        f"{BEHIND} did not wait behind {DEPENDENT}, which could not use its place",
        dependent and play.starts(BEHIND)[0] < dependent[0],
    )
    unexpected = [task["work_item_id"] for task in play.all_tasks() if not _as_expected(task)]
    play.claim(
        f"{len(play.all_tasks())} tasks are where they should be: {UNWANTED} cancelled, "
        f"{ASKING} parked with a question, the others done",
        not unexpected,
    )
    turns, faults = overlaps(play)
    play.claim(f"in {turns} turns no two of one repo overlapped, and none ran twice", not faults)


def overlaps(play: Play) -> tuple[int, list[str]]:
    """How many turns the agents wrote down, and every line that is out of turn."""
    turns, faults, seen = 0, [], set()
    for path in sorted(play.stage.settings.data_dir.glob("work/*/turns.log")):
        at_work: str | None = None
        for line in path.read_text("utf-8").splitlines():
            word, _, turn = line.partition(" ")
            if word == "start":
                turns += 1
                faults += [line] if at_work is not None or turn in seen else []
                at_work = turn
                seen.add(turn)
            else:
                faults += [line] if at_work != turn else []
                at_work = None
        faults += [f"{path}: {at_work} did not end"] if at_work else []
    begun = {str(job["job_id"]) for job in _every_job(play) if job["started_at"]}
    written = {turn.rsplit(" ", 1)[-1] for turn in seen}
    return turns, faults + sorted(begun ^ written)


def _every_job(play: Play) -> Iterator[dict[str, Any]]:
    for task in play.all_tasks():
        yield from play.jobs(task["work_item_id"])


def _of_repo(play: Play) -> list[str]:
    return [task["work_item_id"] for task in play.all_tasks() if task["repo"] == REPO]


def _live(play: Play) -> bool:
    states = [task["state"] for task in play.all_tasks() if task["repo"] == REPO]
    return "claimed" in states or "running" in states


def _over(play: Play, work_item: str) -> bool:
    return play.task(work_item)["stage"] in stages.TERMINAL


def _begun_since_resume(play: Play) -> list[datetime]:
    resumed = _known(play.event(EARLIER, "task.resumed"))
    return [moment for moment in play.starts(EARLIER) if moment >= resumed]


def _known(moment: datetime | None) -> datetime:
    assert moment is not None  # noqa: S101 - its event was written just before
    return moment


def _at_rest(task: dict[str, Any]) -> bool:
    return task["state"] in (*stages.TERMINAL, "parked")


def _as_expected(task: dict[str, Any]) -> bool:
    match task["work_item_id"]:
        case item if item == UNWANTED:
            return bool(task["state"] == stages.CANCELLED)
        case item if item == ASKING:
            return task["state"] == "parked" and "needs input" in (task["paused_reason"] or "")
        case _:
            return bool(task["state"] == stages.DONE)
