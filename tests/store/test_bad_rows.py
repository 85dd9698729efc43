"""One bad row parks its task; the tick, the worker and the rest of the line go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from orch.store import looks
from orch.store.schema import tasks
from tests.factories import Rig, ScriptedRunner


@pytest.fixture
def poisoned(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A line on which the claim fails wherever the task BAD-1 would be claimed."""
    rig.workers()
    claim = looks.take

    def fails(conn: Any, *given: Any, **more: Any) -> Any:
        taken = claim(conn, *given, **more)
        if any(each.task_id == rig.row_id("BAD-1") for each in taken.claimed):
            raise ValueError("Invalid isoformat string")
        return taken

    monkeypatch.setattr(looks, "take", fails)
    return rig


def test_a_task_the_dispatcher_cannot_handle_is_parked_and_the_tick_goes_on(poisoned: Rig) -> None:
    poisoned.task("BAD-1", repo="bad")
    poisoned.task("BAD-2", repo="bad")
    poisoned.task("GOOD-1", repo="good")
    done = poisoned.tick()
    assert [each.repo for each in done.claimed] == ["good"]
    parked = poisoned.row("BAD-1")
    assert parked["paused_by"] == "orch"
    assert "the dispatcher could not handle it" in parked["paused_reason"]
    poisoned.clock.advance(2)
    assert [each.task_id for each in poisoned.tick().claimed] == [poisoned.row_id("BAD-2")]


def test_a_task_at_a_stage_nobody_knows_is_parked_with_that_reason(
    rig: Rig, tmp_path: Path
) -> None:
    rig.workers()
    rig.task("ODD-1")
    rig.store.write(lambda conn: conn.execute(update(tasks).values(stage="marketing")))
    (claimed,) = rig.tick().claimed
    assert rig.work(claimed.claim, tmp_path) == "park"
    assert "“marketing” is not a stage" in rig.row("ODD-1")["paused_reason"]
    assert rig.job("ODD-1")["failure"] == "spawn_failed"


@pytest.mark.parametrize("repo", ["../up", "a/b/c", ".git", "-x"])
def test_a_repo_name_written_by_hand_never_becomes_a_path(
    rig: Rig, tmp_path: Path, repo: str
) -> None:
    rig.workers()
    rig.task("HAND-1", repo=repo)
    (claimed,) = rig.tick().claimed
    assert rig.work(claimed.claim, tmp_path / "root") == "park"
    assert "is not a repo name" in rig.row("HAND-1")["paused_reason"]
    assert not (tmp_path / "root").exists()


def test_a_task_moved_by_hand_while_its_agent_works_gets_a_job_of_its_new_stage(
    rig: Rig, tmp_path: Path
) -> None:
    rig.workers()
    rig.task("MOVE-1")
    (claimed,) = rig.tick().claimed
    runner = ScriptedRunner(meanwhile=lambda: rig.move("MOVE-1", "review"))
    rig.work(claimed.claim, tmp_path, runner)
    assert (rig.row("MOVE-1")["stage"], rig.job("MOVE-1")["agent"]) == ("review", "reviewer")
