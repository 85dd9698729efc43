"""One trace per task, told from the ledger: all stretches that are over, perhaps twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from orch import controls, tally, tracing
from orch.controls import NewTask
from orch.ports import AgentResult
from orch.store import claims, entries, work
from orch.store.schema import events, jobs
from orch.traces import Span, span_of
from tests.factories import PASSED, Rig, ScriptedRunner


class Heard:
    """A collector that remembers, and refuses when told to."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.refuses = False

    def send(self, spans: Sequence[Span]) -> str:
        if self.refuses:
            return "no"
        self.spans += spans
        return ""

    def named(self, name: str) -> Span:
        (one,) = {each.id: each for each in self.spans if each.name == name}.values()
        return one


@pytest.fixture
def heard(rig: Rig) -> Heard:
    """A collector that listens from now on."""
    collector = Heard()
    tracing.send(rig.line, collector)
    return collector


def sent(rig: Rig, collector: Heard) -> tracing.Sent:
    rig.clock.advance(entries.SETTLED_SECONDS)
    return tracing.send(rig.line, collector)


def added(rig: Rig, item: str, **more: object) -> None:
    controls.add_task(rig.line, NewTask(item, "app", **more), "ann")  # type: ignore[arg-type]


def worked(rig: Rig, folder: Path, result: AgentResult = PASSED, seconds: float = 100) -> str:
    """A tick, and what came of the turn, which took so long."""
    rig.tick()
    (claim,) = rig.queue.take()
    return rig.work(claim, folder, ScriptedRunner(result, lambda: rig.clock.advance(seconds)))


def test_a_task_is_one_trace_of_waits_and_jobs_from_its_beginning_to_its_end(
    rig: Rig, heard: Heard, tmp_path: Path
) -> None:
    added(rig, "ONE-1", track="docs")
    begin = rig.clock()
    usage = {"cost_usd": 0.5, "input_tokens": 9}
    while rig.row("ONE-1")["stage"] != "done":
        rig.clock.advance(5)
        rig.workers()  # heard of again
        worked(rig, tmp_path, AgentResult("exited", 0, "pass", usage=usage))
    end = rig.clock()
    assert sent(rig, heard).failed == ""
    root = heard.named("task")
    assert (root.parent, root.began, root.ended) == ("", begin, end)
    assert root.facts["orch.outcome"] == "done"
    assert {each.trace for each in heard.spans} == {root.trace}
    assert {each.parent for each in heard.spans if each is not root} == {root.id}
    names = [each.name for each in heard.spans if each is not root]
    stages = ("analysis", "development", "review", "deploy")
    assert names == [f"{kind} {stage}" for stage in stages for kind in ("wait", "job")]
    job = heard.named("job development")
    assert (job.ended - job.began).total_seconds() == 100
    expected = {"orch.agent": "developer", "orch.attempt": 1, "orch.outcome": "succeeded"}
    expected |= {"orch.cost_usd": 0.5, "orch.input_tokens": 9, "orch.work_item_id": "ONE-1"}
    assert expected.items() <= job.facts.items()
    wait = heard.named("wait development")
    assert ((wait.ended - wait.began).total_seconds(), wait.ended) == (5, job.began)


def test_a_failure_says_why_and_a_wait_after_it_what_it_followed(
    rig: Rig, heard: Heard, tmp_path: Path
) -> None:
    rig.workers()
    added(rig, "BAD-1")
    failed = AgentResult("exited", 1, detail="it fell\nover")
    assert worked(rig, tmp_path, failed) == "retry"
    sent(rig, heard)
    job = heard.named("job analysis")
    assert job.facts["orch.outcome"] == "agent_failed"
    assert job.failed
    assert "\n" not in job.failed


def test_what_was_given_back_and_taken_again_is_two_jobs_and_two_waits(
    rig: Rig, heard: Heard
) -> None:
    rig.workers()
    added(rig, "BACK-1")
    claim = rig.started("BACK-1")
    rig.clock.advance(3)
    rig.store.write(lambda conn: claims.release(conn, claim, rig.clock(), reason="the gate closed"))
    rig.clock.advance(4)
    rig.started("BACK-1")
    sent(rig, heard)
    waits = [each for each in heard.spans if each.name == "wait analysis"]
    assert [each.facts.get("orch.wait.reason") for each in waits] == [None, "the gate closed"]
    assert [each.facts["orch.wait.after"] for each in waits] == ["queued", "released"]
    assert heard.named("job analysis").facts["orch.outcome"] == "released"
    assert len({each.id for each in heard.spans}) == len(heard.spans) == 3


