"""healthz, readyz and metrics: what is wrong is named, and they answer whatever is away."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, text

from orch import alarms, doctor, mcp_tools
from orch.bootstrap import build_limits
from orch.config import Settings
from orch.health import STUCK_SECONDS
from orch.store import feeds, fleet, ledger
from orch.tokens import Holder
from tests.web.conftest import Web


def healthy(web: Web) -> None:
    web.rig.workers()
    now = web.rig.clock()
    web.rig.store.write(lambda conn: fleet.note_beat(conn, "beat", now))
    web.rig.store.write(lambda conn: fleet.note_beat(conn, "sweep", now, mended=2))


def health(web: Web) -> dict[str, Any]:
    answer = web.client.get("/healthz")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.get_json()
    return found


def test_a_line_that_runs_has_no_problems(web_on_both: Web) -> None:
    healthy(web_on_both)
    found = health(web_on_both)
    assert (found["status"], found["problems"]) == ("ok", [])
    assert (found["database"], found["broker"], found["degraded"]) == (True, True, [])
    assert (found["beat"]["seconds"], found["sweep"]["mended"]) == (0.0, 2)
    assert found["agents"]["developer"]["free"] == 50


def test_a_beat_that_is_late_is_named(web: Web) -> None:
    healthy(web)
    web.rig.clock.advance(30)
    assert health(web)["problems"] == ["beat last rang 30 s ago"]


@pytest.mark.parametrize(("ago", "is_late"), [(3000, False), (3001, True)])
def test_a_sweep_is_late_by_its_own_interval_whoever_asks(
    web: Web, ago: float, is_late: bool
) -> None:
    rig = web.rig
    rig.limits = build_limits(Settings.model_validate({"sweep_seconds": 600}))
    web.line = replace(web.line, limits=rig.limits)
    healthy(web)
    rig.clock.advance(ago)
    rig.workers()
    rig.store.write(lambda conn: fleet.note_beat(conn, "beat", rig.clock()))
    (tool,) = (each for each in mcp_tools.READING if each.name == "health")
    desk = mcp_tools.Desk(rig.line, rig.clock)
    found = doctor.attendance(rig.line, ())
    told = [
        health(web)["problems"],
        tool.does(desk, mcp_tools.Asked(), Holder("ann", "viewer"))["problems"],
        [each.said[0].lower() + each.said[1:-1] for each in found if each.verdict != "well"],
    ]
    late = [f"the dispatcher last looked at every repo {ago:.0f} s ago"] * is_late
    assert told == [late] * 3
    assert alarms.look(rig.line) == []
    rig.clock.advance(alarms.LASTS)
    assert any("looked at every repo" in each for each in alarms.look(rig.line)) == is_late


def test_a_line_that_is_not_swept_yet_is_told_to_nobody_who_does_not_ask(web: Web) -> None:
    rig = web.rig
    rig.workers()
    for _ in range(3):
        rig.store.write(lambda conn: fleet.note_beat(conn, "beat", rig.clock()))
        assert alarms.look(rig.line) == []
        rig.clock.advance(alarms.LASTS)
    assert "the dispatcher has never looked at every repo" in health(web)["problems"]


def test_agents_nobody_serves_are_named(web: Web) -> None:
    assert "no worker serves developer" in health(web)["problems"]


def test_a_broker_that_is_away_is_named(web: Web) -> None:
    healthy(web)
    web.rig.queue.down = True
    found = health(web)
    assert (found["status"], found["broker"]) == ("degraded", False)


def stop_feed(web: Web, name: str) -> None:
    """Let a tracker or forge have refused orch for good."""

    def stop(conn: Connection) -> None:
        now = web.rig.clock()
        feeds.know(conn, [name], now)
        row = feeds.take(conn, name, now, 60, urgent=True)
        assert row is not None
        feeds.stop(conn, row, now, "the key is bad")

    web.rig.store.write(stop)


@pytest.mark.parametrize("agent_lives", [True, False])
def test_claims_that_nobody_starts_although_workers_live_are_named(
    web_on_both: Web, agent_lives: bool
) -> None:
    web_on_both.rig.task("APP-1", "development", job="claimed")
    web_on_both.rig.task("LIB-1", "development", repo="lib", job="running")
    web_on_both.rig.clock.advance(STUCK_SECONDS)
    healthy(web_on_both)
    if not agent_lives:
        now = web_on_both.rig.clock()
        web_on_both.rig.store.write(lambda conn: fleet.leave(conn, "w-developer", now))
    stalled = health(web_on_both)["stalled"]
    assert [(row["agent"], row["claims"]) for row in stalled] == (
        [("developer", 1)] if agent_lives else []
    )


def test_an_unreadable_clause_is_named(breakable_web: Web) -> None:
    healthy(breakable_web)
    rename = text("ALTER TABLE repo_freeze RENAME TO away")
    breakable_web.rig.store.write(lambda conn: conn.execute(rename))
    assert health(breakable_web)["degraded"] == ["freeze"]


def test_ready_means_that_the_schema_is_this_version_s(web_on_both: Web) -> None:
    assert web_on_both.client.get("/readyz").get_json() == {"status": "ready"}


def test_another_schema_is_not_ready(breakable_web: Web) -> None:
    newer = text("UPDATE alembic_version SET version_num = '9999'")
    breakable_web.rig.store.write(lambda conn: conn.execute(newer))
    answer = breakable_web.client.get("/readyz")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    problem = answer.get_json(force=True)
    assert problem["code"] == "schema_mismatch"
    assert "9999" in problem["detail"]


def test_a_database_that_is_away_is_said_without_its_address(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = "sqlite:////nowhere/at/all/orch.db"
    away = Web(type(web.rig)(type(web.rig.store)(elsewhere)), web.folder)
    assert health(away)["database"] is False
    for address in ("/readyz", "/queue", "/metrics", "/why?work_item=APP-1"):
        answer = away.client.get(address)
        assert (answer.status_code, answer.get_json(force=True)["code"]) == (
            503,
            "store_unavailable",
        )
        assert "nowhere" not in answer.text


def metrics(web: Web) -> dict[tuple[str, str], float]:
    answer = web.client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_numbers_are_those_of_the_store(web_on_both: Web) -> None:
    rig = web_on_both.rig
    rig.task("APP-1", "development", job="running")
    rig.task("APP-2")
    rig.task("LIB-1", repo="lib")
    rig.task("LIB-2", "done", repo="lib", job="succeeded")
    healthy(web_on_both)
    rig.store.write(lambda conn: ledger.count(conn, "gate_fallback", "paused"))
    rig.store.write(lambda conn: ledger.count(conn, "reaped", "running", 3))
    rig.clock.advance(5)
    expected = {
        ("orch_waiting_jobs", ""): 2,
        ("orch_waiting_repos", ""): 2,
        ("orch_oldest_waiting_seconds", ""): 8,
        ("orch_waiting_jobs_sampled", "active-task"): 1,
        ("orch_waiting_jobs_sampled", "none"): 1,
        ("orch_live_jobs", "developer"): 1,
        ("orch_agent_slots", "developer"): 50,
        ("orch_stalled_claims", "developer"): 0,
        ("orch_workers", ""): 6,
        ("orch_tick_age_seconds", ""): 5,
        ("orch_gate_fallback_total", "paused"): 1,
        ("orch_gate_fallback_total", "freeze"): 0,
        ("orch_reaped_total", "running"): 3,
        ("orch_sweep_mended_total", ""): 0,
    }
    found = metrics(web_on_both)
    assert {name: found[name] for name in expected} == expected


def test_the_disk_is_shown_as_it_was_last_measured(web_on_both: Web) -> None:
    now = web_on_both.rig.clock()
    for host, size in (("one", 10), ("two", 5)):
        told = {"repos": {"app": {"depot": size, "workspaces": 1}}, "free": size * 100}
        web_on_both.rig.store.write(
            lambda conn, host=host, told=told: fleet.note_beat(conn, f"disk@{host}", now, **told)
        )
    text = web_on_both.client.get("/metrics").text
    for line in (
        'orch_disk_bytes{kind="depot",repo="app"} 15.0',
        'orch_disk_bytes{kind="workspaces",repo="app"} 2.0',
        'orch_disk_free_bytes{host="two"} 500.0',
    ):
        assert line in text


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer orch_unknown"}])
def test_strangers_are_told_how_the_line_is_and_nothing_that_it_holds(
    web: Web, header: dict[str, str]
) -> None:
    token = web.token("viewer")
    now, canary = web.rig.clock(), "canary"
    healthy(web)
    web.rig.store.write(lambda conn: fleet.register(conn, canary, "agent.analyst", 1, canary, now))
    web.rig.store.write(lambda conn: fleet.note_beat(conn, "beat", now, host=canary))
    until = now + timedelta(hours=1)
    web.rig.store.write(lambda conn: fleet.suspend(conn, "analyst", until, canary, now))
    web.rig.store.write(lambda conn: fleet.leave(conn, "w-developer", now))
    stop_feed(web, f"tracker:{canary}")
    told = web.client.get("/healthz", headers=header)
    assert told.status_code == 200
    assert canary not in told.text
    assert "developer" not in told.text
    found = told.get_json()
    assert (found["status"], found["problems"]) == ("degraded", ["feed", "worker"])
    known = {"status", "problems", "database", "broker", "generated_at", "beat", "sweep"}
    assert set(found) == known
    assert found["beat"]["seconds"] == 0.0
    in_full = web.client.get("/healthz", headers={"Authorization": f"Bearer {token}"}).text
    assert canary in in_full
    assert "no worker serves developer" in in_full


def test_many_who_ask_cost_as_much_as_one(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def report(*_: object) -> dict[str, Any]:
        asked.append(1)
        return {"status": "degraded", "problems": [], "database": False, "broker": True}

    monkeypatch.setattr("orch.health.report", report)
    client = web.client
    for _ in range(10):
        client.get("/healthz")
    web.rig.clock.advance(2)
    client.get("/healthz")
    assert len(asked) == 2
