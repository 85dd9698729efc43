"""The alert rules for Prometheus, as data: what each means, and what to do.

They are generated like the other pages (`orch.docs`), and a test holds each name and label in their
expressions against `orch.metrics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import yaml

NOTE: Final = "# Written by `make docs` from orch/alerts.py. Change that instead.\n"


@dataclass(frozen=True)
class Alert:
    """One alert rule, with what it means and what to do."""

    name: str
    expr: str
    lasts: str
    severity: Literal["critical", "warning", "info"]
    summary: str
    action: str


ALERTS: Final = (
    Alert("OrchGone", "absent(orch_tick_age_seconds)", "2m", "critical",
          "No numbers of orch arrive, or its beat has never rung.",
          "Look whether `orch web` answers and Prometheus' token is valid; then `orch beat`."),
    Alert("OrchNoTick", "orch_tick_age_seconds > 30", "1m", "critical",
          "Beat last rang {{ $value | humanizeDuration }} ago: nothing new starts.",
          "See that `orch beat` and `orch control` run and reach the broker and the database."),
    Alert("OrchNoSweep", "orch_sweep_age_seconds > 600", "5m", "warning",
          "The last sweep was {{ $value | humanizeDuration }} ago: a missed mark stays missed.",
          "Look into the log of `orch control` for what the sweep met."),
    Alert("OrchBrokerAway", "orch_broker_up == 0", "2m", "critical",
          "The broker does not answer: nothing new starts; no work is lost.",
          "Bring Redis back; waiting jobs start by themselves."),
    Alert("OrchStalled", "orch_stalled_claims > 0", "1m", "critical",
          "{{ $value }} claims of {{ $labels.agent }} are started by nobody, although workers "
          "live.",
          "Restart the workers of that agent: one is connected, but deaf."),
    Alert("OrchNoWorker", "orch_ready_jobs > 0 and on (agent) orch_agent_workers == 0", "2m",
          "critical", "{{ $value }} jobs could start, and no worker serves {{ $labels.agent }}.",
          "Start one: `orch worker {{ $labels.agent }}`."),
    Alert("OrchDegraded", "orch_clause_degraded > 0", "1m", "critical",
          "The clause {{ $labels.clause }} cannot be evaluated; the gate does without it.",
          "`orch db current` and `/healthz` say more; mend the table it reads."),
    Alert("OrchFallback", "increase(orch_gate_fallback_total[15m]) > 0", "0m", "warning",
          "The gate was evaluated without {{ $labels.clause }} in the last quarter of an hour.",
          "Look for `gate.fallback` in the logs; a clause may fail now and then."),
    Alert("OrchHeadStands",
          "orch_head_age_seconds > 14400 and on (repo) orch_repo_waiting_jobs > 0", "10m",
          "warning", "The head of {{ $labels.repo }} has stood there for "
          "{{ $value | humanizeDuration }}, and jobs wait there.",
          "`orch queue --repo {{ $labels.repo }}` names it, `orch why ID` what it waits for; "
          "`orch pause ID` lets the next one go."),
    Alert("OrchHeldLong", "orch_holder_age_seconds > 21600", "10m", "warning",
          "A job has held {{ $labels.repo }} for {{ $value | humanizeDuration }}.",
          "`orch queue` names it; its log is at /jobs/ID/log, `orch pause ID --now` stops it."),
    Alert("OrchParked", "sum(orch_parked_tasks) > 0", "1d", "info",
          "{{ $value }} tasks have waited for a person for a day.",
          "`orch tasks --state parked` lists them: approve, answer, resume or cancel."),
    Alert("OrchFrozen", "orch_freezes > 0", "4h", "info",
          "{{ $value }} freezes have been in force for hours.",
          "`orch queue` shows why; `orch unfreeze REPO` when the cause is gone."),
    Alert("OrchSuspended", "orch_agent_suspended_until_seconds > time()", "30m", "info",
          "{{ $labels.agent }} gets nothing to do: its provider's limit, or a person.",
          "`orch agent list` shows until when; `orch agent resume {{ $labels.agent }}` ends it."),
    Alert("OrchJobsFail",
          'sum by (stage) (increase(orch_jobs_ended_total{outcome!~"succeeded|cancelled|'
          'rework_requested"}[1h])) > 5 and on (stage) sum by (stage) '
          '(increase(orch_jobs_ended_total{outcome!~"succeeded|cancelled|rework_requested"}[1h])) '
          "/ sum by (stage) (increase(orch_jobs_ended_total[1h])) > 0.5", "5m", "warning",
          "More than half of the jobs of {{ $labels.stage }} fail.",
          "The panel “Jobs ended” has the classes; `orch show ID` the words of one."),
    Alert("OrchKeyRefused", 'increase(orch_jobs_ended_total{outcome="auth_invalid"}[15m]) > 0',
          "0m", "critical", "A program's key was refused at {{ $labels.stage }}: tasks are parked.",
          "Log the program in again as the user of the workers, then resume the tasks."),
    Alert("OrchStaleWrites", "increase(orch_stale_writes_total[15m]) > 0", "0m", "warning",
          "A worker wrote for a job that was another's by then ({{ $labels.write }}): refused.",
          "Nothing is damaged. A host froze, or its clock or network stood still: look at it."),
    Alert("OrchReaped", "sum(increase(orch_reaped_total[15m])) > 3", "0m", "warning",
          "{{ $value }} jobs were taken back because nobody renewed their lease.",
          "Workers die or are cut off: look at their hosts, memory first."),
    Alert("OrchRedelivered", "increase(orch_redeliveries_refused_total[1h]) > 10", "0m", "info",
          "Messages come twice or late, and are refused.",
          "See that Redis is not restored from an old copy, nor shared without a prefix."),
    Alert("OrchLostRaces", "increase(orch_lost_races_total[1h]) > 20", "0m", "info",
          "Claims often meet a job that somebody wrote without the repo's lock.",
          "Find the program that writes live jobs by hand."),
    Alert("OrchMended", "increase(orch_sweep_mended_total[1h]) > 0", "0m", "info",
          "The sweep found an opening that no mark led to.",
          "A program writes the tables by hand without a mark; or report it as a fault."),
    Alert("OrchSlowTicks",
          "histogram_quantile(0.95, sum by (le) (rate(orch_tick_duration_seconds_bucket[10m])))"
          " > 2.5", "10m", "warning", "Ticks take long: 95 % end within {{ $value }} s.",
          "Look at the database: its load, long transactions, autovacuum."),
    Alert("OrchUncounted",
          'orch_tally_age_seconds > 300 or orch_ledger_behind_events{reader="tally"} > 100000',
          "15m", "warning", "What is counted from the ledger is behind.",
          "After an upgrade it catches up by itself; else look into the log of `orch control`."),
    Alert("OrchTracesFail", 'increase(orch_spans_total{outcome=~"failed|dropped"}[15m]) > 0',
          "15m", "info", "Spans cannot be sent; nothing else is touched.",
          "Look at the collector, and for `traces.failed` in the log of `orch control`."),
    Alert("OrchForgeFails",
          'sum by (port, verb) (increase(orch_calls_total{outcome=~"git_unreachable|git_timeout|'
          'crashed"}[15m])) > 3', "5m", "warning",
          "{{ $labels.port }} {{ $labels.verb }} failed {{ $value }} times.",
          "Check the way to the remote and orch's access to it."),
    Alert("OrchNoticesFail",
          "orch_notices_waiting > 0 and on (channel) increase(orch_notices_failed_total[15m]) > 0",
          "5m", "warning", "Notices for {{ $labels.channel }} cannot be sent.",
          "`/healthz` and `notice.failed` in the log say why; they are tried again by themselves."),
    Alert("OrchFeedSilent", "orch_feed_age_seconds > 600", "5m", "warning",
          "{{ $labels.feed }} last answered {{ $value | humanizeDuration }} ago: work goes on from "
          "what is known.",
          "`orch tracker list` says what it answers; look at it and at the way to it."),
    Alert("OrchFeedStopped", "orch_feed_stopped > 0", "0m", "critical",
          "{{ $labels.feed }} refuses orch, and is asked no more.",
          "`orch tracker list` says why; put it right, then `orch tracker resume NAME`."),
    Alert("OrchMonitorSilent", "orch_monitor_age_seconds > 1800", "10m", "warning",
          "The repos' health was last looked at {{ $value | humanizeDuration }} ago.",
          "`orch monitor --once` shows what keeps it."),
    Alert("OrchDiskLow", "orch_disk_free_bytes < 5e9", "5m", "warning",
          "{{ $labels.host }} has {{ $value | humanize1024 }}B left.",
          "`orch clean` discards workspaces of ended tasks; `orch_disk_bytes` names the largest."),
)  # fmt: skip


def rules() -> str:
    """The alert rules as Prometheus reads them."""
    listed = [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.lasts,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary, "action": alert.action},
        }
        for alert in ALERTS
    ]
    told = {"groups": [{"name": "orch", "rules": listed}]}
    text: str = yaml.safe_dump(told, sort_keys=False, width=100, allow_unicode=True)
    return NOTE + text
