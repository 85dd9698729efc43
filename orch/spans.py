"""Where a task's time went: spans read from the ledger, and each moment put down to one reason.

Pure: events and rows in, spans out. What no event tells is not guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

Told = Mapping[str, Any]
"""One event of the ledger."""

REASONS: Final[dict[str, str]] = {
    "work": "an agent was at work",
    "approval": "waited for a person's approval",
    "answer": "waited for an answer",
    "pause": "parked",
    "freeze": "its repo was frozen",
    "dependency": "waited for a task it depends on",
    "backoff": "a further attempt waited for its time",
    "line": "waited for its turn, a slot or a worker",
    "idle": "had no job, and no event says why",
}
"""In the order of precedence: a moment that several things explain counts for the first."""

QUEUES: Final = frozenset({"job.queued", "job.released", "job.reaped"})
ENDS: Final = frozenset({"job.succeeded", "job.failed", "job.cancelled"})
OVER: Final = frozenset({"task.resumed", "task.cancelled"})


@dataclass(frozen=True)
class Span:
    """A stretch of time with its reason; what still goes on ends at the moment of the story."""

    why: str
    since: datetime
    until: datetime
    by: str = ""
    reason: str = ""
    job_id: int | None = None
    goes_on: bool = False

    @property
    def seconds(self) -> float:
        """How long it was; never below zero."""
        return max(0.0, (self.until - self.since).total_seconds())


def pauses(told: Iterable[Told], end: datetime) -> list[Span]:
    """The times a task was parked, told apart by what it waited for."""
    found: list[Span] = []
    open_: Span | None = None
    approval = question = False
    for each in told:
        kind, at = each["kind"], each["at"]
        if kind in ENDS:
            question = each["data"].get("verdict") == "needs_input"
        elif kind == "task.approval_asked":
            approval = True
        elif kind in ("task.approved", "task.rejected", "task.moved"):
            approval = False
        elif open_ is not None and kind in OVER | {"task.paused"}:
            found.append(_ended(open_, at))
            open_ = None
        if kind == "task.paused":
            asks = "answer" if question and each["actor"] == "orch" else "pause"
            why = "approval" if approval else asks
            open_ = Span(why, at, end, each["actor"], each["reason"], goes_on=True)
    return [*found, open_] if open_ is not None else found


def of_jobs(told: Iterable[Told], jobs: Sequence[Told], end: datetime) -> list[Span]:
    """The times a task's jobs waited (`line`) and were taken (`work`)."""
    told = [each for each in told if each["job_id"] is not None]
    queued = {each["job_id"] for each in told if each["kind"] == "job.queued"}
    # A row that another program wrote has no event of its own, but its time.
    open_ = {
        job["job_id"]: Span("line", job["queued_at"], end, job_id=job["job_id"], goes_on=True)
        for job in jobs
        if job["job_id"] not in queued and job["queued_at"] is not None
    }
    found: list[Span] = []
    for each in told:
        kind, job_id = each["kind"], each["job_id"]
        after = "line" if kind in QUEUES else "work" if kind == "job.claimed" else None
        if after is None and kind not in ENDS:
            continue
        before = open_.pop(job_id, None)
        if before is not None:
            found.append(_ended(before, each["at"]))
        if after is not None:
            open_[job_id] = Span(after, each["at"], end, job_id=job_id, goes_on=True)
    known = {job["job_id"] for job in jobs if job["finished_at"] is None}
    return [*found, *(span for job_id, span in open_.items() if job_id in known)]


def spent(begin: datetime, end: datetime, spans: Sequence[Span]) -> dict[str, float]:
    """Seconds per reason from `begin` to `end`; together they are all of that time."""
    changes = [
        (min(max(moment, begin), end), span.why, step)
        for span in spans
        if span.seconds
        for moment, step in ((span.since, 1), (span.until, -1))
    ]
    under_way: Counter[str] = Counter()
    sums, at = dict.fromkeys(REASONS, 0.0), begin
    for moment, why, step in [*sorted(changes), (end, "idle", 0)]:
        reason = next((name for name in REASONS if under_way[name]), "idle")
        sums[reason] += (moment - at).total_seconds()
        under_way[why] += step
        at = moment
    return {why: round(seconds, 3) for why, seconds in sums.items() if seconds}


def _ended(span: Span, at: datetime) -> Span:
    return Span(span.why, span.since, at, span.by, span.reason, span.job_id)
