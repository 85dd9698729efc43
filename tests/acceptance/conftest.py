"""Stacks of real processes, whose logs are shown when a test fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack

import pytest

from tests.acceptance.stack import Stack, opened

SHOWN_LINES = 40
Made = Callable[..., Stack]

if sys.platform != "linux":
    collect_ignore_glob = ["test_*.py"]  # the tests look into /proc


@pytest.fixture(scope="module")
def make_stack(
    postgres_url: str, postgres_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Made]:
    """Makes a stack, with settings other than the usual ones if need be; it lasts for the file."""
    with ExitStack() as open_stacks:

        def make(**settings: str) -> Stack:
            folder = tmp_path_factory.mktemp("stack")
            stack = opened(postgres_url, postgres_template, folder, **settings)
            return open_stacks.enter_context(stack)

        yield make


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of every process's log with the failure."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(stack, Stack):
        for running in stack.running:
            end = "\n".join(running.read().splitlines()[-SHOWN_LINES:])
            report.sections.append((f"log of {running.log.stem}", end))
    return report
