"""Tasks that a changed stage table or a track taken away would strand: found, named, parked.

Such a task can be claimed by nobody, or would fail at the end of its stage; unparked, it would hold
the line of its repo all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from orch import names, stages
from orch.line import Line
from orch.store import history, work
from orch.store.session import Connection

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Stray:
    """A task in flight that orch cannot take on, and why."""

    task_id: int
    work_item_id: str
    repo: str
    stage: str
    track: str
    is_parked: bool
    """Parked without an end: it stays where it is until a person takes it back."""

    @property
    def reason(self) -> str:
        """Why, and what to do, as the task's pause says it."""
        item = names.shown(self.work_item_id)
        if self.stage not in stages.STAGES:
            return (
                f"“{names.shown(self.stage)}” is no stage of this orch: put the task at one that "
                f"is, or run `orch cancel {item}`"
            )
        return (
            f"“{names.shown(self.track)}” is no track of {names.shown(self.repo)}: declare it in "
            f"orch.toml, then `orch resume {item}`, or run `orch cancel {item}`"
        )


def find(line: Line) -> list[Stray]:
    """The strays of this moment, oldest first. Raises StoreUnavailable."""
    return line.store.read(lambda conn: _find(conn, line))


def park(line: Line) -> list[Stray]:
    """Park every stray with its reason, and name each in the log. Raises StoreUnavailable.

    One that is parked already keeps its pause. Asked again, nothing changes.
    """

    found = find(line)
    parked = [_park(line, stray) for stray in found if not stray.is_parked]
    for stray in found:
        log.warning(
            "stray.found",
            work_item_id=stray.work_item_id,
            repo=stray.repo,
            stage=stray.stage,
            track=stray.track,
            reason=stray.reason,
        )
    if any(parked):
        line.opened(line)  # what stood behind them may go
    return found


def _park(line: Line, stray: Stray) -> bool:
    """Each under its own repo's lock. False if somebody else put it right, or parked it."""

    def run(conn: Connection) -> bool:
        task = work.locked_task(conn, stray.task_id)
        if task is None or (task["stage"], task["track"]) != (stray.stage, stray.track):
            return False
        if task["paused_at"] is not None and task["paused_until"] is None:
            return False
        work.park(conn, stray.task_id, line.now(), reason=stray.reason)
        return True

    return line.store.write(run)


def _find(conn: Connection, line: Line) -> list[Stray]:
    found = [Stray(**row) for row in history.tasks_beyond(conn, stages.STAGES, stages.TRACKS)]
    return [each for each in found if not _is_known(each, line.own_tracks(each.repo))]


def _is_known(stray: Stray, own: stages.Tracks) -> bool:
    """The stage is one, and the track one of its repo's own: the store knows only the others."""
    return stray.stage in stages.STAGES and stray.track in own
