"""Moments in SQL: aware UTC times on both databases, and `now` as an argument that may be a clock.

A `Moment` is either a datetime (tests, simulations) or `DATABASE_TIME`, the database's own clock,
which the edges pass so that leases of several hosts are measured with one clock.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import DateTime, Dialect, Float, String, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

SQLITE_FORMAT: Final = "%Y-%m-%d %H:%M:%S.%f"
SQLITE_WIDTH: Final = len("2026-01-01 00:00:00.000000")
_SQLITE_STRFTIME: Final = "%Y-%m-%d %H:%M:%f000"


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time both ways; a naive one is refused, because it means nothing."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text of one fixed width on SQLite, so that comparing text is comparing time."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(32))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Raises ValueError for a naive time."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} carries no time zone")
        value = value.astimezone(UTC)
        return value.strftime(SQLITE_FORMAT) if dialect.name == "sqlite" else value

    def result_processor(self, dialect: Dialect, coltype: Any) -> Callable[[Any], Any]:
        """How this type reads: directly, because a page reads hundreds of times."""
        return _read_text if dialect.name == "sqlite" else _read


def _read_text(value: str | None) -> datetime | None:
    """What orch wrote has one width, no zone, and is UTC."""
    if value is None:
        return None
    if len(value) == SQLITE_WIDTH:
        return datetime.fromisoformat(value + "+00:00")
    return _read(datetime.fromisoformat(value))


def _read(moment: datetime | None) -> datetime | None:
    """Hands back UTC; what was written by hand without a zone counts as UTC."""
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class DatabaseTime(FunctionElement[datetime]):
    """The database's clock when the statement began, plus a number of seconds."""

    type = UtcDateTime()
    name = "database_time"
    inherit_cache = True


@compiles(DatabaseTime, "postgresql")
def _on_postgresql(element: DatabaseTime, compiler: SQLCompiler, **kw: Any) -> str:
    # Not clock_timestamp(): a volatile function cannot bound an index scan.
    if not len(element.clauses):
        return "statement_timestamp()"
    seconds = compiler.process(element.clauses, **kw)
    return f"(statement_timestamp() + make_interval(secs => {seconds}))"


@compiles(DatabaseTime, "sqlite")
def _on_sqlite(element: DatabaseTime, compiler: SQLCompiler, **kw: Any) -> str:
    if not len(element.clauses):
        return f"strftime('{_SQLITE_STRFTIME}', 'now')"
    seconds = compiler.process(element.clauses, **kw)
    return f"strftime('{_SQLITE_STRFTIME}', 'now', ({seconds}) || ' seconds')"


class SecondsBetween(FunctionElement[float]):
    """How many seconds after the first moment the second one is, to the millisecond."""

    type = Float()
    name = "seconds_between"
    inherit_cache = True


@compiles(SecondsBetween, "postgresql")
def _seconds_on_postgresql(element: SecondsBetween, compiler: SQLCompiler, **kw: Any) -> str:
    begin, end = (compiler.process(each, **kw) for each in element.clauses)
    return f"CAST(extract(epoch FROM {end} - {begin}) AS double precision)"


@compiles(SecondsBetween, "sqlite")
def _seconds_on_sqlite(element: SecondsBetween, compiler: SQLCompiler, **kw: Any) -> str:
    begin, end = (compiler.process(each, **kw) for each in element.clauses)
    return f"round((julianday({end}) - julianday({begin})) * 86400.0, 3)"


DATABASE_TIME: Final = DatabaseTime()
Moment = datetime | DatabaseTime


def later(now: Moment, seconds: float) -> ColumnElement[datetime]:
    """The moment `seconds` after `now`; negative seconds reach back."""
    if isinstance(now, datetime):
        return literal(now + timedelta(seconds=seconds), UtcDateTime())
    return DatabaseTime(literal(float(seconds)))


def at(now: Moment) -> ColumnElement[datetime]:
    """`now` as an SQL expression."""
    return literal(now, UtcDateTime()) if isinstance(now, datetime) else now


def written(moment: Moment | None) -> str | None:
    """A moment as the data of an event hold it; None where it is the database's to know."""
    return moment.astimezone(UTC).isoformat() if isinstance(moment, datetime) else None
