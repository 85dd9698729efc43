"""Writes that hang on one another: one statement on PostgreSQL, one after the other on SQLite.

On a server each statement is a round trip, and five of them cost more than what they do. SQLite has
no round trips, and no writes in a WITH clause. So what hangs together is written once, as parts,
each of which sees the rows that the parts before it returned.

On PostgreSQL all parts see the moment at which the statement began: no part may count on finding
in a table what another part wrote there, and no row may be written by two of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Text, bindparam, func, select, type_coerce
from sqlalchemy.engine import RowMapping
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import BindParameter

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

    def run(self, conn: Connection, bound: Mapping[str, Any]) -> Sequence[RowMapping]:
        """Carry out all parts; the rows of the answer."""
        if conn.dialect.name == "sqlite":
            return self._one_by_one(conn, dict(bound))
        return conn.execute(self._at_once, dict(bound)).mappings().all()

    @cached_property
    def _at_once(self) -> Any:
        known: dict[str, Any] = {}
        for name, part in self._parts.items():
            known[name] = part(known).cte(name)
        return self._answer(known).add_cte(*known.values())

    @cached_property
    def _steps(self) -> list[tuple[str, Any, frozenset[str], bool]]:
        known: dict[str, Any] = {}
        steps = []
        for name, part in (*self._parts.items(), ("", self._answer)):
            statement = part(known)
            columns = list(statement.exported_columns)
            steps.append((name, statement, _parameters(statement), bool(columns)))
            known[name] = _given(name, columns) if columns else None
        return steps

    def _one_by_one(self, conn: Connection, bound: dict[str, Any]) -> Sequence[RowMapping]:
        rows: Sequence[RowMapping] = []
        for name, statement, parameters, returns in self._steps:
            result = conn.execute(statement, {key: bound[key] for key in parameters})
            rows = result.mappings().all() if returns else []
            bound[_of(name)] = json.dumps([dict(row) for row in rows]) if name else ""
        return rows


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


def _parameters(statement: Any) -> frozenset[str]:
    """The names under which a statement wants values."""
    return frozenset(
        each.key
        for each in visitors.iterate(statement)
        if isinstance(each, BindParameter) and each.required
    )
