"""Landing through a service that has pull requests, and what people do there meanwhile.

Rows F46 to F59 of the list of faults, as far as they are the pipeline's; those that are between
orch and Gitea alone are in `tests/contracts/test_gitea.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from orch.adapters.hosted import HostedForge
from orch.adapters.memory_pulls import MemoryPulls
from orch.outside import mirrors
from orch.outside.pulls import look_at_pulls
from orch.ports import Message
from orch.showing import RETEST
from tests.flows.pipeline_bench import REPO, Pipeline
from tests.flows.test_pipeline_races import meanwhile
from tests.git_bench import git

A = "A-1"
TOPIC = f"feature/{A}"


@pytest.fixture
def pulls(pipeline: Pipeline) -> MemoryPulls:
    """The service of the pipeline's forge from now on."""

    def merge(branch: str, sha: str, message: Message) -> None:
        base = pipeline.at("main")
        tree = git(pipeline.bare, "merge-tree", "--write-tree", base, sha).splitlines()[0]
        said = ("-m", message.subject)
        made = git(pipeline.bare, "commit-tree", tree, "-p", base, "-p", sha, *said)
        git(pipeline.bare, "update-ref", "refs/heads/main", made, base)

    service = MemoryPulls(pipeline.at, merge)
    plan = pipeline.shop.plans[REPO]
    pipeline.use(
        forge=HostedForge(pipeline.forge, service), plans={REPO: replace(plan, shown=True)}
    )
    return service


def landing(pipeline: Pipeline, *, through: bool = False) -> None:
    """A task that stands before its landing; `through` with the stages before it, and their work on
    its branch."""
    stage = "development" if through else "deploy"
    pipeline.rig.task(A, stage, track="docs", title="Sell more, closes #1")
    if through:
        pipeline.until(A, "deploy")


def parked(pipeline: Pipeline) -> str:
    """Why the task is parked."""
    row = pipeline.rig.row(A)
    assert row["paused_at"] is not None
    return str(row["paused_reason"])


def again(pipeline: Pipeline) -> str:
    """The next turn, when its time has come."""
    pipeline.rig.clock.advance(pipeline.rig.limits.retry_delay + 1)
    return pipeline.turn(A)


def ran(pipeline: Pipeline) -> int:
    return [asked.command.name for asked in pipeline.commands.asked].count("test")


def test_a_task_lands_as_a_merged_pull_request_with_orchs_marks(
    pipeline: Pipeline, pulls: MemoryPulls
) -> None:
    landing(pipeline, through=True)
    (shown,) = pulls.pages.values()
    assert not shown.ready
    assert pulls.said(pipeline.at(TOPIC)) == {"orch/review": "passed"}
    assert pipeline.turn(A) == "advance"
    (pull,) = pulls.pulls
    (page,) = pulls.pages.values()
    tested = pipeline.rig.row(A)["tested_sha"]
    assert (pull.state, pull.head_sha, page.ready) == ("merged", tested, True)
    assert page.title == "A-1: Sell more, closes #\N{WORD JOINER}1"
    assert pulls.said(tested)[RETEST] == "passed"
    assert [mark.state for mark in pulls.marks[tested]] == ["pending", "passed"]
    (told,) = pipeline.rig.events("task.landed")
    assert told["reason"] == ""


def test_a_red_re_test_is_a_failed_mark_and_the_pull_request_is_unfinished_again(
    pipeline: Pipeline, pulls: MemoryPulls
) -> None:
    landing(pipeline)
    pipeline.commands.let("test", 1, "FAIL: test_of_more\n")
    assert pipeline.turn(A) == "rework"
    red = pipeline.at(TOPIC)
    assert (pulls.said(red)[RETEST], pulls.pulls[0].state) == ("failed", "open")
    pipeline.commands.let("test", 0)
    pipeline.turn(A)
    assert not pulls.pages[1].ready
    pipeline.until(A, "done")
    assert (len(pulls.pulls), pulls.pulls[0].state) == (1, "merged")


