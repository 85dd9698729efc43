"""/metrics shows what the catalogue says, true to the store, and few series whatever the line."""

from __future__ import annotations

import ast
from datetime import timedelta

import pytest
from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, text

from orch import metrics, tally
from orch.counts import Counts
from orch.metrics import METRICS
from orch.store import entries, feeds, fleet, ledger, tellings
from tests.architecture import tree
from tests.factories import START, Rig
from tests.web.conftest import Web
from web.routes import Remembered


def families(web: Web) -> dict[str, Family]:
    """What is exposed, by the name in the catalogue."""
    answer = web.client.get("/metrics")
    assert answer.status_code == 200
    found = {family.name: family for family in text_string_to_metric_families(answer.text)}
    return {
        f"{name}_total" if family.type == "counter" else name: family
        for name, family in found.items()
    }


def values(web: Web, name: str, *labels: str) -> dict[str, float]:
    """Samples of one metric, by the values of these labels."""
    stem = name.removesuffix("_total")
    family = families(web)[name]
    return {
        "|".join(sample.labels[label] for label in labels): sample.value
        for sample in family.samples
        if sample.name in (name, stem)
    }


def a_tracker(conn: Connection, rig: Rig) -> None:
    """One that has answered, and has something to be told."""
    now = rig.clock()
    feeds.know(conn, ["tracker:plan"], now)
    taken = feeds.take(conn, "tracker:plan", now, 60, urgent=False)
    assert taken is not None
    feeds.answered(conn, taken, now, 30, {})
    told = {"uid": "u", "tracker": "plan", "item_id": "i", "task_id": 1, "event_id": 1}
    tellings.post(conn, [told | {"created_at": now, "next_try_at": now}])


def everything(rig: Rig) -> None:
    """Something of every kind, so that no metric is empty."""
    rig.workers()
    rig.task("APP-1", "development", job="running")
    rig.task("APP-2")
    rig.order("freeze", "lib")
    now = rig.clock()
    rig.store.write(lambda conn: a_tracker(conn, rig))
    counts = Counts()
    counts.observe("tick_duration_seconds", 0.02)
    counts.add("calls", "forge", "land", "ok")
    counts.add("call_seconds", "forge", "land", amount=0.5)

    def beats(conn: object) -> None:
        for name in ("beat", "sweep", "monitor", "hook:plane"):
            fleet.note_beat(conn, name, now)  # type: ignore[arg-type]
        told = {"repos": {"app": {"depot": 1, "workspaces": 2}}, "free": 3}
        fleet.note_beat(conn, "disk@here", now, **told)  # type: ignore[arg-type]

    rig.store.write(beats)
    rig.clock.advance(entries.SETTLED_SECONDS)
    tally.count_ledger(rig.line)
    tally.flush(rig.line, counts)


def test_what_is_exposed_is_the_catalogue_with_its_types_and_labels(web_on_both: Web) -> None:
    everything(web_on_both.rig)
    found = families(web_on_both)
    assert set(found) == set(METRICS)
    for name, family in found.items():
        metric = METRICS[name]
        assert (family.type, family.documentation) == (metric.kind, metric.says)
        assert family.samples or "channel" in metric.labels, f"{name} shows nothing"
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)


WRITES = {
    ("ledger", "count"): 1,
    ("metrics", "key"): 0,
    ("HERE", "observe"): 0,
    ("HERE", "add"): 0,
    ("self._counts", "add"): 0,
}
"""Whose call counts something, and which of its arguments is the name."""
STRETCHES = {"job_run_seconds", "job_wait_seconds", "task_lead_seconds"}
"""Observed by the tally under a name that a variable holds."""


def test_every_counter_the_code_writes_is_in_the_catalogue_and_none_beside_them() -> None:
    written = set(STRETCHES)
    for _, node in tree.nodes("orch"):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            place = WRITES.get((ast.unparse(node.func.value), node.func.attr))
            name = node.args[place] if place is not None else None
            if isinstance(name, ast.Constant):
                written.add(str(name.value))
    assert written == set(metrics.STORED)


def test_the_buckets_of_a_histogram_are_summed_up(web_on_both: Web) -> None:
    counts = Counts()
    for seconds in (0.003, 0.02, 0.02, 99):
        counts.observe("tick_duration_seconds", seconds)
    tally.flush(web_on_both.rig.line, counts)
    samples = families(web_on_both)["orch_tick_duration_seconds"].samples
    shown = {sample.labels.get("le", sample.name): sample.value for sample in samples}
    assert (shown["0.005"], shown["0.01"], shown["0.025"], shown["10"]) == (1, 1, 3, 3)
    assert shown["+Inf"] == shown["orch_tick_duration_seconds_count"] == 4
    assert shown["orch_tick_duration_seconds_sum"] == pytest.approx(99.043)


def test_a_counter_another_version_wrote_with_other_labels_is_left_out(web: Web) -> None:
    web.rig.store.write(lambda conn: ledger.count(conn, "calls", "forge|land"))
    web.rig.store.write(lambda conn: ledger.count(conn, "never_heard_of"))
    assert set(families(web)) == set(METRICS)
    assert values(web, "orch_calls_total", "port") == {}


