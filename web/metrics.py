"""The line's numbers in Prometheus' words. Every label has few values, whatever the line holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from flask import Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from orch.metrics import METRICS, SEPARATOR, Metric
from orch.readings import Readings
from orch.serial_gate import CLAUSES

ZERO: Final = {"orch_gate_fallback_total": tuple(CLAUSES)}
"""Shown as zero before the first time, beside what the catalogue says."""


def exposition(readings: Readings) -> Response:
    """The answer of /metrics."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Line(readings))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Line(Collector):
    """Hands the readings of one moment to the registry of one answer."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Family]:
        """Every metric, in the order of the catalogue."""
        for metric in METRICS.values():
            if metric.kind == "gauge":
                yield _gauge(metric, self._readings)
            elif metric.kind == "histogram":
                yield _histogram(metric, self._readings.stored)
            else:
                yield _counter(metric, self._readings.stored)


def _gauge(metric: Metric, readings: Readings) -> Family:
    family = GaugeMetricFamily(metric.name, metric.says, labels=metric.labels)
    for values, amount in sorted(readings.gauges.get(metric.name, {}).items()):
        family.add_metric(values, amount)
    return family


def _counter(metric: Metric, stored: Mapping[str, Mapping[str, float]]) -> Family:
    family = CounterMetricFamily(metric.name, metric.says, labels=metric.labels)
    zero = dict.fromkeys(ZERO.get(metric.name, metric.zero), 0.0)
    for label, amount in sorted((zero | dict(stored.get(metric.stored, {}))).items()):
        values = label.split(SEPARATOR) if metric.labels else []
        if len(values) == len(metric.labels):  # else another version of orch wrote it
            family.add_metric(values, amount)
    return family


def _histogram(metric: Metric, stored: Mapping[str, Mapping[str, float]]) -> Family:
    """The store has each observation once, in its bucket; Prometheus wants them summed up."""
    family = HistogramMetricFamily(metric.name, metric.says, labels=metric.labels)
    counts = stored.get(f"{metric.stored}_bucket", {})
    sums = dict.fromkeys(metric.zero, 0.0) | dict(stored.get(f"{metric.stored}_sum", {}))
    for label, total in sorted(sums.items()):
        values = label.split(SEPARATOR) if metric.labels else []
        if len(values) != len(metric.labels):
            continue
        so_far, buckets = 0.0, []
        for bound in [*metric.buckets, float("inf")]:
            text = f"{bound:g}"
            so_far += counts.get(SEPARATOR.join([*values, text]), 0.0)
            buckets.append(("+Inf" if bound == float("inf") else text, so_far))
        family.add_metric(values, buckets, sum_value=total)
    return family
