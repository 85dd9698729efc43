"""`orch demo`: the product in small, with real processes, and its claims checked."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import nullcontext
from types import FrameType
from typing import Final

from orch.cli import demo_scenes
from orch.cli.demo_git import BRANCH
from orch.cli.demo_play import Play
from orch.cli.demo_repos import BREAKING, SITE
from orch.cli.demo_stage import DemoError, Screen, Stage
from orch.cli.output import say

NOT_SO: Final = 1


def run(*, keep: bool, plain: bool) -> int:
    """Play everything; 0 when every claim held, 1 when one did not. Leaves nothing behind."""
    began = time.monotonic()
    plain = plain or not sys.stdout.isatty()
    before = signal.signal(signal.SIGTERM, _as_interrupt)
    screen = Screen(plain)
    try:
        with Stage(screen, keep) as stage:
            acted = Play(stage)
            say(
                "orch demo: three git repos, toy agents that really commit, real processes.",
                "bold",
            )
            say("  Starting broker, two dispatchers, two beats, six workers and the web app.")
            stage.start()
            took = time.monotonic() - began
            say(f"  Up after {took:.1f} s. While it plays: http://127.0.0.1:{stage.port}")
            with nullcontext() if plain else screen.live:
                _act(acted)
    finally:
        signal.signal(signal.SIGTERM, before)
    return _summary(acted, time.monotonic() - began)


def _act(acted: Play) -> None:
    try:
        demo_scenes.play(acted)
    except DemoError as error:
        acted.claim(error.message, False)


def _summary(play: Play, seconds: float) -> int:
    failed = [words for words, holds in play.claims if not holds]
    say("")
    if failed:
        say(f"{len(failed)} of {len(play.claims)} claims did not hold:", "bold red")
        for words in failed:
            say(f"  ✗ {words}", "red")
        return NOT_SO
    say(f"All {len(play.claims)} claims held, in {seconds:.0f} s. Try it: cp -r examples mine; "
        "cd mine; ./setup; orch up", "bold green")  # fmt: skip
    _where_to_look(play)
    return 0


def _where_to_look(play: Play) -> None:
    """What the audience may go on with, if it is still there."""
    stage = play.stage
    if not stage.keep:
        say("`orch demo --keep` keeps the repositories, the worktrees and every log.")
        return
    say("Where to look:")
    say(f"  log       git --git-dir {stage.shelf.bare(SITE)} log --graph {BRANCH}")
    say(f"  worktree  {stage.settings.data_dir / 'work' / SITE / BREAKING}")
    say(f"  page      cd {stage.folder} && orch up")


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
