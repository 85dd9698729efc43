"""From the line and a plan to a copy that is ready to be played."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from orch import controls
from orch.errors import BadInput, OrchError, UnknownTask
from orch.events import require_repos
from orch.line import Line
from orch.ports import Claim
from orch.simulation.course import Course
from orch.simulation.durations import Durations, of_records
from orch.simulation.plan import Plan
from orch.store import copying
from orch.store.copying import OpenPart, Rows
from orch.store.moments import DATABASE_TIME
from orch.store.session import Connection

MOST_TASKS: Final = 2_000
"""So many open tasks are played at most: some ten thousand turns, which take seconds."""


class _NoBell:
    """Whoever would be rung is played as well."""

    def publish(self, claims: Sequence[Claim]) -> list[Claim]:
        """Nothing is left unsent."""
        return []

    def kick(self) -> bool:
        """Nobody has to be told."""
        return True

    def reachable(self) -> bool:
        """Always."""
        return True


@dataclass
class Setting:
    """A simulation before it begins."""

    course: Course
    part: OpenPart
    slots: dict[str, int]
    """Of each agent that has any."""
    left_out: bool
    """Whether repos are missing in it, because the whole line is too long."""
    changed: list[bool] = field(default_factory=list)
    """Whether each control of the plan changed anything."""

    def close(self) -> None:
        """Let go of the copy."""
        self.course.copy.close()


def prepare(
    line: Line,
    plan: Plan,
    most: int = MOST_TASKS,
    *,
    whole: int | None = None,
    stop: Callable[[Course], bool] = lambda _: False,
) -> Setting:
    """Read the line once, copy it, carry out the plan's controls on the copy.

    A line of more than `whole` open tasks, by default of more than `most`, is narrowed to the
    plan's repos and those they wait for. `stop` is asked after each moment whether to go on.
    Raises BadInput for a line that is too long, NotFound for a repo nobody knows, and what the
    controls raise. Nothing is written to the line.
    """
    require_repos(line, plan.repos)
    limits = (most if whole is None else whole, most)
    part, records, left_out = line.store.survey(lambda conn: _read(conn, line, plan.repos, limits))
    slots = {**part.slots, **dict(plan.slots)}
    copy = copying.copy_of(part, slots)
    tried = Line(
        store=copy.store,
        queue=_NoBell(),
        now=lambda: DATABASE_TIME,
        new_id=map(str, itertools.count(1)).__next__,
        gate=replace(line.gate, layers=plan.layers(line.gate.layers)),
        limits=line.limits,
        repos=line.repos,
        opened=lambda _: None,
    )
    durations = Durations(dict(plan.durations), of_records(records), plan.seed)
    course = Course(tried, copy, durations, stop)
    setting = Setting(course, part, slots, left_out)
    try:
        setting.changed += [_carry_out(tried, order) for order in plan.orders]
    except OrchError:
        setting.close()
        raise
    return setting


def _read(
    conn: Connection, line: Line, asked: Iterable[str], limits: tuple[int, int]
) -> tuple[OpenPart, Rows, bool]:
    names, (whole, most) = None, limits
    if copying.count_open(conn, whole + 1) > whole:
        names = copying.linked_repos(conn, asked)
        found = copying.count_open(conn, most + 1, names)
        if found > most or not names:
            raise _too_long(most, bool(names))
    part = copying.open_part(conn, line.now(), line.limits.worker_stale, names)
    return part, copying.recorded_durations(conn), names is not None


def _too_long(most: int, narrowed: bool) -> BadInput:
    what = "These repos and those they wait for have" if narrowed else "The line has"
    return BadInput(
        f"{what} more than {most} open tasks; so many are simulated at most.",
        suggested_fix="Name fewer repos." if narrowed else "Name the repos that matter: --repo.",
        field="repo",
    )


def _carry_out(tried: Line, order: controls.Order) -> bool:
    act = controls.VERBS[order.verb]
    try:
        return tried.store.write(lambda conn: act(conn, tried, order))
    except UnknownTask as error:
        raise UnknownTask(
            f"{error.message} What is over, or left out, is not simulated.", **error.facts
        ) from error
