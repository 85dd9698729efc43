"""Rows of the outbox: written once for each event and channel, taken up in order, kept a while."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, exists, func, or_, select, update

from orch.store.history import event_horizon, last_event
from orch.store.moments import Moment, at, later
from orch.store.schema import among, events, tasks
from orch.store.session import Row, insert_unless_there
from orch.store.tables_notices import OPEN, bookmarks, notices

BOOKMARK: Final = "notices"
COLUMNS: Final = (
    notices.c.id,
    notices.c.uid,
    notices.c.channel,
    notices.c.kind,
    notices.c.repo,
    notices.c.work_item_id,
    notices.c.title,
    notices.c.text,
    notices.c.link,
    notices.c.happened_at,
    notices.c.created_at,
    notices.c.next_try_at,
    notices.c.tries,
    notices.c.sent_at,
    notices.c.failed_at,
    notices.c.last_error,
)


# --- the ledger, read once --------------------------------------------------------------------


def anything_new(conn: Connection, name: str = BOOKMARK) -> bool:
    """Whether the ledger goes on behind this reader's bookmark, or it has none yet."""
    known = conn.scalar(select(bookmarks.c.event_id).where(bookmarks.c.name == name))
    return known is None or last_event(conn) > known


def stretch(
    conn: Connection,
    name: str,
    kinds: Collection[str],
    now: Moment,
    *,
    young: float,
    most: int,
) -> tuple[list[dict[str, Any]], bool]:
    """The next events of these kinds for this reader, whose bookmark moves behind them, and whether
    there are more. Its bookmark is held against every other reader until the end of the
    transaction; the first time it is put where the ledger ends now: the past is no news."""
    after = _hold_bookmark(conn, event_horizon(conn, now), name)
    horizon = event_horizon(conn, now)  # again: we may have waited for another reader
    if horizon <= after:
        return [], False
    rows = events_between(conn, after, horizon, kinds, now, young=young, most=most)
    full = len(rows) == most
    up_to = rows[-1]["id"] if full else horizon
    conn.execute(update(bookmarks).where(bookmarks.c.name == name).values(event_id=up_to))
    return [dict(row) for row in rows], full


def _hold_bookmark(conn: Connection, horizon: int, name: str) -> int:
    insert_unless_there(conn, bookmarks, [{"name": name, "event_id": horizon}])
    mine = select(bookmarks.c.event_id).where(bookmarks.c.name == name)
    return int(conn.execute(mine.with_for_update()).scalar_one())


def events_between(  # noqa: PLR0913 - a stretch of the ledger, and what of it
    conn: Connection,
    after: int,
    horizon: int,
    kinds: Collection[str],
    now: Moment,
    *,
    young: float,
    most: int,
) -> list[Row]:
    """Events of these kinds in that stretch, oldest first, none older than `young` seconds."""
    statement = (
        select(events, tasks.c.work_item_id, tasks.c.title)
        .select_from(events.outerjoin(tasks, tasks.c.id == events.c.task_id))
        .where(
            events.c.id > after,
            events.c.id <= horizon,
            among(events.c.kind, sorted(kinds)),
            events.c.at > later(now, -young),
        )
        .order_by(events.c.id)
        .limit(most)
    )
    return list(conn.execute(statement).mappings())


def event_before(conn: Connection, task_id: int, event_id: int) -> Row | None:
    """What happened to a task right before this event."""
    statement = (
        select(events.c.kind, events.c.reason)
        .where(events.c.task_id == task_id, events.c.id < event_id)
        .order_by(events.c.id.desc())
        .limit(1)
    )
    return conn.execute(statement).mappings().one_or_none()


# --- the rows ---------------------------------------------------------------------------------


def post(conn: Connection, rows: Sequence[dict[str, Any]]) -> int:
    """Write rows, each once however often it is asked for; how many were new."""
    return insert_unless_there(conn, notices, rows)


