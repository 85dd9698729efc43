"""The demo's scenes with the repositories: a colleague pushes, a deploy goes red and is mended."""

from __future__ import annotations

from typing import Final

from orch.cli.demo_play import Play

MOVED, REBASED = "lib", "LIB-1"
SITE: Final = "site"
BREAKING, WAITING, FIX = "SITE-3", "SITE-5", "SITE-6"


def colleague(play: Play) -> None:
    """A colleague pushes to main while a task is under way: git goes on without orch."""
    stage = play.stage
    stage.until(f"{REBASED} to be cut", lambda: play.task(REBASED)["base_sha"])
    play.pushed = stage.shelf.push_as_colleague(MOVED, "CONTACT.md", "Ask Bo.\n")
    stage.screen.say(f"  Bo pushes {play.pushed[:12]} to {MOVED}; {REBASED} was cut before that.")
    play.claim(
        f"{REBASED} has not landed yet, and stands on an older main than {MOVED} has now",
        not play.events(REBASED, "task.landed")
        and play.task(REBASED)["base_sha"] == stage.shelf.steps(MOVED)[-1].parents[0],
    )


def degraded(play: Play) -> None:
    """A deploy goes red: what it broke is on main, so orch freezes the repo."""
    stage = play.stage
    stage.until(f"{BREAKING} to break production", lambda: play.lane(SITE)["frozen"])
    stage.until(f"{BREAKING} to be parked", lambda: play.task(BREAKING)["paused_at"])
    lane = play.lane(SITE)
    stage.screen.say(f"  {SITE} is frozen: {lane['frozen_reason']}")
    play.claim(
        f"{BREAKING} landed, its health command is red: {SITE} is frozen as DEGRADED by it",
        play.events(BREAKING, "task.landed")
        and lane["frozen_reason"].startswith("DEGRADED")
        and lane["frozen_by"] == BREAKING,
    )
    found = stage.why(WAITING)
    play.claim(
        f"{WAITING} would be next, and waits for the freeze",
        found["reason"] == "freeze" and not play.starts(WAITING),
    )


def mended(play: Play) -> None:
    """The fix alone is let through the freeze; then it is lifted."""
    stage = play.stage
    frozen_at = play.lane(SITE)["frozen_at"]
    play.add(FIX, SITE, "Do without a press contact")
    play.act("freeze", SITE, f" --allow {FIX}", reason="the fix may pass", allow=FIX)
    play.act("promote", FIX, reason="production is broken")
    stage.until(f"{FIX} to be done", lambda: play.is_over(FIX))
    others = [item for item in play.of_repo(SITE) if item != FIX]
    play.claim(
        f"{FIX} landed through the freeze, and nothing else of {SITE} started meanwhile",
        play.lane(SITE)["frozen"]
        and play.events(FIX, "task.landed")
        and not [moment for moment in play.starts(*others) if moment > frozen_at],
    )
    play.act("unfreeze", SITE, reason="production is well again")
    play.act("retry", BREAKING, reason="health can be asked again")
