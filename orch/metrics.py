"""Every metric of orch, as data: its name, type, labels and meaning.

What several processes count is summed in the store's `counters` under `stored`; the rest is read at
the moment of the answer. `docs/metrics.md`, the dashboard's test and /metrics itself go by this.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from orch import stages
from orch.jobs import FAILURES

Kind = Literal["counter", "gauge", "histogram"]
SEPARATOR: Final = "|"
"""Stands between the values of several labels in the store."""
OTHER: Final = "other"
"""The value of a label for whatever has none of its own."""
STAGES: Final = stages.TRACKS[stages.DEFAULT_TRACK]
"""Those at which somebody works."""
TOKENS: Final = ("input", "cached_input", "output")
OF_WAITS: Final = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
OF_RUNS: Final = (5, 15, 60, 300, 900, 1800, 3600, 2 * 3600, 4 * 3600)
OF_TICKS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
OF_TASKS: Final = (600, 3600, 4 * 3600, 24 * 3600, 3 * 24 * 3600, 7 * 24 * 3600, 30 * 24 * 3600)


@dataclass(frozen=True)
class Metric:
    """One metric as it is shown."""

    name: str
    kind: Kind
    says: str
    labels: tuple[str, ...] = ()
    stored: str = ""
    """What the store's counter is called; empty for what is read when somebody asks."""
    buckets: Sequence[float] = ()
    """Upper bounds, in seconds."""
    zero: tuple[str, ...] = ()
    """Labels shown as zero before the first time: an alert on what is not there never fires."""


def _counter(stored: str, says: str, *labels: str, zero: Iterable[str] = ()) -> Metric:
    return Metric(f"orch_{stored}_total", "counter", says, labels, stored, zero=tuple(zero))


def _histogram(stored: str, says: str, buckets: Sequence[float], *labels: str) -> Metric:
    zero = STAGES if labels else ("",)
    return Metric(f"orch_{stored}", "histogram", says, labels, stored, buckets, zero)


def _each(*values: Iterable[str]) -> Iterator[str]:
    return (SEPARATOR.join(together) for together in itertools.product(*values))


def _gauge(name: str, says: str, *labels: str) -> Metric:
    return Metric(f"orch_{name}", "gauge", says, labels)


