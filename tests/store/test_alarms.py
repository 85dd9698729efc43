"""Alarms about the line itself: told once when they begin, once when they end, if they last."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orch import alarms
from orch.alarms import LASTS
from orch.errors import StoreUnavailable
from orch.store import fleet, watches
from orch.store.moments import Moment
from orch.store.session import Connection, Row
from tests.factories import Rig

BROKER = "the broker does not answer"


def look(rig: Rig, after: float = 0, beats: bool = True) -> list[str]:
    """One look, so many seconds from now, with beat and workers alive; what was told."""
    rig.clock.advance(after)
    if beats:
        rig.store.write(lambda conn: fleet.note_beat(conn, "beat", rig.clock()))
    return alarms.look(rig.line)


def told(rig: Rig, *kinds: str) -> list[tuple[str, str]]:
    return [(kind, event["reason"]) for kind in kinds for event in rig.events(kind)]


def test_a_broker_that_is_away_is_told_once_and_once_when_it_is_back(rig: Rig) -> None:
    rig.queue.down = True
    assert [look(rig), look(rig, LASTS - 1), look(rig, 1), look(rig, 999)] == [[], [], [BROKER], []]
    rig.queue.down = False
    assert [look(rig), look(rig, LASTS - 1), look(rig, 1)] == [[], [], [f"over: {BROKER}"]]
    assert look(rig, 999) == []
    assert told(rig, "line.degraded", "line.recovered") == [
        ("line.degraded", BROKER),
        ("line.recovered", f"over: {BROKER}"),
    ]


def test_a_moment_of_trouble_is_not_told_and_a_moment_of_peace_is_no_end(rig: Rig) -> None:
    rig.queue.down = True
    look(rig)
    rig.queue.down = False
    look(rig, LASTS / 2)
    rig.queue.down = True
    assert [look(rig, LASTS / 2), look(rig, LASTS - 1), look(rig, 1)] == [[], [], [BROKER]]
    for _ in range(3):
        rig.queue.down = not rig.queue.down
        assert look(rig, LASTS - 1) == []
    assert told(rig, "line.recovered") == []


def test_beats_that_stopped_are_told(rig: Rig) -> None:
    look(rig)
    assert look(rig, 100, beats=False) == []
    assert look(rig, LASTS, beats=False) == ["beat last rang 150 s ago"]
    assert look(rig, LASTS) == []
    assert look(rig, LASTS)[0].startswith("over: beat last rang")


def test_an_agent_that_nobody_serves_is_told_when_somebody_waits_for_it(rig: Rig) -> None:
    rig.task("A-1", "development")
    look(rig)
    assert look(rig, LASTS) == ["a job waits for developer, and no worker serves it"]
    (event,) = rig.events("agent.unserved")
    assert event["data"]["about"] == "developer"
    for _ in range(2):
        rig.workers()
        said = look(rig, 40)
    rig.workers()
    said += look(rig, 40)
    assert said == ["over: a job waits for developer, and no worker serves it"]
    assert len(rig.events("agent.served")) == 1


def test_a_task_out_of_the_line_waits_for_no_agent(rig: Rig) -> None:
    rig.task("A-1", "development")
    rig.task("B-2", "review")
    rig.order("pause", "A-1")
    rig.order("depend", "B-2", on="A-1")
    assert [look(rig), look(rig, LASTS)] == [[], []]


def test_claims_that_nobody_starts_are_told(rig: Rig) -> None:
    rig.task("A-1", "development", job="claimed")
    said = []
    for _ in range(4):
        rig.workers()
        said += look(rig, 40)
    assert said == ["1 claimed jobs of developer are not started although workers live"]


def test_an_unreadable_clause_is_told(rig: Rig, break_clause: Callable[..., None]) -> None:
    break_clause("dependency")
    look(rig)
    assert look(rig, LASTS) == ["clause dependency is unreadable"]


def test_what_is_told_elsewhere_is_not_told_here(rig: Rig) -> None:
    assert [look(rig), look(rig, LASTS)] == [[], []]  # agents without workers, and without work


def test_of_two_who_look_at_once_one_tells(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.queue.down = True
    look(rig)
    rig.clock.advance(LASTS)
    rig.store.write(lambda conn: fleet.note_beat(conn, "beat", rig.clock()))
    tell, said = watches.tell_alarm, []

    def after_another(conn: Connection, row: Row, now: Moment) -> bool:
        monkeypatch.undo()
        said.append(tell(conn, row, now))
        return tell(conn, row, now)

    monkeypatch.setattr(watches, "tell_alarm", after_another)
    assert (alarms.look(rig.line), said) == ([], [True])


def test_while_the_database_is_away_nothing_is_written(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailable

    rig.queue.down = True
    with monkeypatch.context() as lost:
        lost.setattr(rig.store, "read", away)
        assert look(rig, beats=False) == []
    assert [look(rig), look(rig, LASTS)] == [[], [BROKER]]
