"""The ledger is counted once each entry, some seconds behind, whoever counts at the same time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from orch import controls, metrics, tally
from orch.controls import NewTask
from orch.counts import Counts
from orch.errors import StoreUnavailable
from orch.ports import AgentResult, Claim
from orch.store import claims, entries, vitals
from orch.store.schema import events, jobs
from orch.store.session import Store
from tests.factories import Rig, ScriptedRunner

USAGE = {"cost_usd": 0.25, "input_tokens": 1000, "cached_input_tokens": 400, "output_tokens": 50}


def counted(rig: Rig) -> dict[str, float]:
    """What the store holds of what the ledger said, `name|label`, after counting the rest."""
    rig.clock.advance(entries.SETTLED_SECONDS)
    tally.count_ledger(rig.line)
    rows = rig.store.read(vitals.counted)
    return {f"{row['name']}|{row['label']}": row["value"] for row in rows}


def worked(rig: Rig, folder: Path, item: str, result: AgentResult, seconds: float = 100) -> str:
    """A tick, and what came of the item's turn, which took so long."""
    rig.tick()
    claim = next(each for each in rig.queue.take() if each.job_id == rig.job(item)["id"])
    return rig.work(claim, folder, ScriptedRunner(result, lambda: rig.clock.advance(seconds)))


def added(rig: Rig, item: str, repo: str = "app") -> None:
    """A task as a person adds it, with its entries in the ledger."""
    controls.add_task(rig.line, NewTask(item, repo), "ann")


def test_a_turn_is_counted_by_stage_agent_and_outcome(rig: Rig, tmp_path: Path) -> None:
    rig.workers()
    added(rig, "ONE-1")
    rig.clock.advance(40)
    passed = AgentResult("exited", 0, "pass", usage=USAGE)
    assert worked(rig, tmp_path, "ONE-1", passed) == "advance"
    found = counted(rig)
    assert found["claims|analyst"] == 1
    assert found["jobs_ended|analysis|succeeded"] == 1
    assert (found["cost_usd|analyst"], found["tokens|analyst|cached_input"]) == (0.25, 400)
    assert (found["events|task.created"], found["events|job.queued"]) == (1, 2)
    assert (
        found["job_wait_seconds_bucket|analysis|60"],
        found["job_wait_seconds_sum|analysis"],
    ) == (1, 40)
    assert (
        found["job_run_seconds_bucket|analysis|300"],
        found["job_run_seconds_sum|analysis"],
    ) == (1, 100)


def test_no_entry_is_counted_twice_and_none_before_it_has_settled(rig: Rig) -> None:
    added(rig, "TWICE-1")
    assert tally.count_ledger(rig.line) == 0
    rig.clock.advance(entries.SETTLED_SECONDS - 1)
    assert tally.count_ledger(rig.line) == 0
    first = counted(rig)
    added(rig, "TWICE-2")
    assert (first["events|task.created"], counted(rig)["events|task.created"]) == (1, 2)
    assert counted(rig) == counted(rig)


def test_a_young_entry_behind_an_old_one_is_waited_for(rig: Rig) -> None:
    told = [
        {"at": rig.clock(), "kind": "repo.frozen"},
        {"at": rig.clock.advance(60), "kind": "repo.unfrozen"},
    ]
    rig.store.write(lambda conn: conn.execute(insert(events), told))
    assert tally.count_ledger(rig.line) == 1
    assert counted(rig)["events|repo.unfrozen"] == 1


def test_a_job_that_went_back_has_waited_and_run_more_than_once(rig: Rig) -> None:
    rig.workers()
    added(rig, "BACK-1")
    rig.clock.advance(3)
    claim = rig.started("BACK-1")
    rig.clock.advance(20)
    rig.store.write(lambda conn: claims.release(conn, claim, rig.clock(), reason="gate", delay=0))
    rig.clock.advance(50)
    rig.started("BACK-1")
    found = counted(rig)
    assert (found["claims|analyst"], found["job_wait_seconds_sum|analysis"]) == (2, 53)
    assert found["job_run_seconds_sum|analysis"] == 20
    assert "jobs_ended|analysis|succeeded" not in found


