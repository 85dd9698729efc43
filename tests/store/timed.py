"""A line that runs on its database's own clock, which stands where the test sets it.

Its statements are built once, however often the time changes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import create_engine, event, make_url, text

from orch.line import Line
from orch.store.moments import DATABASE_TIME, SQLITE_FORMAT
from orch.store.session import Store
from tests.factories import Rig, SetClock
from tests.store.gate_world import CLOCK_OF_POSTGRES


class TimedRig(Rig):
    """A rig whose line runs on the database's own clock, so that its statements are built once;
    the clock stands where the test sets it."""

    @property
    def line(self) -> Line:
        known = (self.gate, self.limits, self.repos)
        return Line(self.store, self.queue, lambda: DATABASE_TIME, self.token, *known)


def take_the_clock(store: Store, clock: SetClock) -> None:
    """Let the database's clock be this one. On PostgreSQL `CLOCK_OF_POSTGRES` reads it."""

    def strftime(_format: str, _now: str, after: str = "0 seconds") -> str:
        moment = clock.now + timedelta(seconds=float(after.split()[0]))
        return moment.strftime(SQLITE_FORMAT)

    def set_in_session(session: Any, *_: Any) -> None:
        session.execute("SELECT set_config('test.now', %s, false)", [clock.now.isoformat()])
        session.commit()

    if store.is_sqlite:
        with store.writer.connect() as conn:
            create = conn.connection.create_function  # type: ignore[attr-defined]
            create("strftime", -1, strftime, deterministic=True)
    else:
        event.listen(store.writer, "checkout", set_in_session)


def let_it_be_set(url: str) -> None:
    """Give a PostgreSQL database a clock that can be set."""
    engine = create_engine(url)
    with engine.begin() as conn:
        name = make_url(url).database
        for change in ("synchronous_commit = off", "search_path = public, pg_catalog"):
            conn.execute(text(f'ALTER DATABASE "{name}" SET {change}'))
        conn.execute(text(CLOCK_OF_POSTGRES))
    engine.dispose()
