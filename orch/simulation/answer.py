"""What came of a simulation: who starts when, until when, what never starts, how busy everybody is.

Every list is in the order in which it came about, and nothing hangs on the machine: the same line,
moment, plan and seed give the same answer to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from orch import snapshot, stages
from orch.line import Line
from orch.simulation.course import Course, Played
from orch.simulation.durations import Basis, lasting
from orch.simulation.plan import Plan
from orch.simulation.setting import MOST_TASKS, Setting, prepare
from orch.snapshot import Wanted
from orch.store import copying
from orch.store.session import Connection

Watch = Callable[[int, int], None]
"""Told now and then how many turns have ended, and how many tasks are played."""
ASSUMED: Final = (
    "Every attempt passes: rework, failures, questions and limits of providers are not simulated.",
    "Nobody steers, and nothing comes in, but for what the plan says.",
)
HOLDS: Final = {
    "no-worker": "no worker serves {agent}",
    "capacity": "no slot of {agent} is free",
    "suspended": "{agent} is suspended",
}
ALL: Final = 1_000_000
LEFT_OUT: Final = (
    "The line is too long to be played whole: other repos are left out, as if they needed no agent."
)


def run(
    line: Line, plan: Plan, *, watch: Watch | None = None, most: int = MOST_TASKS
) -> dict[str, Any]:
    """Play the line under the plan and say what comes of it. The line itself is only read.

    Raises BadInput, NotFound, and what the plan's controls raise.
    """

    def tell(course: Course) -> bool:
        if watch is not None:
            watch(course.ended, setting.part.size)
        return False

    setting = prepare(line, plan, most, stop=tell)
    try:
        waits = _waits_for(setting.course)
        setting.course.play()
        return _answer(setting, plan, waits)
    finally:
        setting.close()


def _answer(setting: Setting, plan: Plan, waits: Mapping[int, str]) -> dict[str, Any]:
    course = setting.course
    wanted = set(plan.repos)
    played = [each for each in course.played if not wanted or each.repo in wanted]
    done = course.line.store.read(copying.done_at)
    never = [each for each in _never(course) if not wanted or each["repo"] in wanted]
    first = {each.task_id: each.starts_at for each in reversed(course.played)}
    tasks = [
        _task(row, first.get(row["id"]), done.get(row["id"]), waits.get(row["id"]))
        for row in setting.part.tables["tasks"]
        if row["stage"] not in stages.TERMINAL and (not wanted or row["repo"] in wanted)
    ]
    drained = max((each.ends_at for each in played), default=None)
    return {
        "generated_at": course.begins,
        "sentence": _sentence(course.begins, drained, tasks, never),
        "seed": plan.seed,
        "drained_at": drained,
        "drain_seconds": None if drained is None else _seconds(course.begins, drained),
        "rows": [_row(number, each) for number, each in enumerate(played, 1)],
        "tasks": tasks,
        "never": never,
        "agents": _agents(setting),
        "basis": [_basis(each) for each in course.durations.used.values()],
        "assumed": [*ASSUMED, *([LEFT_OUT] if setting.left_out else [])],
        "changed": [
            {"verb": order.verb, "target": order.target, "changed": changed}
            for order, changed in zip(plan.orders, setting.changed, strict=True)
        ],
    }


def _row(number: int, played: Played) -> dict[str, Any]:
    return {
        "number": number,
        "work_item_id": played.work_item,
        "repo": played.repo,
        "stage": played.stage,
        "agent": played.agent,
        "attempt": played.attempt,
        "starts_at": played.starts_at,
        "ends_at": played.ends_at,
        "seconds": _seconds(played.starts_at, played.ends_at),
        "waited_seconds": 0.0 if played.running else _seconds(played.since, played.starts_at),
        "running": played.running,
    }


def _task(
    row: Mapping[str, Any], starts_at: datetime | None, done_at: datetime | None, waits: str | None
) -> dict[str, Any]:
    return {
        "work_item_id": row["work_item_id"],
        "repo": row["repo"],
        "title": row["title"],
        "stage": row["stage"],
        "starts_at": starts_at,
        "done_at": done_at,
        "waits_for": waits,
    }


def _seconds(since: datetime, until: datetime) -> float:
    return round((until - since).total_seconds(), 3)


def _agents(setting: Setting) -> dict[str, dict[str, Any]]:
    """Per agent that has slots or a turn: how much of its time is work until the last turn ends."""
    course = setting.course
    span = _seconds(course.begins, course.last or course.begins)
    found: dict[str, dict[str, Any]] = {}
    for name in sorted({*setting.slots, *(each.agent for each in course.played)}):
        turns = [each for each in course.played if each.agent == name]
        worked = [_seconds(max(each.starts_at, course.begins), each.ends_at) for each in turns]
        slots, busy = setting.slots.get(name, 0), round(sum(worked, 0.0), 3)
        found[name] = {
            "slots": slots,
            "turns": len(turns),
            "busy_seconds": busy,
            "utilisation": round(busy / (slots * span), 4) if slots and span else None,
        }
    return found


def _basis(basis: Basis) -> dict[str, Any]:
    return {
        "repo": basis.repo,
        "stage": basis.stage,
        "agent": basis.agent,
        "source": basis.source,
        "seconds": basis.typical,
        "count": len(basis.seconds) if basis.source in ("repo", "all") else 0,
        "sentence": basis.sentence,
    }


def _shown(course: Course) -> dict[str, Any]:
    """The snapshot of the copy, whole."""
    line = course.line

    def look(conn: Connection) -> dict[str, Any]:
        return snapshot.view(conn, line, line.gate, Wanted(limit=ALL))

    return line.store.read(look)


def _waits_for(course: Course) -> dict[int, str]:
    """What each task waits for at the beginning, in words, by its id."""
    lanes = _shown(course)["serial_gate"]["per_repo"].values()
    return {
        entry["task_id"]: entry["blockers"][0]["detail"]
        for lane in lanes
        for entry in lane["waiting"]
        if entry["blockers"]
    }


def _never(course: Course) -> list[dict[str, Any]]:
    """The tasks that do not come to their end by themselves: what holds each at the last, and what
    a person would have to do."""
    lanes = _shown(course)["serial_gate"]["per_repo"].values()
    waiting = {entry["task_id"]: entry for lane in lanes for entry in lane["waiting"]}
    parked = {entry["task_id"]: entry for lane in lanes for entry in lane["paused"]}
    return [
        {
            "work_item_id": row["work_item_id"],
            "repo": row["repo"],
            "stage": row["stage"],
            **_held(row, waiting.get(row["id"]), parked.get(row["id"])),
        }
        for row in course.line.store.read(copying.unfinished)
    ]


def _held(
    row: Mapping[str, Any], waiting: Mapping[str, Any] | None, parked: Mapping[str, Any] | None
) -> dict[str, Any]:
    item = row["work_item_id"]
    if waiting is None and parked is not None:
        why = f"parked: {parked['paused_reason'] or 'no reason was given'}"
        return {"reason": "paused", "detail": why, "clear_with": parked["clear_with"]}
    if waiting is None:
        retry = f"orch retry {item}"
        return {"reason": "idle", "detail": "it has no job queued", "clear_with": retry}
    if waiting["blockers"]:
        first = waiting["blockers"][0]
        found = {name: first[name] for name in ("detail", "clear_with")}
        return {"reason": first["clause"], **found}
    said = HOLDS.get(waiting["hold"], "it may start").format(agent=waiting["agent"])
    return {"reason": waiting["hold"], "detail": said, "clear_with": None}


def _sentence(
    begins: datetime,
    drained: datetime | None,
    tasks: Sequence[Mapping[str, Any]],
    never: Sequence[Mapping[str, Any]],
) -> str:
    if not tasks:
        return "Nothing is open: there is nothing to play."
    left = f"{_of_tasks(len(never))} will not end without somebody's help." if never else ""
    if drained is None:
        return f"Nothing starts. {left}".strip()
    repos = len({each["repo"] for each in tasks})
    what = f"{_of_tasks(len(tasks))} in {repos} repo{'s' * (repos != 1)}"
    ends = f"the last turn ends at {drained:%Y-%m-%d %H:%M} UTC, in"
    length = lasting((drained - begins).total_seconds())
    return f"{what}: {ends} {length}. {left}".strip()


def _of_tasks(count: int) -> str:
    return f"{count} task{'s' * (count != 1)}"
