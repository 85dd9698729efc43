"""Rows of the outbox to trackers: one for each event and item, delivered in order for each item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, exists, func, not_, select, update

from orch.store.moments import Moment, at, later
from orch.store.session import Row, insert_unless_there
from orch.store.tables_outside import UNTOLD, tellings


def post(conn: Connection, rows: Sequence[dict[str, Any]]) -> int:
    """Write rows, each once however often it is asked for; how many were new."""
    return insert_unless_there(conn, tellings, rows)


def _next(tracker: str, now: Moment) -> Any:
    """The oldest whose time has come, and before which its item has nothing else to be told."""
    before = tellings.alias()
    earlier = exists(
        select(before.c.id).where(
            before.c.tracker == tracker,
            before.c.told_at.is_(None),
            before.c.failed_at.is_(None),
            before.c.item_id == tellings.c.item_id,
            before.c.id < tellings.c.id,
        )
    )
    due = (tellings.c.tracker == tracker, UNTOLD, tellings.c.next_try_at <= at(now))
    return select(tellings.c.id).where(*due, not_(earlier)).order_by(tellings.c.id).limit(1)


def any_due(conn: Connection, tracker: str, now: Moment) -> bool:
    """Whether there is something to tell by now."""
    return conn.scalar(_next(tracker, now)) is not None


def take(conn: Connection, tracker: str, now: Moment, hold: float) -> Row | None:
    """Take up what comes first; nobody else has it for `hold` seconds."""
    first = _next(tracker, now).scalar_subquery()
    taking = (
        update(tellings)
        .where(tellings.c.id == first, UNTOLD, tellings.c.next_try_at <= at(now))
        .values(tries=tellings.c.tries + 1, next_try_at=later(now, hold))
        .returning(tellings, at(now).label("moment"))
    )
    return conn.execute(taking).mappings().one_or_none()


def settle(conn: Connection, row: Row, **values: Any) -> bool:
    """Write down what came of it. False if somebody else has taken it up meanwhile."""
    mine = and_(tellings.c.id == row["id"], UNTOLD, tellings.c.tries == row["tries"])
    return bool(conn.execute(update(tellings).where(mine).values(**values)).rowcount)


def newest(conn: Connection, task_id: int, phase: str) -> Row | None:
    """What was last told, or is to be told, of a task in that phase."""
    mine = select(tellings).where(tellings.c.task_id == task_id, tellings.c.phase == phase)
    return conn.execute(mine.order_by(tellings.c.id.desc()).limit(1)).mappings().one_or_none()


def of_item(conn: Connection, tracker: str, item_id: str) -> list[Row]:
    """Everything told or to be told of an item, oldest first."""
    mine = select(tellings).where(tellings.c.tracker == tracker, tellings.c.item_id == item_id)
    return list(conn.execute(mine.order_by(tellings.c.id)).mappings())


def waiting(conn: Connection) -> dict[str, int]:
    """How many wait to be told, per tracker."""
    counted = select(tellings.c.tracker, func.count()).where(UNTOLD).group_by(tellings.c.tracker)
    return dict(conn.execute(counted).tuples().all())


def forget(conn: Connection, now: Moment, seconds: float) -> int:
    """Delete what was told, or given up, so long ago."""
    old = delete(tellings).where(tellings.c.created_at < later(now, -seconds), not_(UNTOLD))
    return conn.execute(old).rowcount