def test_a_failure_is_counted_by_its_class_and_a_claimless_end_as_a_wait(
    rig: Rig, tmp_path: Path
) -> None:
    rig.workers()
    added(rig, "BAD-1")
    worked(rig, tmp_path, "BAD-1", AgentResult("timeout", usage={"cost_usd": -1.0}))
    added(rig, "BAD-2", "lib")
    rig.clock.advance(7)
    rig.order("cancel", "BAD-2")
    found = counted(rig)
    assert found["jobs_ended|analysis|timeout"] == 1
    assert found["jobs_ended|analysis|cancelled"] == 1
    assert found["job_wait_seconds_bucket|analysis|15"] == 1
    assert "cost_usd|analyst" not in found


def test_a_row_that_another_program_wrote_waits_from_its_own_time(rig: Rig) -> None:
    rig.workers()
    rig.task("HAND-1")
    odd = update(jobs).values(stage="nobody's")
    rig.store.write(lambda conn: conn.execute(odd))
    rig.clock.advance(8)
    rig.claimed("HAND-1")
    assert counted(rig)["job_wait_seconds_sum|other"] == 9


def test_many_who_count_at_once_count_each_entry_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "BATCH", 25)
    told = [{"at": rig.clock(), "kind": "repo.frozen"} for _ in range(300)]
    rig.store.write(lambda conn: conn.execute(insert(events), told))
    rig.clock.advance(60)
    threads = [threading.Thread(target=tally.count_ledger, args=(rig.line,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted(rig)["events|repo.frozen"] == 300


def test_a_round_is_bounded_and_the_next_one_goes_on(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "BATCH", 2)
    told = [{"at": rig.clock(), "kind": "repo.frozen"} for _ in range(tally.BATCHES * 2 + 1)]
    rig.store.write(lambda conn: conn.execute(insert(events), told))
    rig.clock.advance(60)
    assert rig.store.read(lambda conn: entries.behind(conn, tally.READER)) is None
    assert tally.count_ledger(rig.line) == tally.BATCHES * 2
    assert rig.store.read(lambda conn: entries.behind(conn, tally.READER)) == 1
    assert tally.count_ledger(rig.line) == 1


def test_what_a_process_counted_is_kept_while_the_store_is_away(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = Counts()
    counts.add("calls", "forge", "land", "ok")

    def away(*_: object) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(Store, "write", away)
        tally.flush(rig.line, counts)
    counts.add("calls", "forge", "land", "ok")
    tally.flush(rig.line, counts)
    tally.flush(rig.line, counts)
    assert rig.counted("calls", "forge|land|ok") == 2
    assert counts.take() == {}


def test_every_name_the_tally_writes_is_in_the_catalogue(rig: Rig, tmp_path: Path) -> None:
    rig.workers()
    added(rig, "NAME-1")
    worked(rig, tmp_path, "NAME-1", AgentResult("exited", 0, "pass", usage=USAGE))
    histograms = [name for name, known in metrics.STORED.items() if known.buckets]
    known = {
        *metrics.STORED,
        *(f"{name}_{part}" for name in histograms for part in ("sum", "bucket")),
    }
    assert {label.partition("|")[0] for label in counted(rig)} <= known


def test_a_turn_that_was_refused_leaves_no_trace_in_the_sums(rig: Rig, tmp_path: Path) -> None:
    rig.workers()
    added(rig, "OLD-1")
    rig.tick()
    (claim,) = rig.queue.take()
    assert rig.work(Claim(claim.job_id, "stale", claim.agent), tmp_path) == "refused"
    found = counted(rig)
    assert (found["redeliveries_refused|"], found["claims|analyst"]) == (1, 1)


def test_no_odd_row_stops_the_counting(rig: Rig, tmp_path: Path) -> None:
    rig.workers()
    added(rig, "ODD-1")
    worked(rig, tmp_path, "ODD-1", AgentResult("exited", 0, "pass"))
    rig.store.write(lambda conn: conn.execute(update(jobs).values(usage=[1], stage=None)))
    told = [{"at": rig.clock(), "kind": "job.failed", "task_id": 10**9, "job_id": 10**9}]
    rig.store.write(lambda conn: conn.execute(insert(events), told))
    found = counted(rig)
    assert (found["jobs_ended|other|succeeded"], found["jobs_ended|other|failed"]) == (1, 1)
