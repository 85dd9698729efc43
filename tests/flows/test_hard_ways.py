"""What a pipeline does when somebody dies, cheats or forgets on the way to the landing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from orch import dispatcher
from orch.ports import AgentResult, AgentWork
from orch.store import landings, ledger
from orch.store.schema import jobs
from orch.store.session import Store
from tests.factories import Rig
from tests.flows.pipeline_bench import Pipeline
from tests.git_bench import commit

A = "A-1"


class Died(BaseException):
    """The worker's process is gone: nothing of it is written any more."""


@pytest.fixture
def pipeline(kept_sqlite: Store, tmp_path: Path) -> Pipeline:
    made = Pipeline(Rig(kept_sqlite), tmp_path)
    made.rig.task(A, stage="analysis", track="docs")
    return made


def die(pipeline: Pipeline, item: str = A) -> None:
    """Let the worker die in this turn, and its job be found by age."""
    with pytest.raises(Died):
        pipeline.turn(item)
    pipeline.rig.clock.advance(120)
    dispatcher.tick(pipeline.rig.line)


def dying(act: Callable[..., Any], when: Callable[..., bool] = lambda *_: True) -> Any:
    """The same, but once, right after it was done, the worker dies."""
    left = [1]

    def do(*given: Any, **more: Any) -> Any:
        done = act(*given, **more)
        if left and when(*given):
            left.clear()
            raise Died
        return done

    return do


def test_who_dies_after_the_merge_lands_nothing_twice(pipeline: Pipeline) -> None:
    pipeline.until(A, "deploy")
    pipeline.forge.land = dying(pipeline.forge.land)  # type: ignore[method-assign]
    die(pipeline)
    asked = len(pipeline.team.seen)
    assert pipeline.turn(A) == "advance"
    assert (len(pipeline.main()), len(pipeline.team.seen)) == (2, asked)
    row, (landed,) = pipeline.rig.row(A), pipeline.rig.events("task.landed")
    assert row["stage"] == "done"
    assert row["merge_sha"] == landed["data"]["merge_sha"]


def test_who_dies_in_the_deploy_leaves_a_task_that_can_end(pipeline: Pipeline) -> None:
    pipeline.until(A, "deploy")
    run = dying(pipeline.commands.run, lambda work, *_: work.command.name == "deploy")
    pipeline.commands.run = run  # type: ignore[method-assign]
    die(pipeline)
    assert pipeline.turn(A) == "advance"
    assert (pipeline.rig.row(A)["stage"], len(pipeline.main())) == ("done", 2)


def test_without_a_deploy_log_nothing_lands(pipeline: Pipeline) -> None:
    pipeline.until(A, "deploy")
    says = AgentResult("exited", 0, "pass", summary="all is well")
    pipeline.team.acts["deploy"] = [lambda _: says]
    assert pipeline.turn(A) == "retry"
    assert len(pipeline.main()) == 1
    pipeline.rig.clock.advance(60)
    assert pipeline.turn(A) == "advance"
    assert "15-deploy-log.md" in pipeline.team.prompts("deploy")[-1]


def steers(work: AgentWork) -> None:
    commit(work.workdir, {"CLAUDE.md": f"obey {work.job_id}\n"}, "Steer")


def test_a_protected_path_needs_a_person_also_after_a_red_attempt(pipeline: Pipeline) -> None:
    pipeline.until(A, "development")
    pipeline.team.acts["development"] = [steers]
    pipeline.commands.let("test", 1)
    assert pipeline.turn(A) == "retry"
    pipeline.commands.let("test", 0)
    pipeline.rig.clock.advance(60)
    assert pipeline.turn(A) == "approve"


def test_a_rejected_protected_path_is_asked_for_again(pipeline: Pipeline) -> None:
    pipeline.until(A, "development")
    pipeline.team.acts["development"] = [steers]
    assert pipeline.turn(A) == "approve"
    pipeline.rig.order("reject", A)
    assert pipeline.turn(A) == "approve"
    pipeline.rig.order("approve", A)
    pipeline.until(A, "done")


def test_an_approved_protected_path_is_asked_for_once_until_it_is_changed(
    pipeline: Pipeline,
) -> None:
    pipeline.until(A, "development")
    pipeline.team.acts["development"] = [steers]
    pipeline.turn(A)
    pipeline.rig.order("approve", A)
    pipeline.team.acts["review"] = [steers]
    assert pipeline.turn(A) == "approve"


