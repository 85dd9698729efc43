"""GET /queue: the snapshot, parts of it, and the cheap answer that nothing has changed."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, func, insert, select

from orch.store import fleet
from orch.store.schema import jobs, repo_freeze, tasks
from tests.web.conftest import Web
from tests.web.test_pages_line import counted
from web.api import SNAPSHOT_SECONDS


def tag_of(web: Web, query: str = "") -> str:
    return web.client.get(f"/queue{query}").headers["ETag"]


def is_unchanged(web: Web, tag: str) -> bool:
    answer = web.client.get("/queue", headers={"If-None-Match": tag})
    assert answer.status_code in (200, 304)
    return answer.status_code == 304


def test_the_queue_shows_every_repo_and_agent(web_on_both: Web) -> None:
    web_on_both.rig.task("APP-1", "development", job="running")
    web_on_both.rig.task("APP-2")
    shown = web_on_both.client.get("/queue").get_json()
    lane = shown["serial_gate"]["per_repo"]["app"]
    assert lane["active_task"]["work_item_id"] == "APP-1"
    assert lane["waiting"][0]["reason"] == "active-task"
    kept = {"live", "slots", "workers", "suspended_until", "suspended_reason"}
    assert set(shown["agents"]["developer"]) == kept
    assert shown["generated_at"] == "2026-03-01T12:00:02Z"


def test_only_the_repos_asked_for_are_shown(web: Web) -> None:
    for name in ("app", "lib", "web"):
        web.rig.task(f"{name.upper()}-1", repo=name)
    shown = web.client.get("/queue?repo=app&repo=web").get_json()
    assert list(shown["serial_gate"]["per_repo"]) == ["app", "web"]


def test_the_limit_bounds_each_lane(web: Web) -> None:
    for number in range(5):
        web.rig.task(f"APP-{number}")
    lane = web.client.get("/queue?limit=2").get_json()["serial_gate"]["per_repo"]["app"]
    assert (len(lane["waiting"]), lane["waiting_total"]) == (2, 5)


def test_ten_thousand_tasks_cost_a_bounded_queue_no_more_than_ten(web: Web) -> None:
    web.rig.workers()
    first = web.rig.task("APP-1")
    costs = []
    for number in (10, 10_000):
        grow(web, first, number)
        with counted(web.rig) as sent:
            answer = web.client.get("/queue?limit=10")
        lane = answer.get_json()["serial_gate"]["per_repo"]["app"]
        assert (len(lane["waiting"]), lane["waiting_total"]) == (10, number)
        assert len(answer.data) < 12_000
        costs.append(len(sent))
    assert costs[0] == costs[1] < 30


def grow(web: Web, first: int, to: int) -> None:
    """Let so many tasks like the first one wait."""

    def write(conn: Connection) -> None:
        for table, own, of_task in ((tasks, "work_item_id", "id"), (jobs, "", "task_id")):
            like = select(table).where(table.c[of_task] == first)
            known = dict(conn.execute(like).mappings().one())
            had = conn.scalar(select(func.max(table.c.id))) or 0
            rows = [
                {**known, "id": n, of_task: n, **({own: f"APP-{n}"} if own else {})}
                for n in range(had + 1, to + 1)
            ]
            conn.execute(insert(table), rows)

    web.rig.store.write(write)


def test_an_unchanged_queue_is_answered_without_a_body(web_on_both: Web) -> None:
    web_on_both.rig.task("APP-1")
    tag = tag_of(web_on_both)
    answer = web_on_both.client.get("/queue", headers={"If-None-Match": f'"other", {tag}'})
    assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", tag)


@pytest.mark.parametrize(
    ("verb", "target"), [("pause", "APP-1"), ("promote", "APP-2"), ("freeze", "app")]
)
def test_a_control_makes_the_queue_new(web_on_both: Web, verb: str, target: str) -> None:
    for item in ("APP-1", "APP-2"):
        web_on_both.rig.task(item)
    tag = tag_of(web_on_both)
    web_on_both.rig.order(verb, target)
    assert not is_unchanged(web_on_both, tag)


def test_rows_written_by_hand_make_the_queue_new(web_on_both: Web) -> None:
    tag = tag_of(web_on_both)
    web_on_both.rig.task("APP-1", job=None)
    assert not is_unchanged(web_on_both, tag)
    tag = tag_of(web_on_both)
    frozen = insert(repo_freeze).values(repo="app", frozen_at=web_on_both.rig.clock())
    web_on_both.rig.store.write(lambda conn: conn.execute(frozen))
    assert not is_unchanged(web_on_both, tag)


def test_workers_that_come_and_go_make_the_queue_new(web: Web) -> None:
    tag = tag_of(web)
    web.rig.workers()
    assert not is_unchanged(web, tag)
    tag = tag_of(web)
    now = web.rig.clock()
    web.rig.store.write(lambda conn: fleet.leave(conn, "w-developer", now))
    assert not is_unchanged(web, tag)


def test_what_only_time_changes_shows_within_seconds(web: Web) -> None:
    tag = tag_of(web)
    assert is_unchanged(web, tag)
    web.rig.clock.advance(SNAPSHOT_SECONDS)
    assert not is_unchanged(web, tag)