def test_a_cancelled_task_ends_its_trace_and_its_waiting_job(rig: Rig, heard: Heard) -> None:
    added(rig, "GONE-1")
    rig.clock.advance(6)
    rig.order("cancel", "GONE-1")
    sent(rig, heard)
    assert heard.named("task").facts["orch.outcome"] == "cancelled"
    wait = heard.named("wait analysis")
    assert (wait.ended - wait.began).total_seconds() == 6


def test_the_first_round_begins_with_what_comes(rig: Rig) -> None:
    added(rig, "PAST-1")
    rig.clock.advance(60)
    collector = Heard()
    tracing.send(rig.line, collector)
    rig.order("cancel", "PAST-1")
    sent(rig, collector)
    assert sorted(each.name for each in collector.spans) == ["task", "wait analysis"]


def test_what_was_not_taken_is_sent_again_and_is_the_same(rig: Rig, heard: Heard) -> None:
    added(rig, "AGAIN-1")
    rig.order("cancel", "AGAIN-1")
    heard.refuses = True
    assert sent(rig, heard).failed == "no"
    assert rig.counted("spans", "failed") == 2
    heard.refuses = False
    assert sent(rig, heard).spans == 2
    first = [each.id for each in heard.spans]
    # A reader that did not get to note its place tells the same again.
    rig.store.write(lambda conn: entries.advance(conn, tracing.READER, rig.clock(), 0))
    assert sent(rig, heard).spans == 2
    assert [each.id for each in heard.spans] == first * 2
    assert rig.counted("spans", "sent") == 4


def test_what_nobody_takes_for_a_day_is_given_up_so_that_the_rest_can_go(
    rig: Rig, heard: Heard
) -> None:
    added(rig, "POISON-1")
    rig.order("cancel", "POISON-1")
    heard.refuses = True
    sent(rig, heard)
    rig.clock.advance(tracing.PATIENCE.total_seconds() + 1)
    assert sent(rig, heard).spans == 0
    assert rig.counted("spans", "dropped") == 2
    heard.refuses = False
    added(rig, "GOOD-1")
    rig.order("cancel", "GOOD-1")
    sent(rig, heard)
    assert {each.facts["orch.work_item_id"] for each in heard.spans} == {"GOOD-1"}


def test_a_long_ledger_is_sent_in_batches_until_somebody_asks_to_go(
    rig: Rig, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "BATCH", 3)
    for number in range(5):
        added(rig, f"MANY-{number}")
        rig.order("cancel", f"MANY-{number}")
    rig.clock.advance(60)
    rounds = iter([False, True])
    tracing.send(rig.line, heard, lambda: next(rounds))
    assert len(heard.spans) < 10
    sent(rig, heard)
    assert len({each.id for each in heard.spans}) == len(heard.spans) == 10


def test_tracing_and_counting_read_the_ledger_each_at_their_own_place(
    rig: Rig, heard: Heard
) -> None:
    added(rig, "BOTH-1")
    sent(rig, heard)
    assert tally.count_ledger(rig.line) > 0
    rig.order("cancel", "BOTH-1")
    sent(rig, heard)
    assert rig.counted("events", "task.created") == 1
    assert heard.named("task").id == span_of(heard.named("task").trace, "task")


def test_a_row_that_another_program_wrote_waits_from_its_own_time(rig: Rig, heard: Heard) -> None:
    rig.workers()
    rig.task("HAND-1")
    rig.clock.advance(8)
    rig.claimed("HAND-1")
    sent(rig, heard)
    wait = heard.named("wait analysis")
    assert (wait.ended - wait.began).total_seconds() == 9


def test_what_is_about_no_task_brings_no_span(rig: Rig, heard: Heard) -> None:
    rig.order("freeze", "app")
    rig.store.write(lambda conn: work.enqueue_job(conn, "analyst", "app", None, 99, rig.clock()))
    assert sent(rig, heard).spans == 0
    assert heard.spans == []


def test_no_odd_row_stops_the_telling(rig: Rig, heard: Heard) -> None:
    added(rig, "ODD-1")
    odd = update(jobs).values(usage=[1], stage=None)
    rig.store.write(lambda conn: conn.execute(odd))
    about = {"task_id": rig.row_id("ODD-1"), "job_id": rig.job("ODD-1")["id"]}
    told = [{"at": rig.clock(), "kind": kind, "data": [1], **about}
            for kind in ("job.failed", "task.landed", "job.claimed", "task.landed")]  # fmt: skip
    rig.store.write(lambda conn: conn.execute(insert(events), told))
    assert sent(rig, heard).failed == ""
    assert [each.name for each in heard.spans] == ["wait", "wait"]
