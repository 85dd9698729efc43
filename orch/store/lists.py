"""A list of any length as one parameter, so that one statement text serves them all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Boolean, Dialect, Text, bindparam
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


class _Values(TypeDecorator[Any]):
    """A list as one parameter: an array on PostgreSQL, JSON text on SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(postgresql.ARRAY(self.item))

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str]:
        """As text on both: the driver would look at each value of a list for its own type."""
        return _as_json if dialect.name == "sqlite" else _as_array


def _as_json(values: Iterable[Any]) -> str:
    return json.dumps(list(values))


def _as_array(values: Iterable[Any]) -> str:
    # Quoted all at once, by what no text of the database holds: a tick sends thousands.
    together = "\0".join(map(str, values)).replace("\\", "\\\\").replace('"', '\\"')
    return '{"' + together.replace("\0", '","') + '"}' if values else "{}"


class _OneOf(FunctionElement[bool]):
    """A column and a list it must be in."""

    type = Boolean()
    name = "one_of"
    inherit_cache = True

    def self_group(self, against: Any = None) -> Any:
        """Itself: SQLAlchemy would write `= 1` behind it on SQLite, which then finds no index."""
        return self


@compiles(_OneOf, "postgresql")
def _in_array(element: _OneOf, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(each, **kw) for each in element.clauses)
    return f"{column} = ANY ({values})"


@compiles(_OneOf, "sqlite")
def _in_json(element: _OneOf, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(each, **kw) for each in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - both are compiled


def is_any_of(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """`column` is one of the values bound later as `name`.

    One parameter and one statement text for any number, which is built and planned once.
    """
    return _OneOf(column, bindparam(name, type_=_Values(column.type)))