def test_who_deploys_cannot_slip_a_protected_path_in(pipeline: Pipeline) -> None:
    pipeline.until(A, "deploy")
    pipeline.team.acts["deploy"] = [steers]
    assert pipeline.turn(A) == "rework"
    assert (pipeline.rig.row(A)["stage"], len(pipeline.main())) == ("development", 1)
    assert pipeline.turn(A) == "approve"


def test_a_repo_that_left_the_settings_parks_what_is_under_way(pipeline: Pipeline) -> None:
    pipeline.until(A, "deploy")
    pipeline.bench = replace(pipeline.bench, workshop=replace(pipeline.shop, plans={}))
    assert pipeline.turn(A) == "park"
    assert "app" in pipeline.rig.row(A)["paused_reason"]
    pipeline.bench = replace(pipeline.bench, workshop=None)
    pipeline.rig.order("resume", A)
    assert pipeline.turn(A) == "park"
    pipeline.bench = replace(pipeline.bench, workshop=pipeline.shop)
    pipeline.rig.order("resume", A)
    pipeline.until(A, "done")


def test_the_next_attempt_is_told_what_was_found_and_not_what_the_agent_thought(
    pipeline: Pipeline,
) -> None:
    says = AgentResult("exited", 0, "pass", summary="all is well")
    pipeline.team.acts["analysis"] = [lambda _: says]
    assert pipeline.turn(A) == "retry"
    pipeline.rig.clock.advance(60)
    pipeline.turn(A)
    told = pipeline.team.prompts("analysis")[-1]
    assert pipeline.rig.events("job.failed")[-1]["reason"] in told
    assert "all is well" not in told


def test_an_answer_comes_with_the_question_that_was_asked(pipeline: Pipeline) -> None:
    asks = AgentResult("exited", 0, "needs_input", summary="stuck", question="Which colour?")
    pipeline.team.acts["analysis"] = [lambda _: asks]
    assert pipeline.turn(A) == "park"
    pipeline.rig.order("answer", A, "Blue.")
    pipeline.turn(A)
    told = pipeline.team.prompts("analysis")[-1]
    assert ("Which colour?" in told, "Blue." in told) == (True, True)


def test_the_tail_of_a_red_run_is_told_once(pipeline: Pipeline) -> None:
    pipeline.until(A, "development")
    pipeline.commands.let("test", 1, "AssertionError: 1 is not 2\n")
    pipeline.turn(A)
    pipeline.rig.clock.advance(60)
    pipeline.turn(A)
    assert pipeline.team.prompts("development")[-1].count("1 is not 2") == 1


def test_a_turn_that_is_given_back_costs_all_the_same(pipeline: Pipeline) -> None:
    stopped = AgentResult("stopped", stop_reason="shutdown", usage={"cost_usd": 1.5, "turns": 4})
    pipeline.team.acts["analysis"] = [lambda _: stopped]
    assert pipeline.turn(A) == "release"
    assert (pipeline.rig.row(A)["cost_usd"], pipeline.rig.row(A)["turns"]) == (1.5, 4)


def test_a_spent_budget_parks_and_only_then_a_resume_gives_it_back(pipeline: Pipeline) -> None:
    pipeline.rig.limits = replace(pipeline.rig.limits, task_budget_usd=2)
    spends = AgentResult("exited", 1, usage={"cost_usd": 1.5})
    pipeline.team.acts["analysis"] = [lambda _: spends, lambda _: spends]
    pipeline.turn(A)
    pipeline.rig.order("pause", A)
    pipeline.rig.order("resume", A)
    assert pipeline.rig.row(A)["cost_usd"] == 1.5
    pipeline.rig.clock.advance(60)
    pipeline.turn(A)
    pipeline.rig.clock.advance(120)
    assert pipeline.turn(A) == "park"
    pipeline.rig.order("resume", A)
    assert pipeline.rig.row(A)["cost_usd"] == 0


def test_what_a_job_keeps_to_be_shown_is_bounded(pipeline: Pipeline) -> None:
    pipeline.until(A, "development")
    says = AgentResult("exited", 0, "pass", summary="s" * 500_000, argv=("x" * 500_000,) * 3)
    real = pipeline.team.deliver

    def long(work: AgentWork) -> AgentResult:
        real(work)
        return says

    pipeline.team.acts["development"] = [long]
    pipeline.commands.let("test", 1, "long\n" * 100_000)
    pipeline.turn(A)
    assert len(json.dumps(pipeline.rig.last_job(A)["report"])) < 100_000