def test_f46_a_service_that_is_away_delays_no_work_and_holds_up_a_landing(
    pipeline: Pipeline, pulls: MemoryPulls
) -> None:
    pulls.down = True
    landing(pipeline, through=True)
    assert (pulls.pulls, pipeline.at(TOPIC) != "") == ([], True)
    before = len(pipeline.main())
    pipeline.turn(A)
    assert (len(pipeline.main()), pipeline.rig.row(A)["stage"]) == (before, "deploy")
    pulls.down = False
    pipeline.rig.clock.advance(600)
    assert pipeline.turn(A) == "advance"
    assert pulls.pulls[0].state == "merged"


def test_f48_main_that_moves_before_the_merge_is_tested_on_anew(
    pipeline: Pipeline, pulls: MemoryPulls
) -> None:
    landing(pipeline)
    before = ran(pipeline)
    meanwhile(pipeline, "test", lambda: pipeline.move_main({"other": "x\n"}))
    assert pipeline.turn(A) == "advance"
    assert ran(pipeline) == before + 2
    row = pipeline.rig.row(A)
    assert git(pipeline.bare, "rev-parse", f"{row['tested_sha']}^") != row["merge_sha"]
    assert pulls.said(row["tested_sha"])[RETEST] == "passed"


def test_f49_a_merge_whose_answer_is_lost_is_recorded_once(
    pipeline: Pipeline, pulls: MemoryPulls
) -> None:
    landing(pipeline)
    pulls.loses_answers = True
    assert pipeline.turn(A) == "advance"
    assert len(pipeline.rig.events("task.landed")) == 1
    assert len(pulls.messages) == 1
    assert pipeline.rig.row(A)["merge_sha"] == pipeline.at("main")


def test_f55_a_check_that_is_missing_holds_the_landing_up_and_asks_no_agent_twice(
    pipeline: Pipeline, pulls: MemoryPulls
) -> None:
    landing(pipeline)
    pulls.held = "status ci/test is missing"
    assert pipeline.turn(A) == "release"
    asked, tested = len(pipeline.team.seen), ran(pipeline)
    assert again(pipeline) == "release"
    assert pipeline.rig.events("job.released")[-1]["reason"] == pulls.held
    assert len(pipeline.rig.events("task.held")) == 1
    told = [mark for marks in pulls.marks.values() for mark in marks]
    assert [mark.state for mark in told if mark.name == "orch/re-test"].count("pending") == 1
    pulls.held = ""
    assert again(pipeline) == "advance"
    assert (len(pipeline.team.seen), ran(pipeline)) == (asked, tested)
    assert pipeline.rig.row(A)["stage"] == "done"


def test_f55_a_check_that_never_comes_parks_the_task_and_names_it(
    pipeline: Pipeline, pulls: MemoryPulls
) -> None:
    landing(pipeline)
    pulls.held = "status ci/test is missing"
    assert pipeline.turn(A) == "release"
    pipeline.rig.clock.advance(pipeline.rig.limits.held_landing)
    assert again(pipeline) == "park"
    assert "for 60 minutes: status ci/test is missing" in parked(pipeline)
    pulls.held = ""
    pipeline.rig.order("resume", A)
    assert again(pipeline) == "advance"


def test_a_base_that_moves_while_the_forge_holds_is_tested_on_anew(
    pipeline: Pipeline, pulls: MemoryPulls
) -> None:
    landing(pipeline)
    pulls.held = "a review is missing"
    assert pipeline.turn(A) == "release"
    before = ran(pipeline)
    pipeline.move_main({"other": "x\n"})
    pulls.held = ""
    assert again(pipeline) == "advance"
    assert ran(pipeline) == before + 1


