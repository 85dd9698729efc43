"""What keeps the disk from filling unseen: workspaces of ended tasks go, and its use is told.

Nothing is thrown away that is nowhere else: a workspace with uncommitted changes, or with commits
that are neither landed nor offered, is named and kept until a person names it in turn. A topic
branch is taken from the remote only when its work has landed; of a cancelled task it is the only
copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from orch import names
from orch.errors import GitError, GitMissing, IllegalTransition, NotFound
from orch.line import Line
from orch.ports import Cut, Forge, Remote, Turn, Upkeep, Workspaces
from orch.store import fleet, ledger, rooms, vitals
from orch.store.session import Connection, Row

log = structlog.get_logger(__name__)

HEALTH_ROOM: Final = "orch-health"
"""The workspace in which the monitor runs a repo's health command: nobody's task."""
LAST: Final = Turn(2**63 - 1, "upkeep")
"""The turn after which none comes: the task is over, and a straggler of it is fenced off."""
MEASURED: Final = "disk@"
"""What the beat is called, before the host, under which the use of a host's disk is kept."""

What = Literal["discarded", "due", "kept", "orphan"]


@dataclass(frozen=True)
class Room:
    """What became of one workspace."""

    repo: str
    work_item: str
    what: What
    """`due` is one that a rehearsal leaves alone, `orphan` one whose task nobody knows."""
    why: str = ""


@dataclass(frozen=True)
class Keeper:
    """What upkeep works with."""

    workspaces: Workspaces
    upkeep: Upkeep
    forge: Forge
    remotes: Mapping[str, Remote]
    keep_ended: float
    """Seconds for which the workspace of an ended task is kept."""
    host: str
    """Whose disk it is."""
    leaving: Callable[[], bool] = lambda: False
    """Whether this process is to go: asked before each workspace and each repo."""


def clean(line: Line, keeper: Keeper, actor: str, *, dry_run: bool = False) -> list[Room]:
    """Discard the workspaces of tasks that ended long ago; all that were looked at, but for those
    whose time has not come. A rehearsal looks into none: one that is due may yet be kept.
    """
    found: list[Room] = []
    for repo, remote in sorted(keeper.remotes.items()):
        try:
            items = [item for item in keeper.upkeep.workspaces(repo) if item != HEALTH_ROOM]
        except GitError as error:
            log.warning("upkeep.failed", repo=repo, error=error.message)
            continue
        known = _known(line, keeper, repo, items)
        for item in items:
            if keeper.leaving():
                return found
            row = known.get(item)
            if row is None:
                found.append(Room(repo, item, "orphan", "no such task is known"))
            elif row["due"] and dry_run:
                found.append(Room(repo, item, "due"))
            elif row["due"]:
                found.append(_clear(line, keeper, remote, row, actor))
    return found


def discard(line: Line, keeper: Keeper, work_item: str, actor: str) -> list[Room]:
    """Discard one workspace whatever it holds, in each repo that has one of that name.

    Raises BadInput, NotFound when there is none, IllegalTransition while its task is not over,
    GitError.
    """
    names.work_item(work_item)
    found = []
    for repo, remote in sorted(keeper.remotes.items()):
        if work_item not in keeper.upkeep.workspaces(repo):
            continue
        row = _known(line, keeper, repo, [work_item]).get(work_item)
        if row is not None and not row["over"]:
            raise IllegalTransition(
                f"{work_item} is not over: its workspace is still worked in.",
                suggested_fix=f"Cancel it first: `orch cancel {work_item}`.",
            )
        keeper.workspaces.discard(_cut(remote, work_item, ""), force=True)
        _note(line, repo, row, actor, "its workspace was discarded by force")
        found.append(Room(repo, work_item, "discarded", "by force"))
    if not found:
        raise NotFound(
            f"No workspace of {work_item} is on this machine.",
            suggested_fix="`orch clean --dry-run` names those that are due or kept.",
        )
    return found


def measure(line: Line, keeper: Keeper) -> None:
    """Find out what the repos take on this host's disk, and keep it for those who ask.

    Every file is looked at, which takes its time: never in a request.
    """
    taken, free = {}, 0
    for repo in sorted(keeper.remotes):
        if keeper.leaving():
            return
        try:
            use = keeper.upkeep.disk_use(repo)
        except (GitError, OSError) as error:
            log.warning("upkeep.failed", repo=repo, error=str(error))
            continue
        taken[repo] = {"depot": use.depot, "workspaces": use.workspaces}
        free = use.free
    told: dict[str, object] = {"repos": taken, "free": free}
    name = f"{MEASURED}{keeper.host}"[:64]
    line.store.write(lambda conn: fleet.note_beat(conn, name, line.now(), **told))


def disk(line: Line) -> list[dict[str, Any]]:
    """What each host last found: `{host, at, free, repos: {repo: {depot, workspaces}}}`, bytes."""
    return line.store.read(measured)


def measured(conn: Connection) -> list[dict[str, Any]]:
    """The same inside a transaction that is open already."""
    return [
        {"host": name.removeprefix(MEASURED), "at": row["at"], **row["detail"]}
        for name, row in sorted(vitals.beats_now(conn).items())
        if name.startswith(MEASURED)
    ]


def _known(line: Line, keeper: Keeper, repo: str, items: list[str]) -> dict[str, Row]:
    look = partial(rooms.tasks_of, repo=repo, items=items, now=line.now(), keep=keeper.keep_ended)
    return line.store.read(look)


def _clear(line: Line, keeper: Keeper, remote: Remote, row: Row, actor: str) -> Room:
    """Discard the workspace of a task that is over, unless that would lose something."""
    item = row["work_item_id"]
    try:
        why = _unsaved(keeper, _cut(remote, item, row["base_sha"] or ""))
        if not why:
            _throw_away(keeper, remote, row)
    except GitError as error:
        log.warning("upkeep.kept", repo=remote.repo, work_item_id=item, error=error.message)
        why = error.message
    if why:
        return Room(remote.repo, item, "kept", why)
    _note(line, remote.repo, row, actor, "its workspace was discarded")
    return Room(remote.repo, item, "discarded")


def _unsaved(keeper: Keeper, cut: Cut) -> str:
    """What no commit holds, in a sentence; empty when there is nothing."""
    try:
        dirty = keeper.workspaces.inspect(cut).dirty
    except GitMissing:
        return ""  # not whole: what is left of it is looked at when it is discarded
    if not dirty:
        return ""
    return f"It holds {len(dirty)} uncommitted changes, {names.shown(dirty[0])} first."


def _throw_away(keeper: Keeper, remote: Remote, row: Row) -> None:
    cut = _cut(remote, row["work_item_id"], row["base_sha"] or "")
    landed = row["merge_sha"]
    if landed and keeper.forge.contains(remote, landed):
        keeper.forge.withdraw(cut)  # first: with the workspace goes what is known of the branch
    keeper.workspaces.discard(cut)


def _cut(remote: Remote, item: str, base_sha: str) -> Cut:
    """A workspace as far as it has to be named; where it is, its port knows."""
    return Cut(remote, item, Path(), f"feature/{item}", base_sha, LAST)


def _note(line: Line, repo: str, row: Row | None, actor: str, reason: str) -> None:
    about = {"task_id": None if row is None else row["id"], "repo": repo}
    told = {**about, "actor": actor, "reason": reason}
    line.store.write(lambda conn: ledger.record(conn, line.now(), "task.cleared", **told))
