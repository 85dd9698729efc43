"""Stores that outlive a test: what they have compiled is kept, their rows are not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from orch.store.schema import metadata
from orch.store.session import Store
from tests import services


def empty(conn: Connection) -> None:
    """Take every row out of every table; ids begin at 1 again."""
    for table in reversed(metadata.sorted_tables):
        conn.execute(table.delete())
    if conn.dialect.name == "postgresql":
        conn.execute(text("SET LOCAL synchronous_commit = off"))
        conn.execute(
            text(
                "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, 1, false) "
                "FROM pg_sequences WHERE last_value IS NOT NULL"
            )
        )


@pytest.fixture(scope="session")
def _sqlite_store(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    path = tmp_path_factory.mktemp("kept") / "orch.db"
    shutil.copyfile(sqlite_template, path)
    opened = Store(f"sqlite:///{path}", synchronous="OFF")
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def _postgres_store(postgres_url: str, postgres_template: str) -> Iterator[Store]:
    url = services.create_database(postgres_url, postgres_template)
    opened = Store(url)
    yield opened
    opened.dispose()
    services.drop_database(postgres_url, url)


@pytest.fixture
def kept_sqlite(_sqlite_store: Store) -> Iterator[Store]:
    """A store without rows on SQLite. To change its schema, take `sqlite_database`."""
    yield _sqlite_store
    _sqlite_store.write(empty)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def kept_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store without rows, once on each kind of database."""
    opened: Store = request.getfixturevalue(f"_{request.param}_store")
    yield opened
    opened.write(empty)
