"""Workers that die or thaw too late, and tasks that meet at the default branch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from orch import reaper, worker
from orch.landing import ROUNDS
from orch.ports import AgentResult, AgentWork, Claim, Cut, Landed
from orch.qg.commands import CommandName
from orch.serial_gate import Layers
from orch.store import landings
from tests.flows.pipeline_bench import Pipeline
from tests.git_bench import commit, git

A, B = "A-1", "B-2"
TOPIC = f"feature/{A}"


class DiedError(BaseException):
    """The worker was killed here: nothing catches it."""


def dies(*_: object, **__: object) -> Any:
    raise DiedError


def lose(pipeline: Pipeline) -> None:
    """The lease of whoever holds the job runs out, and the job goes back."""
    pipeline.rig.clock.advance(pipeline.rig.limits.lease + 1)
    assert reaper.reap(pipeline.rig.line) == 1
    pipeline.rig.clock.advance(600)


def meanwhile(pipeline: Pipeline, name: CommandName, *acts: Callable[[], object]) -> None:
    """Let these happen one by one while the repo's command of this name runs."""
    real, waiting = pipeline.commands.run, list(acts)

    def run(work, watch, beat):  # type: ignore[no-untyped-def]
        if work.command.name == name and waiting:
            waiting.pop(0)()
        return real(work, watch, beat)

    pipeline.commands.run = run  # type: ignore[method-assign]


# --- workers that die


def test_a_worker_lost_before_its_first_act_costs_an_attempt_and_nothing_else(
    pipeline: Pipeline,
) -> None:
    pipeline.rig.task(A, stage="development", track="docs")
    late = pipeline.rig.started(A)
    lose(pipeline)
    assert pipeline.turn(A) == "advance"
    assert [work.attempt for work in pipeline.team.seen] == [2]
    # Its message comes once more, and finds a token that nothing answers to.
    before = pipeline.at(TOPIC)
    worker.work_on(pipeline.rig.line, pipeline.bench, late)
    assert (len(pipeline.team.seen), pipeline.at(TOPIC)) == (1, before)


def test_what_an_agent_left_that_was_lost_with_its_worker_is_no_ground_to_build_on(
    pipeline: Pipeline,
) -> None:
    found: list[list[str]] = []

    def half_done(work: AgentWork) -> AgentResult | None:
        commit(work.workdir, {"src/half": "x\n"})
        (work.workdir / "dirt").write_text("x\n")
        raise DiedError

    def looks(work: AgentWork) -> None:
        found.append(sorted(path.name for path in work.workdir.rglob("*") if path.is_file()))

    pipeline.team.acts["development"] = [half_done, looks]
    pipeline.rig.task(A, stage="development", track="docs")
    with pytest.raises(DiedError):
        pipeline.turn(A)
    lose(pipeline)
    assert pipeline.turn(A) == "advance"
    assert not {"half", "dirt"} & set(found[0])
    assert "its worker was lost" in pipeline.team.prompts("development")[-1]


def dies_after_its_merge(pipeline: Pipeline) -> list[str]:
    """Let the worker of A die between the merge and the note of it; the merge and what it took."""
    pipeline.rig.task(A, stage="deploy", track="docs")
    real = pipeline.forge.land

    def land(cut: Cut, tested: str, base: str, title: str = "") -> Landed:
        real(cut, tested, base, title)
        raise DiedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.forge, "land", land)
        with pytest.raises(DiedError):
            pipeline.turn(A)
    lose(pipeline)
    assert pipeline.rig.row(A)["merge_sha"] is None
    return git(pipeline.bare, "rev-parse", "main", "main^2").splitlines()


def test_a_merge_whose_worker_died_before_writing_it_down_is_written_down_once(
    pipeline: Pipeline,
) -> None:
    tip, tested = dies_after_its_merge(pipeline)
    assert pipeline.turn(A) == "advance"
    row = pipeline.rig.row(A)
    assert (git(pipeline.bare, "rev-parse", "main"), len(pipeline.main())) == (tip, 2)
    assert (row["stage"], row["merge_sha"], row["tested_sha"]) == ("done", tip, tested)
    assert len(pipeline.rig.events("task.landed")) == 1
    assert len(pipeline.team.seen) == 1  # there was nothing left for an agent to do


