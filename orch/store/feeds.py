"""Feeds as rows: whose turn it is to be asked, by whom, since when it does not answer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, and_, or_, select, update

from orch.store.moments import Moment, at, later
from orch.store.session import Row, insert_unless_there
from orch.store.tables_outside import feeds
from orch.store.views import moment


def know(conn: Connection, names: Collection[str], now: Moment) -> int:
    """Make sure that these feeds have a row; a new one is due at once."""
    known = set(conn.scalars(select(feeds.c.name).where(feeds.c.name.in_(list(names)))))
    rows = [{"name": name, "due_at": moment(conn, now)} for name in names if name not in known]
    return insert_unless_there(conn, feeds, rows)


def all_rows(conn: Connection) -> Sequence[Row]:
    """Every feed, by name."""
    return conn.execute(select(feeds).order_by(feeds.c.name)).mappings().all()


def row(conn: Connection, name: str) -> Row | None:
    """One feed."""
    return conn.execute(select(feeds).where(feeds.c.name == name)).mappings().one_or_none()


def due(conn: Connection, names: Collection[str], now: Moment) -> list[str]:
    """Those of these whose time has come, and that nobody is at."""
    statement = select(feeds.c.name).where(feeds.c.name.in_(list(names)), _free(now, urgent=False))
    return list(conn.scalars(statement.order_by(feeds.c.due_at)))


def _free(now: Moment, *, urgent: bool) -> Any:
    nobody = or_(feeds.c.taken_until.is_(None), feeds.c.taken_until <= at(now))
    # What does not answer is asked again when its time comes, however much there is to say.
    its_turn = feeds.c.due_at <= at(now)
    wanted = or_(its_turn, feeds.c.failing_since.is_(None)) if urgent else its_turn
    return and_(nobody, wanted, feeds.c.stopped == "")


def take(conn: Connection, name: str, now: Moment, hold: float, *, urgent: bool) -> Row | None:
    """Be the one who asks it, for `hold` seconds; None if it is not its turn. `urgent` does not
    wait for the time of one that answers."""
    taking = (
        update(feeds)
        .where(feeds.c.name == name, _free(now, urgent=urgent))
        .values(asked_at=at(now), taken_until=later(now, hold))
        .returning(feeds)
    )
    return conn.execute(taking).mappings().one_or_none()


def answered(conn: Connection, taken: Row, now: Moment, wait: float, notes: dict[str, Any]) -> bool:
    """It answered, and is due again in so many seconds. False if somebody else is at it by now."""
    good = {"answered_at": at(now), "failing_since": None, "fault": ""}
    return _left(conn, taken, **good, due_at=later(now, wait), notes=notes)


def failed(conn: Connection, taken: Row, now: Moment, wait: float, fault: str) -> bool:
    """It did not; the same."""
    since = taken["failing_since"] or moment(conn, now)
    return _left(conn, taken, failing_since=since, fault=fault, due_at=later(now, wait))


def stop(conn: Connection, taken: Row, now: Moment, why: str) -> bool:
    """Do not ask it again before a person has acted."""
    since = taken["failing_since"] or moment(conn, now)
    return _left(conn, taken, failing_since=since, fault=why, stopped=why)


def _left(conn: Connection, taken: Row, **values: Any) -> bool:
    mine = and_(feeds.c.name == taken["name"], feeds.c.asked_at == taken["asked_at"])
    return bool(conn.execute(update(feeds).where(mine).values(taken_until=None, **values)).rowcount)


def go_on(conn: Connection, name: str, now: Moment) -> bool:
    """Ask one that was stopped again, at once. False if it was not stopped."""
    going = update(feeds).where(feeds.c.name == name, feeds.c.stopped != "")
    fresh: dict[str, Any] = {"stopped": "", "due_at": at(now), "taken_until": None, "notes": {}}
    return bool(conn.execute(going.values(**fresh)).rowcount)


def hurry(conn: Connection, name: str, now: Moment) -> None:
    """Let it be due now, also one that fails: a person asks."""
    conn.execute(update(feeds).where(feeds.c.name == name).values(due_at=at(now)))


def note(conn: Connection, name: str, notes: dict[str, Any]) -> None:
    """Keep what the next round is to know."""
    conn.execute(update(feeds).where(feeds.c.name == name).values(notes=notes))
