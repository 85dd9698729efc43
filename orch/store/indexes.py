"""Whether the indexes of a database are those orch was measured with, word for word.

The law of one live job per repo is an index, and a tick finds its work by others: one that is
missing, broken, or made over other rows does harm that nobody sees.
"""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy import Connection, create_engine, text

from orch.store.schema import metadata
from orch.store.session import Store

_OF_SQLITE: Final = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
_OF_POSTGRES: Final = (
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() "
    "AND tablename <> 'alembic_version'"
)
_BROKEN: Final = (
    "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = current_schema() AND NOT i.indisvalid"
)
_SCRATCH: Final = "orch_doctor"


def faults(store: Store) -> list[str]:
    """What is wrong with the indexes, a sentence each; empty when all is well."""
    found = store.read(_definitions)
    wanted = _wanted(store)
    wrong = [f"the index {name} is missing" for name in sorted(wanted.keys() - found.keys())]
    wrong += [
        f"the index {name} is not as this orch makes it: {found[name]}"
        for name in sorted(wanted.keys() & found.keys())
        if _words(found[name]) != _words(wanted[name])
    ]
    if not store.is_sqlite:
        broken = store.read(lambda conn: conn.scalars(text(_BROKEN)).all())
        wrong += [f"the index {name} is broken: the database does not use it" for name in broken]
    return wrong


def _definitions(conn: Connection) -> dict[str, str]:
    ask = _OF_SQLITE if conn.dialect.name == "sqlite" else _OF_POSTGRES
    return dict(conn.execute(text(ask)).tuples().all())


def _wanted(store: Store) -> dict[str, str]:
    """The same of tables made afresh: beside the others, and never committed."""
    if store.is_sqlite:
        engine = create_engine("sqlite://")
        with engine.begin() as conn:
            metadata.create_all(conn)
            found = _definitions(conn)
        engine.dispose()
        return found
    with store.rolled_back() as conn:
        conn.execute(text(f"CREATE SCHEMA {_SCRATCH}"))
        conn.execute(text(f"SET LOCAL search_path = {_SCRATCH}"))
        metadata.create_all(conn, checkfirst=False)
        return _definitions(conn)


def _words(definition: str) -> str:
    """What a definition says. Parentheses and where the table lies make no difference."""
    plain = re.sub(r"\bON (?:ONLY )?(?:\"?\w+\"?\.)?", "ON ", definition)
    return re.sub(r"[()\"\s]+", " ", plain).strip()
