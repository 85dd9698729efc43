"""When a task is likely to start and to be done: the same simulation, of as much as matters for it.

An estimate is told with what it rests on. Where nothing of its own accord will happen it says so,
and what a person would have to do.
"""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any, Final

import structlog

from orch import mirror, stages
from orch.errors import BadInput, NotFound
from orch.line import Line
from orch.simulation.course import Course
from orch.simulation.durations import lasting
from orch.simulation.plan import Plan
from orch.simulation.setting import prepare
from orch.store import copying

log = structlog.get_logger(__name__)

MOST_TASKS: Final = 300
"""A line of so many open tasks is played whole; of a longer one the task's own repo and those it
waits for."""
LONGEST_LINE: Final = 2_000
"""Where even those have more, nothing is estimated."""
MOST_TURNS: Final = 400
"""So many turns are played at most: about half a second."""
AT_ONCE: Final = 2
"""Estimates at a time in one process."""
_PLAYING: Final = threading.BoundedSemaphore(AT_ONCE)
BY_ITSELF: Final = "by itself"
IF: Final = ", if every attempt passes."
UNTIL_A_PERSON: Final = ("paused", "freeze")
"""What ends by itself only if it was given an end."""


def why(line: Line, work_item_id: str) -> dict[str, Any]:
    """`mirror.why` with `eta`: None for a task that is over. Raises UnknownTask."""
    found = mirror.why(line, work_item_id)
    return {**found, "eta": eta(line, found)}


def eta(line: Line, found: dict[str, Any]) -> dict[str, Any] | None:
    """`{starts_at, done_at, basis, sentence}` of the task that `mirror.why` found.

    A time is None where there is none to tell; the sentence then says why. Nothing is raised: an
    estimate is not worth a `why` that fails.
    """
    if found["state"] in stages.TERMINAL:
        return None
    item = found["task"]["work_item_id"]
    if found["degraded"]:
        return _none(f"{item}: nothing can be estimated while the gate runs without a clause.")
    held = _by_a_person(found)
    if held is not None:
        return _none(f"{item} does not go on by itself: {held}.")
    # Each keeps a core busy, and anybody who may read may ask for one.
    if not _PLAYING.acquire(blocking=False):
        return _none(f"{item}: nothing is estimated at this moment, others are; ask again.")
    try:
        return _played(line, found)
    except BadInput as error:
        return _none(f"{item}: nothing can be estimated. {error.message}")
    except NotFound:
        return _none(f"{item} has come to its end meanwhile.")
    except Exception:
        # Rows that other programs wrote may hold anything, and the store may be away by now.
        log.exception("estimate.failed", work_item_id=item)
        return _none(f"{item}: nothing can be estimated at this moment; the log says why.")
    finally:
        _PLAYING.release()


def _none(sentence: str) -> dict[str, Any]:
    return {"starts_at": None, "done_at": None, "basis": "", "sentence": sentence}


def _by_a_person(found: dict[str, Any]) -> str | None:
    """What only a person takes away, with the command that does."""
    if found["state"] == "idle":
        return f"it has no job queued; orch retry {found['task']['work_item_id']}"
    for blocker in found["blockers"]:
        if blocker["clause"] in UNTIL_A_PERSON and blocker.get("until") is None:
            return f"{blocker['detail']}; {blocker['clear_with']}"
    return None


def _played(line: Line, found: dict[str, Any]) -> dict[str, Any]:
    task = found["task"]

    def seen(course: Course) -> bool:
        if course.ended >= MOST_TURNS:
            return True
        return task["task_id"] in course.just_ended and _done_at(course, task) is not None

    only = Plan(repos=(task["repo"],))
    setting = prepare(line, only, LONGEST_LINE, whole=MOST_TASKS, stop=seen)
    try:
        setting.course.play()
        return _told(setting.course, found, setting.left_out)
    finally:
        setting.close()


def _done_at(course: Course, task: dict[str, Any]) -> datetime | None:
    return course.line.store.read(copying.done_at).get(task["task_id"])


def _told(course: Course, found: dict[str, Any], left_out: bool) -> dict[str, Any]:
    task = found["task"]
    turns = [each for each in course.played if each.task_id == task["task_id"]]
    starts_at = turns[0].starts_at if turns else None
    done_at = _done_at(course, task)
    basis = list(dict.fromkeys(turn.basis.sentence for turn in turns))
    if left_out:
        basis.append("other repos left out")
    said = [f"is done at about {_when(done_at, course.begins)}"] if done_at else []
    if starts_at is not None and not turns[0].running:
        said.insert(0, f"starts at about {_when(starts_at, course.begins)}")
    sentence = f"{task['work_item_id']} {' and '.join(said)}" if said else ""
    if done_at is None:
        rest = _rest(course, task)
        sentence = f"{sentence}; {rest}" if sentence else _as_first(rest)
    return {
        "starts_at": starts_at,
        "done_at": done_at,
        "basis": "; ".join(basis),
        "sentence": f"{sentence}{IF if done_at else '.'}",
    }


def _as_first(rest: str) -> str:
    """The same at the beginning of a sentence; a work item keeps its own letters."""
    return "By itself" + rest.removeprefix(BY_ITSELF) if rest.startswith(BY_ITSELF) else rest


def _when(at: datetime, now: datetime) -> str:
    """A moment and how far it is away."""
    day = "" if at.date() == now.date() else f"{at:%Y-%m-%d} "
    return f"{day}{at:%H:%M} UTC (in {lasting((at - now).total_seconds())})"


def _rest(course: Course, task: dict[str, Any]) -> str:
    """Why a task that was played did not come to its end."""
    item = task["work_item_id"]
    if course.ended >= MOST_TURNS:
        return f"{item} is not done within the next {MOST_TURNS} turns, and no more are played"
    at_last = course.line.store.read(
        lambda conn: mirror.view(conn, course.line, course.line.gate, item)
    )
    first = next(iter(at_last["blockers"]), None)
    clear = f"; {first['clear_with']}" if first and first["clear_with"] else ""
    return (
        f"{BY_ITSELF} it gets no further than this: {str(at_last['sentence']).rstrip('.')}{clear}"
    )
