"""What a worker makes of a message when the store goes away for a while."""

from __future__ import annotations

from pathlib import Path

import pytest

from orch.errors import StoreUnavailable
from orch.store.session import Store
from tests.factories import Rig, ScriptedRunner


def test_the_end_of_a_turn_is_written_once_the_store_is_back(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.workers()
    rig.task("BACK-1")
    (claimed,) = rig.tick().claimed
    write, away = Store.write, iter([True, True])

    def flaky(store: Store, work: object) -> object:
        if next(away, False):
            raise StoreUnavailable
        return write(store, work)  # type: ignore[arg-type]

    def go_away() -> None:
        monkeypatch.setattr(Store, "write", flaky)

    runner = ScriptedRunner(meanwhile=go_away)
    assert rig.work(claimed.claim, tmp_path, runner) == "advance"
    assert rig.row("BACK-1")["stage"] == "architecture"
