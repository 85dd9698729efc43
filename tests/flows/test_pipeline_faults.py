"""What agents leave, what people do to the branches, and what remotes and disks do to a task."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orch.adapters.agent_command import CommandRunner
from orch.adapters.git.command import Access, GitCommand
from orch.adapters.git.forge import PlainForge
from orch.adapters.git.workspaces import GitWorkspaces
from orch.adapters.repo_command import SupervisedCommands
from orch.ports import AgentResult, AgentWork, RepoCommand
from tests.flows.pipeline_bench import REPO, Pipeline
from tests.git_bench import PATH, commit, git

A, B = "A-1", "B-2"
TOPIC = f"feature/{A}"
PASS = AgentResult("exited", 0, "pass", summary="all is well")
LARGE = 200_000_000


def dirty_tree(folder: Path) -> None:
    commit(folder, {"src/work": "done\n"})
    (folder / "README").write_text("half\n")
    (folder / "forgotten").write_text("x\n")


def another_branch(folder: Path) -> None:
    git(folder, "switch", "-q", "-c", "mine")
    commit(folder, {"src/work": "done\n"})


def no_branch(folder: Path) -> None:
    commit(folder, {"src/work": "done\n"})
    git(folder, "switch", "-q", "--detach")


def merge_commit(folder: Path) -> None:
    git(folder, "switch", "-q", "-c", "side")
    commit(folder, {"src/side": "done\n"})
    git(folder, "switch", "-q", TOPIC)
    commit(folder, {"src/work": "done\n"})
    git(folder, "merge", "-q", "--no-edit", "side")


def own_history(folder: Path) -> None:
    git(folder, "checkout", "-q", "--orphan", "anew")
    commit(folder, {"src/work": "done\n"})
    git(folder, "branch", "-q", "-M", TOPIC)


def way_out(folder: Path) -> None:
    (folder / "passwd").symlink_to("/etc/passwd")
    commit(folder, {"src/work": "done\n"})


def large_file(folder: Path) -> None:
    commit(folder, {"src/work": "done\n"})
    with (folder / "model.bin").open("wb") as file:
        file.truncate(LARGE)


def submodule(folder: Path) -> None:
    head = git(folder, "rev-parse", "HEAD")
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{head},vendored")
    git(folder, "commit", "-q", "-m", "A module")
    (folder / "vendored").mkdir()


LEFT: dict[str, Callable[[Path], None]] = {
    "not committed: README, forgotten": dirty_tree,
    "mine is checked out and not": another_branch,
    "no branch is checked out and not": no_branch,
    "1 commits are merges": merge_commit,
    "does not stand on its base any more": own_history,
    "links that lead out of the tree: passwd": way_out,
    "files that are too large: model.bin": large_file,
    "submodules: vendored": submodule,
}


@pytest.mark.parametrize("said", LEFT)
def test_what_cannot_be_taken_is_tried_again_and_never_offered(
    pipeline: Pipeline, said: str
) -> None:
    def leaves(work: AgentWork) -> AgentResult:
        LEFT[said](work.workdir)
        return PASS

    pipeline.team.acts["development"] = [leaves]
    pipeline.rig.task(A, stage="development", track="docs")
    assert pipeline.turn(A) == "retry"
    job = pipeline.rig.last_job(A)
    assert (job["failure"], said in job["summary"]) == ("agent_failed", True), job["summary"]
    assert pipeline.at(TOPIC) == ""
    # The next attempt is told, and nothing but the same fault keeps it from going on.
    pipeline.rig.clock.advance(60)
    pipeline.team.acts["development"] = [lambda _: AgentResult("exited", 1)]
    pipeline.turn(A)
    assert said in pipeline.team.prompts("development")[-1]


def test_no_commit_of_an_agent_that_says_pass_is_tried_again(pipeline: Pipeline) -> None:
    pipeline.team.acts["development"] = [lambda _: PASS]
    pipeline.rig.task(A, stage="development", track="docs")
    assert pipeline.turn(A) == "retry"
    job = pipeline.rig.last_job(A)
    assert (job["failure"], pipeline.rig.row(A)["stage"]) == ("check_failed", "development")
    assert "commit" in job["summary"]


def test_what_is_left_at_the_landing_does_not_land(pipeline: Pipeline) -> None:
    def leaves(work: AgentWork) -> AgentResult:
        merge_commit(work.workdir)
        return PASS

    pipeline.team.acts["deploy"] = [leaves]
    pipeline.rig.task(A, stage="deploy", track="docs")
    assert pipeline.turn(A) == "retry"
    assert len(pipeline.main()) == 1


def test_an_agent_killed_for_memory_is_no_failed_test(pipeline: Pipeline) -> None:
    detail = "Killed by SIGKILL (exit code 137): most often the system was out of memory."
    pipeline.team.acts["development"] = [lambda _: AgentResult("exited", 137, detail=detail)]
    pipeline.rig.task(A, stage="development", track="docs")
    assert pipeline.turn(A) == "retry"
    job = pipeline.rig.last_job(A)
    assert (job["failure"], job["summary"], job["exit_code"]) == ("agent_failed", detail, 137)
    assert job["report"]["runs"] == []


# --- the topic branch


def forces(pipeline: Pipeline) -> str:
    """A person writes over the topic branch."""
    git(pipeline.person, "fetch", "-q", "origin")
    git(pipeline.person, "switch", "-q", "-C", "theirs", "origin/main")
    sha = commit(pipeline.person, {"src/theirs": "x\n"}, "A person's own")
    git(pipeline.person, "push", "-q", "--force", "origin", f"HEAD:{TOPIC}")
    git(pipeline.person, "switch", "-q", "main")
    return sha


def deletes(pipeline: Pipeline) -> str:
    """A person deletes the topic branch."""
    git(pipeline.person, "push", "-q", "origin", f":{TOPIC}")
    return ""


HARM = {"moved": forces, "deleted": deletes}


@pytest.mark.parametrize("harm", HARM)
def test_a_topic_branch_changed_between_test_and_merge_is_left_to_a_person(
    pipeline: Pipeline, harm: str
) -> None:
    pipeline.rig.task(A, stage="deploy", track="docs")
    real, made = pipeline.commands.run, []

    def run(work, watch, beat):  # type: ignore[no-untyped-def]
        if work.command.name == "test":
            made.append(HARM[harm](pipeline))
        return real(work, watch, beat)

    pipeline.commands.run = run  # type: ignore[method-assign]
    assert pipeline.turn(A) == "park"
    row = pipeline.rig.row(A)
    assert (TOPIC in row["paused_reason"], row["merge_sha"]) == (True, None)
    assert (pipeline.at(TOPIC), len(pipeline.main())) == (made[0], 1)


@pytest.mark.parametrize("harm", HARM)
def test_a_topic_branch_changed_between_two_turns_is_never_written_over(
    pipeline: Pipeline, harm: str
) -> None:
    pipeline.rig.task(A, stage="development", track="docs")
    pipeline.turn(A)
    there = HARM[harm](pipeline)
    assert pipeline.turn(A) == "park"  # further attempts would cost agents and mend nothing
    assert TOPIC in pipeline.rig.row(A)["paused_reason"]
    assert (pipeline.at(TOPIC), len(pipeline.main())) == (there, 1)


def test_a_deleted_topic_branch_put_back_by_a_person_lets_the_task_go_on(
    pipeline: Pipeline,
) -> None:
    pipeline.rig.task(A, stage="development", track="docs")
    pipeline.turn(A)
    head = pipeline.rig.row(A)["head_sha"]
    deletes(pipeline)
    assert pipeline.turn(A) == "park"
    git(pipeline.bare, "update-ref", f"refs/heads/{TOPIC}", head)
    pipeline.rig.order("resume", A)
    assert pipeline.turn(A) == "advance"


# --- the remote and the disk


def test_f46_a_remote_that_is_away_keeps_its_tasks_waiting_with_the_reason(
    pipeline: Pipeline,
) -> None:
    pipeline.rig.task(A, stage="development", track="docs")
    away = pipeline.bare.rename(pipeline.bare.with_name("away.git"))
    for _ in range(5):
        assert pipeline.turn(A) == "release"
        assert pipeline.rig.claimable() == set()
        (blocker,) = pipeline.rig.why(A)["blockers"]
        assert "makes it wait: The remote cannot be used (`git" in blocker["detail"]
        pipeline.rig.clock.advance(60)
    assert pipeline.team.seen == []
    away.rename(pipeline.bare)
    assert pipeline.turn(A) == "advance"
    assert [work.attempt for work in pipeline.team.seen] == [1]


def test_a_remote_that_stays_away_parks_its_tasks_in_the_end(pipeline: Pipeline) -> None:
    pipeline.rig.task(A, stage="development", track="docs")
    away = pipeline.bare.rename(pipeline.bare.with_name("away.git"))
    assert pipeline.turn(A) == "release"
    pipeline.rig.clock.advance(pipeline.rig.limits.held_landing + 1)
    assert pipeline.turn(A) == "park"
    assert "for 60 minutes: The remote cannot be used" in pipeline.rig.row(A)["paused_reason"]
    away.rename(pipeline.bare)
    pipeline.rig.order("resume", A)
    assert pipeline.turn(A) == "advance"


def test_a_remote_that_goes_away_while_an_agent_works_costs_an_attempt(pipeline: Pipeline) -> None:
    pipeline.rig.task(A, stage="development", track="docs")

    def lose(work: AgentWork) -> AgentResult:
        pipeline.bare.rename(pipeline.bare.with_name("away.git"))
        return pipeline.team.deliver(work)

    pipeline.team.acts["development"] = [lose]
    assert pipeline.turn(A) == "retry"
    pipeline.bare.with_name("away.git").rename(pipeline.bare)
    pipeline.rig.clock.advance(60)
    assert pipeline.turn(A) == "advance"
    assert [work.attempt for work in pipeline.team.seen] == [1, 2]


def test_a_remote_that_goes_away_before_the_landing_asks_no_agent_again(pipeline: Pipeline) -> None:
    pipeline.rig.task(A, stage="deploy", track="docs")
    away = pipeline.bare.with_name("away.git")

    class Leaving(PlainForge):
        def offer(self, *asked: Any) -> None:
            super().offer(*asked)
            pipeline.bare.rename(away)

    pipeline.use(forge=Leaving(GitCommand(Access(path=PATH)), pipeline.data))
    assert pipeline.turn(A) == "release"
    assert "remote cannot be used" in pipeline.rig.events("task.held")[-1]["reason"]
    away.rename(pipeline.bare)
    pipeline.use(forge=pipeline.forge)
    pipeline.rig.clock.advance(60)
    assert pipeline.turn(A) == "advance"
    assert len(pipeline.team.seen) == 1
    assert pipeline.main()[0].startswith(A)


def test_a_remote_that_refuses_the_merge_parks_with_its_own_words(pipeline: Pipeline) -> None:
    hook = pipeline.bare / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\n[ "$1" != refs/heads/main ] || { echo main is closed; exit 1; }\n')
    hook.chmod(0o755)
    pipeline.rig.task(A, stage="deploy", track="docs")
    assert pipeline.turn(A) == "park"
    assert "main is closed" in pipeline.rig.row(A)["paused_reason"]
    assert len(pipeline.main()) == 1


def test_a_full_disk_is_the_reason_and_the_task_goes_on_when_there_is_room(
    pipeline: Pipeline,
) -> None:
    pipeline.rig.task(A, stage="development", track="docs")
    pipeline.move_main({"large": os.urandom(2_000_000)})
    small = pipeline.bare.with_name("small-git")
    small.write_text('#!/bin/sh\nulimit -f 1000\nexec git "$@"\n')
    small.chmod(0o755)
    roomy = pipeline.shop.workspaces
    command = GitCommand(Access(path=PATH), str(small))
    pipeline.use(workspaces=GitWorkspaces(command, pipeline.data))
    assert pipeline.turn(A) == "retry"
    assert "disk is full" in pipeline.rig.last_job(A)["summary"]
    pipeline.rig.clock.advance(60)
    pipeline.use(workspaces=roomy)
    assert pipeline.turn(A) == "advance"


def test_a_command_without_room_for_its_folder_is_a_failed_attempt(pipeline: Pipeline) -> None:
    base = {"PATH": PATH}
    plan = replace(pipeline.shop.plans[REPO], commands={"test": RepoCommand("test", ("true",))})
    pipeline.use(commands=SupervisedCommands(CommandRunner(base), base), plans={REPO: plan})
    (pipeline.data / "jobs").write_text("a file, and so no folder can be made in it\n")
    pipeline.rig.task(A, stage="development", track="docs")
    assert pipeline.turn(A) == "retry"
    job = pipeline.rig.last_job(A)
    assert "could not be run" in job["summary"]
    assert "folders of the run cannot be made" in job["report"]["runs"][0]["detail"]


# --- what the next turn is told


def test_a_question_stands_beside_its_answer_whatever_else_the_agent_said(
    pipeline: Pipeline,
) -> None:
    asks = AgentResult("exited", 0, "needs_input", summary="Two ways.", question="Which colour?")
    pipeline.team.acts["development"] = [lambda _: asks]
    pipeline.rig.task(A, stage="development", track="docs")
    assert pipeline.turn(A) == "park"
    pipeline.rig.order("answer", A, "The red one.")
    pipeline.turn(A)
    prompt = pipeline.team.seen[-1].prompt
    assert all(words in prompt for words in ("Two ways.", "Which colour?", "The red one."))
