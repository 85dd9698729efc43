"""Transactions on either database. With `joined.py` and `lists.py` all that knows how the two
differ."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy import Connection as Connection
from sqlalchemy import (
    Engine,
    create_engine,
    event,
    func,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import RowMapping, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.pool import NullPool, StaticPool

from orch.errors import ConfigError, LostRace, StoreUnavailable
from orch.store import schema
from orch.store.lists import is_any_of
from orch.store.schema import repos

log = structlog.get_logger(__name__)
Result = TypeVar("Result")
Row = RowMapping
"""One row, read by column name."""

PAUSES: Final = (0.02, 0.1, 0.3, 0.8, 1.6)
"""Seconds before a transaction is begun again that lost a lock, a deadlock or its connection."""

# PostgreSQL: serialisation failure, deadlock; then server shutting down, starting, crashed.
_RETRYABLE: Final = frozenset({"40001", "40P01", "57P01", "57P02", "57P03"})
_SQLITE_BUSY: Final = ("database is locked", "database table is locked")
_DEPENDENCY_LOCK: Final = 0x6F726368
"""Key of the advisory lock under which dependencies are declared ("orch" in ASCII)."""


class Store:
    """One database. `write` runs a unit of work under its write rules; `read` only looks.

    SQLite writes begin with BEGIN IMMEDIATE (a plain BEGIN cannot be upgraded under load) and a
    second, deferred engine serves readers, so that no page ever waits for a writer.
    """

    def __init__(self, url: str, *, pool: str = "queue", synchronous: str = "FULL") -> None:
        self.url = make_url(url)
        if self.url.get_backend_name() not in ("sqlite", "postgresql"):
            raise ConfigError(
                f"{self.url.render_as_string()} is neither SQLite nor PostgreSQL.",
                suggested_fix="Use sqlite:///path or postgresql+psycopg://user@host/name.",
            )
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.writer = _sqlite_engine(self.url, "IMMEDIATE", synchronous)
            in_memory = self.url.database in (None, "", ":memory:")
            self.reader = (
                self.writer if in_memory else _sqlite_engine(self.url, "DEFERRED", synchronous)
            )
            self.surveyor = self.reader
        else:
            self.writer = _postgresql_engine(self.url, pool)
            # Without a transaction around them: BEGIN and COMMIT are two round trips.
            self.reader = self.writer.execution_options(isolation_level="AUTOCOMMIT")
            self.surveyor = self.writer.execution_options(isolation_level="REPEATABLE READ")

    def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` in one write transaction, from the start again when it lost a lock.

        `work` must therefore do nothing but talk to the store. Raises StoreUnavailable when the
        database stays away, and LostRace when the law of one live serialised job refused.
        """
        return self._insist(self.writer, work)

    def read(self, look: Callable[[Connection], Result]) -> Result:
        """Run `look`, each statement of which sees what is committed by then.

        Raises StoreUnavailable when the database stays away.
        """
        return self._insist(self.reader, look)

    def survey(self, look: Callable[[Connection], Result]) -> Result:
        """Run `look` in one read transaction: all that it sees is of one moment.

        Raises StoreUnavailable when the database stays away.
        """
        return self._insist(self.surveyor, look)

    def _insist(self, engine: Engine, work: Callable[[Connection], Result]) -> Result:
        for pause in (*PAUSES, None):
            try:
                with engine.begin() as conn:
                    return work(conn)
            except DBAPIError as error:
                if pause is None or not _worth_another_try(error):
                    raise _translated(error) from error
                log.warning("store.retry", pause=pause, error=str(error.orig))
                threading.Event().wait(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def rehearse(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` in one write transaction that is always rolled back: what previews run in.

        All that it sees is of one moment. Where so much happens at the same time that this cannot
        be had, its statements each see what is committed by then. Raises StoreUnavailable.
        """

        def run(conn: Connection) -> Result:
            try:
                return work(conn)
            finally:
                conn.rollback()

        if self.is_sqlite:
            return self._insist(self.writer, run)
        try:
            return self._insist(self.surveyor, run)
        except (LostRace, StoreUnavailable):
            return self._insist(self.writer, run)

    @contextmanager
    def rolled_back(self) -> Iterator[Connection]:
        """A write transaction whose changes never happen."""
        with self.writer.connect() as conn:
            try:
                yield conn
            finally:
                conn.rollback()

    def dispose(self) -> None:
        """Close all connections, as a process does after it forked."""
        self.writer.dispose()
        self.reader.dispose()


def _sqlite_engine(url: Any, begin: str, synchronous: str) -> Engine:
    in_memory = url.database in (None, "", ":memory:")
    engine = create_engine(
        url,
        poolclass=StaticPool if in_memory else None,
        connect_args={"timeout": 10, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _prepare(dbapi: Any, _record: Any) -> None:
        dbapi.isolation_level = None  # SQLAlchemy says BEGIN below, not the driver.
        pragmas = (
            "journal_mode=WAL",
            f"synchronous={synchronous}",
            "foreign_keys=ON",
            "case_sensitive_like=ON",  # as on PostgreSQL: freeze globs match names exactly
        )
        for pragma in pragmas:
            dbapi.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        conn.exec_driver_sql(f"BEGIN {begin}")

    return engine


_SESSION: Final = {
    # A transaction held open keeps dead rows alive and slows every claim; see docs.
    "idle_in_transaction_session_timeout": "60000",
    "timezone": "UTC",
    # What is looked up here is looked up by an index. With statistics that are old or not yet
    # there, as after a burst, PostgreSQL would rather read everything that waits.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # Planning, and compiling, a statement of the gate takes longer than running it.
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}


def _postgresql_engine(url: Any, pool: str) -> Engine:
    options: dict[str, Any] = {"poolclass": NullPool} if pool == "none" else {"pool_size": 5}
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={
            "connect_timeout": 5,
            # A connection whose other end is gone is found out, not waited on for ever.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
            "application_name": "orch",
            "options": " ".join(f"-c {name}={value}" for name, value in _SESSION.items()),
        },
        **options,
    )


def _worth_another_try(error: DBAPIError) -> bool:
    if isinstance(error, IntegrityError):
        return False
    if error.connection_invalidated:
        return True
    if getattr(error.orig, "sqlstate", None) in _RETRYABLE:
        return True
    return isinstance(error, OperationalError) and any(
        word in str(error.orig) for word in _SQLITE_BUSY
    )


def _translated(error: DBAPIError) -> Exception:
    if isinstance(error, IntegrityError) and _broke_the_law(error):
        return LostRace("Another process holds this repo's turn.")
    away = isinstance(error, (OperationalError, InterfaceError)) or error.connection_invalidated
    if away and not is_broken_query(error):
        return StoreUnavailable(f"The task store does not answer: {error.orig}")
    return error


def is_broken_query(error: DBAPIError) -> bool:
    """Whether the statement could not be evaluated, as opposed to a database that is away."""
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return str(state)[:2] in ("22", "42", "55", "XX")
    return any(
        word in str(error.orig) for word in ("no such", "malformed", "misuse", "syntax error")
    )


def _broke_the_law(error: IntegrityError) -> bool:
    """Whether a second live serialised job of one repo was refused: a lost race, nothing else."""
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is not None:
        return bool(diagnosis.constraint_name == schema.LAW)
    return "UNIQUE constraint failed: jobs.repo" in str(error.orig)


def apart(conn: Connection) -> AbstractContextManager[Any]:
    """What keeps a statement that fails from ending the transaction around it, if there is one."""
    alone = conn.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
    return nullcontext() if alone else conn.begin_nested()


@contextmanager
def undone(conn: Connection) -> Iterator[None]:
    """What is written inside has not happened afterwards, and its locks are given back."""
    trial = conn.begin_nested()
    try:
        yield
    finally:
        if trial.is_active:
            trial.rollback()


def insert_unless_there(conn: Connection, table: Any, rows: Sequence[dict[str, Any]]) -> int:
    """Insert rows, leaving out those that collide with a unique constraint; how many were new."""
    if not rows:
        return 0
    dialect = postgresql if conn.dialect.name == "postgresql" else sqlite
    # SQLAlchemy keeps the count of an INSERT only when asked to, and answers -1 otherwise.
    counting = {"preserve_rowcount": True}
    statement = dialect.insert(table).on_conflict_do_nothing().execution_options(**counting)
    return sum(conn.execute(statement, row).rowcount for row in rows)


def insert_once(conn: Connection, table: Any, **values: Any) -> bool:
    """Insert one row, which may be made of expressions; whether it collided with no other."""
    dialect = postgresql if conn.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(**values).on_conflict_do_nothing()
    return bool(conn.execute(statement.execution_options(preserve_rowcount=True)).rowcount)


def add_to(conn: Connection, table: Any, key: dict[str, Any], column: str, amount: float) -> None:
    """Add to a number kept under a key, creating the row when it is the first."""
    dialect = postgresql if conn.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(**key, **{column: amount})
    grown = {column: table.c[column] + amount}
    conn.execute(statement.on_conflict_do_update(index_elements=list(key), set_=grown))


def add_all(conn: Connection, table: Any, column: str, rows: Sequence[dict[str, Any]]) -> None:
    """Add to several numbers at once; a row holds the whole key and the amount. The caller sorts
    them, so that two who add to the same ones never wait for each other in a circle."""
    if not rows:
        return
    dialect = postgresql if conn.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    grown = {column: table.c[column] + statement.excluded[column]}
    keys = [name for name in rows[0] if name != column]
    conn.execute(statement.on_conflict_do_update(index_elements=keys, set_=grown), rows)


def put(conn: Connection, table: Any, key: dict[str, Any], values: dict[str, Any]) -> None:
    """Write the row kept under a key, whether it is there already or not."""
    dialect = postgresql if conn.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(**key, **values)
    conn.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))


_NAMED: Final = select(repos.c.name).where(is_any_of(repos.c.name, "names")).order_by(repos.c.name)
# FOR NO KEY UPDATE: inserting a row that refers to the repo must not wait for the gate.
_LOCK: Final = _NAMED.with_for_update(key_share=True)
_LOCK_FREE: Final = _NAMED.with_for_update(skip_locked=True, key_share=True)


def lock_repos(conn: Connection, names: Sequence[str]) -> None:
    """Take the gate locks of these repos, in one order everywhere, waiting for each.

    The next statement sees whatever the holder before us committed. SQLite's write transaction
    already excludes everybody.
    """
    if conn.dialect.name == "sqlite" or not names:
        return
    conn.execute(_LOCK, {"names": list(names)})


def lock_free_repos(conn: Connection, names: Sequence[str]) -> list[str]:
    """Take the gate locks of those repos nobody holds, without waiting; answers which."""
    if not names:
        return []
    statement = _NAMED if conn.dialect.name == "sqlite" else _LOCK_FREE
    return list(conn.execute(statement, {"names": list(names)}).scalars().all())


def lock_dependencies(conn: Connection) -> None:
    """Serialise the declaring of dependencies, so that two halves of a cycle cannot both pass."""
    if conn.dialect.name != "sqlite":
        conn.execute(select(func.pg_advisory_xact_lock(_DEPENDENCY_LOCK)))


def ping(store: Store) -> None:
    """Raise StoreUnavailable unless the database answers."""
    store.read(lambda conn: conn.execute(text("SELECT 1")).scalar())
