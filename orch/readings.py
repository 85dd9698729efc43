"""The line in numbers at one moment: everything /metrics shows, by the names of `orch.metrics`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from orch import serial_gate, tally, tracing, upkeep
from orch.gate_fallback import evaluated
from orch.health import STUCK_SECONDS, age
from orch.line import Line
from orch.metrics import OTHER
from orch.outside import inbox
from orch.outside.signals import SOURCES
from orch.serial_gate import Gate
from orch.store import entries, feeds, outbox, tellings, views, vitals
from orch.store.session import Connection

NAMED: Final = 50
"""How many repos have series of their own, unless the settings say otherwise. A line may serve ten
thousand, and each series costs whoever stores it for as long as it is kept."""
LOOKED_AT: Final = 1000
"""So many repos are looked at one by one, those named and those that are `other`: the head of each
is two seeks in an index."""

Samples = dict[tuple[str, ...], float]
"""Values by the values of the labels."""


@dataclass(frozen=True)
class Readings:
    """The numbers of one moment."""

    stored: dict[str, dict[str, float]]
    """What all processes have counted, by name and label as they stand in the store."""
    gauges: dict[str, Samples]
    """What was read, by the name of the metric."""


def readings(line: Line, named: int = NAMED) -> Readings:
    """The numbers of this moment. Raises StoreUnavailable."""
    broker = line.queue.reachable()

    def look(gate: Gate) -> Readings:
        return line.store.read(lambda conn: _readings(conn, line, gate, named))

    found = evaluated(line, look)
    found.gauges["orch_broker_up"] = {(): float(broker)}
    return found


def _readings(conn: Connection, line: Line, gate: Gate, named: int) -> Readings:
    moment = views.moment(conn, line.now())
    stored: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for row in vitals.counted(conn):
        stored[row["name"]][row["label"]] = row["value"]
    gauges = _waiting(conn, line, gate, moment)
    gauges |= _lanes(conn, gate, moment, named)
    gauges |= _agents(conn, line)
    gauges |= _health(conn, gate, moment)
    gauges |= _disk(conn, named)
    gauges |= _feeds(conn, moment, named)
    return Readings(dict(stored), gauges)


def _waiting(conn: Connection, line: Line, gate: Gate, moment: datetime) -> dict[str, Samples]:
    sample = vitals.sampled_reasons(conn, gate, line.now())
    reasons = [*serial_gate.CLAUSES, "none"]
    known = dict.fromkeys(reasons, (0, moment)) | sample
    return {
        "orch_waiting_jobs_sampled": {(why,): float(count) for why, (count, _) in known.items()},
        "orch_oldest_waiting_sampled_seconds": {
            (why,): _since(since, moment) for why, (_, since) in known.items()
        },
        "orch_parked_tasks": _labelled(vitals.parked(conn, gate)),
        "orch_freezes": {(): float(vitals.frozen(conn, gate, line.now()))},
    }


def _lanes(conn: Connection, gate: Gate, moment: datetime, named: int) -> dict[str, Samples]:
    lanes = vitals.lanes(conn, max(named, LOOKED_AT))
    busiest = [row["repo"] for row in lanes.busiest if row["repo"] is not None]
    held = vitals.holders_since(conn, max(named, LOOKED_AT))
    own = list(dict.fromkeys([*busiest, *held]))[:named]
    waiting = {row["repo"]: float(row["jobs"]) for row in lanes.busiest}
    oldest = {row["repo"]: _since(row["oldest"], moment) for row in lanes.busiest}
    heads = vitals.heads_since(conn, gate, busiest[:LOOKED_AT])
    return {
        "orch_waiting_jobs": {(): float(lanes.jobs)},
        "orch_waiting_repos": {(): float(lanes.repos)},
        "orch_oldest_waiting_seconds": {(): _since(lanes.oldest, moment)},
        "orch_repo_waiting_jobs": _bounded(waiting, own, sum),
        "orch_repo_oldest_waiting_seconds": _bounded(oldest, own, max),
        "orch_head_age_seconds": _bounded(_ages(heads, moment), own, max),
        "orch_holder_age_seconds": _bounded(_ages(held, moment), own, max),
    }


def _bounded(
    values: Mapping[str | None, float] | Mapping[str, float],
    own: Iterable[str],
    join: Callable[[list[float]], float],
) -> Samples:
    """Series for these repos, and what all others come to together."""
    named = set(own)
    shares: defaultdict[str, list[float]] = defaultdict(list)
    for repo, value in values.items():
        shares[repo if repo in named and repo is not None else OTHER].append(value)
    return {(repo,): join(share) for repo, share in shares.items()}


def _agents(conn: Connection, line: Line) -> dict[str, Samples]:
    now, stale = line.now(), line.limits.worker_stale
    known = views.agents_now(conn, now, stale)
    stuck = vitals.stuck_claims(conn, now, STUCK_SECONDS, stale)
    ends = {name: row["suspended_until"] for name, row in known.items()}
    none = dict.fromkeys(known, 0.0)
    shown = {"live": "orch_live_jobs", "slots": "orch_agent_slots", "workers": "orch_agent_workers"}
    gauges = {
        metric: _labelled({name: row[key] for name, row in known.items()})
        for key, metric in shown.items()
    }
    return gauges | {
        "orch_agent_suspended_until_seconds": _labelled(
            {name: end.timestamp() if end else 0.0 for name, end in ends.items()}
        ),
        "orch_stalled_claims": _labelled(none | {row["agent"]: row["claims"] for row in stuck}),
        "orch_ready_jobs": _labelled(none | vitals.ready(conn)),
        "orch_workers": {(): float(len(vitals.live_workers(conn, now, stale)))},
    }


def _health(conn: Connection, gate: Gate, moment: datetime) -> dict[str, Samples]:
    told = vitals.beats_now(conn)
    names = {"beat": "tick", "sweep": "sweep", "monitor": "monitor", tally.READER: "tally"}
    ages: dict[str, Samples] = {
        f"orch_{name}_age_seconds": {(): _since(told[beat]["at"], moment)}
        for beat, name in names.items()
        if beat in told
    }
    readers = {name: entries.behind(conn, name) for name in (tally.READER, tracing.READER)}
    waiting = {row["channel"]: row["notices"] for row in outbox.waiting(conn)}
    hooks = inbox.standing(conn)
    seen = {source: known["seen_at"] for source, known in hooks.items() if known["seen_at"]}
    return ages | {
        "orch_hooks_waiting": _labelled(
            dict.fromkeys(SOURCES, 0) | {name: each["waiting"] for name, each in hooks.items()}
        ),
        "orch_hook_age_seconds": _labelled(_ages(seen, moment)),
        "orch_notices_waiting": _labelled(waiting),
        "orch_ledger_behind_events": _labelled(
            {name: behind for name, behind in readers.items() if behind is not None}
        ),
        "orch_clause_degraded": {
            (name,): float(name in gate.degraded) for name in serial_gate.CLAUSES
        },
    }


def _disk(conn: Connection, named: int) -> dict[str, Samples]:
    """What was measured last: nobody walks through folders for an answer."""
    hosts = upkeep.measured(conn)
    taken: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for host in hosts:
        for repo, use in host["repos"].items():
            for kind, size in use.items():
                taken[kind][repo] += size
    used: Samples = {}
    for kind, sizes in taken.items():
        largest = sorted(sizes, key=lambda repo: (-sizes[repo], repo))[:named]
        used |= {(*repo, kind): size for repo, size in _bounded(sizes, largest, sum).items()}
    free = {host["host"]: float(host["free"]) for host in hosts}
    return {"orch_disk_bytes": used, "orch_disk_free_bytes": _labelled(free)}


def _feeds(conn: Connection, moment: datetime, named: int) -> dict[str, Samples]:
    """Of forges as many as of repos, those first that were not heard of for longest."""
    rows = feeds.all_rows(conn)
    ages = {row["name"]: _since(row["answered_at"], moment) for row in rows if row["answered_at"]}
    stopped = {row["name"]: float(bool(row["stopped"])) for row in rows}
    own = sorted(stopped, key=lambda name: (-stopped[name], -ages.get(name, 0), name))[:named]
    return {
        "orch_feed_age_seconds": _bounded(ages, own, max),
        "orch_feed_stopped": _bounded(stopped, own, sum),
        "orch_tellings_waiting": _labelled(tellings.waiting(conn)),
    }


def _labelled(values: Mapping[str, Any]) -> Samples:
    return {(name,): float(value) for name, value in values.items()}


def _ages(since: Mapping[str, datetime], moment: datetime) -> dict[str, float]:
    return {name: _since(then, moment) for name, then in since.items()}


def _since(then: datetime | None, moment: datetime) -> float:
    return age(then, moment) or 0.0