def any_due(conn: Connection, channels: Collection[str], now: Moment) -> bool:
    """Whether one of these channels has something to send by now."""
    due = [select(notices.c.id).where(notices.c.id == _first(name), _due(now)) for name in channels]
    return bool(due) and bool(conn.scalar(select(or_(*map(exists, due)))))


def take(conn: Connection, channel: str, now: Moment, hold: float) -> Row | None:
    """Take up what is first in a channel's line, if its time has come; nobody else has it for
    `hold` seconds. While the first one waits for its time, so do those behind it."""
    taking = (
        update(notices)
        .where(notices.c.id == _first(channel), OPEN, _due(now))
        .values(tries=notices.c.tries + 1, next_try_at=later(now, hold))
        .returning(*COLUMNS, notices.c.data, at(now).label("moment"))
    )
    return conn.execute(taking).mappings().one_or_none()


def _first(channel: str) -> Any:
    first = select(func.min(notices.c.id)).where(notices.c.channel == channel, OPEN)
    return first.scalar_subquery()


def _due(now: Moment) -> Any:
    return notices.c.next_try_at <= at(now)


def note_sent(conn: Connection, row: Row, now: Moment) -> None:
    """The receiver has it."""
    mine = update(notices).where(notices.c.id == row["id"], notices.c.sent_at.is_(None))
    conn.execute(mine.values(sent_at=at(now), failed_at=None, last_error=""))


def put_off(conn: Connection, row: Row, now: Moment, seconds: float, error: str) -> bool:
    """Try again later. False if somebody else has taken it up meanwhile."""
    return _left(conn, row, next_try_at=later(now, seconds), last_error=error)


def give_up(conn: Connection, row: Row, now: Moment, error: str) -> bool:
    """Never try again by itself. False if somebody else has taken it up meanwhile."""
    return _left(conn, row, failed_at=at(now), last_error=error)


def _left(conn: Connection, row: Row, **values: Any) -> bool:
    is_mine = and_(notices.c.id == row["id"], OPEN, notices.c.tries == row["tries"])
    return bool(conn.execute(update(notices).where(is_mine).values(**values)).rowcount)


def again(conn: Connection, notice_id: int, now: Moment) -> bool:
    """Try one that is not sent now, as if for the first time. False if it is so already."""
    asked = and_(notices.c.id == notice_id, notices.c.sent_at.is_(None))
    worth_it = or_(notices.c.failed_at.is_not(None), notices.c.next_try_at > at(now))
    trying = update(notices).where(asked, worth_it)
    values = {"failed_at": None, "next_try_at": at(now), "tries": 0, "created_at": at(now)}
    return bool(conn.execute(trying.values(**values)).rowcount)


def notice_by_id(conn: Connection, notice_id: int) -> Row | None:
    """One row, without its data."""
    return conn.execute(select(*COLUMNS).where(notices.c.id == notice_id)).mappings().one_or_none()


def newest(conn: Connection, state: str | None, before: int | None, most: int) -> list[Row]:
    """Rows, newest first; only those `waiting`, `sent` or `failed` if one of these is named."""
    statement = select(*COLUMNS).order_by(notices.c.id.desc()).limit(most)
    states = {
        "waiting": OPEN,
        "sent": notices.c.sent_at.is_not(None),
        "failed": notices.c.failed_at.is_not(None),
    }
    if state is not None:
        statement = statement.where(states[state])
    if before is not None:
        statement = statement.where(notices.c.id < before)
    return list(conn.execute(statement).mappings())


def waiting(conn: Connection) -> list[Row]:
    """Per channel: how many wait to be sent, and the most tries one of them has had."""
    statement = select(
        notices.c.channel,
        func.count().label("notices"),
        func.max(notices.c.tries).label("tries"),
    )
    counted = statement.where(OPEN).group_by(notices.c.channel).order_by(notices.c.channel)
    return list(conn.execute(counted).mappings())


def forget(conn: Connection, now: Moment, seconds: float) -> int:
    """Delete rows older than that, whatever became of them."""
    old = delete(notices).where(notices.c.created_at < later(now, -seconds))
    return conn.execute(old).rowcount
