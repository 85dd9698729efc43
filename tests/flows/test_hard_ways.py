"""What a pipeline does when somebody dies, cheats or forgets on the way to the landing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orch import dispatcher
from orch.ports import AgentResult, AgentWork
from orch.store.session import Store
from tests.factories import Rig
from tests.flows.pipeline_bench import Pipeline
from tests.git_bench import commit

A = "A-1"


class Died(BaseException):
    """The worker's process is gone: nothing of it is written any more."""


@pytest.fixture
def pipeline(sqlite_database: str, tmp_path: Path) -> Iterator[Pipeline]:
    store = Store(sqlite_database, synchronous="OFF")
    made = Pipeline(Rig(store), tmp_path)
    made.rig.task(A, stage="analysis", track="docs")
    yield made
    store.dispose()


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
