"""The demo's scenes in the shop: the incident, its cure, freeze, dependency, resume.

Every claim is settled from the store, from git and from the lines the agents wrote, not from what
was shown.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from orch import controls, mirror, stages
from orch.cli.adding import read_tasks
from orch.cli.demo_play import ACTOR, Play, known
from orch.cli.demo_proofs import DEPENDENT, EARLIER, UNWANTED, URGENT, proofs
from orch.cli.demo_repos import colleague, degraded, mended

REPO: Final = "shop"
TICKS_SHOWN: Final = 2.5
"""Seconds in which both beats ring at least twice: whatever could start would have."""
ALL_DONE_SECONDS: Final = 120.0


def play(play: Play) -> None:
    """All scenes in their order."""
    scenes = (
        fill, colleague, incident, cure, frozen, dependency, next_not_beside, degraded, mended,
        to_the_end,
    )  # fmt: skip
    for scene in scenes:
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
    screen.say("  The tests of its first attempt are red; the tracker's status is a mere hint.")
    play.add(URGENT, REPO, "Customers cannot pay")
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
    took = (play.starts(URGENT)[0] - known(play.paused_at)).total_seconds()
    play.claim(f"{EARLIER} paused, {URGENT} starts ({took * 1000:.0f} ms later)", took >= 0)


def frozen(play: Play) -> None:
    """Freeze: nothing starts in the repo, whatever the state of its tasks."""
    stage = play.stage
    play.act("freeze", REPO, reason="deploy day")
    stage.until(f"{REPO} to be at rest", lambda: not play.lane(REPO)["live"])
    at_rest = len(play.starts(*play.of_repo(REPO)))
    found = stage.why(URGENT)
    stage.watch(TICKS_SHOWN)
    held = len(play.starts(*play.of_repo(REPO))) == at_rest and not play.lane(REPO)["live"]
    play.claim(
        "while the repo is frozen nothing of it starts", held and found["reason"] == "freeze"
    )
    play.act("unfreeze", REPO)
    stage.until(f"{URGENT} to go on", lambda: len(play.starts(*play.of_repo(REPO))) > at_rest)
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
    if not play.is_over(URGENT):
        found = stage.why(EARLIER)
        play.claim(
            f"{EARLIER}, resumed, waits for {URGENT}",
            found["reason"] == "active-task" or play.is_over(URGENT),
        )
    stage.until(f"{EARLIER} to start", lambda: _begun_since_resume(play))


def to_the_end(play: Play) -> None:
    """To the end: every line runs empty."""
    play.stage.until(
        "every task to end or to be parked",
        lambda: all(_at_rest(task) for task in play.all_tasks()),
        ALL_DONE_SECONDS,
    )


def _at_rest(task: dict[str, Any]) -> bool:
    return task["state"] in (*stages.TERMINAL, "parked")


def _begun_since_resume(play: Play) -> list[datetime]:
    resumed = play.events(EARLIER, "task.resumed")[-1]["at"]
    return [moment for moment in play.starts(EARLIER) if moment >= resumed]
