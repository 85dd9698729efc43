"""Where a task's time went: every second counts for one reason, and nothing is guessed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from orch import spans
from orch.spans import Span

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def told(kind: str, seconds: float, **more: Any) -> dict[str, Any]:
    blank = {"kind": kind, "at": at(seconds), "actor": "ann", "reason": "", "job_id": None}
    return {**blank, "data": {}, **more}


def span(why: str, since: float, until: float) -> Span:
    return Span(why, at(since), at(until))


def lengths(found: list[Span]) -> list[tuple[str, float, bool]]:
    return [(each.why, each.seconds, each.goes_on) for each in found]


def test_a_moment_with_several_reasons_counts_for_the_first() -> None:
    found = [span("freeze", 10, 50), span("line", 0, 60), span("pause", 30, 40)]
    assert spans.spent(BEGIN, at(60), found) == {"pause": 10, "freeze": 30, "line": 20}


def test_two_spans_of_one_reason_that_overlap_count_once() -> None:
    found = [span("freeze", 0, 30), span("freeze", 20, 40)]
    assert spans.spent(BEGIN, at(40), found) == {"freeze": 40}


def test_all_of_the_time_is_put_down_and_what_lies_outside_is_left_out() -> None:
    found = [span("work", -20, 10), span("freeze", 90, 500), span("line", 20, 20)]
    spent = spans.spent(BEGIN, at(100), found)
    assert spent == {"work": 10, "freeze": 10, "idle": 80}


def test_a_clock_that_went_backwards_makes_no_time() -> None:
    assert spans.spent(BEGIN, at(10), [span("work", 8, 2)]) == {"idle": 10}


def test_pauses_are_told_apart_by_what_they_wait_for() -> None:
    asked = {"verdict": "needs_input"}
    ledger = [
        told("task.paused", 0), told("task.resumed", 5),
        told("job.succeeded", 10, job_id=1, data=asked), told("task.paused", 10, actor="orch"),
        told("task.resumed", 30), told("task.answered", 30),
        told("job.succeeded", 40, job_id=2), told("task.approval_asked", 40),
        told("task.paused", 40, actor="orch"), told("task.resumed", 47), told("task.moved", 47),
        told("task.approved", 47), told("task.paused", 50, actor="orch"),
    ]  # fmt: skip
    assert lengths(spans.pauses(ledger, at(60))) == [
        ("pause", 5, False), ("answer", 20, False), ("approval", 7, False), ("pause", 10, True),
    ]  # fmt: skip


def test_a_person_who_parks_a_task_that_asked_before_does_not_answer_for_it() -> None:
    asked = told("job.succeeded", 0, job_id=1, data={"verdict": "needs_input"})
    ledger = [asked, told("task.paused", 1, actor="ann"), told("task.cancelled", 4)]
    assert lengths(spans.pauses(ledger, at(9))) == [("pause", 3, False)]


def test_a_drained_pause_becomes_the_wait_for_approval_that_follows() -> None:
    ledger = [
        told("task.paused", 0), told("task.approval_asked", 6), told("task.paused", 6),
    ]  # fmt: skip
    assert lengths(spans.pauses(ledger, at(10))) == [("pause", 6, False), ("approval", 4, True)]


def test_a_job_that_went_back_waits_and_works_again() -> None:
    rows = [{"job_id": 1, "queued_at": at(0), "finished_at": at(50)}]
    ledger = [
        told("job.queued", 0, job_id=1), told("job.claimed", 4, job_id=1),
        told("job.started", 5, job_id=1), told("job.reaped", 20, job_id=1),
        told("job.claimed", 30, job_id=1), told("job.failed", 50, job_id=1),
    ]  # fmt: skip
    assert lengths(spans.of_jobs(ledger, rows, at(99))) == [
        ("line", 4, False), ("work", 16, False), ("line", 10, False), ("work", 20, False),
    ]  # fmt: skip


def test_a_job_written_by_hand_waits_from_the_time_in_its_row() -> None:
    rows = [{"job_id": 7, "queued_at": at(3), "finished_at": None}]
    assert lengths(spans.of_jobs([], rows, at(10))) == [("line", 7, True)]
    claimed = [told("job.claimed", 5, job_id=7)]
    assert lengths(spans.of_jobs(claimed, rows, at(10))) == [("line", 2, False), ("work", 5, True)]


def test_a_job_that_ended_without_an_event_is_not_guessed_at() -> None:
    rows = [{"job_id": 7, "queued_at": at(3), "finished_at": at(5)}]
    assert spans.of_jobs([], rows, at(10)) == []


def test_every_reason_has_words() -> None:
    assert {"work", "line", "idle"} <= set(spans.REASONS)
    assert all(spans.REASONS.values())
