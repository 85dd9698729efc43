"""Each quality check passes for what orch saw itself, and for no word of an agent alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orch.qg.checks import CHECKS_OF, QG_CHECKS, CheckContext, Checked, Landing, check_stage
from orch.qg.commands import CommandName, CommandRun
from orch.qg.verdict import Statement
from orch.stages import STAGES, TABLE
from tests.unit.paperwork import FOLDER, ITEM, good, hand_in, place

BASE, HEAD, MERGE, OTHER = "b" * 40, "a" * 40, "c" * 40, "d" * 40
LANDED = Landing(tested_sha=HEAD, merge_sha=MERGE, contains=True)


def ran(name: CommandName, sha: str = HEAD, exit_code: int | None = 0) -> CommandRun:
    return CommandRun(name, ("make", name), exit_code, 12.3, "the tail", sha)


RUNS = {
    "development": (ran("test"),),
    "testing": (ran("test"),),
    "deploy-staging": (ran("staging"), ran("health")),
    "deploy": (ran("test"), ran("deploy", MERGE), ran("health", MERGE)),
}


def context(worktree: Path, stage: str) -> CheckContext:
    """A stage with which everything is in order."""
    hand_in(worktree, stage)
    return CheckContext(
        work_item=ITEM,
        stage=stage,
        worktree=worktree,
        base_sha=BASE,
        head_sha=HEAD,
        statement=Statement("pass", "All well."),
        statement_sha=HEAD,
        runs=RUNS.get(stage, ()),
        landing=LANDED if stage == "deploy" else None,
    )


def failed(name: str, facts: CheckContext) -> Checked:
    checked = QG_CHECKS[name](facts)
    assert (checked.name, checked.passed) == (name, False)
    assert checked.reason
    assert checked.reason[-1] in ".)"
    return checked


def test_the_registry_holds_the_eight_checks_of_the_table() -> None:
    assert {name for stage in TABLE for name in stage.checks} == set(QG_CHECKS)
    assert len(QG_CHECKS) == 8
    assert list(CHECKS_OF) == list(STAGES)
    assert CHECKS_OF["testing"] == ("check_test_report", "check_tests_pass")


@pytest.mark.parametrize("stage", STAGES)
def test_every_check_of_a_stage_passes_when_all_is_well(tmp_path: Path, stage: str) -> None:
    checked = check_stage(context(tmp_path, stage))
    assert [(one.name, one.passed) for one in checked] == [
        (name, True) for name in CHECKS_OF[stage]
    ]
    assert all(one.reason.endswith(".") and one.details == () for one in checked)


@pytest.mark.parametrize(
    ("name", "stage", "document"),
    [
        ("check_analysis_complete", "analysis", "03-acceptance-criteria.md"),
        ("check_architecture_done", "architecture", "07-design.md"),
        ("check_review_approved", "review", "12-review.md"),
        ("check_test_report", "testing", "13-test-report.md"),
        ("check_staging_healthy", "deploy-staging", "14-staging-log.md"),
        ("check_deploy_healthy", "deploy", "15-deploy-log.md"),
    ],
)
def test_missing_document_fails_the_check_whatever_the_agent_said(
    tmp_path: Path, name: str, stage: str, document: str
) -> None:
    facts = context(tmp_path, stage)
    place(tmp_path, document).unlink()
    assert failed(name, facts).reason == f"{FOLDER}/{document} is missing."


def test_all_that_is_wrong_with_the_documents_is_in_the_details(tmp_path: Path) -> None:
    facts = replace(context(tmp_path, "analysis"), worktree=tmp_path / "empty")
    checked = failed("check_analysis_complete", facts)
    assert checked.reason.endswith("01-brief.md is missing. (3 more)")
    assert len(checked.details) == 4


@pytest.mark.parametrize(
    ("name", "stage", "document"),
    [
        ("check_review_approved", "review", "12-review.md"),
        ("check_test_report", "testing", "13-test-report.md"),
        ("check_staging_healthy", "deploy-staging", "14-staging-log.md"),
        ("check_deploy_healthy", "deploy", "15-deploy-log.md"),
    ],
)
def test_document_that_does_not_say_pass_fails_the_check(
    tmp_path: Path, name: str, stage: str, document: str
) -> None:
    facts = context(tmp_path, stage)
    place(tmp_path, document).write_text(good(document, "rework"))
    checked = failed(name, facts)
    assert (checked.reason, checked.details) == (f"{document} says `rework`.", ("In short.",))


@pytest.mark.parametrize(
    ("name", "stage"), [("check_review_approved", "review"), ("check_test_report", "testing")]
)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"statement": Statement("rework", "Look.")}, "The agent said `rework`, whatever"),
        ({"statement": Statement()}, "The agent gave no verdict, whatever"),
        ({"statement_sha": OTHER}, "was given for dddddddddddd, not for aaaaaaaaaaaa."),
        ({"head_sha": OTHER}, "was given for aaaaaaaaaaaa, not for dddddddddddd."),
        ({"statement_sha": ""}, "was given for no commit, not for aaaaaaaaaaaa."),
        ({"statement_sha": "", "head_sha": ""}, "was given for no commit, not for no commit."),
    ],
)
def test_approval_is_a_verdict_for_exactly_this_commit(
    tmp_path: Path, name: str, stage: str, change: dict[str, object], reason: str
) -> None:
    facts = replace(context(tmp_path, stage), **change)  # type: ignore[arg-type]
    assert reason in failed(name, facts).reason


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        ((), "orch has not run the test command on aaaaaaaaaaaa."),
        ((ran("health"),), "orch has not run the test command on aaaaaaaaaaaa."),
        ((ran("test", OTHER),), "on aaaaaaaaaaaa. It ran on dddddddddddd only."),
        ((ran("test", exit_code=1),), "on aaaaaaaaaaaa failed with exit code 1, after 12 s."),
        ((ran("test"), ran("test", exit_code=2)), "failed with exit code 2"),
        ((ran("test", exit_code=None),), "could not be run."),
        ((replace(ran("test"), timed_out=True),), "was stopped at its time limit, after 12 s."),
        ((replace(ran("test"), stopped="paused"),), "was stopped before its end: paused."),
    ],
)
@pytest.mark.parametrize("stage", ["development", "testing"])
def test_only_orchs_own_run_on_this_commit_tells_that_tests_pass(
    tmp_path: Path, stage: str, runs: tuple[CommandRun, ...], reason: str
) -> None:
    facts = replace(context(tmp_path, stage), runs=runs)
    assert reason in failed("check_tests_pass", facts).reason


def test_failing_tests_show_their_tail_and_a_later_run_may_pass(tmp_path: Path) -> None:
    facts = context(tmp_path, "development")
    red = replace(ran("test", exit_code=1), detail="Killed.")
    checked = failed("check_tests_pass", replace(facts, runs=(red,)))
    assert checked.details == ("Killed.", "the tail")
    again = replace(facts, runs=(red, ran("test", OTHER, 1), ran("test")))
    assert QG_CHECKS["check_tests_pass"](again).passed


def test_repo_without_a_test_command_passes_no_tests(tmp_path: Path) -> None:
    facts = replace(context(tmp_path, "development"), runs=(), configured=frozenset())
    assert "settings name no such command" in failed("check_tests_pass", facts).reason


def test_no_commit_has_no_passing_tests(tmp_path: Path) -> None:
    facts = replace(context(tmp_path, "testing"), head_sha="", runs=(ran("test", ""),))
    assert "on no commit." in failed("check_tests_pass", facts).reason


def test_developing_without_a_commit_fails_unless_there_was_nothing_to_do(tmp_path: Path) -> None:
    facts = replace(context(tmp_path, "development"), base_sha=HEAD)
    assert "no commit beyond" in failed("check_tests_pass", facts).reason
    idle = replace(facts, statement=Statement("no_work"))
    assert QG_CHECKS["check_tests_pass"](idle).passed
    assert not QG_CHECKS["check_tests_pass"](replace(idle, runs=())).passed


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        ((), "has not run the staging command on aaaaaaaaaaaa."),
        ((ran("staging", OTHER), ran("health")), "It ran on dddddddddddd only."),
        (
            (ran("staging", exit_code=1), ran("health")),
            "The staging command on aaaaaaaaaaaa failed",
        ),
        ((ran("staging"),), "has not run the health command on aaaaaaaaaaaa."),
        ((ran("health"), ran("staging")), "has not run the health command on aaaaaaaaaaaa."),
        ((ran("staging"), ran("health", OTHER)), "It ran on dddddddddddd only."),
        ((ran("staging"), ran("health", exit_code=1)), "The health command on aaaaaaaaaaaa failed"),
    ],
)
def test_staging_is_healthy_after_orch_brought_this_commit_there(
    tmp_path: Path, runs: tuple[CommandRun, ...], reason: str
) -> None:
    facts = replace(context(tmp_path, "deploy-staging"), runs=runs)
    assert reason in failed("check_staging_healthy", facts).reason


def test_staging_needs_a_command_of_orchs_own(tmp_path: Path) -> None:
    facts = replace(context(tmp_path, "deploy-staging"), configured=frozenset({"test"}))
    assert "No staging and no health command" in failed("check_staging_healthy", facts).reason
    one = replace(facts, configured=frozenset({"staging"}), runs=(ran("staging"),))
    assert QG_CHECKS["check_staging_healthy"](one).passed


@pytest.mark.parametrize(
    ("landing", "reason"),
    [
        (None, "Nothing has landed yet."),
        (replace(LANDED, merge_sha=""), "Nothing has landed yet."),
        (replace(LANDED, tested_sha=OTHER), "before landing is dddddddddddd, not aaaaaaaaaaaa."),
        (replace(LANDED, tested_sha=""), "before landing is no commit, not aaaaaaaaaaaa."),
        (replace(LANDED, contains=False), "does not contain aaaaaaaaaaaa, though cccccccccccc"),
    ],
)
def test_landed_is_what_the_default_branch_contains(
    tmp_path: Path, landing: Landing | None, reason: str
) -> None:
    facts = replace(context(tmp_path, "deploy"), landing=landing)
    assert reason in failed("check_landed", facts).reason


@pytest.mark.parametrize("runs", [(), (ran("test", OTHER),), (ran("test", exit_code=1),)])
def test_what_landed_was_tested_by_orch(tmp_path: Path, runs: tuple[CommandRun, ...]) -> None:
    facts = replace(context(tmp_path, "deploy"), runs=runs)
    assert "test command on aaaaaaaaaaaa" in failed("check_landed", facts).reason


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        ((ran("deploy"), ran("health")), "the deploy command on cccccccccccc. It ran on aaaa"),
        ((ran("deploy", MERGE, 1),), "The deploy command on cccccccccccc failed"),
        ((ran("health", MERGE), ran("deploy", MERGE)), "not run the health command on cccc"),
        ((ran("deploy", MERGE), ran("health", MERGE, 3)), "failed with exit code 3"),
    ],
)
def test_deploy_is_healthy_after_orch_deployed_the_merge(
    tmp_path: Path, runs: tuple[CommandRun, ...], reason: str
) -> None:
    facts = replace(context(tmp_path, "deploy"), runs=runs)
    assert reason in failed("check_deploy_healthy", facts).reason


def test_nothing_landed_is_nothing_deployed(tmp_path: Path) -> None:
    facts = replace(context(tmp_path, "deploy"), landing=None)
    assert "Nothing has landed" in failed("check_deploy_healthy", facts).reason


def test_repo_that_deploys_nothing_is_done_with_landing(tmp_path: Path) -> None:
    facts = context(tmp_path, "deploy")
    library = replace(facts, runs=(ran("test"),), configured=frozenset({"test"}))
    checked = QG_CHECKS["check_deploy_healthy"](library)
    assert (checked.passed, "landing was all" in checked.reason) == (True, True)
    watched = replace(library, configured=frozenset({"test", "health"}))
    assert "health command on cccccccccccc" in failed("check_deploy_healthy", watched).reason