def test_a_merge_that_was_found_is_tested_before_it_is_deployed(pipeline: Pipeline) -> None:
    tip, _ = dies_after_its_merge(pipeline)
    pipeline.commands.let("test", 1, "FAIL: test_of_the_merge\n")
    assert pipeline.turn(A) == "park"
    assert pipeline.rig.row(A)["merge_sha"] == tip
    assert [freeze["source"] for freeze in pipeline.rig.freezes()] == [A]
    assert "deploy" not in [asked.command.name for asked in pipeline.commands.asked]


def test_a_worker_that_dies_in_the_deploy_leaves_deploy_and_health_to_the_next(
    pipeline: Pipeline,
) -> None:
    meanwhile(pipeline, "deploy", dies)
    pipeline.rig.task(A, stage="deploy", track="docs")
    with pytest.raises(DiedError):
        pipeline.turn(A)
    lose(pipeline)
    assert pipeline.turn(A) == "advance"
    assert pipeline.rig.row(A)["stage"] == "done"
    assert (len(pipeline.main()), len(pipeline.team.seen)) == (2, 1)
    assert pipeline.rig.freezes() == []


# --- workers that thaw after their lease


def test_a_thawed_workers_agent_is_neither_offered_nor_written(pipeline: Pipeline) -> None:
    second: list[str] = []

    def freezes(work: AgentWork) -> AgentResult:
        commit(work.workdir, {"src/late": "x\n"})
        lose(pipeline)
        second.append(pipeline.turn(A))
        return AgentResult("exited", 0, "pass", summary="late")

    pipeline.team.acts["development"] = [freezes]
    pipeline.rig.task(A, stage="development", track="docs")
    assert (pipeline.turn(A), second) == ("fenced", ["advance"])
    assert pipeline.at(TOPIC) == pipeline.rig.row(A)["head_sha"]
    assert "src/late" not in git(pipeline.bare, "ls-tree", "-r", "--name-only", TOPIC)
    assert pipeline.rig.last_job(A)["summary"] == "done"


def test_a_worker_that_thaws_in_its_landing_lands_nothing_a_second_time(
    pipeline: Pipeline,
) -> None:
    second: list[str] = []

    def freezes() -> None:
        lose(pipeline)
        second.append(pipeline.turn(A))

    meanwhile(pipeline, "test", freezes)
    pipeline.rig.task(A, stage="deploy", track="docs")
    assert pipeline.turn(A) in ("fenced", "stale")
    assert second == ["advance"]
    assert (len(pipeline.main()), len(pipeline.rig.events("task.landed"))) == (2, 1)
    assert pipeline.rig.row(A)["merge_sha"] == git(pipeline.bare, "rev-parse", "main")


