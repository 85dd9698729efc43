"""The rows of browser sessions. Only a hash of a session's secret is stored."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from orch.store.moments import Moment, at, later
from orch.store.persons import KEPT_SECONDS
from orch.store.session import Row
from orch.store.tables_people import people, sessions

MOST = 1000
"""Sessions that are listed at a time."""
FRESH_SECONDS = 60.0
"""A session seen within this time is not written down as seen again: looking stays reading."""


def _alive(now: Moment, idle: float) -> ColumnElement[bool]:
    return and_(
        sessions.c.revoked_at.is_(None),
        sessions.c.ends_at > at(now),
        sessions.c.seen_at > later(now, -idle),
        people.c.disabled_at.is_(None),
    )


def begin(conn: Connection, now: Moment, seconds: float, **values: Any) -> int:
    """Write a session: person_id, secret_hash, address, browser. Its id.

    Those that ended long ago are forgotten.
    """
    conn.execute(delete(sessions).where(sessions.c.ends_at < later(now, -KEPT_SECONDS)))
    times = {"created_at": at(now), "seen_at": at(now), "ends_at": later(now, seconds)}
    begun: int = conn.execute(
        insert(sessions).values(**times, **values).returning(sessions.c.id)
    ).scalar_one()
    return begun


def of_secret(conn: Connection, secret_hash: str, now: Moment, idle: float) -> Row | None:
    """The living session with this hash, with its person as he or she is now."""
    statement = (
        select(
            sessions.c.id,
            people.c.name,
            people.c.role,
            people.c.repos,
            (sessions.c.seen_at <= later(now, -FRESH_SECONDS)).label("is_stale"),
        )
        .join(people, people.c.id == sessions.c.person_id)
        .where(sessions.c.secret_hash == secret_hash, _alive(now, idle))
    )
    return conn.execute(statement).mappings().one_or_none()


def see(conn: Connection, session_id: int, now: Moment) -> None:
    """Note that the session is in use."""
    conn.execute(update(sessions).where(sessions.c.id == session_id).values(seen_at=at(now)))


def listed(
    conn: Connection, now: Moment, idle: float, person: str | None, ended: bool
) -> list[Row]:
    """Sessions, the newest first, of everybody or of one, with whether each is alive."""
    statement = (
        select(
            sessions.c.id,
            people.c.name.label("person"),
            sessions.c.created_at,
            sessions.c.seen_at,
            sessions.c.ends_at,
            sessions.c.revoked_at,
            sessions.c.address,
            sessions.c.browser,
            _alive(now, idle).label("alive"),
        )
        .join(people, people.c.id == sessions.c.person_id)
        .order_by(sessions.c.id.desc())
        .limit(MOST)
    )
    if not ended:
        statement = statement.where(_alive(now, idle))
    if person is not None:
        statement = statement.where(people.c.name == person)
    return list(conn.execute(statement).mappings())


def owner(conn: Connection, session_id: int) -> str | None:
    """Whose session it is or was."""
    statement = select(people.c.name).join(sessions, sessions.c.person_id == people.c.id)
    found: str | None = conn.scalar(statement.where(sessions.c.id == session_id))
    return found


def end(conn: Connection, now: Moment, which: ColumnElement[bool]) -> list[int]:
    """End sessions for good; the ids of those that had not been ended before."""
    ended = update(sessions).where(which, sessions.c.revoked_at.is_(None))
    return list(conn.scalars(ended.values(revoked_at=at(now)).returning(sessions.c.id)))


def end_one(conn: Connection, now: Moment, session_id: int) -> bool:
    """End one session for good. False if it was ended before."""
    return bool(end(conn, now, sessions.c.id == session_id))


def end_all(conn: Connection, now: Moment, person_id: int) -> list[int]:
    """End every session of a person for good."""
    return end(conn, now, sessions.c.person_id == person_id)