def test_holders_and_heads_have_their_ages(web_on_both: Web) -> None:
    rig = web_on_both.rig
    rig.task("APP-1", "development", job="running")
    rig.task("APP-2")
    rig.task("LIB-1", repo="lib")
    rig.clock.advance(97)
    assert values(web_on_both, "orch_holder_age_seconds", "repo") == {"app": 100}
    assert values(web_on_both, "orch_head_age_seconds", "repo") == {"app": 100, "lib": 98}
    assert values(web_on_both, "orch_repo_waiting_jobs", "repo") == {"app": 1, "lib": 1}


def test_a_head_that_has_not_started_is_as_old_as_its_open_gate(web_on_both: Web) -> None:
    rig = web_on_both.rig
    rig.task("LIB-1", repo="lib")
    rig.clock.advance(600)
    rig.tick()  # nobody serves the analyst: the gate is open, and that is noted
    rig.clock.advance(30)
    assert values(web_on_both, "orch_head_age_seconds", "repo") == {"lib": 30}
    assert values(web_on_both, "orch_ready_jobs", "agent")["analyst"] == 1


def test_beyond_the_busiest_repos_all_are_one(web_on_both: Web) -> None:
    web_on_both.settings = web_on_both.settings.model_copy(update={"metrics_repos": 2})
    rig = web_on_both.rig
    for repo, count in (("a", 1), ("b", 3), ("other", 2), ("c", 1), ("d", 1)):
        for number in range(count):
            rig.task(f"{repo}-{number}", repo=repo)
    rig.clock.advance(100)
    waiting = values(web_on_both, "orch_repo_waiting_jobs", "repo")
    # A repo that is called so itself is one of them.
    assert waiting == {"b": 3, "other": 5}
    assert values(web_on_both, "orch_repo_oldest_waiting_seconds", "repo")["other"] == 108
    assert values(web_on_both, "orch_head_age_seconds", "repo")["other"] == 108
    assert values(web_on_both, "orch_waiting_repos") == {"": 5}


def test_the_number_of_series_ends_with_the_busiest(web: Web) -> None:
    counts: list[int] = []
    for repos in (0, 60, 60):
        for number in range(repos):
            web.rig.task(f"R{len(counts)}{number}-1", repo=f"r{len(counts)}-{number}")
        web.rig.clock.advance(6)
        counts.append(sum(len(family.samples) for family in families(web).values()))
    assert counts[0] < counts[1] == counts[2]


def test_reasons_come_with_how_many_and_since_when(web_on_both: Web) -> None:
    rig = web_on_both.rig
    for number in (1, 2, 3):
        rig.task(f"APP-{number}")
    rig.clock.advance(7)
    counted = values(web_on_both, "orch_waiting_jobs_sampled", "reason")
    assert (counted["active-task"], counted["none"], counted["freeze"]) == (2, 1, 0)
    oldest = values(web_on_both, "orch_oldest_waiting_sampled_seconds", "reason")
    assert (oldest["active-task"], oldest["none"], oldest["freeze"]) == (9, 10, 0)


def test_parked_tasks_freezes_and_a_broker_that_is_away_are_told(web_on_both: Web) -> None:
    rig = web_on_both.rig
    rig.task("APP-1")
    rig.task("APP-2", job=None, paused_at=rig.clock(), approval="review")
    rig.order("pause", "APP-1")
    rig.order("freeze", "a*")
    rig.order("freeze", "gone", until=rig.clock() + timedelta(seconds=1))
    rig.clock.advance(5)
    rig.queue.down = True
    assert values(web_on_both, "orch_parked_tasks", "why") == {"approval": 1, "pause": 1}
    assert values(web_on_both, "orch_freezes") == {"": 1}
    assert values(web_on_both, "orch_broker_up") == {"": 0}


def test_a_clause_that_cannot_be_read_is_told_and_the_rest_still_shown(
    breakable_web: Web,
) -> None:
    breakable_web.rig.task("APP-1")
    rename = text("ALTER TABLE repo_freeze RENAME TO away")
    breakable_web.rig.store.write(lambda conn: conn.execute(rename))
    degraded = values(breakable_web, "orch_clause_degraded", "clause")
    assert (degraded["freeze"], degraded["paused"]) == (1, 0)
    assert values(breakable_web, "orch_waiting_jobs") == {"": 1}


def test_a_repo_s_name_cannot_break_the_lines(web: Web) -> None:
    web.rig.task("EVIL-1", repo='a"} 1\nevil_total{x="')
    assert values(web, "orch_repo_waiting_jobs", "repo") == {'a"} 1\nevil_total{x="': 1}
    assert set(families(web)) == set(METRICS)


def test_an_answer_that_took_long_is_kept_for_longer() -> None:
    took = iter([0.1, 2.0, 0.1])
    remembered = Remembered(lambda: lambda: next(took))
    asked: list[int] = []

    def at(seconds: float) -> int:
        remembered.get(START + timedelta(seconds=seconds), 5, lambda: asked.append(1))
        return len(asked)

    assert [at(second) for second in (0, 4.9, 5, 10, 44.9, 45)] == [1, 1, 2, 2, 2, 3]
