"""The line's numbers in Prometheus' words. Every label has few values, whatever the line holds."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from flask import Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from orch.health import Readings
from orch.serial_gate import CLAUSES

LABELS: Final = {
    "gate_fallback": "clause",
    "reaped": "state",
    "stale_writes": "write",
    "notices_sent": "channel",
    "notices_failed": "channel",
}
"""How the label of a counter is called; those not named here call it `label`, if they have one."""
FROM_THE_START: Final = {
    "gate_fallback": tuple(CLAUSES),
    "sweep_mended": ("",),
    "lost_races": ("",),
    "redeliveries_refused": ("",),
}
"""Shown as zero before the first time: an alert on what is not there never fires."""


def exposition(readings: Readings) -> Response:
    """The answer of /metrics."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Line(readings))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Line(Collector):
    """Hands the readings of one moment to the registry of one answer."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        """Every metric, in the order in which it is read."""
        yield from _counters(self._readings)
        yield from _waiting(self._readings)
        yield from _agents(self._readings)
        yield from _ages(self._readings)
        yield from _disk(self._readings)
        yield _labelled(
            GaugeMetricFamily,
            "orch_notices_waiting",
            "Notices that wait to be sent.",
            "channel",
            self._readings.notices,
        )


def _counters(readings: Readings) -> Iterator[Metric]:
    values: dict[str, dict[str, float]] = defaultdict(dict)
    for name, known in FROM_THE_START.items():
        values[name] |= dict.fromkeys(known, 0.0)
    for row in readings.counters:
        values[re.sub(r"[^a-z0-9_]", "_", row["name"].lower())][row["label"]] = row["value"]
    for name, of_label in sorted(values.items()):
        label = LABELS.get(name, "label" if set(of_label) != {""} else "")
        help_text = f"How often it happened, in all processes: {name.replace('_', ' ')}."
        yield _labelled(CounterMetricFamily, f"orch_{name}", help_text, label, of_label)
    yield _labelled(
        CounterMetricFamily, "orch_jobs_ended", "Jobs that ended.", "outcome", readings.ended
    )


def _waiting(readings: Readings) -> Iterator[Metric]:
    yield GaugeMetricFamily("orch_waiting_jobs", "Jobs that wait.", readings.waiting)
    yield GaugeMetricFamily("orch_waiting_repos", "Repos with such.", readings.waiting_repos)
    yield GaugeMetricFamily(
        "orch_oldest_waiting_seconds", "How long the oldest has waited.", readings.oldest_waiting
    )
    yield _labelled(
        GaugeMetricFamily,
        "orch_waiting_jobs_sampled",
        "Why the 1,000 oldest wait; none: they may start.",
        "reason",
        readings.reasons,
    )


def _agents(readings: Readings) -> Iterator[Metric]:
    shown = {
        "orch_live_jobs": ("live", "Jobs claimed or running."),
        "orch_agent_slots": ("slots", "Jobs the live workers can run at once."),
        "orch_agent_workers": ("workers", "Workers heard of lately."),
    }
    for name, (key, help_text) in shown.items():
        of_agent = {agent: known[key] for agent, known in readings.agents.items()}
        yield _labelled(GaugeMetricFamily, name, help_text, "agent", of_agent)
    ends = {name: known["suspended_until"] for name, known in readings.agents.items()}
    yield _labelled(
        GaugeMetricFamily,
        "orch_agent_suspended_until_seconds",
        "Unix time until which it gets nothing to do; 0: it is not suspended.",
        "agent",
        {name: end.timestamp() if end else 0.0 for name, end in ends.items()},
    )
    stalled = dict.fromkeys(readings.agents, 0) | readings.stalled
    yield _labelled(
        GaugeMetricFamily,
        "orch_stalled_claims",
        "Claimed jobs that nobody starts although workers live.",
        "agent",
        stalled,
    )
    yield GaugeMetricFamily(
        "orch_workers", "Workers, those for control included.", readings.workers
    )


def _ages(readings: Readings) -> Iterator[Metric]:
    names = {"beat": "orch_tick_age_seconds", "sweep": "orch_sweep_age_seconds"}
    names["monitor"] = "orch_monitor_age_seconds"
    for name, metric in names.items():
        if name in readings.ages:
            yield GaugeMetricFamily(metric, f"Since the last {name}.", readings.ages[name])


def _disk(readings: Readings) -> Iterator[Metric]:
    """What was measured last: nobody walks through folders for an answer."""
    used = GaugeMetricFamily(
        "orch_disk_bytes", "Taken by a repo on all hosts.", labels=["repo", "kind"]
    )
    taken: dict[tuple[str, str], float] = defaultdict(float)
    for host in readings.disk:
        for repo, use in host["repos"].items():
            for kind, size in use.items():
                taken[repo, kind] += size
    for labels, size in sorted(taken.items()):
        used.add_metric(list(labels), size)
    yield used
    free = {host["host"]: float(host["free"]) for host in readings.disk}
    yield _labelled(GaugeMetricFamily, "orch_disk_free_bytes", "Left there.", "host", free)


def _labelled(
    family: type[CounterMetricFamily] | type[GaugeMetricFamily],
    name: str,
    help_text: str,
    label: str,
    values: Mapping[str, float],
) -> Metric:
    metric = family(name, help_text, labels=[label] if label else [])
    for value, amount in sorted(values.items()):
        metric.add_metric([value] if label else [], amount)
    return metric