def test_f58_a_forced_push_to_the_branch_is_never_merged(
    pipeline: Pipeline, pulls: MemoryPulls
) -> None:
    landing(pipeline)
    theirs = pipeline.move_main({"other": "x\n"})
    meanwhile(
        pipeline,
        "test",
        lambda: git(pipeline.bare, "update-ref", f"refs/heads/{TOPIC}", theirs),
    )
    assert pipeline.turn(A) == "park"
    assert "somebody pushed meanwhile. Resume the task" in parked(pipeline)
    assert (pipeline.at("main"), pulls.pulls[0].state) == (theirs, "open")


@pytest.mark.parametrize("when", ["before the landing", "during the test"])
def test_f59_a_pull_request_that_a_person_closed_parks_the_task_and_is_not_opened_anew(
    pipeline: Pipeline, pulls: MemoryPulls, when: str
) -> None:
    landing(pipeline, through=True)
    if when == "during the test":
        meanwhile(pipeline, "test", lambda: pulls.somebody_closes(TOPIC))
    else:
        pulls.somebody_closes(TOPIC)
    assert pipeline.turn(A) == "park"
    assert "Somebody closed pull request #1" in parked(pipeline)
    assert "Reopen it at the forge and resume the task" in parked(pipeline)
    pipeline.rig.order("resume", A)
    assert again(pipeline) == "park"
    assert [pull.state for pull in pulls.pulls] == ["closed"]


def test_f59_a_branch_that_a_person_deleted_is_not_pushed_anew(
    pipeline: Pipeline, pulls: MemoryPulls
) -> None:
    landing(pipeline)
    meanwhile(
        pipeline, "test", lambda: git(pipeline.bare, "update-ref", "-d", f"refs/heads/{TOPIC}")
    )
    assert pipeline.turn(A) == "park"
    assert "deleted" in parked(pipeline)
    assert (pipeline.at(TOPIC), len(pipeline.main())) == ("", 1)


def test_what_a_person_merged_after_the_test_has_landed_by_somebody_else(
    pipeline: Pipeline, pulls: MemoryPulls
) -> None:
    landing(pipeline)
    meanwhile(pipeline, "test", lambda: pulls.somebody_merges(TOPIC))
    assert pipeline.turn(A) == "advance"
    (told,) = pipeline.rig.events("task.landed")
    assert "a person" in told["reason"]
    row = pipeline.rig.row(A)
    assert (row["stage"], row["merge_sha"]) == ("done", pipeline.at("main"))
    assert pulls.messages == []


def test_what_a_person_merged_on_another_base_is_tested_there(
    pipeline: Pipeline, pulls: MemoryPulls
) -> None:
    landing(pipeline)

    def somebody_is_faster() -> None:
        pipeline.move_main({"other": "x\n"})
        pulls.somebody_merges(TOPIC)

    red = partial(pipeline.commands.let, "test", 1, "FAIL: both together\n")
    meanwhile(pipeline, "test", somebody_is_faster, red)
    assert pipeline.turn(A) == "park"
    assert pipeline.rig.row(A)["merge_sha"] == pipeline.at("main")
    assert [freeze["source"] for freeze in pipeline.rig.freezes()] == [A]


def test_what_a_person_merges_while_the_forge_holds_is_tested_and_recorded(
    pipeline: Pipeline, pulls: MemoryPulls
) -> None:
    landing(pipeline)
    pulls.held = "a review is missing"
    assert pipeline.turn(A) == "release"
    merged = pulls.somebody_merges(TOPIC)
    assert again(pipeline) == "advance"
    row = pipeline.rig.row(A)
    assert (row["stage"], row["tested_sha"]) == ("done", merged)


def test_work_after_an_early_merge_is_shown_and_landed_by_itself(
    pipeline: Pipeline, pulls: MemoryPulls
) -> None:
    landing(pipeline, through=True)
    pulls.somebody_merges(TOPIC)
    assert pipeline.turn(A) == "advance"
    assert [pull.state for pull in pulls.pulls] == ["merged", "merged"]
    assert pipeline.rig.row(A)["stage"] == "done"


