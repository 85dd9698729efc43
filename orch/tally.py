"""Counts what the ledger says, once each entry, and writes down what processes have counted.

Nothing here is on the way of a claim: the ledger is read some seconds behind, in batches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

from orch import metrics
from orch.counts import HERE, Counts
from orch.errors import StoreUnavailable
from orch.line import Line
from orch.metrics import known_agent, known_outcome, known_stage
from orch.store import entries, ledger
from orch.store.session import Connection

READER: Final = "tally"
"""Whose place in the ledger it is."""
BATCH: Final = 2000
BATCHES: Final = 10
"""How many batches one round reads at most: a control task must be over in a moment."""

Sums = defaultdict[tuple[str, str], float]


def count_ledger(line: Line) -> int:
    """Count what the ledger holds and nobody has counted; how many entries that were.

    Two at once wait for each other, and neither counts what the other did.
    """
    read = 0
    for _ in range(BATCHES):
        found = line.store.write(partial(_count_batch, line=line))
        read += found
        if found < BATCH:
            break
    return read


def _count_batch(conn: Connection, line: Line) -> int:
    now = line.now()
    rows = entries.read_on(conn, now, entries.hold(conn, READER, now), BATCH)
    if rows:
        ledger.count_all(conn, sums_of(rows))
        entries.advance(conn, READER, now, rows[-1]["id"])
    return len(rows)


def flush(line: Line, counts: Counts = HERE) -> None:
    """Write down what this process has counted; while the store is away it is kept for later."""
    taken = counts.take()
    if not taken:
        return
    try:
        line.store.write(lambda conn: ledger.count_all(conn, taken))
    except StoreUnavailable:
        counts.put_back(taken)


def sums_of(rows: Iterable[Mapping[str, Any]]) -> Sums:
    """What these entries add to the counters, by name and label."""
    sums: Sums = defaultdict(float)
    for row in rows:
        sums[metrics.key("events", row["kind"])] += 1
        if row["kind"] == "job.claimed":
            sums[metrics.key("claims", known_agent(row["agent"]))] += 1
        if row["kind"] == "task.landed" and row["task_at"] is not None:
            _observe(sums, "task_lead_seconds", (row["at"] - row["task_at"]).total_seconds())
        if row["kind"] in entries.END:
            _stretch(sums, row)
        if row["kind"] in ("job.succeeded", "job.failed", "job.cancelled"):
            _ended(sums, row)
    return sums


def _stretch(sums: Sums, row: Mapping[str, Any]) -> None:
    began = row["before"]
    since = row["queued_at"] if began is None else began["at"]
    if since is None:  # a job whose row is gone
        return
    worked = began is not None and began["kind"] == "job.claimed"
    name = "job_run_seconds" if worked else "job_wait_seconds"
    _observe(sums, name, (row["at"] - since).total_seconds(), known_stage(row["stage"]))


def _ended(sums: Sums, row: Mapping[str, Any]) -> None:
    outcome = known_outcome(row["failure"] or row["kind"].removeprefix("job."))
    sums[metrics.key("jobs_ended", known_stage(row["stage"]), outcome)] += 1
    agent, usage = known_agent(row["agent"]), row["usage"]
    if not isinstance(usage, dict):  # written by hand: nothing in it may stop the counting
        return
    if cost := _number(usage.get("cost_usd")):
        sums[metrics.key("cost_usd", agent)] += cost
    for kind in metrics.TOKENS:
        if tokens := _number(usage.get(f"{kind}_tokens")):
            sums[metrics.key("tokens", agent, kind)] += tokens


def _number(value: Any) -> float:
    """What a program told, as far as it can be added."""
    return float(value) if isinstance(value, int | float) and 0 < value < float("inf") else 0.0


def _observe(sums: Sums, name: str, seconds: float, *values: str) -> None:
    for key, amount in metrics.bucket(name, seconds, *values):
        sums[key] += amount
