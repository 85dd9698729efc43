"""Fixtures of the tests of the store and the gate."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

import pytest
import structlog.testing

from orch.store.session import Store
from tests.factories import Rig


@pytest.fixture
def rig(store: Store) -> Rig:
    """A line without rows, its clock standing still; once on each kind of database."""
    return Rig(store)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def own_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store whose schema the test may break."""
    name = "sqlite_database" if request.param == "sqlite" else "pg_database"
    opened = Store(request.getfixturevalue(name))
    yield opened
    opened.dispose()


@pytest.fixture
def breakable(own_store: Store) -> Rig:
    """A line on a database whose schema the test may break."""
    return Rig(own_store)


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, object]]]:
    """What was logged, instead of printing it: tracebacks are drawn slowly."""
    with structlog.testing.capture_logs() as entries:
        yield entries
