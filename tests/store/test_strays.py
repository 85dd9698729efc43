"""A task that orch cannot take on is found, named and parked; every other is left alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orch import strays
from orch.errors import IllegalTransition
from orch.repo_settings import RepoSettings
from tests.factories import Rig, dump

A, B, C = "A-1", "B-2", "C-3"
SCENIC = RepoSettings(url="/srv/git/app.git", tracks={"scenic": ("analysis", "deploy")})


def test_a_task_at_an_unknown_stage_is_parked_and_lets_the_next_one_go(
    rig: Rig, logged: list[dict[str, object]]
) -> None:
    rig.task(A, "marketing", job=None)
    rig.task(B)
    rig.queue.clear_kick()
    (found,) = strays.park(rig.line)
    row = rig.row(A)
    assert (found.work_item_id, row["paused_by"], row["paused_until"]) == (A, "orch", None)
    assert row["paused_reason"].startswith("“marketing” is no stage of this orch")
    (told,) = [each for each in logged if each["event"] == "stray.found"]
    assert (told["work_item_id"], told["stage"]) == (A, "marketing")
    assert rig.claimable() == {B}
    assert rig.queue.kick_waits


def test_a_task_on_a_track_nobody_declares_any_more_is_parked_with_the_remedy(rig: Rig) -> None:
    rig.task(A, "development", track="scenic")
    strays.park(rig.line)
    assert rig.reasons() == {A: "paused"}
    reason = rig.row(A)["paused_reason"]
    assert reason.startswith("“scenic” is no track of app")
    assert f"orch resume {A}" in reason


def test_a_track_counts_only_in_the_repo_that_declares_it(rig: Rig) -> None:
    rig.task(A, track="scenic")
    rig.task(B, repo="lib", track="scenic")
    rig.task(C, "marketing", repo="lib", track="scenic")
    rig.repos = {"app": SCENIC}
    assert [each.work_item_id for each in strays.find(rig.line)] == [B, C]
    strays.park(rig.line)
    assert (rig.row(A)["paused_at"], rig.reasons()[A]) == (None, None)


def test_tasks_that_are_known_or_over_are_left_alone(rig: Rig) -> None:
    rig.task(A, "created")
    rig.task(B, "review", track="docs", job="running")
    rig.task(C, "done", track="scenic", job=None)
    before = dump(rig.store)
    assert strays.park(rig.line) == []
    assert dump(rig.store) == before


def test_a_stray_is_named_at_every_start_and_parked_once(
    rig: Rig, logged: list[dict[str, object]]
) -> None:
    rig.task(A, "marketing", job=None)
    strays.park(rig.line)
    after = dump(rig.store)
    rig.clock.advance(60)
    (again,) = strays.park(rig.line)
    assert again.is_parked
    assert dump(rig.store) == after
    assert len([each for each in logged if each["event"] == "stray.found"]) == 2


def test_a_persons_pause_stands_unless_it_would_end_by_itself(rig: Rig) -> None:
    for item in (A, B):
        rig.task(item, track="scenic")
    rig.order("pause", A, "later")
    rig.order("pause", B, "soon", until=rig.clock() + timedelta(hours=1))
    strays.park(rig.line)
    assert rig.row(A)["paused_reason"] == "later"
    assert (rig.row(B)["paused_until"], rig.row(B)["paused_reason"] != "soon") == (None, True)


def test_a_stray_that_is_put_right_meanwhile_is_not_parked(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.task(A, "marketing", job=None)
    found = strays.find(rig.line)
    rig.move(A, "review")
    monkeypatch.setattr(strays, "find", lambda line: found)
    strays.park(rig.line)
    assert rig.row(A)["paused_at"] is None


@pytest.mark.parametrize("job", [None, "queued"])
@pytest.mark.parametrize("verb", ["resume", "retry"])
def test_a_task_at_an_unknown_stage_cannot_be_taken_back_but_ended(
    rig: Rig, verb: str, job: str | None
) -> None:
    rig.task(A, "marketing", job=job)
    strays.park(rig.line)
    with pytest.raises(IllegalTransition, match="nobody's work"):
        rig.order(verb, A)
    (blocker,) = rig.why(A)["blockers"]
    assert blocker["clear_with"] == f"orch cancel {A}"
    assert rig.order("cancel", A)["state"] == "cancelled"
