"""Suspended agents: nothing new for them, shown everywhere, and over when their time is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from orch import agents, controls, dispatcher
from orch.errors import BadInput, NotFound
from orch.store import fleet
from orch.store.moments import DATABASE_TIME
from orch.store.schema import wakes
from orch.store.session import Connection
from tests.factories import Rig, dump

A, B, C = "A-1", "B-2", "C-3"


def suspend(rig: Rig, agent: str = "analyst", seconds: float | None = 3600) -> bool:
    """As the end of a turn does that met a limit."""
    until = None if seconds is None else rig.clock() + timedelta(seconds=seconds)
    return rig.store.write(
        lambda conn: fleet.suspend(conn, agent, until, "the limit is reached", rig.clock())
    )


def add(rig: Rig, item: str, repo: str = "app") -> None:
    """A task that comes in as it does in life, with its mark."""
    controls.add_task(rig.line, controls.NewTask(item, repo), "ann")


def marks(rig: Rig) -> int:
    return len(dump(rig.store)[wakes.name])


def test_a_suspended_agent_starts_nothing_and_the_others_go_on(rig: Rig) -> None:
    rig.workers()
    rig.task(A)
    rig.task(B, "development", repo="lib")
    assert suspend(rig)
    claimed = rig.tick().claimed
    assert [each.claim.agent for each in claimed] == ["developer"]
    assert rig.job(A)["status"] == "queued"


def test_what_came_meanwhile_starts_at_the_end_without_a_mark_or_a_sweep(rig: Rig) -> None:
    rig.workers()
    suspend(rig)
    for number in range(3):
        add(rig, f"T-{number}", repo=f"repo-{number}")
    assert dispatcher.tick(rig.line).claimed == []
    assert marks(rig) == 0
    rig.clock.advance(3595)
    rig.workers()
    assert dispatcher.tick(rig.line).claimed == []
    rig.clock.advance(5)
    done = dispatcher.tick(rig.line)
    assert (len(done.claimed), done.expired) == (3, 1)
    assert dispatcher.sweep(rig.line) == 0


def test_a_job_given_back_under_a_suspension_starts_when_it_ends(rig: Rig, tmp_path: Path) -> None:
    rig.workers()
    add(rig, A)
    (claimed,) = dispatcher.tick(rig.line).claimed
    suspend(rig)
    rig.order("freeze", "app")
    assert rig.work(claimed.claim, tmp_path) == "released"
    rig.order("unfreeze", "app")
    assert dispatcher.tick(rig.line).claimed == []
    rig.clock.advance(3601)
    rig.workers()
    assert len(dispatcher.tick(rig.line).claimed) == 1


def test_lifting_it_lets_what_waits_start_at_the_next_tick(rig: Rig) -> None:
    rig.workers()
    suspend(rig)
    add(rig, A)
    dispatcher.tick(rig.line)
    rig.queue.clear_kick()
    rung = rig.queue.kicked
    answer = agents.resume(rig.line, "analyst", "ann", "the limit was raised")
    assert (answer["changed"], answer["suspended_until"], answer["slots"]) == (True, None, 50)
    assert rig.queue.kicked == rung + 1
    assert len(dispatcher.tick(rig.line).claimed) == 1
    (event,) = rig.events("agent.resumed")
    assert (event["actor"], event["reason"]) == ("ann", "the limit was raised")
    assert event["data"] == {"agent": "analyst"}
    assert agents.resume(rig.line, "analyst", "ann")["changed"] is False
    assert len(rig.events("agent.resumed")) == 1


def test_the_longest_suspension_counts_and_is_written_down_once(rig: Rig) -> None:
    assert [suspend(rig, seconds=seconds) for seconds in (600, 600, 60, -5, 900)] == [
        True, False, False, False, True,
    ]  # fmt: skip
    told = rig.events("agent.suspended")
    ends = [(rig.clock() + timedelta(seconds=seconds)).isoformat() for seconds in (600, 900)]
    assert [event["data"] for event in told] == [{"agent": "analyst", "until": end} for end in ends]
    assert {(event["actor"], event["reason"]) for event in told} == {
        ("orch", "the limit is reached")
    }


def test_a_limit_that_is_over_by_now_suspends_nobody(rig: Rig) -> None:
    assert suspend(rig, seconds=-5) is False
    assert suspend(rig, seconds=0) is False
    assert rig.events("agent.suspended") == []


def test_without_a_time_it_lasts_a_quarter_of_an_hour(rig: Rig) -> None:
    suspend(rig, seconds=None)
    rig.clock.advance(fleet.SUSPENSION - 1)
    assert rig.shown()["agents"]["analyst"]["suspended_until"] is not None
    rig.clock.advance(1)
    assert rig.shown()["agents"]["analyst"]["suspended_until"] is None


def test_its_end_is_written_down_once_by_a_tick(rig: Rig) -> None:
    suspend(rig)
    rig.clock.advance(3600)
    assert dispatcher.tick(rig.line).expired == 1
    (event,) = rig.events("agent.resumed")
    assert (event["actor"], event["reason"]) == ("orch", "its time was over")
    assert dispatcher.tick(rig.line).expired == 0
    assert suspend(rig)


def test_the_snapshot_and_why_say_who_is_suspended_until_when_and_why(rig: Rig) -> None:
    rig.workers()
    rig.task(A)
    rig.task(B)
    suspend(rig)
    end = rig.clock() + timedelta(hours=1)
    known = rig.shown()["agents"]["analyst"]
    assert (known["suspended_until"], known["suspended_reason"], known["slots"]) == (
        end, "the limit is reached", 0,
    )  # fmt: skip
    assert rig.waiting()[A]["hold"] == "suspended"
    assert rig.waiting()[B]["hold"] is None
    found = rig.why(A)
    assert found["suspended"] == {
        "agent": "analyst",
        "until": end,
        "reason": "the limit is reached",
        "clear_with": "orch agent resume analyst",
    }
    assert found["sentence"] == (
        f"{A} may start, but analyst is suspended until {end:%Y-%m-%d %H:%M} UTC: "
        "the limit is reached."
    )
    rig.clock.advance(3600)
    rig.workers()
    assert rig.why(A)["suspended"] is None


def test_an_agent_without_workers_waits_for_one_first(rig: Rig) -> None:
    rig.task(A)
    suspend(rig)
    assert rig.waiting()[A]["hold"] == "no-worker"


def test_a_person_may_suspend_an_agent_for_a_reason(rig: Rig) -> None:
    end = rig.clock() + timedelta(hours=2)
    answer = agents.suspend(rig.line, "deployer", "ann", "change freeze", end)
    assert (answer["changed"], answer["suspended_until"]) == (True, end)
    (event,) = rig.events("agent.suspended")
    assert (event["actor"], event["reason"]) == ("ann", "change freeze")
    with pytest.raises(BadInput):
        agents.suspend(rig.line, "deployer", "ann", " ")
    with pytest.raises(NotFound) as refused:
        agents.suspend(rig.line, "deploier", "ann", "because")
    assert refused.value.facts["did_you_mean"][0] == "deployer"


def test_every_agent_is_listed(rig: Rig) -> None:
    rig.workers(slots=2)
    suspend(rig, "tester")
    rows = {row["agent"]: row for row in agents.listed(rig.line)}
    assert len(rows) == 6
    assert (rows["tester"]["slots"], rows["reviewer"]["slots"]) == (0, 2)


def test_it_is_measured_with_the_databases_clock_as_well(rig: Rig) -> None:
    def act(conn: Connection) -> list[bool]:
        return [
            fleet.suspend(conn, "analyst", None, "r", DATABASE_TIME),
            bool(fleet.clear_expired(conn, DATABASE_TIME)),
            fleet.lift(conn, "analyst", DATABASE_TIME),
            fleet.lift(conn, "analyst", DATABASE_TIME),
        ]

    assert rig.store.write(act) == [True, False, True, False]


def test_of_all_who_ask_one_gets_the_turn(rig: Rig) -> None:
    def ask(name: str = "monitor") -> bool:
        return rig.store.write(lambda conn: fleet.take_turn(conn, name, rig.clock(), 60))

    assert [ask(), ask(), ask("upkeep")] == [True, False, True]
    rig.clock.advance(59)
    assert ask() is False
    rig.clock.advance(1)
    assert [ask(), ask()] == [True, False]
