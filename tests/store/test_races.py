"""Races of two connections on PostgreSQL, each in the order named: the one that comes second ends
cleanly, and the line is as if the two had come one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orch import dispatcher, reaper
from orch.errors import DependencyCycle, IllegalTransition
from orch.store import answers, claims, fleet, freezes, work
from tests.store.interleave import Arena
from tests.store.race_acts import (
    Turn,
    claimed,
    depends,
    end_under,
    enqueue,
    heartbeat,
    order,
    start,
    the_claim,
    tick,
)

pytestmark = pytest.mark.postgres


@pytest.fixture
def arena(emptied_postgres: str) -> Iterator[Arena]:
    arena = Arena(emptied_postgres)
    arena.hire()
    yield arena
    live = "SELECT max(n) FROM (SELECT count(*) n FROM jobs WHERE status IN ('claimed', 'running')"
    assert (arena.ask(f"{live} AND serialised GROUP BY repo) AS per_repo") or 0) <= 1
    arena.close()


# --- claim and claim


def test_of_two_dispatchers_one_claims_and_the_other_finds_nothing(arena: Arena) -> None:
    first = arena.add("A-1")
    held = arena.hold(tick)
    mine, others, _ = arena.against(held, tick)
    assert (mine, others, arena.live()) == ([first], [], ["A-1"])
    assert tick(arena.setup) == []


def test_two_dispatchers_do_not_fill_one_slot_twice(arena: Arena) -> None:
    arena.hire(slots=1)
    first = arena.add("A-1", "alpha")
    held = arena.hold(tick)
    second = arena.add("B-1", "beta")  # of a repo the first one does not look at
    assert arena.against(held, tick) == ([first], [], True)
    assert arena.live() == ["A-1"]
    arena.hire(slots=2)
    assert tick(arena.setup) == [second]


# --- claim and resume


def paused_and_next(arena: Arena) -> tuple[int, int]:
    """A at development and paused, B behind it at its entry."""
    one, two = arena.add("A-1", stage="development"), arena.add("A-2")
    arena.store.write(lambda c: work.set_task_paused(c, one, arena.now))
    arena.pass_time(1)
    return one, two


def test_a_resume_during_a_claim_goes_behind_the_one_admitted(arena: Arena) -> None:
    _, two = paused_and_next(arena)
    held = arena.hold(tick)
    mine, resumed, waited = arena.against(held, order("resume", "A-1"))
    assert (mine, resumed, waited) == ([two], True, True)
    assert arena.live() == ["A-2"]
    assert tick(arena.setup) == []
    assert arena.job("A-1").status == "queued"


def test_a_claim_during_a_resume_leaves_the_repo_to_the_resumed_task(arena: Arena) -> None:
    one, _ = paused_and_next(arena)
    dispatcher.tick(arena.side("other"))
    arena.store.write(lambda c: claims.release(c, the_claim(arena), arena.now, reason="set-up"))
    held = arena.hold(order("resume", "A-1"))
    resumed, mine, waited = arena.against(held, tick)
    assert (resumed, mine, waited) == (True, [], False)
    assert tick(arena.setup) == [one]


# --- claim and freeze


def test_a_freeze_during_a_claim_reaches_the_job_before_its_start(arena: Arena) -> None:
    arena.add("A-1")
    held = arena.hold(tick)
    _, frozen, waited = arena.against(held, order("freeze", "alpha"))
    assert (frozen, waited) == (True, True)
    assert start(the_claim(arena))(arena.setup) == "released"
    assert (arena.job("A-1").status, arena.job("A-1").attempt) == ("queued", 1)
    assert tick(arena.setup) == []


def test_a_claim_during_a_freeze_claims_nothing(arena: Arena) -> None:
    one = arena.add("A-1")
    held = arena.hold(order("freeze", "alpha"))
    frozen, mine, waited = arena.against(held, tick)
    assert (frozen, mine, waited) == (True, [], False)
    assert tick(arena.setup) == []
    arena.store.write(lambda c: freezes.clear_repo_freeze(c, "alpha", arena.now))
    assert tick(arena.setup) == [one]


# --- start, and what closes the gate


@pytest.mark.parametrize(
    "close",
    [order("pause", "A-1"), order("freeze", "alpha"), order("freeze", "al*")],
    ids=["pause", "freeze", "freeze by a glob"],
)
def test_a_start_during_a_pause_or_freeze_hands_the_job_back(arena: Arena, close: Any) -> None:
    arena.add("A-1")
    claim = claimed(arena)
    held = arena.hold(close)
    changed, outcome, waited = arena.against(held, start(claim))
    assert (changed, outcome, waited) == (True, "released", True)
    assert (arena.job("A-1").status, arena.job("A-1").attempt, arena.live()) == ("queued", 1, [])


@pytest.mark.parametrize("kill", [False, True])
def test_a_pause_during_a_start_lets_the_running_job_keep_its_slot(
    arena: Arena, kill: bool
) -> None:
    arena.add("A-1"), arena.add("A-2")
    claim = claimed(arena)
    held = arena.hold(start(claim))
    outcome, changed, waited = arena.against(held, order("pause", "A-1", now=kill))
    assert (outcome, changed, waited) == ("running", True, True)
    assert arena.live() == ["A-1"]
    assert arena.job("A-1").stop_requested == ("paused" if kill else None)
    assert tick(arena.setup) == []


def test_of_two_deliveries_of_one_message_one_starts(arena: Arena) -> None:
    arena.add("A-1")
    claim = claimed(arena)
    held = arena.hold(start(claim))
    mine, other, waited = arena.against(held, start(claim))
    assert (mine, other, waited) == ("running", "refused", True)
    assert arena.ask("SELECT count(*) FROM events WHERE kind = 'job.started'") == 1


# --- finish, heartbeat and reap


def test_a_reap_during_a_finish_finds_the_job_ended(arena: Arena, tmp_path: Path) -> None:
    arena.add("A-1")
    turn = Turn(arena, claimed(arena), tmp_path)
    arena.pass_time(120)
    # The settling write is the first that this side makes: the turn's own line made the start.
    held = arena.hold(lambda line: end_under(turn, line))
    outcome, reaped, waited = arena.against(held, reaper.reap)
    assert (outcome, reaped, waited) == ("advance", 0, True)
    assert arena.job("A-1").agent == "architect"
    assert arena.ask("SELECT count(*) FROM events WHERE kind = 'job.reaped'") == 0


def test_a_finish_during_a_reap_is_stale_and_changes_nothing(arena: Arena, tmp_path: Path) -> None:
    arena.add("A-1")
    turn = Turn(arena, claimed(arena), tmp_path)
    arena.pass_time(120)
    held = arena.hold(reaper.reap)
    reaped, outcome, waited = arena.against(held, turn.end)
    assert (reaped, outcome, waited) == (1, "stale", True)
    job = arena.job("A-1")
    assert (job.status, job.attempt, job.agent) == ("queued", 2, "analyst")
    stale = "SELECT value FROM counters WHERE name = 'stale_writes' AND label = 'finish'"
    assert arena.ask(stale) == 1


def test_a_reap_during_a_heartbeat_leaves_the_renewed_lease_alone(
    arena: Arena, tmp_path: Path
) -> None:
    arena.add("A-1")
    claim = claimed(arena)
    assert start(claim)(arena.setup) == "running"
    arena.pass_time(120)
    held = arena.hold(
        lambda line: line.store.write(lambda c: claims.heartbeat(c, claim, arena.now))
    )
    beat, reaped, waited = arena.against(held, reaper.reap)
    assert (beat, reaped, waited) == ((True, None), 0, True)
    assert arena.live() == ["A-1"]


def test_a_heartbeat_during_a_reap_is_told_that_the_lease_is_lost(arena: Arena) -> None:
    arena.add("A-1")
    claim = claimed(arena)
    assert start(claim)(arena.setup) == "running"
    arena.pass_time(120)
    held = arena.hold(reaper.reap)
    reaped, beat, waited = arena.against(held, heartbeat(claim))
    assert (reaped, beat, waited) == (1, (False, None), True)


def test_of_two_reapers_one_counts_the_attempt(arena: Arena) -> None:
    arena.add("A-1")
    assert start(claimed(arena))(arena.setup) == "running"
    arena.pass_time(120)
    held = arena.hold(reaper.reap)
    assert arena.against(held, reaper.reap) == (1, 0, True)
    assert arena.job("A-1").attempt == 2


# --- a task that ends while its job is given back


def test_a_job_handed_back_while_its_task_is_cancelled_ends(arena: Arena) -> None:
    arena.add("A-1")
    claim = claimed(arena)
    assert order("pause", "A-1")(arena.setup)
    held = arena.hold(order("cancel", "A-1"))
    outcome = arena.against(held, lambda line: line.store.write(
        lambda c: claims.hand_back(c, claim, line.now())
    ))  # fmt: skip
    assert outcome == (True, "cancelled", True)
    assert (arena.job("A-1").status, arena.live()) == ("cancelled", [])


def test_a_job_released_while_its_task_is_cancelled_ends(arena: Arena) -> None:
    arena.add("A-1")
    claim = claimed(arena)
    held = arena.hold(order("cancel", "A-1"))
    arena.against(held, lambda line: line.store.write(
        lambda c: claims.release(c, claim, line.now(), reason="shut down")
    ))  # fmt: skip
    assert (arena.job("A-1").status, arena.live()) == ("cancelled", [])


def test_a_job_reaped_while_its_task_is_cancelled_ends(arena: Arena) -> None:
    arena.add("A-1")
    assert start(claimed(arena))(arena.setup) == "running"
    arena.pass_time(120)
    held = arena.hold(order("cancel", "A-1"))
    assert arena.against(held, reaper.reap) == (True, 1, True)
    assert (arena.job("A-1").status, arena.live()) == ("cancelled", [])


# --- dependencies


def test_a_dependency_declared_while_its_predecessor_ends_holds_nobody(
    arena: Arena, tmp_path: Path
) -> None:
    first, then = arena.add("A-1", stage="deploy"), arena.add("B-1", "beta")
    arena.store.write(lambda c: fleet.leave(c, "agent.analyst", arena.now))
    turn = Turn(arena, claimed(arena), tmp_path)
    held = arena.hold(lambda line: end_under(turn, line))
    assert arena.against(held, depends(then, first)) == ("advance", True, True)
    arena.hire()
    assert tick(arena.setup) == [then]


def test_a_predecessor_that_ends_while_a_dependency_is_declared_opens_the_gate(
    arena: Arena, tmp_path: Path
) -> None:
    first, then = arena.add("A-1", stage="deploy"), arena.add("B-1", "beta")
    arena.store.write(lambda c: fleet.leave(c, "agent.analyst", arena.now))
    turn = Turn(arena, claimed(arena), tmp_path)
    held = arena.hold(depends(then, first))
    assert arena.against(held, turn.end) == (True, "advance", True)
    arena.hire()
    assert tick(arena.setup) == [then]


def test_of_two_opposite_dependencies_the_second_is_refused_as_a_cycle(arena: Arena) -> None:
    one, two = arena.add("A-1"), arena.add("B-1", "beta")
    held = arena.hold(depends(one, two))
    with pytest.raises(DependencyCycle, match="B-1 → A-1 → B-1"):
        arena.against(held, depends(two, one))
    assert arena.ask("SELECT count(*) FROM job_deps") == 1


def test_two_halves_of_a_cycle_over_four_repos_cannot_both_pass(arena: Arena) -> None:
    one, two, three, four = (arena.add(f"{repo}-1", repo) for repo in ("a", "b", "c", "d"))
    assert depends(two, three)(arena.setup)
    assert depends(four, one)(arena.setup)
    held = arena.hold(depends(one, two))  # no repo is in both halves
    with pytest.raises(DependencyCycle, match="c-1 → d-1 → a-1 → b-1 → c-1"):
        arena.against(held, depends(three, four))
    assert arena.ask("SELECT count(*) FROM job_deps") == 3


def test_a_dependency_declared_while_its_task_is_cancelled_is_refused(arena: Arena) -> None:
    one, two = arena.add("A-1"), arena.add("B-1", "beta")
    held = arena.hold(order("cancel", "A-1"))
    assert arena.against(held, depends(one, two)) == (True, False, True)
    assert arena.ask("SELECT count(*) FROM job_deps") == 0


# --- marks


def test_a_tick_during_an_enqueue_leaves_its_mark_to_the_next(arena: Arena) -> None:
    task_id = arena.store.write(lambda c: work.create_task(c, "A-1", "alpha", arena.now)["id"])
    assert tick(arena.setup) == []
    held = arena.hold(enqueue(task_id))
    _, mine, waited = arena.against(held, tick)
    assert (mine, waited) == ([], False)
    assert tick(arena.setup) == [task_id]


def test_an_enqueue_during_a_tick_is_not_lost(arena: Arena) -> None:
    task_id = arena.store.write(lambda c: work.create_task(c, "A-1", "alpha", arena.now)["id"])
    held = arena.hold(tick)
    mine, job_id, _ = arena.against(held, enqueue(task_id))
    assert mine == []
    assert job_id is not None
    assert tick(arena.setup) == [task_id]


def test_asked_twice_at_once_a_task_gets_one_job(arena: Arena) -> None:
    task_id = arena.store.write(lambda c: work.create_task(c, "A-1", "alpha", arena.now)["id"])
    held = arena.hold(enqueue(task_id))
    one, other, waited = arena.against(held, enqueue(task_id))
    assert (one == other, waited) == (True, True)


# --- a person's word


def waiting_for_approval(arena: Arena) -> None:
    """A at its entry, without a job: it passed, and waits for a person."""
    task_id = arena.store.write(
        lambda c: work.create_task(c, "A-1", "alpha", arena.now, stage="analysis")["id"]
    )
    asking = arena.store.write(lambda c: answers.ask_approval(c, task_id, arena.now, "analysis"))
    assert asking


@pytest.mark.parametrize("second", ["approve", "reject"])
def test_of_two_words_at_once_the_first_stands_and_gives_one_job(arena: Arena, second: str) -> None:
    waiting_for_approval(arena)
    held = arena.hold(order("approve", "A-1"))
    if second == "approve":
        assert arena.against(held, order("approve", "A-1")) == (True, False, True)
    else:
        with pytest.raises(IllegalTransition, match="it is at architecture"):
            arena.against(held, order("reject", "A-1"))
    assert arena.ask("SELECT count(*) FROM jobs") == 1
    assert arena.ask("SELECT stage FROM tasks") == "architecture"


def test_a_resume_during_an_approval_finds_the_task_taken_on(arena: Arena) -> None:
    waiting_for_approval(arena)
    held = arena.hold(order("approve", "A-1"))
    assert arena.against(held, order("resume", "A-1")) == (True, False, True)
    assert arena.ask("SELECT count(*) FROM jobs") == 1
