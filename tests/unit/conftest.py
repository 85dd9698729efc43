"""Fixtures of the tests that need git."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.git_bench import GitBench, make_template


@pytest.fixture(scope="session")
def git_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A remote and a clone of it, to be copied and never used."""
    return make_template(tmp_path_factory.mktemp("git"))


@pytest.fixture
def bench(tmp_path: Path, git_template: Path) -> GitBench:
    """A remote of the test's own, and orch's side of it."""
    return GitBench(tmp_path, git_template)
