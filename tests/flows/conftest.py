"""A pipeline of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from orch.store.session import Store
from tests.factories import Rig
from tests.flows.pipeline_bench import Pipeline


@pytest.fixture
def pipeline(kept_sqlite: Store, tmp_path: Path) -> Pipeline:
    """On an in-process store and a real git remote."""
    return Pipeline(Rig(kept_sqlite), tmp_path)
