"""What must be true of the agents' own lines and of the ledger once the work is done."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, TypeVar

from orch import jobs, stages
from tests.acceptance.desk import Mark

T = TypeVar("T")
TURN = ["start", "work", "stop"]
ENDS = {jobs.target(event): f"job.{jobs.target(event)}" for event in ("succeed", "fail", "cancel")}


def by(key: Callable[[T], Any], items: Iterable[T]) -> dict[Any, list[T]]:
    """The items in groups, each in its old order."""
    groups: dict[Any, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def turns(marks: Sequence[Mark]) -> list[list[Mark]]:
    """The marks of each start of an agent; two at once in one repo would show as torn pieces."""
    return [list(marks) for _, marks in groupby(marks, key=lambda mark: mark.turn)]


def one_at_a_time(trace: Sequence[Mark]) -> int:
    """No agent of a repo wrote a line while another was at work there; how many were cut off."""
    cut_off = 0
    for repo, marks in by(lambda mark: mark.repo, trace).items():
        for turn in turns(marks):
            words = [mark.word for mark in turn]
            assert words == TURN[: len(words)], f"two at once in {repo}: {turn}"
            cut_off += words != TURN
    return cut_off


def in_order(trace: Sequence[Mark], tasks: Sequence[dict[str, Any]]) -> None:
    """In each repo a task was worked on only when all older ones were done."""
    number = {task["work_item_id"]: task["id"] for task in tasks}
    for repo, marks in by(lambda mark: mark.repo, trace).items():
        worked_on = [number[item] for item, _ in groupby(marks, key=lambda mark: mark.item)]
        assert worked_on == sorted(set(worked_on)), f"out of order in {repo}: {worked_on}"
        for item, own in by(lambda mark: mark.item, marks).items():
            walked = [stages.STAGES.index(mark.stage) for mark in own]
            assert walked == sorted(walked), f"{item} went back: {own}"


def told_in_full(task: dict[str, Any], events: Sequence[dict[str, Any]]) -> None:
    """The task's events form one unbroken chain from its creation to its present stage, and those
    of each of its jobs one from queued to its end."""
    first, *others = (event for event in events if event["job_id"] is None)
    assert first["kind"] == "task.created", events
    stage = first["to_state"]
    for event in others:
        if event["kind"] == "task.moved":
            assert event["from_state"] == stage, f"a step is missing: {event}"
            assert stages.may_move(stage, event["to_state"]), f"not a step of the table: {event}"
            stage = event["to_state"]
    assert stage == task["stage"]
    own = [event for event in events if event["job_id"] is not None]
    for job_id, told in by(lambda event: event["job_id"], own).items():
        _job_in_full(job_id, told)


def _job_in_full(job_id: int, told: Sequence[dict[str, Any]]) -> None:
    first, *others = told
    assert (first["kind"], first["to_state"]) == ("job.queued", "queued"), told
    state = "queued"
    for event in others:
        before, after = event["from_state"] or state, event["to_state"]
        known = {to for (source, _), to in jobs.TRANSITIONS.items() if source == before}
        assert before == state, f"a step of job {job_id} is missing: {told}"
        assert after in known, f"an impossible step of job {job_id}: {event}"
        state = after
    assert ENDS[state] == others[-1]["kind"], f"job {job_id} never ended: {told}"


def as_often_as_told(trace: Sequence[Mark], events: Sequence[dict[str, Any]]) -> None:
    """Every start of an agent is one the ledger knows of, and none that was not cut off or lost
    came twice."""
    ran = Counter(mark.job for mark in trace if mark.word == "start")
    told = Counter(event["job_id"] for event in events if event["kind"] == "job.started")
    given_back = Counter(
        event["job_id"] for event in events if event["kind"] in ("job.reaped", "job.released")
    )
    for job_id, starts in ran.items():
        assert starts <= told[job_id], f"job {job_id} ran {starts} times, told {told[job_id]}"
        assert told[job_id] <= 1 + given_back[job_id], f"job {job_id} was started twice"