def test_a_worker_that_thaws_right_after_its_merge_writes_and_deploys_nothing(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.rig.task(A, stage="deploy", track="docs")
    real, second = pipeline.forge.land, []

    def land(cut: Cut, tested: str, base: str, title: str = "") -> Landed:
        landed = real(cut, tested, base, title)
        monkeypatch.undo()
        lose(pipeline)
        second.append(pipeline.turn(A))
        return landed

    monkeypatch.setattr(pipeline.forge, "land", land)
    assert pipeline.turn(A) in ("fenced", "stale")
    assert second == ["advance"]
    assert (len(pipeline.main()), len(pipeline.rig.events("task.landed"))) == (2, 1)
    names = [asked.command.name for asked in pipeline.commands.asked]
    assert (names.count("deploy"), names.count("health")) == (1, 1)


def test_a_thawed_worker_does_not_give_back_the_landing_lease_of_its_successor(
    pipeline: Pipeline,
) -> None:
    rig = pipeline.rig
    holder = partial(landings.holder, repo="app")

    def takes_over() -> None:
        lose(pipeline)
        claim: Claim = rig.started(A)
        take = partial(landings.take, repo="app", job_id=claim.job_id, now=rig.clock(), lease=60)
        assert rig.store.write(take)

    meanwhile(pipeline, "test", takes_over)
    rig.task(A, stage="deploy", track="docs")
    assert pipeline.turn(A) in ("fenced", "stale")
    assert rig.store.read(lambda conn: holder(conn, now=rig.clock())) == rig.job(A)["id"]
    assert len(pipeline.main()) == 1


# --- tasks and people that meet at the default branch


def test_of_two_tasks_past_entry_the_second_lands_on_the_merge_of_the_first(
    pipeline: Pipeline,
) -> None:
    rig = pipeline.rig
    rig.task(A, stage="analysis", track="docs")
    pipeline.until(A, "review")
    rig.order("pause", A)
    rig.task(B, stage="analysis", track="docs")
    pipeline.until(B, "review")
    assert rig.row(A)["base_sha"] == rig.row(B)["base_sha"]
    rig.order("pause", B)
    rig.order("resume", A)
    pipeline.until(A, "done")
    rig.order("resume", B)
    pipeline.until(B, "done")
    assert rig.row(B)["base_sha"] == rig.row(A)["merge_sha"]
    assert git(pipeline.bare, "rev-parse", "main^1") == rig.row(A)["merge_sha"]
    tested = [work.head_sha for work in pipeline.commands.asked if work.command.name == "test"]
    assert tested[-1] == rig.row(B)["tested_sha"]


def test_of_two_tasks_past_entry_that_conflict_the_second_goes_back_with_the_firsts_lines(
    pipeline: Pipeline,
) -> None:
    def writes(line: str, work: AgentWork) -> AgentResult:
        commit(work.workdir, {"README": f"one\n{line}\nthree\n"})
        return AgentResult("exited", 0, "pass")

    rig = pipeline.rig
    for item, line in ((A, "of the first"), (B, "of the second")):
        pipeline.team.acts["development"] = [partial(writes, line)]
        rig.task(item, stage="development", track="docs")
        pipeline.until(item, "deploy")
        rig.order("pause", item)
    rig.order("resume", A)
    pipeline.until(A, "done")
    rig.order("resume", B)
    assert pipeline.turn(B) == "rework"
    assert (rig.last_job(B)["failure"], rig.row(B)["stage"]) == ("conflict", "development")
    pipeline.turn(B)
    assert "of the first" in pipeline.team.prompts("development")[-1]
    assert len(pipeline.main()) == 2


def test_with_the_gate_off_a_task_waits_while_another_of_its_repo_lands(
    pipeline: Pipeline,
) -> None:
    came_to: list[str] = []
    pipeline.rig.layers = Layers(serial_gate_enabled=False)
    for item in (A, B):
        pipeline.rig.task(item, stage="deploy", track="docs")

    def lands_too() -> None:  # its job was claimed together with the other's
        job = pipeline.rig.job(B)
        claim = Claim(job["id"], job["claim_token"], job["agent"])
        came_to.append(worker.work_on(pipeline.rig.line, pipeline.bench, claim))

    meanwhile(pipeline, "test", lands_too)
    assert pipeline.turn(A) == "advance"
    assert came_to == ["release"]
    assert pipeline.rig.job(B)["attempt"] == 1
    pipeline.rig.clock.advance(60)
    assert pipeline.turn(B) == "advance"
    assert pipeline.rig.row(B)["base_sha"] == pipeline.rig.row(A)["merge_sha"]


def test_a_main_that_never_rests_sends_the_task_back_to_its_place_uncounted(
    pipeline: Pipeline,
) -> None:
    moves = [partial(pipeline.move_main, {f"file-{n}": "x\n"}) for n in range(ROUNDS)]
    meanwhile(pipeline, "test", *moves)
    pipeline.rig.task(A, stage="deploy", track="docs")
    assert pipeline.turn(A) == "release"
    job = pipeline.rig.job(A)
    assert (job["status"], job["attempt"]) == ("queued", 1)
    assert not any(A in subject for subject in pipeline.main())
    pipeline.rig.clock.advance(60)
    assert pipeline.turn(A) == "advance"


def test_main_that_moves_into_the_way_between_test_and_push_is_a_conflict(
    pipeline: Pipeline,
) -> None:
    def works(work: AgentWork) -> AgentResult:
        commit(work.workdir, {"README": "one\n2\nthree\n"})
        return pipeline.team.deliver(work)

    pipeline.team.acts["deploy"] = [works]
    pipeline.rig.task(A, stage="deploy", track="docs")
    meanwhile(pipeline, "test", partial(pipeline.move_main, {"README": "one\nzwei\nthree\n"}))
    assert pipeline.turn(A) == "rework"
    assert pipeline.rig.last_job(A)["failure"] == "conflict"
    assert not any(A in subject for subject in pipeline.main())
