"""Tells a collector where each task's time went: one trace from enqueue to landing, span by span.

The spans follow from the ledger, read by a place of its own. What could not be sent is sent later,
for a day; nothing of the line waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog

from orch import metrics, names, stages
from orch.line import Line
from orch.store import entries, history, ledger, views
from orch.store.session import Connection
from orch.traces import Collector, Fact, Span, span_of, trace_of

log = structlog.get_logger(__name__)

READER: Final = "traces"
"""Whose place in the ledger it is."""
BATCH: Final = 500
PATIENCE: Final = timedelta(days=1)
"""For so long a batch is tried again. A collector may refuse one for good, and then nothing after
it would ever be sent."""
WORDS: Final = 500
"""Characters of a reason that go with a span."""
QUEUED: Final = {"job.queued": "queued", "job.released": "released", "job.reaped": "reaped"}
USAGE: Final = ("cost_usd", "input_tokens", "cached_input_tokens", "output_tokens", "turns")


@dataclass
class Sent:
    """What a round came to."""

    spans: int = 0
    failed: str = ""
    """Why the round ended before its time; empty when all was sent."""


def send(line: Line, collector: Collector, leaving: Callable[[], bool] = lambda: False) -> Sent:
    """Send what the ledger has told since the last round; the first one begins with what comes."""
    done = Sent()
    after = begin(line)
    while not leaving():
        rows, moment = line.store.read(partial(_read, line=line, after=after))
        if not rows:
            break
        spans = [span for row in rows for span in spans_of(row)]
        done.failed = collector.send(spans) if spans else ""
        outcome = _outcome(rows, moment, done.failed)
        line.store.write(partial(_note, line=line, after=after, rows=rows, told=(outcome, spans)))
        if outcome == "failed":
            log.warning("traces.failed", spans=len(spans), error=done.failed)
            break
        done.spans += len(spans) if outcome == "sent" else 0
        after = rows[-1]["id"]
    return done


def begin(line: Line) -> int:
    """See that there is a place in the ledger to go on from: the first time it is its end."""
    return line.store.write(_begun)


def _begun(conn: Connection) -> int:
    entries.begin(conn, READER, history.last_event(conn))
    return entries.place(conn, READER) or 0


def _read(conn: Connection, line: Line, after: int) -> tuple[list[dict[str, Any]], datetime]:
    now = line.now()
    return entries.read_on(conn, now, after, BATCH), views.moment(conn, now)


def _outcome(rows: list[dict[str, Any]], moment: datetime, failed: str) -> str:
    if not failed:
        return "sent"
    return "dropped" if rows[-1]["at"] < moment - PATIENCE else "failed"


def _note(
    conn: Connection,
    line: Line,
    after: int,
    rows: list[dict[str, Any]],
    told: tuple[str, list[Span]],
) -> None:
    outcome, spans = told
    if spans:
        ledger.count_all(conn, {metrics.key("spans", outcome): float(len(spans))})
    # Another host may have been faster: nobody goes back.
    if outcome != "failed" and entries.place(conn, READER) == after:
        entries.advance(conn, READER, line.now(), rows[-1]["id"])


def spans_of(row: Mapping[str, Any]) -> Iterable[Span]:
    """What one entry of the ledger brings to an end: a wait, a job, a landing, a task."""
    if row["work_item_id"] is None:  # not about a task, or one whose row is gone
        return
    trace = trace_of(row["task_id"], row["work_item_id"], row["task_at"].isoformat())
    if row["kind"] in entries.END:
        yield _stretch(trace, row)
    if row["kind"] == "task.landed":
        yield from _landing(trace, row)
    is_over = row["to_state"] in stages.TERMINAL
    if is_over and row["kind"] in ("task.moved", "task.cancelled"):
        yield _task(trace, row)


def _task(trace: str, row: Mapping[str, Any]) -> Span:
    facts = _facts(row) | {"orch.outcome": row["to_state"]}
    return Span(trace, span_of(trace, "task"), "", "task", row["task_at"], row["at"], facts)


def _stretch(trace: str, row: Mapping[str, Any]) -> Span:
    began = row["before"]
    since = (row["queued_at"] or row["at"]) if began is None else began["at"]
    task = span_of(trace, "task")
    facts = _facts(row) | _of_job(row)
    if began is not None and began["kind"] == "job.claimed":
        own, failed = _of_end(row), ""
        if row["kind"] == "job.failed":
            failed = _words(row["reason"]) or str(row["failure"])
        name, span = f"job {row['stage'] or ''}".strip(), _job_span(trace, row, began["id"])
        return Span(trace, span, task, name, since, row["at"], facts | own, failed)
    why: dict[str, Fact] = {}
    if began is not None:
        why = {
            "orch.wait.after": QUEUED[began["kind"]],
            "orch.wait.reason": _words(began["reason"]),
        }
    span = span_of(trace, "wait", row["id"])
    facts |= {name: word for name, word in why.items() if word}
    return Span(trace, span, task, f"wait {row['stage'] or ''}".strip(), since, row["at"], facts)


def _job_span(trace: str, row: Mapping[str, Any], claimed: int) -> str:
    return span_of(trace, "job", row["job_id"], claimed)


def _landing(trace: str, row: Mapping[str, Any]) -> Iterable[Span]:
    """From the lease to the merge, a part of its job; none when nobody told how long it took."""
    data, began = row["data"], row["before"]
    seconds = data.get("seconds") if isinstance(data, dict) else None
    if not isinstance(seconds, int | float) or began is None:
        return
    commits = {f"orch.{name}": data[name] for name in ("base_sha", "merge_sha") if name in data}
    since = max(row["at"] - timedelta(seconds=seconds), began["at"])
    job, span = _job_span(trace, row, began["id"]), span_of(trace, "landing", row["id"])
    facts = _facts(row) | _of_job(row) | commits
    yield Span(trace, span, job, "landing", since, row["at"], facts)


def _facts(row: Mapping[str, Any]) -> dict[str, Fact]:
    return {
        "orch.work_item_id": row["work_item_id"],
        "orch.task_id": row["task_id"],
        "orch.repo": row["repo"] or "",
    }


def _of_job(row: Mapping[str, Any]) -> dict[str, Fact]:
    told = {"orch.job_id": row["job_id"]}
    told |= {f"orch.{name}": row[name] for name in ("agent", "stage", "attempt")}
    return {name: value for name, value in told.items() if value is not None}


def _of_end(row: Mapping[str, Any]) -> dict[str, Fact]:
    ended = row["kind"].removeprefix("job.")
    facts: dict[str, Fact] = {
        "orch.outcome": (row["failure"] or ended) if ended == "failed" else ended
    }
    if ended in ("released", "reaped"):
        return facts | {"orch.reason": _words(row["reason"])}
    usage = row["usage"] if isinstance(row["usage"], dict) else {}
    numbers = {name: usage.get(name) for name in USAGE}
    return facts | {f"orch.{n}": v for n, v in numbers.items() if isinstance(v, int | float)}


def _words(text: str | None) -> str:
    return names.cleaned(text or "", WORDS)
