"""Fixtures of the tests of the store and the gate."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import replace
from typing import Any, NoReturn

import pytest
import structlog.testing

from orch import serial_gate
from orch.store import revisions
from orch.store.session import Store
from tests import services
from tests.factories import START, Rig, SetClock
from tests.kept import empty
from tests.store import timed


@pytest.fixture
def rig(kept_store: Store) -> Rig:
    """A line without rows, its clock standing still; once on each kind of database."""
    return Rig(kept_store)


@pytest.fixture(
    scope="session", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def timed_store(request: pytest.FixtureRequest) -> Iterator[tuple[Store, SetClock]]:
    """One store of each kind whose clock is set by the test: statements are built once for all."""
    clock, url, server = SetClock(), "sqlite://", ""
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_url")
        url = services.create_database(server, request.getfixturevalue("postgres_template"))
        timed.let_it_be_set(url)
    opened = Store(url)
    if not server:
        revisions.upgrade(opened)
    timed.take_the_clock(opened, clock)
    yield opened, clock
    opened.dispose()
    if server:
        services.drop_database(server, url)


@pytest.fixture
def timed_rig(timed_store: tuple[Store, SetClock]) -> Iterator[Rig]:
    """A line without rows that runs on its database's clock, which the test sets."""
    opened, clock = timed_store
    clock.now = START
    yield timed.TimedRig(opened, clock)
    opened.write(empty)


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
        clause = replace(serial_gate.CLAUSES[name], build=build, of_head=build)
        monkeypatch.setitem(serial_gate.CLAUSES, name, clause)
        _forget_statements()

    yield break_it
    _forget_statements()


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, object]]]:
    """What was logged, instead of printing it: tracebacks are drawn slowly."""
    with structlog.testing.capture_logs() as entries:
        yield entries
