"""The Grafana dashboard, as data.

It is generated like the other pages (`orch.docs`), and a test holds each name and label in its
expressions against `orch.metrics`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

Unit = Literal["short", "s", "currencyUSD", "bytes", "percentunit", "bool_yes_no"]
Shape = Literal["stat", "timeseries", "bargauge"]
WIDTH: Final = 24
HEIGHTS: Final[dict[Shape, int]] = {"stat": 4, "timeseries": 8, "bargauge": 8}
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """One panel; each query is an expression and the legend of its series."""

    title: str
    says: str
    queries: tuple[tuple[str, str], ...]
    unit: Unit = "short"
    shape: Shape = "timeseries"
    width: int = 8


def _rate(name: str, by: str, over: str = "$__rate_interval") -> str:
    return f"sum by ({by}) (rate({name}[{over}]))"


def _per_hour(name: str, by: str = "") -> str:
    of = f" by ({by})" if by else ""
    return f"sum{of} (increase({name}[1h]))"


def _quantile(part: float, name: str, by: str = "") -> str:
    grouped = f"le, {by}" if by else "le"
    return f"histogram_quantile({part}, sum by ({grouped}) (rate({name}_bucket[1h])))"


def _stat(title: str, says: str, expr: str, unit: Unit = "short") -> Panel:
    return Panel(title, says, ((expr, ""),), unit, "stat", 4)


BOARD: Final[dict[str, tuple[Panel, ...]]] = {
    "Why is nothing moving?": (
        _stat("Waiting", "Jobs that wait, in all repos.", "orch_waiting_jobs"),
        _stat("Repos with waiting jobs", "Each is a line of its own.", "orch_waiting_repos"),
        _stat("Oldest wait", "How long the oldest has waited.", "orch_oldest_waiting_seconds", "s"),
        _stat("Parked", "Tasks that wait for a person.", "sum(orch_parked_tasks)"),
        _stat("Freezes", "Freezes in force.", "orch_freezes"),
        _stat("Since the last beat", "Nothing starts without it.", "orch_tick_age_seconds", "s"),
        Panel("Why the 1,000 oldest wait", "The first clause that is false; none: may start.",
              (("orch_waiting_jobs_sampled", "{{reason}}"),), width=12),
        Panel("The oldest wait by reason", "Of the same 1,000.",
              (("orch_oldest_waiting_sampled_seconds", "{{reason}}"),), "s", width=12),
        Panel("Where the time went", "Seconds waited per hour by reason, counted when a wait ends.",
              ((_per_hour("orch_waited_seconds_total", "reason"), "{{reason}}"),), "s"),
        Panel("Open gate, no slot", "Only a slot or a worker is missing.",
              (("orch_ready_jobs", "{{agent}}"),)),
        Panel("Longest lines", "Jobs that wait per repo.",
              (("topk(10, orch_repo_waiting_jobs)", "{{repo}}"),), shape="bargauge"),
        Panel("Oldest wait per repo", "", (("topk(10, orch_repo_oldest_waiting_seconds)",
              "{{repo}}"),), "s", "bargauge"),
        Panel("Oldest heads", "Who stands first, and for how long.",
              (("topk(10, orch_head_age_seconds)", "{{repo}}"),), "s", "bargauge", 12),
        Panel("Longest held", "Since the claim of the job that is live.",
              (("topk(10, orch_holder_age_seconds)", "{{repo}}"),), "s", "bargauge", 12),
    ),
    "The line": (
        Panel("Taken in, landed, cancelled", "Tasks per hour.",
              (('sum by (kind) (increase(orch_events_total{kind=~"task.created|task.landed|'
                'task.cancelled"}[1h]))', "{{kind}}"),)),
        Panel("Claims", "Per second.", ((_rate("orch_claims_total", "agent"), "{{agent}}"),)),
        Panel("Jobs ended", "Per hour, by how.",
              ((_per_hour("orch_jobs_ended_total", "outcome"), "{{outcome}}"),)),
        Panel("Wait until the claim, 95 %", "By stage.",
              ((_quantile(0.95, "orch_job_wait_seconds", "stage"), "{{stage}}"),), "s"),
        Panel("Run time, 95 %", "From the claim to the end, by stage.",
              ((_quantile(0.95, "orch_job_run_seconds", "stage"), "{{stage}}"),), "s"),
        Panel("From taken in to landed", "Half, and 95 %.",
              ((_quantile(0.5, "orch_task_lead_seconds"), "half"),
               (_quantile(0.95, "orch_task_lead_seconds"), "95 %")), "s"),
    ),
    "Agents": (
        Panel("Live jobs", "", (("orch_live_jobs", "{{agent}}"),)),
        Panel("Slots in use", "Live jobs by what the live workers can run.",
              (("orch_live_jobs / on (agent) (orch_agent_slots > 0)", "{{agent}}"),),
              "percentunit"),
        Panel("Workers", "", (("orch_agent_workers", "{{agent}}"),
                              ("orch_workers", "all, control included"))),
        Panel("Suspended for another", "Until the provider's limit, or whatever a person said.",
              (("clamp_min(orch_agent_suspended_until_seconds - time(), 0)", "{{agent}}"),), "s",
              width=12),
        Panel("Claims that nobody starts", "Although workers live.",
              (("orch_stalled_claims", "{{agent}}"),), width=12),
    ),
    "Cost": (
        Panel("Cost per day", "As far as the agents told.",
              (("sum by (agent) (increase(orch_cost_usd_total[1d]))", "{{agent}}"),),
              "currencyUSD"),
        Panel("Tokens per hour", "", ((_per_hour("orch_tokens_total", "kind"), "{{kind}}"),)),
        Panel("Cost of what landed", "All cost of a day by the tasks that landed on it.",
              (('sum(increase(orch_cost_usd_total[1d])) / '
                'sum(increase(orch_events_total{kind="task.landed"}[1d]))', "per task"),),
              "currencyUSD"),
    ),
    "Health": (
        _stat("Broker", "Whether it answers.", "orch_broker_up", "bool_yes_no"),
        _stat("Unreadable clauses", "The gate does without them.", "sum(orch_clause_degraded)"),
        _stat("Since the last sweep", "", "orch_sweep_age_seconds", "s"),
        _stat("Since the monitor's round", "", "orch_monitor_age_seconds", "s"),
        _stat("Since the last count", "Of the ledger.", "orch_tally_age_seconds", "s"),
        _stat("Ledger not yet counted", "Entries.", 'orch_ledger_behind_events{reader="tally"}'),
        Panel("Ticks, 95 %", "", ((_quantile(0.95, "orch_tick_duration_seconds"), "tick"),), "s"),
        Panel("Refused and mended", "Per hour: what orch caught.",
              ((_per_hour("orch_lost_races_total"), "lost races"),
               (_per_hour("orch_stale_writes_total"), "stale writes"),
               (_per_hour("orch_reaped_total"), "reaped"),
               (_per_hour("orch_redeliveries_refused_total"), "redeliveries refused"),
               (_per_hour("orch_sweep_mended_total"), "mended by the sweep"))),
        Panel("Gate without a clause", "Per hour.",
              ((_per_hour("orch_gate_fallback_total", "clause"), "{{clause}}"),)),
        Panel("Notices", "Waiting, and attempts per hour.",
              (("orch_notices_waiting", "{{channel}} waiting"),
               (_per_hour("orch_notices_sent_total", "channel"), "{{channel}} sent"),
               (_per_hour("orch_notices_failed_total", "channel"), "{{channel}} failed"),
               (_per_hour("orch_head_watch_total"), "heads told of"))),
        Panel("Webhooks", "Per hour by what became of them; hints that wait; seconds of silence.",
              ((_per_hour("orch_hooks_total", "source, outcome"), "{{source}} {{outcome}}"),
               ("orch_hooks_waiting", "{{source}} waiting"),
               ("orch_hook_age_seconds", "{{source}} silent"))),
        Panel("Trackers and forges", "Since each answered; stopped; waiting to be told.",
              (("orch_feed_age_seconds", "{{feed}}"),
               ("orch_feed_stopped", "{{feed}} stopped"),
               ("orch_tellings_waiting", "{{tracker}} waiting"))),
        Panel("Calls that failed", "Per hour, by port, verb and code.",
              (('sum by (port, verb, outcome) (increase(orch_calls_total{outcome!="ok"}[1h]))',
                "{{port}} {{verb}}: {{outcome}}"),)),
        Panel("Seconds a call", "",
              (("sum by (port, verb) (rate(orch_call_seconds_total[1h])) / "
                "sum by (port, verb) (rate(orch_calls_total[1h]))", "{{port}} {{verb}}"),), "s"),
        Panel("Spans", "Per hour.", ((_per_hour("orch_spans_total", "outcome"), "{{outcome}}"),)),
        Panel("Disk taken", "By repo.", (("topk(10, sum by (repo) (orch_disk_bytes))",
              "{{repo}}"),), "bytes", "bargauge", 12),
        Panel("Disk left", "By host.", (("orch_disk_free_bytes", "{{host}}"),), "bytes", width=12),
    ),
}  # fmt: skip


def dashboard() -> str:
    """The dashboard as Grafana imports it."""
    panels = list(_laid_out())
    told: dict[str, Any] = {
        "uid": "orch",
        "title": "orch",
        "description": "One task at a time per repo: what waits, why, and what runs.",
        "tags": ["orch"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_DATASOURCE]},
        "annotations": {"list": []},
        "links": [],
        "panels": panels,
    }
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


_DATASOURCE: Final = {
    "name": "datasource",
    "label": "Prometheus",
    "type": "datasource",
    "query": "prometheus",
    "refresh": 1,
    "current": {},
    "hide": 0,
}


def _laid_out() -> Iterator[dict[str, Any]]:
    ids, top = itertools.count(1), 0
    for title, panels in BOARD.items():
        place = {"x": 0, "y": top, "w": WIDTH, "h": 1}
        yield {"id": next(ids), "type": "row", "title": title, "collapsed": False,
               "gridPos": place, "panels": []}  # fmt: skip
        top, left, height = top + 1, 0, 0
        for panel in panels:
            if left + panel.width > WIDTH:
                top, left, height = top + height, 0, 0
            place = {"x": left, "y": top, "w": panel.width, "h": HEIGHTS[panel.shape]}
            yield _panel(next(ids), panel, place)
            left, height = left + panel.width, max(height, HEIGHTS[panel.shape])
        top += height


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    instant = panel.shape != "timeseries"
    return {
        "id": number,
        "type": panel.shape,
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": _options(panel.shape),
        "targets": [
            {"refId": chr(ord("A") + turn), "datasource": SOURCE, "expr": expr,
             "legendFormat": legend or "__auto", "instant": instant, "range": not instant}
            for turn, (expr, legend) in enumerate(panel.queries)
        ],
    }  # fmt: skip


def _options(shape: Shape) -> dict[str, Any]:
    if shape == "timeseries":
        legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    last = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    return last | ({"orientation": "horizontal"} if shape == "bargauge" else {})