def test_what_a_lost_agent_left_is_thrown_away_also_in_a_rework(pipeline: Pipeline) -> None:
    pipeline.until(A, "review")
    back = AgentResult("exited", 0, "rework", summary="there is no test")
    pipeline.team.acts["review"] = [lambda _: back]
    pipeline.turn(A)

    def dies(work: AgentWork) -> AgentResult:
        (work.workdir / "half").write_text("done\n")
        raise Died

    pipeline.team.acts["development"] = [dies]
    die(pipeline)
    assert pipeline.turn(A) == "advance"
    assert not (pipeline.team.seen[-1].workdir / "half").exists()


def test_a_job_written_by_hand_without_its_end_stops_nobody(pipeline: Pipeline) -> None:
    pipeline.until(A, "review")
    without = update(jobs).where(jobs.c.status == "succeeded").values(finished_at=None)
    pipeline.rig.store.write(lambda conn: conn.execute(without))
    said = {"kind": "task.answered", "task_id": pipeline.rig.row_id(A), "reason": "Blue."}
    pipeline.rig.store.write(lambda conn: ledger.record(conn, pipeline.rig.clock(), **said))
    assert pipeline.turn(A) == "advance"


def test_a_prompt_that_cannot_be_written_parks_the_task(pipeline: Pipeline) -> None:
    pipeline.turn(A)
    pipeline.team.acts["development"] = [lambda _: AgentResult("exited", 1)]
    pipeline.turn(A)
    odd = update(jobs).where(jobs.c.status == "failed").values(failure="bad luck")
    pipeline.rig.store.write(lambda conn: conn.execute(odd))
    pipeline.rig.clock.advance(60)
    assert pipeline.turn(A) == "park"


def test_a_lease_is_renewed_while_git_takes_its_time(pipeline: Pipeline) -> None:
    pipeline.rig.limits = replace(pipeline.rig.limits, heartbeat=0.01)
    pipeline.until(A, "deploy")
    real, lasted = pipeline.forge.land, []

    def long(*given: Any) -> Any:
        before = pipeline.rig.job(A)["lease_until"]
        pipeline.rig.clock.advance(50)
        renewed = lambda: pipeline.rig.job(A)["lease_until"] > before  # noqa: E731
        lasted.append(eventually(renewed))
        return real(*given)

    pipeline.forge.land = long  # type: ignore[method-assign]
    assert (pipeline.turn(A), lasted) == ("advance", [True])


def eventually(so: Callable[[], bool], tries: int = 500) -> bool:
    """Whether it comes to be so."""
    beat = threading.Event()
    return any(so() or beat.wait(0.01) for _ in range(tries))


def test_words_that_no_database_takes_do_not_lose_a_turn(pipeline: Pipeline) -> None:
    odd = AgentResult("exited", 1, summary="a lone \udcff and a \0", detail="\udcff")
    pipeline.team.acts["analysis"] = [lambda _: odd]
    assert pipeline.turn(A) == "retry"
    assert pipeline.rig.last_job(A)["summary"].startswith("a lone ? and a ")


def test_no_agent_is_asked_while_another_task_of_the_repo_lands(pipeline: Pipeline) -> None:
    pipeline.until(A, "deploy")
    rig, asked = pipeline.rig, len(pipeline.team.seen)
    rig.store.write(lambda conn: landings.take(conn, "app", 4711, rig.clock(), 60))
    assert pipeline.turn(A) == "release"
    assert len(pipeline.team.seen) == asked
    rig.clock.advance(61)
    assert pipeline.turn(A) == "advance"


def test_a_worker_that_was_replaced_leaves_the_landing_to_its_successor(pipeline: Pipeline) -> None:
    pipeline.until(A, "deploy")
    rig, real = pipeline.rig, pipeline.commands.run

    def slow(*given: Any) -> Any:
        rig.clock.advance(120)
        dispatcher.tick(rig.line)
        job = rig.started(A).job_id
        assert rig.store.write(lambda conn: landings.take(conn, "app", job, rig.clock(), 60))
        return real(*given)

    pipeline.commands.run = slow  # type: ignore[method-assign]
    assert pipeline.turn(A) == "stale"
    holder = rig.store.read(lambda conn: landings.holder(conn, "app", rig.clock()))
    assert (holder, len(pipeline.main())) == (rig.job(A)["id"], 1)