def test_words_of_others_in_a_pull_request_are_only_words(
    pipeline: Pipeline, pulls: MemoryPulls
) -> None:
    words: dict[str, Any] = {"description": "```\n@team closes #3 <!-- /orch -->\n"}
    pipeline.rig.task(A, "development", track="docs", title="@all fixes #2", **words)
    pipeline.turn(A)
    (page,) = pulls.pages.values()
    assert "@all" not in page.title
    assert "#2" not in page.title
    assert "````text\n```\n@team" in page.text


# --- the mirror


def look(pipeline: Pipeline) -> int:
    remote = pipeline.shop.plans[REPO].remote
    return look_at_pulls(pipeline.rig.line, pipeline.shop.forge, remote)


def at_review(pipeline: Pipeline) -> None:
    """A task that waits for its review, and whose pull request has been seen."""
    pipeline.rig.task(A, "development", track="docs")
    pipeline.turn(A)
    assert look(pipeline) == 1


def close(pipeline: Pipeline, pulls: MemoryPulls) -> None:
    pulls.somebody_closes(TOPIC)


def merge(pipeline: Pipeline, pulls: MemoryPulls) -> None:
    pulls.somebody_merges(TOPIC)


def delete(pipeline: Pipeline, pulls: MemoryPulls) -> None:
    git(pipeline.bare, "update-ref", "-d", f"refs/heads/{TOPIC}")


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (close, "Somebody closed pull request #1"),
        (merge, "it is there untested"),
        (delete, f"Somebody deleted the branch {TOPIC}"),
    ],
)
def test_what_a_person_does_at_the_forge_parks_a_task_that_waits(
    pipeline: Pipeline, pulls: MemoryPulls, act: Callable[..., None], told: str
) -> None:
    at_review(pipeline)
    act(pipeline, pulls)
    look(pipeline)
    assert told in parked(pipeline)
    look(pipeline)
    assert len(pipeline.rig.events("task.paused")) == 1


def test_a_task_that_is_worked_on_is_left_to_its_worker(
    pipeline: Pipeline, pulls: MemoryPulls
) -> None:
    at_review(pipeline)
    pipeline.rig.started(A)
    pulls.somebody_closes(TOPIC)
    look(pipeline)
    assert pipeline.rig.row(A)["paused_at"] is None


def test_a_forge_that_is_away_leaves_what_was_seen_and_its_age(
    pipeline: Pipeline, pulls: MemoryPulls
) -> None:
    at_review(pipeline)
    seen = pipeline.rig.why(A)["pull"]
    assert (seen["state"], seen["number"], seen["head_sha"]) == ("open", 1, pipeline.at(TOPIC))
    assert seen["url"] == pulls.pulls[0].url
    pulls.down = True
    remote = pipeline.shop.plans[REPO].remote
    every = mirrors.Mirrors(pipeline.shop.forge, {REPO: mirrors.Hosted(remote, "gitea")})
    assert mirrors.look(pipeline.rig.line, every)[REPO].fault
    assert pipeline.rig.why(A)["pull"] == seen
    assert mirrors.look(pipeline.rig.line, every) == {}
    pulls.down = False
    pipeline.rig.clock.advance(600)
    assert mirrors.look(pipeline.rig.line, every)[REPO].done == ["1 looked at"]
    assert pipeline.rig.why(A)["pull"]["seen_at"] > seen["seen_at"]


def test_why_says_what_the_forge_waits_for(pipeline: Pipeline, pulls: MemoryPulls) -> None:
    landing(pipeline)
    pulls.held = "status ci/test is missing"
    pipeline.turn(A)
    (blocker,) = pipeline.rig.why(A)["blockers"]
    assert blocker["detail"] == "the forge makes it wait: status ci/test is missing"
