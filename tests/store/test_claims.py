"""The life of a job: claim, start, heartbeat, release, finish, reap; and stale tokens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update
from sqlalchemy.exc import IntegrityError

from orch import dispatcher
from orch.errors import LostRace
from orch.ports import Claim
from orch.store import claims, endings, looks
from orch.store.schema import jobs
from tests.factories import START, Rig, ScriptedRunner, dump

A, B = "A-1", "B-2"


def claim_in(rig: Rig, slots: dict[str, int], *repos: str) -> list[str]:
    found = rig.store.write(
        lambda conn: looks.claim(conn, rig.gate, list(repos), slots, rig.clock(), token=rig.token())
    )
    return [each.claim.agent for each in found]


# --- claim


def test_a_claim_takes_the_head_of_each_repo_and_leaves_a_trace(rig: Rig) -> None:
    rig.task(A, "development")
    rig.task(B)
    rig.task("LIB-1", repo="lib")
    claim = rig.claimed(A)
    job = rig.job(A)
    assert (job["status"], job["claim_token"], job["claimed_at"]) == (
        "claimed", claim.token, rig.clock(),
    )  # fmt: skip
    assert job["lease_until"] == rig.clock() + timedelta(seconds=60)
    assert job["started_at"] is job["worker"] is None
    (event,) = rig.events("job.claimed")
    assert (event["from_state"], event["to_state"], event["repo"]) == ("queued", "claimed", "app")
    assert rig.job("LIB-1")["status"] == "queued"


def test_no_more_jobs_of_an_agent_are_claimed_than_it_has_slots(rig: Rig) -> None:
    for number in range(4):
        rig.task(f"T-{number}", repo=f"repo-{number}")
    rig.task("D-1", "development", repo="other")
    names = [f"repo-{number}" for number in range(4)] + ["other"]
    assert claim_in(rig, {"analyst": 2}, *names) == ["analyst", "analyst"]
    assert [rig.job(f"T-{number}")["status"] for number in range(4)] == [
        "claimed", "claimed", "queued", "queued",
    ]  # fmt: skip
    assert claim_in(rig, {}, *names) == claim_in(rig, {"analyst": 0}, *names) == []
    assert claim_in(rig, {"developer": 1, "analyst": 0}, *names) == ["developer"]


def test_the_claim_of_the_entry_job_admits_its_task(rig: Rig) -> None:
    rig.task(A)
    assert rig.row(A)["admitted_at"] is None
    rig.claimed(A)
    assert rig.row(A)["admitted_at"] == rig.clock()


def test_the_claim_of_a_later_job_keeps_the_place_in_the_line(rig: Rig) -> None:
    rig.task(A, "review")
    rig.clock.advance(100)
    rig.claimed(A)
    assert rig.row(A)["admitted_at"] == START


def test_a_job_whose_time_has_not_come_is_not_claimed(rig: Rig) -> None:
    rig.task(A)
    later = rig.clock() + timedelta(seconds=30)
    rig.store.write(lambda conn: conn.execute(update(jobs).values(available_at=later)))
    assert (rig.claimable(), rig.reasons()) == (set(), {A: "backoff"})
    rig.clock.now = later
    assert rig.claimable() == {A}


def test_a_job_waiting_for_its_time_keeps_its_tasks_place(rig: Rig) -> None:
    rig.task(A, "development")
    rig.task(B)
    later = rig.clock() + timedelta(seconds=30)
    hurt = update(jobs).where(jobs.c.agent == "developer").values(available_at=later)
    rig.store.write(lambda conn: conn.execute(hurt))
    assert rig.reasons() == {A: "backoff", B: "active-task"}


def test_claim_next_job_claims_for_one_agent_and_none_when_there_is_nothing(rig: Rig) -> None:
    rig.task(A, "development")

    def next_of(agent: str) -> Any:
        return rig.store.write(
            lambda conn: looks.claim_next_job(conn, agent, rig.clock(), "mine", rig.gate)
        )

    assert next_of("analyst") is None
    assert next_of("developer").claim == Claim(rig.job(A)["id"], "mine", "developer")
    assert next_of("developer") is None


def test_the_law_refuses_a_live_job_written_past_the_gate(rig: Rig) -> None:
    rig.task(A)
    other = rig.task("X-1", job=None)
    values = {"agent": "analyst", "repo": "app", "task_id": other, "status": "running"}
    rig.claimed(A)
    with pytest.raises((LostRace, IntegrityError)):
        rig.store.write(lambda conn: conn.execute(insert(jobs).values(**values)))


def test_another_broken_constraint_is_no_lost_race(rig: Rig) -> None:
    task_id = rig.task(A)
    values = {"agent": "analyst", "repo": "app", "task_id": task_id}
    with pytest.raises(IntegrityError):
        rig.store.write(lambda conn: conn.execute(insert(jobs).values(**values)))


# --- start


def test_the_start_takes_the_lease_and_names_the_worker(rig: Rig) -> None:
    rig.task(A)
    rig.started(A)
    job = rig.job(A)
    assert (job["status"], job["worker"], job["started_at"]) == ("running", "w", rig.clock())
    (event,) = rig.events("job.started")
    assert (event["actor"], event["from_state"], event["to_state"]) == ("w", "claimed", "running")


def test_a_message_delivered_twice_starts_once(rig: Rig, tmp_path: Path) -> None:
    rig.task(A)
    claim = rig.claimed(A)
    again: list[str] = []
    runner = ScriptedRunner(meanwhile=lambda: again.append(rig.work(claim, tmp_path)))
    assert rig.work(claim, tmp_path, runner) == "advance"
    assert again == ["refused"]
    assert rig.work(claim, tmp_path) == "refused"
    assert rig.counted("redeliveries_refused") == 2
    assert len(runner.seen) == 1


@pytest.mark.parametrize("how", ["unknown job", "other token"])
def test_a_strange_message_changes_nothing(rig: Rig, tmp_path: Path, how: str) -> None:
    rig.task(A)
    claim = rig.claimed(A)
    strange = (
        Claim(999, claim.token, "analyst") if how == "unknown job"
        else Claim(claim.job_id, "another", "analyst")
    )  # fmt: skip
    before = dump(rig.store, without=["counters"])
    assert rig.work(strange, tmp_path) == "refused"
    assert dump(rig.store, without=["counters"]) == before


# --- a token that no longer holds

STALE: dict[str, Callable[[Connection, Rig, Claim], object]] = {
    "heartbeat": lambda conn, rig, claim: claims.heartbeat(conn, claim, rig.clock()),
    "release": lambda conn, rig, claim: claims.release(conn, claim, rig.clock(), reason="late"),
    "finish": lambda conn, rig, claim: endings.finish(
        conn, claim, rig.clock(), "succeed", verdict="pass"
    ),
}


@pytest.mark.parametrize("write", STALE)
@pytest.mark.parametrize("since", ["reaped", "claimed again", "ended"])
def test_a_stale_token_changes_nothing_and_is_counted(rig: Rig, write: str, since: str) -> None:
    rig.task(A)
    claim = rig.started(A)
    if since == "ended":
        rig.store.write(lambda conn: endings.finish(conn, claim, rig.clock(), "succeed"))
    else:
        rig.clock.advance(61)
        rig.tick()
    if since == "claimed again":
        rig.claimed(A)
    before = dump(rig.store, without=["counters"])
    answer = rig.store.write(lambda conn: STALE[write](conn, rig, claim))
    assert answer in (None, (False, None))
    assert dump(rig.store, without=["counters"]) == before
    assert rig.counted("stale_writes", write) == 1


def test_an_agent_that_outlived_its_lease_is_fenced(rig: Rig, tmp_path: Path) -> None:
    rig.task(A)
    claim = rig.claimed(A)

    def lose() -> None:
        rig.clock.advance(61)
        rig.tick()

    assert rig.work(claim, tmp_path, ScriptedRunner(meanwhile=lose)) == "stale"
    assert (rig.job(A)["status"], rig.job(A)["attempt"]) == ("queued", 2)
    assert rig.row(A)["stage"] == "analysis"


# --- heartbeat, release, finish


def test_the_heartbeat_renews_the_lease_and_brings_the_wish_to_stop(rig: Rig) -> None:
    rig.task(A)
    claim = rig.started(A)
    rig.clock.advance(40)

    def beat() -> tuple[bool, str | None]:
        return rig.store.write(lambda conn: claims.heartbeat(conn, claim, rig.clock()))

    assert beat() == (True, None)
    assert rig.job(A)["lease_until"] == rig.clock() + timedelta(seconds=60)
    rig.order("pause", A, now=True)
    assert beat() == (True, "paused")
    rig.order("cancel", A)
    assert beat() == (True, "cancelled")


def test_released_work_waits_uncounted_at_its_old_place(rig: Rig) -> None:
    rig.task(A)
    rig.task(B)
    claim = rig.started(A)
    rig.store.write(
        lambda conn: claims.release(conn, claim, rig.clock(), reason="shut down", delay=5)
    )
    job = rig.job(A)
    assert (job["status"], job["attempt"], job["lease_until"]) == ("queued", 1, None)
    assert rig.reasons() == {A: "backoff", B: "active-task"}
    (event,) = rig.events("job.released")
    assert event["reason"] == "shut down"
    rig.clock.advance(5)
    assert rig.claimable() == {A}


def test_a_message_the_broker_did_not_take_gives_the_job_back(rig: Rig) -> None:
    rig.task(A)
    rig.workers()
    rig.queue.down = True
    done = rig.tick()
    assert (len(done.claimed), done.unsent) == (1, 1)
    assert (rig.job(A)["status"], rig.job(A)["attempt"]) == ("queued", 1)
    rig.queue.down = False
    assert dispatcher.tick(rig.line).claimed == []
    rig.clock.advance(rig.limits.publish_retry)
    assert [each.claim.job_id for each in dispatcher.tick(rig.line).claimed] == [rig.job(A)["id"]]
    assert len(rig.queue.take()) == 1


def test_one_message_that_cannot_be_sent_leaves_the_others_alone(rig: Rig) -> None:
    rig.task(A)
    rig.task(B, repo="lib")
    rig.workers()
    rig.queue.refuse = {rig.job(A)["id"]}
    assert rig.tick().unsent == 1
    assert (rig.job(A)["status"], rig.job(B)["status"]) == ("queued", "claimed")


# --- reap


def test_a_lost_message_is_found_by_age_and_costs_no_attempt(rig: Rig) -> None:
    rig.task(A)
    rig.task(B)
    rig.claimed(A)
    rig.clock.advance(60)
    assert rig.tick().reaped == 0
    rig.clock.advance(1)
    assert rig.tick().reaped == 1
    job = rig.job(A)
    assert (job["status"], job["attempt"], job["claim_token"]) == ("queued", 1, None)
    assert rig.claimable() == {A}
    assert rig.counted("reaped", "claimed") == 1


def test_a_worker_that_died_costs_an_attempt_and_the_task_keeps_its_place(rig: Rig) -> None:
    rig.task(A)
    rig.task(B)
    rig.started(A)
    rig.clock.advance(10_000)
    assert rig.tick().reaped == 1
    assert (rig.job(A)["status"], rig.job(A)["attempt"]) == ("queued", 2)
    assert rig.claimable() == {A}
    (event,) = rig.events("job.reaped")
    assert (event["from_state"], event["to_state"]) == ("running", "queued")


def test_the_third_loss_parks_the_task_with_the_reason(rig: Rig) -> None:
    rig.task(A)
    rig.task(B)
    for _ in range(3):
        assert rig.row(A)["paused_at"] is None
        rig.started(A)
        rig.clock.advance(61)
        assert rig.tick().reaped == 1
    assert (rig.job(A)["status"], rig.job(A)["failure"]) == ("failed", "lost")
    row = rig.row(A)
    assert (row["paused_at"], row["paused_by"]) == (rig.clock(), "orch")
    assert row["paused_reason"] == "analyst was lost 3 times at analysis"
    assert rig.claimable() == {B}


def test_a_job_told_to_stop_that_died_costs_no_attempt(rig: Rig) -> None:
    rig.task(A)
    rig.started(A)
    rig.order("pause", A, now=True)
    rig.clock.advance(61)
    rig.tick()
    assert (rig.job(A)["status"], rig.job(A)["attempt"]) == ("queued", 1)


def test_a_lost_job_of_a_cancelled_task_ends_and_frees_the_repo(rig: Rig) -> None:
    rig.task(A)
    rig.task(B)
    rig.started(A)
    rig.order("cancel", A)
    assert rig.reasons() == {B: "active-task"}
    rig.clock.advance(61)
    rig.tick()
    assert (rig.job(A)["status"], rig.job(A)["failure"]) == ("cancelled", "cancelled")
    assert rig.claimable() == {B}


def test_a_running_job_written_by_hand_without_a_lease_is_reaped_by_its_start(rig: Rig) -> None:
    task_id = rig.task(A, job=None)
    rig.task(B)
    by_hand = {"agent": "analyst", "repo": "app", "task_id": task_id, "status": "running"}
    rig.store.write(
        lambda conn: conn.execute(insert(jobs).values(**by_hand, started_at=rig.clock()))
    )
    rig.clock.advance(59)
    assert rig.tick().reaped == 0
    assert rig.reasons() == {B: "active-task"}
    rig.clock.advance(2)
    assert rig.tick().reaped == 1
    assert rig.job(A)["status"] == "queued"


def test_the_reaper_cannot_take_a_job_that_was_renewed_meanwhile(rig: Rig) -> None:
    rig.task(A)
    claim = rig.started(A)
    rig.clock.advance(61)
    seen = rig.job(A)
    rig.store.write(lambda conn: claims.heartbeat(conn, claim, rig.clock()))
    taken = rig.store.write(lambda conn: claims.requeue_overdue(conn, seen, rig.clock()))
    assert (taken, rig.job(A)["status"]) == (None, "running")
