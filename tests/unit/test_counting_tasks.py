"""What beat sets off to count and to tell: sums reach the store with its ring, spans go beside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orch import bootstrap, tasks, worker
from orch.config import Settings
from orch.counts import HERE
from orch.errors import GitError, StoreUnavailable
from orch.ports import AgentCommand, Remote
from orch.store import entries, fleet, vitals
from orch.store.session import Store
from tests.factories import Rig, ScriptedRunner


@pytest.fixture
def rig(sqlite_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    made = Rig(Store(sqlite_database, synchronous="OFF"))
    monkeypatch.setattr(tasks, "line", lambda: made.line)
    monkeypatch.setattr(tasks, "queue", lambda: made.queue)
    HERE.take()
    yield made
    HERE.take()
    made.store.dispose()


def ticks(rig: Rig) -> float:
    rows = rig.store.read(vitals.counted)
    return sum(row["value"] for row in rows if row["name"] == "tick_duration_seconds_bucket")


def test_ticks_are_timed_and_written_down_with_the_next_beat(rig: Rig) -> None:
    for by in ("beat", "kick", "kick"):
        tasks.dispatch(by)
    assert ticks(rig) == 0
    tasks.dispatch("beat")
    assert ticks(rig) == 3


def test_what_cannot_be_written_down_is_kept_for_the_next_beat(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks.dispatch("kick")
    with monkeypatch.context() as patched:

        def away(*_: object, **__: object) -> None:
            raise StoreUnavailable

        patched.setattr(fleet, "note_beat", away)
        with pytest.raises(StoreUnavailable):
            tasks.dispatch("beat")
    assert ticks(rig) == 0
    tasks.dispatch("beat")
    assert ticks(rig) == 1


def test_a_forked_child_begins_with_no_counts(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "line", tasks.errands)  # has a cache to clear, as the real one
    monkeypatch.setattr(tasks, "queue", tasks.errands)
    monkeypatch.setattr(tasks, "_warm", lambda: None)
    HERE.add("lost_races")
    tasks._in_child()
    assert HERE.take() == {}


def test_the_ledger_is_counted_when_beat_rings_for_it(rig: Rig) -> None:
    rig.order("freeze", "app")
    rig.clock.advance(entries.SETTLED_SECONDS)
    tasks.count()
    assert rig.counted("events", "repo.frozen") == 1


@pytest.mark.parametrize(("endpoint", "rounds"), [("", 0), ("http://127.0.0.1:4318", 2)])
def test_spans_are_sent_beside_once_a_minute_and_only_where_somebody_listens(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, endpoint: str, rounds: int
) -> None:
    told: list[tuple[str, ...]] = []

    class Errands:
        def start(self, *words: str) -> bool:
            told.append(words)
            return True

    monkeypatch.setattr(tasks, "errands", Errands)
    monkeypatch.setattr(bootstrap, "load", lambda: Settings(otel_endpoint=endpoint))
    for _ in range(4):
        tasks.traces()
        rig.clock.advance(30)
    assert told == [("traces", "--errand")] * rounds


def test_what_a_turn_counted_is_written_down_after_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the forge's calls are, which only a worker makes."""
    monkeypatch.setattr(bootstrap, "load", lambda: Settings(data_dir=tmp_path))
    tasks.bench.cache_clear()
    try:
        runner = ScriptedRunner(meanwhile=lambda: HERE.add("calls", "forge", "land", "ok"))
        commands = {"analyst": AgentCommand("analyst", ("true",))}
        bench = replace(tasks.bench(), runner=runner, commands=commands)
    finally:
        tasks.bench.cache_clear()
    rig.workers()
    rig.task("APP-1")
    (claimed,) = rig.tick().claimed
    worker.work_on(rig.line, bench, claimed.claim)
    assert rig.counted("calls", "forge|land|ok") == 1
    assert HERE.take() == {}


def test_every_forge_that_is_built_is_counted(tmp_path: Path) -> None:
    _, forge = bootstrap._git(Settings(data_dir=tmp_path))
    HERE.take()
    gone = Remote("app", str(tmp_path / "gone.git"))
    with pytest.raises(GitError) as failed:
        forge.look(gone)
    assert HERE.take()["calls", f"forge|look|{failed.value.code}"] == 1
