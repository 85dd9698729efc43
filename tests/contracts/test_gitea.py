"""Gitea's own ways: what its answers mean, and what orch never sends.

Rows F47 to F57 of the list of faults, as far as they are between orch and Gitea alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orch.adapters.git.command import GitCommand
from orch.adapters.gitea import WAITS, Way
from orch.errors import GitError, GitHeld, GitMissing, GitMoved, GitRefused, GitUnreachable
from orch.ports import Mark, Outlook
from tests.contracts.forge_worlds import READY, TOPIC, GiteaWorld
from tests.contracts.gitea_stub import TOKEN, Gitea, gitea
from tests.contracts.stubs import FaultKind
from tests.git_bench import GitBench, make_template

DRAFT = replace(READY, ready=False)


@pytest.fixture(scope="session")
def git_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("git"))


@pytest.fixture
def world(tmp_path: Path, git_template: Path) -> Iterator[GiteaWorld]:
    bench = GitBench(tmp_path, git_template)
    with gitea(bench.bare) as service:
        yield GiteaWorld(bench, service, Way("acme/shop", reviewers=("bea",)))


def offered(world: GiteaWorld, *marks: Mark) -> str:
    """A head that is offered and ready."""
    head = world.work()
    world.forge.offer(world.cut, head, replace(READY, marks=marks))
    return head


def land(world: GiteaWorld, head: str) -> Any:
    return world.forge.land(world.cut, head, world.cut.base_sha, "Sell more")


def seen(world: GiteaWorld) -> Outlook:
    return world.forge.look(world.remote, (TOPIC,))


def test_a_pull_request_is_unfinished_until_its_work_is_ready(world: GiteaWorld) -> None:
    head = world.work()
    shown = world.forge.offer(world.cut, head, DRAFT)
    request = world.gitea.of(TOPIC)
    assert (request.title, request.reviewers) == ("WIP: ACME-1: Sell more", [])
    request.body += "\n\nA person's remark."
    world.forge.offer(world.cut, head, replace(READY, text="Newer words."))
    assert (request.title, request.reviewers) == ("ACME-1: Sell more", ["bea"])
    assert request.body == "<!-- orch -->\nNewer words.\n<!-- /orch -->\n\nA person's remark."
    calls = len(world.gitea.stub.seen("PATCH"))
    world.forge.offer(world.cut, head, replace(READY, text="Newer words."))
    assert len(world.gitea.stub.seen("PATCH")) == calls
    assert (shown.number, shown.url) == (1, f"{world.gitea.url}/acme/shop/pulls/1")


def test_a_reviewer_nobody_knows_is_no_reason_to_stop(world: GiteaWorld) -> None:
    world.way = Way("acme/shop", reviewers=("nobody",))
    world.forge = world._forge(world.bench.forge)
    offered(world)
    assert world.gitea.of(TOPIC).reviewers == []


def test_marks_are_statuses_and_the_same_one_is_not_posted_twice(world: GiteaWorld) -> None:
    red, green = Mark("orch/re-test", "failed", "two\nlines"), Mark("orch/re-test", "passed")
    head = offered(world, red)
    for mark in (red, green):
        world.forge.offer(world.cut, head, replace(READY, marks=(mark,)))
    posted = [row[1:] for row in world.gitea.statuses[head]]
    assert posted == [("failure", "two lines"), ("success", "")]


def test_a_merge_names_the_tested_head_and_leaves_the_branch(world: GiteaWorld) -> None:
    landed = land(world, head := offered(world))
    assert world.gitea.merges == [
        {
            "Do": "merge",
            "MergeTitleField": "ACME-1: land feature/ACME-1 on main",
            "MergeMessageField": "“Sell more”",
            "head_commit_id": head,
            "delete_branch_after_merge": False,
        }
    ]
    pull = seen(world).pulls[TOPIC]
    assert (pull.state, pull.merge_sha) == ("merged", landed.merge_sha)
    assert world.gitea.stub.seen("POST", "/update") == []  # F52: orch rebases by itself


@pytest.mark.parametrize("style", ["merge", "rebase", "rebase-merge", "fast-forward-only"])
def test_every_merge_style_lands_the_tested_head(world: GiteaWorld, style: Any) -> None:
    world.way = Way("acme/shop", style)
    world.forge = world._forge(world.bench.forge)
    head = offered(world)
    assert land(world, head).anew
    assert world.forge.contains(world.remote, head)


def test_f47_a_pull_request_whose_answer_was_lost_is_taken_and_not_opened_twice(
    world: GiteaWorld,
) -> None:
    world.gitea.stub.fail("lost", "POST", "/pulls")
    head = world.work()
    with pytest.raises(GitUnreachable):
        world.forge.offer(world.cut, head, READY)
    world.forge.offer(world.cut, head, READY)
    assert len(world.gitea.requests) == 1


@pytest.mark.parametrize("fault", ["lost", "500", "not-json", "reset"])
def test_f49_what_came_of_a_merge_is_read_by_git(world: GiteaWorld, fault: FaultKind) -> None:
    head = offered(world)
    world.gitea.stub.fail(fault, "POST", "/merge")
    if fault in ("500", "reset"):
        with pytest.raises(GitUnreachable):
            land(world, head)
        assert land(world, head).anew
    else:
        assert not land(world, head).anew or fault == "not-json"
    assert len(world.gitea.merges) == 1


def test_f50_a_merge_that_gitea_is_not_ready_for_is_tried_again(world: GiteaWorld) -> None:
    head = offered(world)
    world.gitea.computing = 3
    assert land(world, head).anew
    assert world.waited == list(WAITS[:3])


def test_f51_a_conflict_that_gitea_calls_later_holds_the_landing_after_a_bound(
    world: GiteaWorld,
) -> None:
    head = offered(world)
    world.gitea.computing = 1000
    with pytest.raises(GitHeld, match="free of conflicts"):
        land(world, head)
    assert len(world.waited) == len(WAITS)


def test_f51_a_base_that_moved_is_said_and_not_waited_for(world: GiteaWorld) -> None:
    head = offered(world)
    world.gitea.computing = 1000
    world.before_push(lambda: world.somebody_pushes())
    with pytest.raises(GitMoved) as moved:
        land(world, head)
    assert moved.value.facts["branch"] == "main"


def test_a_push_that_gitea_has_not_heard_of_yet_is_waited_for(world: GiteaWorld) -> None:
    head = offered(world)
    more = world.work()
    world.gitea.lags = 2
    world.forge.offer(world.cut, more)
    world.gitea.lags = 4
    assert land(world, more).tested_sha == more != head


def test_f55_and_f57_a_check_that_is_missing_or_red_is_named(world: GiteaWorld) -> None:
    head = offered(world)
    world.gitea.contexts = ("ci/*", "lint")
    world.gitea.say(head, "ci/test", "success")
    world.gitea.say(head, "ci/test", "failure")
    with pytest.raises(GitHeld) as held:
        land(world, head)
    assert "ci/test is failure; status lint is missing" in held.value.message
    for context in ("ci/test", "lint"):
        world.gitea.say(head, context, "success")
    assert land(world, head).anew


def test_f56_a_status_of_an_older_head_counts_for_nothing(world: GiteaWorld) -> None:
    old = offered(world)
    head = world.work()
    world.forge.offer(world.cut, head)
    world.gitea.contexts = ("ci",)
    world.gitea.say(old, "ci", "success")
    with pytest.raises(GitHeld, match="status ci is missing"):
        land(world, head)


def approvals(service: Gitea) -> None:
    service.approvals = 1


def wip(service: Gitea) -> None:
    service.requests[0].title = "WIP: not now"


def scheduled(service: Gitea) -> None:
    service.schedules = True


def denied(service: Gitea) -> None:
    service.may_merge = False


def rejected(service: Gitea) -> None:
    service.rejects = True


def archived(service: Gitea) -> None:
    service.archived = True


def no_scope(service: Gitea) -> None:
    service.scopes = ("read:repository",)


def new_token(service: Gitea) -> None:
    service.token = "f" * 40


def closed(service: Gitea) -> None:
    service.stub.meanwhile(
        "POST", "/merge", lambda: setattr(service.requests[0], "state", "closed")
    )


@pytest.mark.parametrize(
    ("act", "kind", "said"),
    [
        (approvals, GitHeld, "Does not have enough approvals"),
        (wip, GitHeld, "Work in progress"),
        (scheduled, GitHeld, "called off again"),
        (denied, GitRefused, "does not let orch's user merge into main"),
        (rejected, GitRefused, "not on a Friday"),
        (archived, GitRefused, "archived or locked"),
        (no_scope, GitRefused, r"required=\[write:repository\]"),
        (new_token, GitRefused, "does not take orch's token"),
        (closed, GitMissing, "Somebody closed pull request #1"),
    ],
)
def test_what_keeps_gitea_from_merging_is_said_in_words(
    world: GiteaWorld, act: Callable[[Gitea], None], kind: type[GitError], said: str
) -> None:
    head = offered(world)
    act(world.gitea)
    with pytest.raises(kind, match=said):
        land(world, head)
    assert world.at("main") == world.cut.base_sha


def test_f59_a_closed_pull_request_is_not_opened_anew_and_a_reopened_one_goes_on(
    world: GiteaWorld,
) -> None:
    offered(world)
    request = world.gitea.of(TOPIC)
    request.state = "closed"
    assert seen(world).pulls[TOPIC].state == "closed"
    head = world.work()
    with pytest.raises(GitMissing, match="Somebody closed pull request #1"):
        world.forge.offer(world.cut, head, READY)
    request.state = "open"
    world.forge.offer(world.cut, head, READY)
    assert land(world, head).anew
    assert len(world.gitea.requests) == 1


def test_a_pull_request_from_a_fork_is_nobodys_here(world: GiteaWorld) -> None:
    offered(world)
    request = world.gitea.of(TOPIC)
    request.repo_id = 12
    assert seen(world).pulls[TOPIC].state == "none"


def test_a_service_that_is_away_delays_no_work(world: GiteaWorld) -> None:
    world.gitea.stub.fail("503", times=None)
    head = world.work()
    assert world.forge.offer(world.cut, head, DRAFT).state == "none"
    assert world.at(TOPIC) == head
    with pytest.raises(GitUnreachable):
        world.forge.offer(world.cut, head, READY)


def test_withdrawing_closes_what_shows_the_branch(world: GiteaWorld) -> None:
    offered(world)
    assert world.forge.withdraw(world.cut)
    assert (world.gitea.of(TOPIC).state, world.at(TOPIC)) == ("closed", "")


def test_the_token_goes_to_gitea_and_nowhere_else(
    world: GiteaWorld, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    started: list[tuple[tuple[str, ...], dict[str, str]]] = []
    real = GitCommand._start

    def start(self: Any, place: Any, arguments: Any, stdin: Any, secrets: Any) -> Any:
        process = real(self, place, arguments, stdin, secrets)
        words = Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")
        started.append((tuple(words), dict(secrets or {})))
        return process

    monkeypatch.setattr(GitCommand, "_start", start)
    land(world, offered(world))
    assert any(secrets for _, secrets in started)
    assert not any(TOKEN in word or "Basic" in word for words, _ in started for word in words)
    assert all("authorization" in headers for headers in world.gitea.git.headers)
    kept = [path for path in world.bench.data.rglob("*") if path.is_file()]
    kept += [path for path in world.cut.path.rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in path.read_bytes() for path in kept)
    world.gitea.git.token = "another"
    with pytest.raises(GitUnreachable) as refused:
        world.forge.look(world.remote)
    out, err = capfd.readouterr()
    assert TOKEN not in out + err + refused.value.message
    assert "Basic" not in out + err + refused.value.message
