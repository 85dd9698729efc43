"""A pipeline of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orch.store.session import Store
from tests.factories import Rig
from tests.flows.pipeline_bench import Pipeline


@pytest.fixture
def pipeline(sqlite_database: str, tmp_path: Path) -> Iterator[Pipeline]:
    """On an in-process store and a real git remote."""
    store = Store(sqlite_database, synchronous="OFF")
    yield Pipeline(Rig(store), tmp_path)
    store.dispose()
