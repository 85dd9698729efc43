"""From work item to landed change, on a real git remote."""

from __future__ import annotations

import pytest

from orch.ports import AgentResult, AgentWork
from orch.stages import TRACKS
from tests.flows.pipeline_bench import Pipeline
from tests.git_bench import commit, git

A, B = "A-1", "B-2"


def reworks(work: AgentWork) -> AgentResult:
    commit(work.workdir, {f"docs/work-items/{work.work_item_id}/12-review.md": "no\n"}, "Review")
    return AgentResult("exited", 0, "rework", summary="there is no test")


@pytest.mark.parametrize("track", TRACKS)
def test_a_task_goes_its_whole_track_and_lands(pipeline: Pipeline, track: str) -> None:
    pipeline.rig.task(A, stage="analysis", track=track)
    pipeline.until(A, "done")
    assert [work.stage for work in pipeline.team.seen] == list(TRACKS[track])
    row = pipeline.rig.row(A)
    tip = git(pipeline.bare, "rev-parse", "main")
    assert (row["merge_sha"], row["tested_sha"]) == (tip, git(pipeline.bare, "rev-parse", "main^2"))
    assert "of development" not in pipeline.main()
    (landed,) = pipeline.rig.events("task.landed")
    assert landed["data"]["merge_sha"] == tip
    # Everything was tested by orch itself on the very commit that landed.
    tested = [work.head_sha for work in pipeline.commands.asked if work.command.name == "test"]
    assert tested[-1] == row["tested_sha"]


def test_two_tasks_of_a_repo_land_in_the_order_of_the_gate(pipeline: Pipeline) -> None:
    for item in (A, B):
        pipeline.rig.task(item, stage="analysis", track="docs")
    pipeline.until(A, "done")
    pipeline.until(B, "done")
    first, second = pipeline.main()[:2]
    assert (B in first, A in second) == (True, True)


def test_a_moved_main_is_rebased_on_and_tested_again(pipeline: Pipeline) -> None:
    pipeline.rig.task(A, stage="analysis", track="docs")
    pipeline.until(A, "deploy")
    moved = pipeline.move_main({"other": "x\n"})
    pipeline.until(A, "done")
    assert git(pipeline.bare, "rev-parse", "main^1") == moved
    assert pipeline.rig.row(A)["base_sha"] == moved


def test_main_that_moves_between_test_and_push_costs_a_round(pipeline: Pipeline) -> None:
    pipeline.rig.task(A, stage="analysis", track="docs")
    pipeline.until(A, "deploy")
    real, moves = pipeline.commands.run, iter([{"a": "1"}, {"b": "2"}])

    def run(work, watch, beat):  # type: ignore[no-untyped-def]
        files = next(moves, None) if work.command.name == "test" else None
        if files is not None:
            pipeline.move_main(dict(files))
        return real(work, watch, beat)

    pipeline.commands.run = run  # type: ignore[method-assign]
    assert pipeline.turn(A) == "advance"
    assert pipeline.rig.last_job(A)["report"]["landing"]["rounds"] == 3


def test_a_conflict_goes_back_to_development_with_the_hunks(pipeline: Pipeline) -> None:
    def works(work: AgentWork) -> AgentResult:
        commit(work.workdir, {"README": "one\n2\nthree\n"}, "Two")
        return AgentResult("exited", 0, "pass")

    pipeline.team.acts["development"] = [works]
    pipeline.rig.task(A, stage="analysis", track="docs")
    pipeline.until(A, "deploy")
    pipeline.move_main({"README": "one\nzwei\nthree\n"})
    assert pipeline.turn(A) == "rework"
    job = pipeline.rig.last_job(A)
    assert (job["failure"], pipeline.rig.row(A)["stage"]) == ("conflict", "development")
    pipeline.turn(A)
    assert "zwei" in pipeline.team.prompts("development")[-1]


