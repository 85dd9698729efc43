"""Writes that hang on one another: one statement on PostgreSQL, one after the other on SQLite.

On a server each statement is a round trip, and five of them cost more than what they do. SQLite has
no round trips, and no writes in a WITH clause. So what hangs together is written once, as parts,
each of which sees the rows that the parts before it returned.

On PostgreSQL all parts see the moment at which the statement began: no part may count on finding
in a table what another part wrote there, and no row may be written by two of them.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, Dialect, Text, bindparam, func, select, type_coerce
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import RowMapping

PLACE: Final = re.compile(r"%\((\w+)\)s")
"""Where the driver of PostgreSQL puts a parameter."""
_SQLITE: Final = sqlite.dialect(paramstyle="qmark")

Rows = Mapping[str, Any]
"""What the parts before returned, by their names: things to select from."""
Part = Callable[[Rows], Any]


class Joined:
    """Named parts, in order, and a SELECT of what they returned, which is the answer.

    A part is an INSERT, UPDATE or DELETE, with RETURNING where a later part needs its rows, or a
    SELECT. Rows may hold numbers, texts and truth values, nothing that JSON does not know.
    """

    def __init__(self, answer: Part, **parts: Part) -> None:
        self._parts = parts
        self._answer = answer
        self._text: _Text | None = None

    def run(self, conn: Connection, bound: Mapping[str, Any]) -> Sequence[RowMapping]:
        """Carry out all parts; the rows of the answer."""
        return self.result(conn, bound).mappings().all()

    def result(self, conn: Connection, bound: Mapping[str, Any]) -> CursorResult[Any]:
        """As `run`, for those who read so many rows that reading them by name would show."""
        if conn.dialect.name == "sqlite":
            return self._one_by_one(conn, dict(bound))
        text, values = self._at_once(conn.dialect)(bound)
        return conn.exec_driver_sql(text, values)

    @cached_property
    def _whole(self) -> Any:
        known: dict[str, Any] = {}
        for name, part in self._parts.items():
            known[name] = part(known).cte(name)
        return self._answer(known).add_cte(*known.values())

    def _at_once(self, dialect: Dialect) -> _Text:
        if self._text is None:
            self._text = _Text(self._whole, dialect)
        return self._text

    @cached_property
    def _steps(self) -> list[tuple[str, _Text, list[str]]]:
        known: dict[str, Any] = {}
        steps = []
        for name, part in (*self._parts.items(), ("", self._answer)):
            statement = part(known)
            columns = list(statement.exported_columns)
            names = [column.name for column in columns]
            steps.append((name, _Text(statement, _SQLITE), names))
            known[name] = _given(name, columns) if columns else None
        return steps

    def _one_by_one(self, conn: Connection, bound: dict[str, Any]) -> CursorResult[Any]:
        *steps, (_, answer, _) = self._steps
        if not conn.in_transaction():
            conn.begin()  # the driver by itself would write for good, also where it is taken back
        driver = conn.connection.cursor()
        for name, text, columns in steps:
            try:
                driver.execute(*text(bound))
            except sqlite3.Error:
                conn.exec_driver_sql(*text(bound))  # fails as well, in words that the store knows
                raise
            if columns:
                rows = [dict(zip(columns, row, strict=True)) for row in driver.fetchall()]
                bound[_of(name)] = json.dumps(rows)
        driver.close()
        return conn.exec_driver_sql(*answer(bound))


class _Text:
    """A statement as the driver takes it: only what changes from call to call is a parameter.

    Finding it in SQLAlchemy's cache, by the value of every part of an expression of this size,
    costs as much as running it; and each parameter costs something again in the driver.
    """

    def __init__(self, statement: Any, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        as_sent = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect)
            for name, bind in compiled.binds.items()
        }
        self._as_sent = {name: process for name, process in as_sent.items() if process}
        self._fixed = {
            name: self._sent(name, value)
            for name, value in compiled.params.items()
            if not compiled.binds[name].required
        }
        self._asked = frozenset(compiled.params) - set(self._fixed)
        self._places = compiled.positiontup
        if self._places is not None:  # a parameter costs nothing there
            self._sql = str(compiled)
            return
        written = {name: _literal(value) for name, value in self._fixed.items()}
        self._fixed = {name: value for name, value in self._fixed.items() if not written[name]}
        self._sql = PLACE.sub(lambda place: written.get(place[1]) or place[0], str(compiled))

    def __call__(self, bound: Mapping[str, Any]) -> tuple[str, Any]:
        """The text, and its parameters: by name, or where the driver counts them by place."""
        sent = self._fixed | {name: self._sent(name, bound[name]) for name in self._asked}
        if self._places is None:
            return self._sql, sent
        return self._sql, tuple(sent[name] for name in self._places)

    def _sent(self, name: str, value: Any) -> Any:
        process = self._as_sent.get(name)
        return value if process is None else process(value)


def _literal(value: Any) -> str:
    """A constant of the statement as SQL; empty for what is better left a parameter."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, str):
        quoted = value.replace("'", "''").replace("%", "%%")
        return f"'{quoted}'"
    return ""


def _of(name: str) -> str:
    return f"rows_of_{name}"


def _given(name: str, columns: Sequence[Any]) -> Any:
    """Rows that an earlier statement returned, handed in again as one parameter."""
    each = func.json_each(bindparam(_of(name), type_=Text)).table_valued("value")
    values = [
        type_coerce(func.json_extract(each.c.value, f"$.{column.name}"), column.type)
        for column in columns
    ]
    named = zip(columns, values, strict=True)
    return select(*(value.label(column.name) for column, value in named)).subquery(name)
