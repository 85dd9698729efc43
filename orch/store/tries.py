"""What is rationed: one row for each try, counted in a window that slides."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from sqlalchemy import Connection, delete, func, insert, select

from orch.store.moments import Moment, at, later
from orch.store.session import Store
from orch.store.tables_people import tries

FORGOTTEN_SECONDS = 24 * 3600.0
"""No window is longer; what is older is thrown away."""


def bucket(kind: str, key: str) -> str:
    """The name under which tries of one kind by one somebody are counted."""
    return hashlib.sha256(f"{kind}|{key}".encode()).hexdigest()


def wait(conn: Connection, name: str, most: int, seconds: float, now: Moment) -> float:
    """Seconds until there is room for one more in the window; 0 when there is now."""
    newest = (
        select(tries.c.at, at(now).label("now"))
        .where(tries.c.bucket == name, tries.c.at > later(now, -seconds))
        .order_by(tries.c.at.desc())
        .limit(most)
    )
    found = conn.execute(newest).all()
    if len(found) < most:
        return 0.0
    oldest, present = found[-1]
    passed: timedelta = present - oldest
    return max(1.0, seconds - passed.total_seconds())


def take(store: Store, name: str, most: int, seconds: float, now: Moment) -> float:
    """Count one more if there is room. Seconds to wait where there is none, else 0.

    Whoever is refused is not counted, so the window empties by itself; and costs no write.
    """

    def write(conn: Connection) -> float:
        if conn.dialect.name == "postgresql":
            # Two at once must not both see the last room; SQLite has one writer anyway.
            conn.execute(select(func.pg_advisory_xact_lock(int(name[:15], 16))))
        missing = wait(conn, name, most, seconds, now)
        if not missing:
            conn.execute(delete(tries).where(tries.c.at < later(now, -FORGOTTEN_SECONDS)))
            conn.execute(insert(tries).values(bucket=name, at=at(now)))
        return missing

    return store.read(lambda conn: wait(conn, name, most, seconds, now)) or store.write(write)


def forget(conn: Connection, name: str) -> None:
    """Let the window of this bucket be empty."""
    conn.execute(delete(tries).where(tries.c.bucket == name))
