"""Dashboard and alerts ask for what the code exposes: each name and label, and miss nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from orch import alerts, dashboard, errors, jobs, metrics, stages
from orch.metrics import METRICS
from tests.unit import promql

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "observability"
SHOWN: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))[
    "groups"
][0]["rules"]
PLACE = {
    "type": "object",
    "required": ["x", "y", "w", "h"],
    "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 1000},
}
TARGET = {
    "type": "object",
    "required": ["refId", "datasource", "expr", "legendFormat", "instant", "range"],
    "properties": {"refId": {"pattern": "^[A-Z]$"}, "expr": {"type": "string", "minLength": 1}},
}
PANEL = {
    "type": "object",
    "required": ["id", "type", "title", "gridPos"],
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "type": {"enum": ["row", "stat", "timeseries", "bargauge"]},
        "title": {"type": "string", "minLength": 1},
        "gridPos": PLACE,
        "targets": {"type": "array", "items": TARGET, "minItems": 1},
        "datasource": {"const": {"type": "prometheus", "uid": "${datasource}"}},
    },
    "if": {"properties": {"type": {"const": "row"}}},
    "else": {"required": ["targets", "datasource", "fieldConfig", "options"]},
}
GRAFANA = {
    "type": "object",
    "required": ["uid", "title", "schemaVersion", "panels", "templating", "time", "refresh"],
    "properties": {
        "schemaVersion": {"type": "integer", "minimum": 36},
        "uid": {"type": "string", "maxLength": 40},
        "id": False,  # an id of one Grafana must not travel to another
        "panels": {"type": "array", "items": PANEL},
    },
}


def panels() -> Iterator[dict[str, Any]]:
    yield from (panel for panel in SHOWN["panels"] if panel["type"] != "row")


def queries() -> list[tuple[str, str, str]]:
    """Where, expression, legend."""
    shown = [
        (panel["title"], target["expr"], target["legendFormat"])
        for panel in panels()
        for target in panel["targets"]
    ]
    return shown + [
        (rule["alert"], rule["expr"], " ".join(rule["annotations"].values())) for rule in RULES
    ]


QUERIES = queries()


def metric_of(name: str) -> metrics.Metric:
    """The metric a series belongs to. Raises KeyError for a name nobody exposes."""
    if name in METRICS and METRICS[name].kind != "histogram":
        return METRICS[name]
    stem, part = name.rpartition("_")[::2]
    if part in ("bucket", "sum", "count") and METRICS[stem].kind == "histogram":
        return METRICS[stem]
    raise KeyError(name)


def values_of(metric: str, label: str) -> set[str]:
    """The values a label may have."""
    ledger = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8").split("the ledger\n")[1]
    known = {
        "outcome": {"ok", "crashed", "sent", "failed", "dropped", "succeeded", *jobs.FAILURES},
        "stage": set(stages.STAGES),
        "agent": set(stages.AGENTS),
        "reader": {"tally", "traces"},
        "kind": set(re.findall(r"`([a-z_]+\.[a-z_]+)`", ledger)),
    }
    if metric == "orch_calls_total":
        known["outcome"] |= {each.code for each in _all(errors.OrchError)}
    return known[label]


def _all(kind: type[errors.OrchError]) -> Iterator[type[errors.OrchError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _all(each)


@pytest.mark.parametrize(("where", "expr", "legend"), QUERIES, ids=[each[0] for each in QUERIES])
def test_every_name_label_and_value_is_one_the_code_exposes(
    where: str, expr: str, legend: str
) -> None:
    found = promql.read(expr)
    assert found.metrics
    labels = {label for name in found.metrics for label in metric_of(name).labels}
    if any(name.endswith("_bucket") for name in found.metrics):
        labels |= {"le"}
    in_words = set(re.findall(r"{{\s*(?:\$labels\.)?(\w+)\s*}}", legend))
    assert found.labels <= labels
    assert in_words - {"value"} <= labels
    for metric, label, value in found.values:
        assert value in values_of(metric, label)


def test_every_metric_is_shown_on_the_dashboard() -> None:
    shown = {
        metric_of(name).name
        for panel in panels()
        for target in panel["targets"]
        for name in promql.read(target["expr"]).metrics
    }
    assert set(METRICS) - shown == set()


def test_a_counter_is_never_shown_without_its_rate_and_a_gauge_never_with_one() -> None:
    for where, expr, _ in QUERIES:
        for name in promql.read(expr).metrics:
            rated = re.search(rf"(?:rate|increase)\({name}(?:{{[^}}]*}})?\[", expr) is not None
            assert rated == (metric_of(name).kind != "gauge"), f"{where}: {name}"


def test_the_dashboard_has_the_shape_that_grafana_imports() -> None:
    jsonschema.validate(SHOWN, GRAFANA)
    ids = [panel["id"] for panel in SHOWN["panels"]]
    assert len(ids) == len(set(ids))
    (source,) = SHOWN["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == (
        "datasource", "datasource", "prometheus",
    )  # fmt: skip
    rows = [panel["title"] for panel in SHOWN["panels"] if panel["type"] == "row"]
    assert rows == list(dashboard.BOARD)


def test_no_panel_lies_over_another_or_beyond_the_edge() -> None:
    places = [panel["gridPos"] for panel in SHOWN["panels"]]
    assert all(place["x"] + place["w"] <= dashboard.WIDTH for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    names = [rule["alert"] for rule in RULES]
    assert names == list(dict.fromkeys(names))
    for rule in RULES:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[smhd]", rule["for"])
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert all(len(rule["annotations"][each]) > 15 for each in ("summary", "action"))
    promtool = shutil.which("promtool")
    if promtool is not None:  # who has it asks it as well
        told = [promtool, "check", "rules", str(FOLDER / "alerts.yaml")]
        assert subprocess.run(told, check=False).returncode == 0


def test_the_commands_an_alert_names_are_verbs_of_orch() -> None:
    from orch.cli.root import MODULES

    said = " ".join(alert.action for alert in alerts.ALERTS)
    verbs = set(re.findall(r"`orch ([a-z]+)", said))
    assert verbs
    assert verbs <= set(MODULES)


def test_an_expression_that_is_wrong_is_seen() -> None:
    for wrong in (
        "rat(orch_claims_total[5m])",
        "sum(orch_claims_total",
        'a{b~"c"}',
        "a[5 bananas]",
    ):
        with pytest.raises(ValueError, match=r".+"):
            promql.read(wrong)
    with pytest.raises(KeyError):
        metric_of("orch_no_such_thing")