def test_red_after_the_rebase_goes_back_with_the_tail(pipeline: Pipeline) -> None:
    pipeline.rig.task(A, stage="analysis", track="docs")
    pipeline.until(A, "deploy")
    pipeline.commands.let("test", 1, "FAIL: test_of_the_colleague\n")
    assert pipeline.turn(A) == "rework"
    assert len(pipeline.main()) == 1
    pipeline.commands.let("test", 0)
    pipeline.turn(A)
    assert "test_of_the_colleague" in pipeline.team.prompts("development")[-1]


def test_rework_reaches_the_next_prompt_and_the_task_still_lands(pipeline: Pipeline) -> None:
    pipeline.team.acts["review"] = [reworks]
    pipeline.rig.task(A, stage="analysis", track="docs")
    pipeline.until(A, "done")
    first, second = pipeline.team.prompts("development")
    assert "there is no test" in second
    assert "there is no test" not in first
    assert pipeline.rig.row(A)["reworks"] == 1


def test_red_tests_in_development_are_tried_again_with_what_failed(pipeline: Pipeline) -> None:
    pipeline.rig.task(A, stage="analysis", track="fast")
    pipeline.until(A, "development")
    pipeline.commands.let("test", 1, "AssertionError: 1 is not 2\n")
    assert pipeline.turn(A) == "retry"
    assert pipeline.rig.last_job(A)["failure"] == "check_failed"
    pipeline.commands.let("test", 0)
    pipeline.rig.clock.advance(60)
    assert pipeline.turn(A) == "advance"
    first, second = pipeline.team.seen[-2:]
    assert "1 is not 2" in second.prompt
    assert (first.resume_session, second.resume_session) == ("", "session-1")


def test_a_red_deploy_freezes_the_repo_and_parks_the_task(pipeline: Pipeline) -> None:
    pipeline.rig.task(A, stage="analysis", track="docs")
    pipeline.until(A, "deploy")
    pipeline.commands.let("health", 1, "503\n")
    assert pipeline.turn(A) == "park"
    (freeze,) = pipeline.rig.freezes()
    assert (freeze["source"], freeze["reason"].startswith("DEGRADED")) == (A, True)
    assert len(pipeline.main()) == 2
    # A person lets it through again: nothing lands twice, and no agent is asked.
    turns = len(pipeline.team.seen)
    pipeline.commands.let("health", 0)
    pipeline.rig.order("unfreeze", "app")
    pipeline.rig.order("resume", A)
    assert pipeline.turn(A) == "advance"
    assert (len(pipeline.main()), len(pipeline.team.seen)) == (2, turns)


def test_a_freeze_between_test_and_merge_lands_nothing(pipeline: Pipeline) -> None:
    pipeline.rig.task(A, stage="analysis", track="docs")
    pipeline.until(A, "deploy")
    real = pipeline.commands.run

    def run(work, watch, beat):  # type: ignore[no-untyped-def]
        pipeline.rig.order("freeze", "app")
        return real(work, watch, beat)

    pipeline.commands.run = run  # type: ignore[method-assign]
    assert pipeline.turn(A) == "release"
    assert len(pipeline.main()) == 1
    assert pipeline.rig.job(A)["attempt"] == 1


def test_a_paused_task_gives_up_the_landing(pipeline: Pipeline) -> None:
    pipeline.rig.task(A, stage="analysis", track="docs")
    pipeline.until(A, "deploy")
    real = pipeline.commands.run

    def run(work, watch, beat):  # type: ignore[no-untyped-def]
        pipeline.rig.order("pause", A)
        return real(work, watch, beat)

    pipeline.commands.run = run  # type: ignore[method-assign]
    assert pipeline.turn(A) == "release"
    pipeline.rig.task(B, stage="analysis", track="docs")
    pipeline.commands.run = real  # type: ignore[method-assign]
    pipeline.until(B, "done")
    pipeline.rig.order("resume", A)
    pipeline.until(A, "done")
    assert A in pipeline.main()[0]
