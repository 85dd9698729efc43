"""A stack of real processes for each test, whose logs are shown when the test fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.acceptance.stack import Stack
from tests.services import PrivateRedis

SHOWN_LINES = 40

if sys.platform != "linux":
    collect_ignore_glob = ["test_*.py"]  # the tests look into /proc


@pytest.fixture
def make_stack(
    tmp_path: Path, pg_database: str, private_redis: PrivateRedis
) -> Iterator[Callable[..., Stack]]:
    """Makes the stack, with settings other than the usual ones if need be."""
    made: list[Stack] = []

    def make(**settings: str) -> Stack:
        made.append(Stack(tmp_path / f"stack{len(made)}", pg_database, private_redis, settings))
        return made[-1]

    yield make
    for stack in made:
        stack.close()


@pytest.fixture
def stack(make_stack: Callable[..., Stack]) -> Stack:
    """A stack on PostgreSQL and Redis of its own, with nothing started yet."""
    return make_stack()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if report.when == "call" and report.failed and folder is not None:
        for log in sorted(Path(folder).glob("stack*/*.log")):
            lines = log.read_text(errors="replace").splitlines()
            report.sections.append((f"log of {log.stem}", "\n".join(lines[-SHOWN_LINES:])))
    return report
