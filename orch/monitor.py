"""Looks after what has landed: each repo's health command, run now and then on its default branch.

A red one freezes the repo, so that nothing is built on what is broken. A green one after it lifts
nothing: a person does, and reads in the freeze's reason that it is green again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

import structlog

from orch import names
from orch.errors import GitError, GitMissing
from orch.line import Line
from orch.ports import Cut, Remote, RepoCommand, RepoCommands, RepoWork, Turn, Workspaces
from orch.qg.commands import CommandRun
from orch.store import freezes, landings, ledger
from orch.store.session import Connection
from orch.upkeep import HEALTH_ROOM

log = structlog.get_logger(__name__)

SOURCE: Final = "monitor"
"""Who has set the freezes of this module, and who acts in its events."""
AGAIN: Final = "; healthy again at "
"""Stands in the reason of such a freeze once the command has passed."""
BEAT_SECONDS: Final = 1.0

Found = Literal["green", "red", "unknown", "skipped"]


@dataclass(frozen=True)
class Watched:
    """One repo to be looked after."""

    remote: Remote
    command: RepoCommand


@dataclass(frozen=True)
class Rounds:
    """What the monitor works with."""

    workspaces: Workspaces
    commands: RepoCommands
    watched: Sequence[Watched]
    root: Path
    """A folder of the monitor's own, for the logs."""
    leaving: Callable[[], bool] = lambda: False
    """Whether this process is to go: asked while a command runs."""


@dataclass(frozen=True)
class Finding:
    """What the health command of one repo came to."""

    repo: str
    found: Found
    detail: str = ""
    sha: str = ""
    changed: bool = False
    """Whether this froze the repo, or is noted in its freeze."""


def go_round(line: Line, rounds: Rounds) -> list[Finding]:
    """Run the health command of each repo once, one after the other, and act on what it says.

    What cannot be found out, because git or the command itself cannot be run, changes nothing.
    """
    found = []
    for watched in rounds.watched:
        if rounds.leaving():
            break
        found.append(_look_at(line, rounds, watched))
    return found


def _look_at(line: Line, rounds: Rounds, watched: Watched) -> Finding:
    repo = watched.remote.repo
    if line.store.read(lambda conn: landings.under_way(conn, repo, line.now())):
        # While work lands the deployed thing may be down for a moment, and is looked at then.
        return Finding(repo, "skipped", "work lands in it, or is deployed, at this moment")
    try:
        branch, run = _run(line, rounds, watched)
    except (GitError, OSError) as error:
        log.warning("monitor.failed", repo=repo, error=str(error))
        return Finding(repo, "unknown", str(error))
    if run.stopped or (run.exit_code is None and not run.timed_out):
        why = run.detail or f"the health command was stopped: {run.stopped or 'its end is unknown'}"
        log.warning("monitor.failed", repo=repo, error=why)
        return Finding(repo, "unknown", why, run.head_sha)
    act = _note_green if run.passed else _note_red
    said = "" if run.passed else _complaint(branch, run)
    changed = line.store.write(partial(act, line=line, repo=repo, run=run, said=said))
    return Finding(repo, "green" if run.passed else "red", said, run.head_sha, changed)


def _run(line: Line, rounds: Rounds, watched: Watched) -> tuple[str, CommandRun]:
    """The default branch, and the command's run on its newest commit, in a workspace that is made
    for it and goes again."""
    remote = watched.remote
    turn = Turn(1, line.new_id())
    cut = rounds.workspaces.cut(remote, HEALTH_ROOM, turn, fresh=True)
    try:
        rundir = rounds.root / remote.repo.replace("/", "+")
        shutil.rmtree(rundir, ignore_errors=True)  # the log of the last round
        rundir.mkdir(parents=True)
        asked = RepoWork(watched.command, remote.repo, HEALTH_ROOM, cut.base_sha, cut.path, rundir)
        run = rounds.commands.run(
            asked, lambda: "shutdown" if rounds.leaving() else None, BEAT_SECONDS
        )
        return cut.remote.default_branch, run
    finally:
        _leave(rounds, cut)


def _leave(rounds: Rounds, cut: Cut) -> None:
    try:
        with suppress(GitMissing):
            rounds.workspaces.discard(cut, force=True)
    except GitError as error:  # the next round makes it anew in any case
        log.warning("monitor.failed", repo=cut.remote.repo, error=error.message)


def _complaint(branch: str, run: CommandRun) -> str:
    """What is wrong, in one line that may hold the command's own last words."""
    how = "ran out of time" if run.timed_out else f"ended with {run.exit_code}"
    last = run.tail.strip().splitlines()[-1:]
    words = f": {names.cleaned(last[0], 200)}" if last else ""
    return f"DEGRADED: health of {branch} at {run.head_sha[:12]} {how}{words}"


def _note_red(conn: Connection, line: Line, repo: str, run: CommandRun, said: str) -> bool:
    now = line.now()
    told = {"source": SOURCE, "head_sha": run.head_sha, "exit_code": run.exit_code}
    own = _own_freeze(conn, repo)
    if own is not None and AGAIN in own:  # it had come right, nobody lifted it, and it is red anew
        changed = freezes.restate(conn, repo, SOURCE, said)
    else:
        changed = freezes.set_repo_freeze(conn, repo, said, SOURCE, now)
    if changed:
        ledger.record(conn, now, "repo.degraded", repo=repo, actor=SOURCE, reason=said, data=told)
        log.warning("monitor.red", repo=repo, head_sha=run.head_sha)
    return changed


def _note_green(conn: Connection, line: Line, repo: str, run: CommandRun, said: str) -> bool:  # noqa: ARG001
    own = _own_freeze(conn, repo)
    if own is None or AGAIN in own:
        return False
    freezes.restate(conn, repo, SOURCE, f"{own}{AGAIN}{run.head_sha[:12]}")
    reason = f"health passes again at {run.head_sha[:12]}; `orch unfreeze {repo}` lifts the freeze"
    told = {"source": SOURCE, "head_sha": run.head_sha}
    ledger.record(
        conn, line.now(), "repo.healthy", repo=repo, actor=SOURCE, reason=reason, data=told
    )
    return True


def _own_freeze(conn: Connection, repo: str) -> str | None:
    """The reason of the freeze that the monitor itself has set and nobody has lifted."""
    freeze = freezes.active_freeze(conn, repo)
    return None if freeze is None or freeze["source"] != SOURCE else str(freeze["reason"])
