"""What a ring of beat sets off: upkeep and monitor once a period, and nothing without repos."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from orch import bootstrap, reports, tasks
from orch.config import Settings
from orch.store.session import Store
from tests.factories import Rig

WATCHED = {"shop": {"url": "/srv/shop.git", "health": ["true"]}}


@pytest.fixture
def rig(sqlite_database: str) -> Iterator[Rig]:
    store = Store(sqlite_database, synchronous="OFF")
    yield Rig(store)
    store.dispose()


class Told:
    """Remembers what was set off."""

    def __init__(self) -> None:
        self.words: list[tuple[str, ...]] = []

    def start(self, *words: str) -> bool:
        self.words.append(words)
        return True


@pytest.fixture
def told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Told:
    errands = Told()
    monkeypatch.setattr(tasks, "line", lambda: rig.line)
    monkeypatch.setattr(tasks, "errands", lambda: errands)
    return errands


def settle(monkeypatch: pytest.MonkeyPatch, repos: object) -> None:
    settings = Settings.model_validate({"repos": repos, "monitor_seconds": 300})
    monkeypatch.setattr(bootstrap, "load", lambda: settings)


def test_two_beats_set_off_one_round_a_period(
    rig: Rig, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch, WATCHED)
    for _ in range(3):
        tasks.monitor()
        tasks.monitor()
        rig.clock.now += timedelta(seconds=299.8)
    assert told.words == [("monitor", "--once", "--errand")] * 3


def test_upkeep_is_hourly_however_often_it_is_rung_for(
    rig: Rig, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch, WATCHED)
    for _ in range(7):
        tasks.upkeep()
        rig.clock.advance(600)
    assert told.words == [("clean", "--errand")] * 2


@pytest.mark.parametrize("repos", [{}, {"shop": {"url": "/srv/shop.git"}}])
def test_without_a_health_command_nothing_is_monitored(
    told: Told, monkeypatch: pytest.MonkeyPatch, repos: object
) -> None:
    settle(monkeypatch, repos)
    tasks.monitor()
    tasks.upkeep()
    assert told.words == ([("clean", "--errand")] if repos else [])


def test_a_ring_for_the_waiting_ledger_looks_at_once(rig: Rig, told: Told) -> None:
    tasks.look_at_waits()
    rig.task("A-1")
    tasks.look_at_waits()
    tasks.look_at_waits()
    assert reports.report(rig.line)["totals"]["waited"]["spells"] == 1
    assert told.words == []
