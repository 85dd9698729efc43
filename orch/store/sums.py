"""Sums over the waiting ledger: how many seconds of which reason, by repo, week, stage or task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import Connection, and_, case, func, literal, select, true, union_all
from sqlalchemy.sql.elements import ColumnElement

from orch.store.lists import is_any_of
from orch.store.moments import SecondsBetween, UtcDateTime
from orch.store.schema import tasks
from orch.store.session import Row
from orch.store.spells import NAME
from orch.store.tables_waits import GOES_ON, waits, waits_cursor

KEYS: Final[dict[str, tuple[str, ...]]] = {
    "repo": ("repo",),
    "stage": ("stage", "agent"),
    "task": ("task_id",),
}
"""What spells may be put together by, besides their reason and the week."""


@dataclass(frozen=True)
class Part:
    """Which part of the ledger is summed: what lies between two moments, of some repos or all."""

    since: datetime
    until: datetime
    repos: tuple[str, ...] = ()

    @property
    def bound(self) -> dict[str, Any]:
        """Its parameters."""
        return {"repos": list(self.repos)} if self.repos else {}


def by_reason(conn: Connection, part: Part) -> list[Row]:
    """Seconds, spells and tasks of each reason."""
    return _summed(conn, part, _inside(part))


def by_key(conn: Connection, part: Part, key: str, most: int) -> list[Row]:
    """The same for the `most` largest of repos, stages or tasks, each by reason."""
    spells, names = _inside(part), KEYS[key]
    columns = [spells.c[name] for name in names]
    total = func.sum(SecondsBetween(spells.c.begin, spells.c.end))
    largest = (
        select(*columns).group_by(*columns).order_by(total.desc(), *columns).limit(most).subquery()
    )
    inside = _inside(part)
    same = (inside.c[name].is_not_distinct_from(largest.c[name]) for name in names)
    source = inside.join(largest, and_(true(), *same))
    return _summed(conn, part, inside, *(inside.c[name] for name in names), source=source)


def by_week(conn: Connection, part: Part, weeks: Sequence[datetime]) -> list[Row]:
    """The same for each week, given as the moments between them: what lies over the end of one
    counts in both, each for its part."""
    rows = [
        select(_at(begin).label("week"), _at(end).label("ends")) for begin, end in pairwise(weeks)
    ]
    week, spells = union_all(*rows).subquery("week"), _inside(part)
    source = spells.join(week, and_(spells.c.begin < week.c.ends, spells.c.end > week.c.week))
    within = (_later(spells.c.begin, week.c.week), _earlier(spells.c.end, week.c.ends))
    return _summed(conn, part, spells, week.c.week, source=source, within=within)


def of_tasks(conn: Connection, ids: Sequence[int]) -> dict[int, Row]:
    """What these tasks are called."""
    its = tasks.c
    named = select(its.id, its.work_item_id, its.title, its.repo, its.stage)
    rows = conn.execute(named.where(is_any_of(its.id, "ids")), {"ids": list(ids)}).mappings()
    return {row["id"]: row for row in rows}


def of_task(conn: Connection, task_id: int, most: int) -> list[Row]:
    """The last spells of one task, oldest of them first."""
    newest = select(waits).where(waits.c.task_id == task_id)
    newest = newest.order_by(waits.c.since.desc(), waits.c.id.desc()).limit(most)
    return list(conn.execute(newest).mappings())[::-1]


def watched(conn: Connection) -> tuple[datetime | None, datetime | None]:
    """Since when the ledger is kept, and when somebody last looked."""
    its = waits_cursor.c
    row = conn.execute(select(its.began_at, its.looked_at).where(its.name == NAME)).one_or_none()
    return (None, None) if row is None else (row.began_at, row.looked_at)


def _inside(part: Part) -> Any:
    """The spells of this part, each as far as it lies inside."""
    since, until = _at(part.since), _at(part.until)
    named = (waits.c[name] for name in ("task_id", "repo", "stage", "agent", "reason"))
    begin = _later(waits.c.since, since).label("begin")
    end = _earlier(func.coalesce(waits.c.until, until), until).label("end")
    spells = select(*named, begin, end).where(waits.c.since < until)
    if part.repos:
        spells = spells.where(is_any_of(waits.c.repo, "repos"))
    # Two halves and not one OR: each by its own index.
    return union_all(spells.where(waits.c.until > since), spells.where(GOES_ON)).subquery()


def _summed(
    conn: Connection,
    part: Part,
    spells: Any,
    *columns: ColumnElement[Any],
    source: Any = None,
    within: tuple[ColumnElement[Any], ColumnElement[Any]] | None = None,
) -> list[Row]:
    begin, end = within or (spells.c.begin, spells.c.end)
    statement = (
        select(
            *columns,
            spells.c.reason,
            func.sum(SecondsBetween(begin, end)).label("seconds"),
            func.count().label("spells"),
            func.count(spells.c.task_id.distinct()).label("tasks"),
        )
        .select_from(spells if source is None else source)
        .group_by(*columns, spells.c.reason)
        .order_by(*columns, spells.c.reason)
    )
    return list(conn.execute(statement, part.bound).mappings())


def _later(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((one > other, one), else_=other)


def _earlier(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((one < other, one), else_=other)


def _at(moment: datetime) -> ColumnElement[datetime]:
    return literal(moment, UtcDateTime())
