"""A task from its beginning: stages, attempts, checks, cost, commits, and where its time went.

Everything is read from rows and from the ledger; what neither tells is named under `not_known`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from orch import explain, mirror, spans, stages
from orch.gate_fallback import evaluated
from orch.line import Line
from orch.serial_gate import Gate
from orch.spans import Span, Told
from orch.store import history, past, views
from orch.store.history import EventFilter
from orch.store.session import Connection, Row

EVENTS_READ: Final = 5000
JOBS_READ: Final = 1000
COMMITS: Final = ("base_sha", "head_sha", "tested_sha", "merge_sha")
SAID: Final = ("task.approval_asked", "task.approved", "task.rejected", "task.answered")
SUMMED: Final = ("cost_usd", "turns", "input_tokens", "output_tokens")


def story(line: Line, work_item_id: str) -> dict[str, Any]:
    """Everything that happened to one task. Raises UnknownTask."""

    def look(gate: Gate) -> dict[str, Any]:
        return line.store.survey(lambda conn: _view(conn, line, gate, work_item_id))

    return evaluated(line, look)


def _view(conn: Connection, line: Line, gate: Gate, work_item_id: str) -> dict[str, Any]:
    task = views.task_row(conn, gate, work_item_id)
    if task is None:
        raise mirror.unknown(conn, work_item_id)
    present = mirror.view(conn, line, gate, work_item_id)
    asked = EventFilter(task_id=task["id"], after=0, limit=EVENTS_READ)
    told = [dict(each) for each in history.events_page(conn, asked, history.last_event(conn))]
    jobs = [_job(row) for row in history.jobs_of(conn, task["id"], JOBS_READ)]
    now = present["generated_at"]
    end = _end(task, told, now)
    held = _held(conn, task, told, jobs, end)
    turns = spans.of_jobs(told, jobs, end)
    visits = _visits(task, told, end)
    for job in jobs:
        job |= _times(job["job_id"], turns)
    return {
        "generated_at": now,
        "task": explain.task_entry(task),
        "state": present["state"],
        "sentence": present["sentence"],
        "blockers": present["blockers"],
        "holder": present["holder"],
        "tracker": present["tracker"],
        "ahead": present["ahead"],
        "seconds": Span("", task["created_at"], end).seconds,
        "stages": visits,
        "jobs": jobs,
        "said": [_said(each) for each in told if each["kind"] in SAID],
        "held": [_shown(span) for span in held],
        "spent": spans.spent(task["created_at"], end, [*turns, *held]),
        "commits": {name: task[name] for name in COMMITS},
        "pull": present["pull"],
        "landing": next((job["report"]["landing"] for job in jobs[::-1] if _landed(job)), None),
        "usage": _usage(jobs),
        "not_known": _not_known(task, told, jobs, visits),
    }


def _end(task: Row, told: Sequence[Told], now: datetime) -> datetime:
    """When the story ends: now, or with the task."""
    if task["stage"] not in stages.TERMINAL:
        return now
    last: datetime = told[-1]["at"] if told else task["created_at"]
    return task["finished_at"] or last


def _job(row: Row) -> dict[str, Any]:
    job = {name: value for name, value in row.items() if name != "created_at"}
    return {**job, "queued_at": row["created_at"], "log": f"/jobs/{row['job_id']}/log"}


def _times(job_id: int, turns: Sequence[Span]) -> dict[str, float]:
    mine = [span for span in turns if span.job_id == job_id]
    return {
        name: round(sum(span.seconds for span in mine if span.why == why), 3)
        for name, why in (("waited_seconds", "line"), ("worked_seconds", "work"))
    }


def _held(
    conn: Connection, task: Row, told: Sequence[Told], jobs: Sequence[dict[str, Any]], end: datetime
) -> list[Span]:
    """What kept the task from being worked on, oldest first."""
    found = [*spans.pauses(told, end), *_freezes(conn, task, end), *_before(conn, task, end)]
    for job in jobs:
        if job["queued_at"] < job["available_at"]:
            until, why = min(job["available_at"], end), f"attempt {job['attempt']}"
            found.append(Span("backoff", job["queued_at"], until, "orch", why, job["job_id"]))
    return sorted(found, key=lambda span: span.since)


def _freezes(conn: Connection, task: Row, end: datetime) -> list[Span]:
    found = []
    for row in past.freezes_since(conn, task["repo"], task["id"], task["created_at"]):
        ends = [at for at in (row["cleared_at"], row["expires_at"]) if at is not None]
        until = min([*ends, end])
        since = max(row["frozen_at"], task["created_at"])
        why = f"{row['repo']}: {row['reason']}" if row["reason"] else row["repo"]
        goes_on = until == end and task["stage"] not in stages.TERMINAL
        if since < until:
            found.append(Span("freeze", since, until, row["source"], why, goes_on=goes_on))
    return found


def _before(conn: Connection, task: Row, end: datetime) -> list[Span]:
    found = []
    for row in past.predecessors(conn, task["id"]):
        is_over = row["stage"] in stages.TERMINAL
        until = row["finished_at"] or (row["since"] if is_over else end)
        span = Span(
            "dependency",
            row["since"],
            min(until, end),
            row["source"],
            row["work_item_id"],
            goes_on=not is_over,
        )
        if span.seconds:
            found.append(span)
    return found


def _visits(task: Row, told: Sequence[Told], end: datetime) -> list[dict[str, Any]]:
    """The stages the task went through, in order; one may come again."""
    steps = [
        (each["to_state"], each["at"])
        for each in told
        if each["kind"] in ("task.created", "task.moved", "task.cancelled") and each["to_state"]
    ]
    if not steps or steps[-1][0] != task["stage"]:
        steps.append((task["stage"], None))  # a program put it there, without an event
    leaving = [at for _, at in steps[1:]]
    over = task["stage"] in stages.TERMINAL
    found: list[dict[str, Any]] = []
    for (stage, since), until in zip(steps, [*leaving, None], strict=True):
        is_last = len(found) == len(steps) - 1
        ends = end if is_last and not over else until
        seconds = None if since is None or ends is None else Span("", since, ends).seconds
        found.append({"stage": stage, "since": since, "until": until, "seconds": seconds})
    return found


def _said(told: Told) -> dict[str, Any]:
    wanted = ("at", "kind", "actor", "reason", "from_state", "to_state", "data")
    return {name: told[name] for name in wanted}


def _shown(span: Span) -> dict[str, Any]:
    return {
        "why": span.why,
        "since": span.since,
        "until": None if span.goes_on else span.until,
        "seconds": round(span.seconds, 3),
        "by": span.by,
        "reason": span.reason,
    }


def _landed(job: dict[str, Any]) -> bool:
    return bool(job["report"].get("landing"))


def _usage(jobs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """What the attempts used together, as far as their agents told."""
    return {
        name: sum(job["usage"][name] for job in jobs if _is_told(job, name))
        for name in SUMMED
        if any(_is_told(job, name) for job in jobs)
    }


def _is_told(job: dict[str, Any], name: str) -> bool:
    return isinstance(job["usage"].get(name), int | float)


def _not_known(
    task: Row,
    told: Sequence[Told],
    jobs: Sequence[dict[str, Any]],
    visits: Sequence[dict[str, Any]],
) -> list[str]:
    """What nobody told, each as a sentence."""
    begun = [job for job in jobs if job["started_at"] is not None]
    silent = sum(not _is_told(job, "cost_usd") for job in begun)
    unchecked = sum(not job["report"].get("checks") for job in begun)
    lost = [visit["stage"] for visit in visits if visit["since"] is None]
    said = [
        (silent, f"The cost of {silent} of {len(begun)} attempts: their agents told none."),
        (unchecked, f"Quality checks of {unchecked} of {len(begun)} attempts: none were kept."),
        (lost, f"When it came to {', '.join(lost)}: no event tells."),
        (not begun, "What an agent makes of it: none has begun yet."),
        (begun and not task["base_sha"], "Its base commit: nothing was cut from a remote."),
        (len(told) >= EVENTS_READ, f"What came after its first {EVENTS_READ} events."),
        (len(jobs) >= JOBS_READ, f"Its attempts before the last {JOBS_READ}."),
    ]
    return [sentence for is_so, sentence in said if is_so]
