"""GitHub's own ways: drafts, two kinds of marks, refusals of many meanings, the merge queue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orch.errors import GitError, GitHeld, GitMissing, GitMoved, GitRefused, GitUnreachable
from orch.ports import Mark, Message, Page, Pull
from tests.contracts.github_hub import TOPIC, Hub
from tests.git_bench import make_template

PAGE = Page(TOPIC, "main", "ACME-1: Sell more", "What it is about.", ready=False)
READY = replace(PAGE, ready=True)
RETEST = Mark("orch/re-test", "passed", "12 s", "https://orch.example.org/t/1")


@pytest.fixture(scope="session")
def git_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("git"))


@pytest.fixture
def hub(tmp_path: Path, git_template: Path) -> Iterator[Hub]:
    known = Hub(tmp_path, git_template)
    with known.stub:
        yield known


def test_unfinished_work_is_a_draft_until_it_is_ready(hub: Hub) -> None:
    shown = hub.pulls.show(PAGE, None)
    assert (shown.state, shown.number, hub.one.draft) == ("open", 1, True)
    hub.pulls.show(READY, shown)
    assert (hub.one.draft, hub.one.title) == (False, "ACME-1: Sell more")
    hub.pulls.show(PAGE, shown)
    assert hub.one.draft


def test_where_there_are_no_drafts_the_title_says_it(hub: Hub) -> None:
    hub.github.has_drafts = False
    shown = hub.pulls.show(PAGE, None)
    assert (hub.one.draft, hub.one.title) == (False, "WIP: ACME-1: Sell more")
    hub.pulls.show(READY, shown)
    assert hub.one.title == "ACME-1: Sell more"
    hub.pulls.show(PAGE, shown)
    assert hub.one.title == "WIP: ACME-1: Sell more"


def test_what_is_shown_already_is_not_written_again(hub: Hub) -> None:
    hub.come_as_user("ann", "acme/crew")
    shown = hub.pulls.show(READY, None)
    hub.pulls.mark(hub.head, [RETEST])
    hub.one.reviewers.remove("ann")  # she has answered
    hub.one.reviews.append({"user": {"login": "Ann"}, "state": "COMMENTED"})
    before = len(hub.writes())
    hub.pulls.show(READY, shown)
    hub.pulls.mark(hub.head, [RETEST])
    assert (len(hub.writes()), hub.one.teams) == (before, ["crew"])


def test_people_keep_their_part_of_the_text(hub: Hub) -> None:
    shown = hub.pulls.show(READY, None)
    hub.one.body += "\n\nA person's own words."
    hub.pulls.show(replace(READY, text="Other words."), shown)
    assert "A person's own words." in hub.one.body
    assert "Other words." in hub.one.body
    assert "What it is about." not in hub.one.body


def test_a_reviewer_without_access_holds_nothing_up(hub: Hub) -> None:
    hub.come_as_user("nobody")
    assert hub.pulls.show(READY, None).state == "open"


def test_who_opened_it_first_does_not_matter(hub: Hub) -> None:
    hub.pulls.show(PAGE, None)
    shown = hub.pulls.show(replace(READY, title="Mine"), None)
    assert (shown.number, hub.one.title, len(hub.github.pulls)) == (1, "Mine", 1)


def test_an_opening_whose_answer_got_lost_is_found_again(hub: Hub) -> None:
    hub.stub.fail("lost", "POST", "/pulls")
    with pytest.raises(GitUnreachable):
        hub.pulls.show(READY, None)
    assert hub.pulls.find("main", [TOPIC])[TOPIC].number == hub.pulls.show(READY, None).number == 1


def test_nothing_to_show_is_no_pull_request(hub: Hub) -> None:
    hub.move("empty", hub.base)
    assert hub.pulls.show(replace(PAGE, branch="empty"), None) == Pull("empty", "")


def test_many_branches_are_found_with_few_questions(hub: Hub) -> None:
    names = [f"feature/ACME-{number}" for number in range(1, 9)]
    for name in names:
        hub.move(name, hub.head)
        hub.pulls.show(replace(PAGE, branch=name), None)
    hub.pulls.close(hub.pulls.find("main", names)[names[3]])
    asked = len(hub.stub.seen("GET", "/pulls"))
    found = hub.pulls.find("main", names)
    assert len(hub.stub.seen("GET", "/pulls")) == asked + 1
    assert [found[name].state for name in names].count("open") == 7
    assert found[names[3]].state == "closed"


def test_a_user_writes_statuses_and_an_app_check_runs(hub: Hub) -> None:
    running = replace(RETEST, state="pending")
    for mark in (running, running, RETEST, replace(RETEST, state="failed", said="x" * 999)):
        hub.pulls.mark(hub.head, [mark])
    states = [status["state"] for status in hub.github.statuses[hub.head]]
    assert (states, hub.github.runs) == (["pending", "success", "failure"], [])
    hub.github.statuses.clear()
    hub.come_as_app()
    for mark in (running, running, RETEST, RETEST):
        hub.pulls.mark(hub.head, [mark])
    assert len(hub.github.runs) == 1
    assert (hub.github.runs[0]["conclusion"], hub.github.statuses) == ("success", {})
    hub.pulls.mark(hub.head, [replace(RETEST, state="failed")])
    assert [run["conclusion"] for run in hub.github.runs] == ["success", "failure"]


def test_a_merge_is_of_exactly_the_tested_head(hub: Hub) -> None:
    hub.merge()
    sent = hub.stub.seen("PUT", "/merge")[0].body
    assert (sent["sha"], sent["merge_method"]) == (hub.head, "merge")
    assert hub.parents("main") == [hub.base, hub.head]


def test_the_words_of_a_title_close_no_issue(hub: Hub) -> None:
    hub.merge(Message("ACME-1: land", "“fixes GH-1, Closes https://x.example.org/issues/2”"))
    said = hub.stub.seen("PUT", "/merge")[0].body["commit_message"]
    assert said.replace("\N{WORD JOINER}", "").startswith("“fixes GH-1, Closes")
    assert "fixes" not in said
    assert "Closes" not in said


@pytest.mark.parametrize(
    "refusal",
    [
        (405, "Base branch was modified. Review and try the merge again."),
        (405, "Merge already in progress"),
        (409, "Head branch was modified. Review and try the merge again."),
    ],
)
def test_a_refusal_of_the_moment_is_tried_again(hub: Hub, refusal: tuple[int, str]) -> None:
    hub.github.refusals = [refusal, refusal]
    hub.merge()
    assert (hub.one.state, hub.waits) == ("merged", [1.0, 2.0])


def test_a_refusal_of_the_moment_that_stays_is_a_reason_and_no_endless_wait(hub: Hub) -> None:
    hub.github.refusals = [(405, "Merge already in progress")] * 99
    with pytest.raises(GitHeld, match="Merge already in progress"):
        hub.merge()
    assert hub.waits == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("Merge commits are not allowed on this repository.", GitRefused),
        ("Pull Request is not mergeable", GitRefused),
        ("At least 1 approving review is required by reviewers with write access.", GitHeld),
        ("2 of 2 required status checks are expected.", GitHeld),
    ],
)
def test_other_refusals_are_final_or_name_what_is_missing(
    hub: Hub, said: str, error: type[GitError]
) -> None:
    hub.github.refusals = [(405, said)] * 9
    with pytest.raises(error, match=said):
        hub.merge()
    assert hub.waits == []


def test_github_may_still_be_working_it_out(hub: Hub) -> None:
    hub.open().unknown = 3
    hub.merge()
    assert (hub.one.state, len(hub.waits)) == ("merged", 3)


def test_github_may_not_have_seen_the_newest_push(hub: Hub) -> None:
    hub.open()
    hub.head = hub.commit(hub.head)
    hub.move(TOPIC, hub.head)
    hub.one.lag = 3
    hub.merge()
    assert (hub.one.state, hub.waits) == ("merged", [1.0, 2.0])


def test_github_may_not_have_seen_the_newest_mark(hub: Hub) -> None:
    hub.open()
    hub.github.blocked = True
    hub.stub.meanwhile("GET", "/status", lambda: setattr(hub.github, "blocked", False))
    hub.merge()
    assert (hub.one.state, hub.waits) == ("merged", [1.0])


def test_github_may_never_work_it_out(hub: Hub) -> None:
    hub.open().unknown = 99
    with pytest.raises(GitHeld, match="working out"):
        hub.merge()


def test_a_merge_whose_answer_got_lost_was_made(hub: Hub) -> None:
    hub.open()
    hub.stub.fail("lost", "PUT", "/merge")
    hub.merge()
    assert len(hub.stub.seen("PUT", "/merge")) == 1
    hub.merge()
    assert len(hub.stub.seen("PUT", "/merge")) == 1


def test_a_merge_that_was_not_made_is_unreachable(hub: Hub) -> None:
    hub.open()
    hub.stub.fail("500", "PUT", "/merge")
    with pytest.raises(GitUnreachable):
        hub.merge()
    assert hub.one.state == "open"


@pytest.mark.parametrize(
    ("branch", "at"), [("main", "other"), (TOPIC, "other"), (TOPIC, "")], ids=str
)
def test_a_branch_that_moves_before_the_merge_is_said(hub: Hub, branch: str, at: str) -> None:
    hub.open()
    hub.github.require("ci", strict=True)
    hub.github.mark(hub.head, "ci", "success")
    there = hub.commit(hub.base) if at else ""
    hub.stub.meanwhile("PUT", "/merge", lambda: hub.move(branch, there))
    with pytest.raises((GitMoved, GitMissing)) as moved:
        hub.merge()
    assert moved.value.facts["branch"] == branch
    assert hub.at("main") == (there if branch == "main" else hub.base)


def test_a_person_may_hold_the_pull_request_back_or_close_it(hub: Hub) -> None:
    hub.open().draft = True
    with pytest.raises(GitHeld, match="draft"):
        hub.merge()
    hub.one.state = "closed"
    with pytest.raises(GitMissing, match="closed"):
        hub.merge()


def require_approvals(hub: Hub) -> None:
    hub.github.rule("pull_request", required_approving_review_count=2)
    for who, said in (("ann", "APPROVED"), ("bob", "APPROVED"), ("bob", "DISMISSED")):
        hub.one.reviews.append({"user": {"login": who}, "state": said})


def require_by_protection(hub: Hub) -> None:
    hub.github.protection = {
        "required_status_checks": {"enforcement_level": "everyone", "contexts": ["old/ci"]},
        "required_pull_request_reviews": {"required_approving_review_count": 1},
    }


def require_red(hub: Hub) -> None:
    hub.github.require("ci/build")
    hub.github.mark(hub.base, "ci/build", "success")  # of another commit: it does not count
    hub.github.mark(hub.head, "ci/build", "success")
    hub.github.mark(hub.head, "ci/build", "failure")


def require_running(hub: Hub) -> None:
    hub.github.require("ci/build")
    run = {"name": "ci/build", "head_sha": hub.head, "status": "in_progress"}
    hub.github.runs.append(run)


def block(hub: Hub) -> None:
    hub.github.blocked = True


@pytest.mark.parametrize(
    ("require", "words"),
    [
        (lambda hub: hub.github.require("ci/build"), "the check ci/build is missing"),
        (require_red, "the check ci/build is red"),
        (require_running, "the check ci/build is running"),
        (require_approvals, "1 of 2 approvals are given"),
        (require_by_protection, "the check old/ci is missing; 0 of 1 approvals are given"),
        (block, "it calls it blocked"),
    ],
)
def test_what_is_missing_is_named_and_nothing_merged(hub: Hub, require: object, words: str) -> None:
    hub.open()
    assert callable(require)
    require(hub)
    with pytest.raises(GitHeld, match=words):
        hub.merge()
    assert hub.stub.seen("PUT", "/merge") == []
    hub.github.rules, hub.github.protection, hub.github.blocked = [], None, False
    hub.merge()
    assert hub.one.state == "merged"


def test_a_token_that_sees_little_leaves_the_judgement_to_github(hub: Hub) -> None:
    hub.github.is_admin = hub.github.reads_runs = False
    require_by_protection(hub)
    hub.merge()
    assert hub.one.state == "merged"


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("merge_queue", {"merge_method": "SQUASH"}),
        ("required_linear_history", {}),
        ("pull_request", {"allowed_merge_methods": ["squash", "rebase"]}),
    ],
)
def test_rules_that_would_write_other_commits_are_refused(
    hub: Hub, kind: str, parameters: dict[str, object]
) -> None:
    hub.open()
    hub.github.rule(kind, **parameters)
    with pytest.raises(GitRefused, match="Nothing can land"):
        hub.merge()
    assert hub.one.entry is None


def test_the_merge_queue_lands_it_and_is_told_how_the_tests_went(hub: Hub) -> None:
    hub.open()
    hub.github.rule("merge_queue", merge_method="MERGE")
    hub.pulls.mark(hub.head, [RETEST])
    with pytest.raises(GitHeld, match="in the merge queue") as held:
        hub.merge()
    assert held.value.facts["queued"]
    group = hub.github.queue_goes_on(hub.one)
    for _ in range(2):
        with pytest.raises(GitHeld, match="at place 1"):
            hub.merge()
    assert hub.github.said(group) == {"orch/re-test": "success"}
    assert len(hub.github.statuses[group]) == 1
    hub.github.queue_lands(hub.one)
    hub.merge()
    assert hub.parents("main") == [hub.base, hub.head]


def test_orch_says_nothing_of_what_the_queue_put_on_other_work(hub: Hub) -> None:
    hub.open()
    hub.github.rule("merge_queue", merge_method="MERGE")
    hub.pulls.mark(hub.head, [RETEST])
    with pytest.raises(GitHeld):
        hub.merge()
    group = hub.github.queue_goes_on(hub.one, hub.commit(hub.base))
    with pytest.raises(GitHeld):
        hub.merge()
    assert hub.github.said(group) == {}


def test_what_the_queue_gives_back_is_said_once_and_may_go_there_again(hub: Hub) -> None:
    hub.open()
    hub.github.rule("merge_queue", merge_method="MERGE")
    with pytest.raises(GitHeld):
        hub.merge()
    hub.one.entry, hub.one.removed = None, "FAILED_CHECKS"
    with pytest.raises(GitRefused, match="gave it back: FAILED_CHECKS"):
        hub.merge()
    assert hub.github.said(hub.head) == {"orch/merge-queue": "failure"}
    with pytest.raises(GitHeld, match="in the merge queue"):
        hub.merge()
    assert hub.one.entry is not None


@pytest.mark.parametrize("is_blocked", [True, False])
def test_a_queue_of_the_older_protection_shows_at_the_merge(hub: Hub, is_blocked: bool) -> None:
    hub.open()
    hub.github.has_old_queue = True
    hub.github.blocked = is_blocked
    for _ in range(2):
        with pytest.raises(GitHeld, match="in the merge queue"):
            hub.merge()
    assert hub.one.entry is not None


def test_what_the_queue_does_not_take_yet_is_a_reason(hub: Hub) -> None:
    hub.open()
    hub.github.rule("merge_queue", merge_method="MERGE")
    hub.github.queue_refuses = "Required status check is expected."
    with pytest.raises(GitHeld, match=r"does not take .* yet: .*is expected"):
        hub.merge()