_LEDGER: Final = (
    _counter("events", "Entries of the ledger.", "kind",
             zero=("task.created", "task.landed", "repo.frozen")),
    _counter("claims", "Jobs claimed.", "agent", zero=stages.AGENTS),
    _counter("jobs_ended", "Jobs that ended; the outcome is `succeeded` or how it failed.",
             "stage", "outcome", zero=_each(STAGES, ("succeeded", *FAILURES))),
    _histogram("job_wait_seconds", "From the time a job was queued, or went back, to its claim or "
               "its cancellation.", OF_WAITS, "stage"),
    _histogram("job_run_seconds", "From a claim to the job's end, or until it went back.",
               OF_RUNS, "stage"),
    _histogram("task_lead_seconds", "From the time a task was taken in until it had landed.",
               OF_TASKS),
    _counter("cost_usd", "What the turns of ended jobs cost, as far as their agents told.",
             "agent", zero=stages.AGENTS),
    _counter("tokens", "Tokens of the turns of ended jobs; `cached_input` is part of `input`.",
             "agent", "kind", zero=_each(stages.AGENTS, TOKENS)),
)  # fmt: skip
_COUNTED: Final = (
    _histogram("tick_duration_seconds", "How long a dispatcher's tick took.", OF_TICKS),
    _counter("lost_races", "Claims another process was faster with.", zero=("",)),
    _counter("waited_seconds", "Seconds tasks waited, counted when a wait is over.", "reason",
             zero=("dependency", "freeze", "active-task", "capacity")),
    _counter("gate_fallback", "Evaluations of the gate without this clause.", "clause"),
    _counter("stale_writes", "Writes of a worker whose job was another's by then: refused.",
             "write", zero=("finish", "heartbeat", "release")),
    _counter("reaped", "Jobs taken back because their lease was over, by their state then.",
             "state", zero=("claimed", "running")),
    _counter("redeliveries_refused", "Messages that came twice or too late.", zero=("",)),
    _counter("sweep_mended", "Openings that no mark had led to.", zero=("",)),
    _counter("calls", "Calls of a port; the outcome is `ok` or the code of the error.",
             "port", "verb", "outcome"),
    _counter("call_seconds", "Seconds spent in calls of a port.", "port", "verb"),
    _counter("notices_sent", "Notices that a channel took.", "channel"),
    _counter("notices_failed", "Attempts to send a notice that failed.", "channel"),
    _counter("hooks", "Webhooks that came in; the outcome is `accepted`, `coalesced` (its hint "
             "waits already), `replayed`, `shed` (too many wait), `refused` (not signed), or why a "
             "signed one was ignored: `unknown`, `malformed`, `contradiction`, `foreign`.",
             "source", "outcome", zero=_each(("plane", "gitea", "github"), ("accepted", "shed"))),
    _counter("head_watch", "Heads that were told of, as they kept others waiting for too long.",
             zero=("",)),
    _counter("spans", "Spans that were sent, that failed to be and are tried again, or were given "
             "up.", "outcome", zero=("sent", "failed", "dropped")),
)  # fmt: skip
_WAITING: Final = (
    _gauge("waiting_jobs", "Jobs that wait."),
    _gauge("waiting_repos", "Repos with such."),
    _gauge("oldest_waiting_seconds", "How long the oldest has waited."),
    _gauge("waiting_jobs_sampled", "Why the 1,000 oldest wait; none: they may start.", "reason"),
    _gauge("oldest_waiting_sampled_seconds", "Of those, how long the oldest has waited.", "reason"),
    _gauge("ready_jobs", "Jobs whose gate was open, and that lacked a slot or a worker.", "agent"),
    _gauge("parked_tasks", "Tasks that are parked; `approval`: a person is asked to approve.",
           "why"),
    _gauge("freezes", "Freezes in force; a glob counts once."),
)  # fmt: skip
_REPOS: Final = (
    _gauge("repo_waiting_jobs", "Jobs that wait there.", "repo"),
    _gauge("repo_oldest_waiting_seconds", "How long the oldest of them has waited.", "repo"),
    _gauge("head_age_seconds", "Since the head of the line took its place; of one that has not "
           "started, since its gate opened, else since it was taken in.", "repo"),
    _gauge("holder_age_seconds", "Since the claim of the job that is live there.", "repo"),
)  # fmt: skip
_AGENTS: Final = (
    _gauge("live_jobs", "Jobs claimed or running.", "agent"),
    _gauge("agent_slots", "Jobs the live workers can run at once.", "agent"),
    _gauge("agent_workers", "Workers heard of lately.", "agent"),
    _gauge("agent_suspended_until_seconds",
           "Unix time until which it gets nothing to do; 0: it is not suspended.", "agent"),
    _gauge("stalled_claims", "Claimed jobs that nobody starts although workers live.", "agent"),
    _gauge("workers", "Workers, those for control included."),
)  # fmt: skip
_HEALTH: Final = (
    _gauge("tick_age_seconds", "Since beat last rang."),
    _gauge("sweep_age_seconds", "Since the last sweep."),
    _gauge("monitor_age_seconds", "Since the monitor's last round; absent without one."),
    _gauge("tally_age_seconds", "Since the ledger was last counted."),
    _gauge("ledger_behind_events", "Entries of the ledger that this reader has not seen yet.",
           "reader"),
    _gauge("broker_up", "Whether the broker answers."),
    _gauge("clause_degraded", "Whether this clause cannot be evaluated at this moment.", "clause"),
    _gauge("notices_waiting", "Notices that wait to be sent.", "channel"),
    _gauge("hooks_waiting", "Hints of webhooks that wait to be looked at.", "source"),
    _gauge("hook_age_seconds", "Since the last signed webhook, to a minute; absent before the "
           "first.", "source"),
    _gauge("feed_age_seconds", "Since this tracker or forge last answered.", "feed"),
    _gauge("feed_stopped", "Whether it refuses orch, and is asked no more.", "feed"),
    _gauge("tellings_waiting", "What waits to be told there.", "tracker"),
    _gauge("disk_bytes", "Taken by a repo on all hosts.", "repo", "kind"),
    _gauge("disk_free_bytes", "Left there.", "host"),
)  # fmt: skip

GROUPS: Final[dict[str, tuple[Metric, ...]]] = {
    "What waits": _WAITING,
    "Single repos": _REPOS,
    "Counted from the ledger": _LEDGER,
    "Agents and workers": _AGENTS,
    "Counted where it happens": _COUNTED,
    "Health": _HEALTH,
}
METRICS: Final = {metric.name: metric for group in GROUPS.values() for metric in group}
STORED: Final = {metric.stored: metric for metric in METRICS.values() if metric.stored}


def key(stored: str, *values: str) -> tuple[str, str]:
    """Name and label under which the store sums this."""
    return stored, SEPARATOR.join(values)


def bucket(stored: str, seconds: float, *values: str) -> list[tuple[tuple[str, str], float]]:
    """What an observation adds to a histogram in the store: to one of its buckets, and its sum."""
    bounds = [*STORED[stored].buckets, float("inf")]
    bound = bounds[bisect_left(bounds, seconds)]
    return [
        (key(f"{stored}_bucket", *values, f"{bound:g}"), 1.0),
        (key(f"{stored}_sum", *values), max(0.0, seconds)),
    ]


def known_stage(stage: str | None) -> str:
    """The stage as a label: rows written by hand may name any."""
    return stage if stage in STAGES else OTHER


def known_agent(agent: str | None) -> str:
    """The agent as a label."""
    return agent if agent in stages.AGENTS else OTHER


def known_outcome(outcome: str | None) -> str:
    """How a job ended, as a label."""
    known = {"succeeded", "failed", *FAILURES}
    return outcome if outcome in known else OTHER
