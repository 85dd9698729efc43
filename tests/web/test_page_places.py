"""The pages of a repo, of the fleet and of the settings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from orch import agents, controls, monitor
from orch.controls import Order
from orch.store import fleet, freezes, landings
from orch.store.schema import jobs, workers
from tests.factories import START
from tests.web.conftest import Web
from tests.web.page import HOSTILE, Page, get, person

REPO = {"url": "/srv/app.git", "deploy": ["./deploy", "--token=canary"], "health": ["true"]}


def page(web: Web, address: str, role: str = "operator") -> Page:
    return get(person(web, role), address)


def landed(web: Web, item: str, seconds: float, **more: Any) -> None:
    web.rig.task(item, "done", job="succeeded")
    ended = START + timedelta(seconds=seconds)
    facts = {"stage": "deploy", "started_at": START, "finished_at": ended, **more}
    mine = jobs.c.id == web.rig.job(item)["id"]
    web.rig.store.write(lambda conn: conn.execute(update(jobs).where(mine).values(**facts)))


# --- a repo


def test_a_repo_shows_its_line_with_reasons(web: Web) -> None:
    web.rig.task("APP-1", "development", job="running")
    web.rig.task("APP-2", title=HOSTILE[0])
    found = page(web, "/ui/repos/app")
    assert "APP-1 holds it at development" in found.text
    assert HOSTILE[0] in found.text
    assert {"freeze", "pause"} <= set(found.controls())


def test_landings_are_bars_by_length_and_told_in_words(web_on_both: Web) -> None:
    web = web_on_both
    landed(web, "APP-1", 10)
    landed(web, "APP-2", 100, status="failed", failure="deploy_failed")
    found = page(web, "/ui/repos/app")
    bars = {
        str(given["class"]): float(str(given["width"]))
        for tag, given in found.tags
        if tag == "rect" and given.get("class") in ("good", "bad")
    }
    assert bars["bad"] == 100 > bars["good"] > 0
    assert "failed deploy_failed" in found.text
    assert "1 min 40 s" in found.text


def test_a_frozen_repo_says_so_and_offers_the_way_out(web: Web) -> None:
    web.rig.task("APP-1")
    controls.carry_out(web.line, Order("freeze", "app", "ann", "main is red"))
    found = page(web, "/ui/repos/app")
    assert "Frozen by ann" in found.text
    assert "unfreeze" in found.controls()
    assert "freeze" not in found.controls()


def test_a_repo_of_two_words_has_a_page_and_an_unknown_one_has_none(web: Web) -> None:
    web.rig.task("APP-1", repo="team/app")
    assert "team/app" in page(web, "/ui/repos/team/app").text
    assert person(web).get("/ui/repos/team/x").status_code == 404
    assert person(web).get("/ui/repos/../x").status_code in (400, 404)


def test_the_health_of_main_is_what_the_monitor_found(web: Web) -> None:
    web.rig.task("APP-1")
    assert "it has no health command" in page(web, "/ui/repos/app").text
    store, now = web.rig.store, web.rig.clock()
    red = ("app", "DEGRADED: health", monitor.SOURCE, now)
    store.write(lambda conn: freezes.set_repo_freeze(conn, *red))
    assert "red since" in page(web, "/ui/repos/app").text
    again = f"DEGRADED: health{monitor.AGAIN}abc"
    store.write(lambda conn: freezes.restate(conn, "app", monitor.SOURCE, again))
    assert "green again" in page(web, "/ui/repos/app").text


def test_who_lands_is_shown(web: Web) -> None:
    web.rig.task("APP-1", "deploy", job="running")
    job, now = web.rig.job("APP-1")["id"], web.rig.clock()
    web.rig.store.write(lambda conn: landings.take(conn, "app", job, now, 60))
    assert "APP-1 lands, until" in page(web, "/ui/repos/app").text


def test_commands_of_a_repo_are_for_operators(web: Web) -> None:
    web.settings = web.settings.model_validate({"data_dir": web.folder, "repos": {"app": REPO}})
    web.rig.task("APP-1")
    assert "--token=canary" in page(web, "/ui/repos/app").text
    assert "canary" not in page(web, "/ui/repos/app", "viewer").text


# --- the fleet


def test_the_fleet_shows_agents_their_outcomes_and_their_workers(web_on_both: Web) -> None:
    web, now = web_on_both, web_on_both.rig.clock()
    store = web.rig.store
    store.write(lambda conn: fleet.register(conn, "w1", "agent.developer", 2, "1.0", now))
    store.write(lambda conn: fleet.register(conn, "w2", "agent.tester", 1, "0.9", now))
    gone = update(workers).where(workers.c.name == "w2")
    store.write(lambda conn: conn.execute(gone.values(stopped_at=now)))
    landed(web, "APP-1", 5, agent="developer", status="failed", failure="timeout")
    found = page(web, "/ui/agents")
    assert "1 of 2 workers live" in found.text
    assert "/ui/jobs/1/log" in found.links()
    titles = [given["title"] for tag, given in found.tags if tag == "a" and "title" in given]
    assert "APP-1, deploy: timeout" in titles
    assert "stopped" in found.text


def test_a_suspended_agent_says_why_and_can_be_let_go_on(web: Web) -> None:
    agents.suspend(web.line, "developer", "ann", "limit reached")
    found = page(web, "/ui/agents")
    assert "limit reached" in found.text
    assert {"resume_agent", "suspend_agent"} == set(found.controls())
    assert page(web, "/ui/agents", "viewer").controls() == []


# --- settings


def test_settings_are_for_admins_and_hide_what_is_secret(web: Web) -> None:
    given = {"data_dir": web.folder, "database_url": "postgresql://u:canary@h/d"}
    web.settings = web.settings.model_validate(given)
    assert person(web, "operator").get("/ui/settings").status_code == 403
    found = page(web, "/ui/settings", "admin")
    assert "database_url *** " in found.text
    assert "canary" not in found.text
    assert "lease_seconds 60 default" in found.text


@pytest.mark.parametrize("address", ["tasks/APP-1", "repos/app", "agents", "ledger", "settings"])
def test_nobody_comes_in_without_a_role(web: Web, address: str) -> None:
    web.rig.task("APP-1")
    person(web, "viewer")  # from the first token on nobody is let in without one
    assert web.client.get(f"/ui/{address}").status_code in (302, 303, 401)
