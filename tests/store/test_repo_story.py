"""What a repo's page says of landings, as the first page does, and of main: only what is known."""

from __future__ import annotations

from typing import Any

import pytest

from orch import monitor, overview, repo_story
from orch.repo_settings import RepoSettings
from orch.store import fleet, freezes, ledger
from tests.factories import Rig, add_job

WATCHED = RepoSettings.model_validate({"url": "https://forge.test/app.git", "health": ["true"]})
RED = "DEGRADED: health ended with 1"


def health(rig: Rig) -> dict[str, Any]:
    found: dict[str, Any] = repo_story.about(rig.line, "app")["health"]
    return found


def frozen(rig: Rig, source: str, reason: str = RED) -> None:
    rig.store.write(lambda conn: freezes.set_repo_freeze(conn, "app", reason, source, rig.clock()))


@pytest.fixture
def watched(rig: Rig) -> Rig:
    rig.task("APP-1")
    rig.repos["app"] = WATCHED
    return rig


def test_main_is_unknown_until_somebody_has_looked(watched: Rig) -> None:
    assert health(watched)["state"] == "unknown"
    watched.store.write(lambda conn: fleet.note_beat(conn, "monitor", watched.clock()))
    assert health(watched)["state"] == "green"
    watched.repos.clear()
    assert health(watched)["state"] == "unknown"


@pytest.mark.parametrize("source", [monitor.SOURCE, "APP-1"])
def test_whoever_finds_main_broken_makes_it_red(watched: Rig, source: str) -> None:
    frozen(watched, source)
    assert (health(watched)["state"], health(watched)["detail"]) == ("red", RED)


def test_a_freeze_that_a_person_lifts_leaves_main_lifted_and_not_green(watched: Rig) -> None:
    frozen(watched, "APP-1")
    watched.order("unfreeze", "app")
    assert (health(watched)["state"], health(watched)["since"]) == ("lifted", watched.clock())


def test_main_is_green_when_the_monitor_has_seen_it_so(watched: Rig) -> None:
    frozen(watched, monitor.SOURCE, f"{RED}{monitor.AGAIN}abc")
    assert health(watched)["state"] == "green"
    watched.order("unfreeze", "app")
    assert health(watched)["state"] == "green"


def test_a_freeze_for_another_reason_says_nothing_of_main(watched: Rig) -> None:
    watched.order("freeze", "app", "release day")
    assert health(watched)["state"] == "unknown"


def landed(rig: Rig, item: str, *kinds: str) -> None:
    """An attempt to land that has ended, with what the ledger tells of it."""
    rig.task(item, "deploy", job=None)
    steps = {"from_state": "deploy", "to_state": "done"}
    job = {"status": "succeeded", "stage": "deploy", "finished_at": rig.clock()}
    task_id = rig.row_id(item)

    def end(conn: Any) -> None:
        job_id = add_job(conn, task_id, rig.clock(), **job)
        told = {"repo": "app", "task_id": task_id, "job_id": job_id}
        for kind in kinds:
            moved = steps if kind == "task.moved" else {}
            ledger.record(conn, rig.clock(), kind, **told, **moved)

    rig.store.write(end)


def test_a_landing_is_the_same_on_both_pages(rig: Rig) -> None:
    landed(rig, "MERGED-1", "task.landed", "task.moved")
    landed(rig, "PLAIN-2", "task.moved")
    landed(rig, "REFUSED-3")
    shown = {
        row["work_item_id"]: row["landed"] for row in repo_story.about(rig.line, "app")["landings"]
    }
    assert shown == {"MERGED-1": True, "PLAIN-2": True, "REFUSED-3": False}
    counted = sum(each["value"] for each in overview.trend(rig.line)["landed"])
    assert counted == sum(shown.values())
