"""Fixtures of the tests of the store and the gate."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import replace
from typing import Any, NoReturn

import pytest
import structlog.testing

from orch import serial_gate
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


def _forget_statements() -> None:
    """Statements are built once and kept, also with a clause that was broken only for a test."""
    for name, module in list(sys.modules.items()):
        for kept in vars(module).values() if name.startswith("orch.") else ():
            if hasattr(kept, "cache_clear"):
                kept.cache_clear()


@pytest.fixture
def break_clause(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Make clauses of the gate impossible to build, or build them as told."""

    def unreadable(*_: object) -> NoReturn:
        raise RuntimeError("the clause cannot be read")

    def break_it(name: str, build: Callable[..., Any] = unreadable) -> None:
        clause = replace(serial_gate.CLAUSES[name], build=build)
        monkeypatch.setitem(serial_gate.CLAUSES, name, clause)
        _forget_statements()

    yield break_it
    _forget_statements()


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, object]]]:
    """What was logged, instead of printing it: tracebacks are drawn slowly."""
    with structlog.testing.capture_logs() as entries:
        yield entries
