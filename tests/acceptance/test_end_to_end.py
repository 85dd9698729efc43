"""Plane in, Gitea out: from a work item to its merged pull request, and back, on real processes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from orch.stages import TABLE
from tests.acceptance.asking_committer import QUESTION
from tests.acceptance.conftest import Made
from tests.acceptance.stack import Stack
from tests.acceptance.town import PAGES, Town, town
from tests.git_bench import git
from tests.services import wait_until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.slow,
    pytest.mark.postgres,
    pytest.mark.redis,
    pytest.mark.xdist_group("end-to-end"),
    pytest.mark.timeout(400),
]
REPOS = ("basket", "prices", "rates")
TRACK = ("analysis", "development", "deploy")
PATIENCE = 150.0
AGENT = """
[agents.{agent}]
command = ["{python}", "-m", "tests.acceptance.asking_committer"]
env = {{ PYTHONPATH = "{root}", DESK = "{desk}" }}
"""
REPO = """
[repos.{name}]
url = "{url}/acme/shop.git"
forge = "gitea"
track = "short"
test = ["test", "-e", "README"]
deploy = ["true"]
[repos.{name}.tracks]
short = ["analysis", "development", "deploy"]
"""
TRACKER = """
[trackers.plan]
kind = "plane"
project = "{project}"
repo = "basket"
park_states = [{park}]
"""


def tables(stack: Stack, outside: Town, park: str = "") -> str:
    """orch.toml."""
    root, desk = Path(__file__).parents[2], stack.desk.folder
    given = {"python": sys.executable, "root": root, "desk": desk}
    agents = (AGENT.format(agent=each, **given) for each in agents_of_track())
    repos = (REPO.format(name=name, url=each.url) for name, each in outside.repos.items())
    tracker = TRACKER.format(project=outside.plane.project, park=park)
    return "".join((*agents, *repos, tracker))


def agents_of_track() -> list[str]:
    return [each.agent for each in TABLE if each.name in TRACK and each.agent]


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("town"), *REPOS) as made:
        yield made


@pytest.fixture(scope="module")
def stack(make_stack: Made, outside: Town) -> Stack:
    """Everything running, and Plane and Gitea outside of it."""
    quick = {"poll_seconds": "1", "lease_seconds": "20", "heartbeat_seconds": "4"}
    made = make_stack(**quick, **outside.settings)
    made.configure(tables(made, outside))
    made.dispatcher()
    made.beat()
    for agent in agents_of_track():
        made.worker(agent, concurrency=len(REPOS))
    outside.front = made.web()
    made.ready()
    return made


def said_of(repo: str, name: str, sha: str) -> list[str]:
    """What a person is to read below an item that went through without trouble."""
    said = [f"orch has taken this up: it waits for its turn in {repo}.", "Work has begun."]
    said += [f"Now at {stage}." for stage in TRACK[1:]]
    said.append(f"Landed in {repo} as {sha}.")
    return [f"{text}\n{PAGES}/ui/tasks/{name}" for text in said]


def wait_for_end(stack: Stack, outside: Town, name: str) -> None:
    def ended() -> bool:
        return outside.state_of(name) == "Done"

    wait_until(ended, PATIENCE, f"{name} never came to Done")


def require_landed_once(stack: Stack, outside: Town, repo: str, name: str) -> None:
    """Tested, merged once by its pull request, told once."""
    forge, task, pull = outside.repos[repo], stack.inside.task(name), outside.pull(repo, name)
    assert (pull.state, pull.merge_sha) == ("merged", task["merge_sha"])
    assert pull.sha == task["tested_sha"]
    log = git(forge.bare, "log", "--merges", "--format=%P", "main").splitlines()
    assert [parents.split()[1] for parents in log].count(task["tested_sha"]) == 1
    newest = forge.newest(task["tested_sha"])
    assert newest["orch/re-test"] == "success"
    assert set(newest.values()) == {"success"}
    said = outside.comments(name)
    assert said == said_of(repo, name, task["merge_sha"])


def test_a_work_item_becomes_a_merged_pull_request_and_its_item_is_done(
    stack: Stack, outside: Town
) -> None:
    hinted = outside.ask_for("Count what is in the basket", "basket")
    assert outside.plane_says(hinted, action="created") == "accepted"
    polled = outside.ask_for("Round prices", "prices")
    for repo, name in (("basket", hinted), ("prices", polled)):
        wait_for_end(stack, outside, name)
        require_landed_once(stack, outside, repo, name)
        assert outside.moves(name) == ["In Progress", "Done"]
        keep_story(stack, outside, repo, name)


def keep_story(stack: Stack, outside: Town, repo: str, name: str) -> None:
    """Write down what was seen, and into the folder $ORCH_STORIES where that is set."""
    told = outside.story(repo, name)
    folders = [stack.folder, *map(Path, filter(None, [os.environ.get("ORCH_STORIES")]))]
    for folder in folders:
        (folder / f"{name}.md").write_text(told, encoding="utf-8")


def test_a_question_is_asked_in_plane_and_answered_there(stack: Stack, outside: Town) -> None:
    name = outside.ask_for("Colour the basket", "basket")
    (stack.desk.folder / f"ask-{name}").touch()
    wait_until(lambda: outside.state_of(name) == "Needs Input", PATIENCE, "it never asked")
    page = f"{PAGES}/ui/tasks/{name}"
    asked = f"A question before this goes on:\n{QUESTION}\nAnswer with a comment here.\n{page}"
    assert outside.comments(name)[-1] == asked
    outside.remark(name, "Green, please.")
    assert outside.plane_says(name, "issue_comment", "created") == "accepted"
    wait_for_end(stack, outside, name)
    usual = said_of("basket", name, stack.inside.task(name)["merge_sha"])
    more = [text for text in outside.comments(name) if text not in usual]
    assert more == [asked, f"It goes on: answered\n{page}"]
    assert [text for text in outside.comments(name) if text in usual] == usual
    keep_story(stack, outside, "basket", name)


# --- with faults outside

Fault = Callable[[Town, str, str], object]
"""Brings it about for an item of a repo, before it is there."""


def gitea_down(outside: Town, repo: str, name: str) -> None:
    forge = outside.repos[repo]
    forge.go_down()
    seen = len(forge.git.asked)
    wait_until(lambda: len(forge.git.asked) > seen + 2, PATIENCE, "nobody asked Gitea")
    forge.come_up()


def later(outside: Town, repo: str, name: str) -> None:
    outside.repos[repo].computing = 3


def storm(outside: Town, repo: str, name: str) -> None:
    """Webhooks that come twice and in the wrong order."""
    outside.gitea_says()
    for action in ("deleted", "updated", "created"):
        assert outside.plane_says(name, action=action) in ("accepted", "coalesced")
    outside.delivered -= 1
    assert outside.plane_says(name, action="created") in ("replayed", "coalesced")


# Those that make orch wait longer each time stand apart: what succeeds between sets that back.
FAULTS: Mapping[str, Fault] = {
    "plane-down": lambda o, *_: o.plane.stub.fail("503", times=2, retry_after=1),
    "comment-lost": lambda o, *_: o.plane.stub.fail("lost", "POST", "/comments/", times=2),
    "plane-impatient": lambda o, *_: o.plane.stub.fail("429", times=2, retry_after=1),
    "move-lost": lambda o, *_: o.plane.stub.fail("lost", "PATCH", times=2),
    "plane-wrong": lambda o, *_: o.plane.stub.fail("other-json", "GET", times=2),
    "gitea-down": gitea_down,
    "gitea-later": later,
    "merge-lost": lambda o, repo, _: o.repos[repo].stub.fail("lost", "POST", "/merge"),
    "webhooks-odd": storm,
}


def test_every_item_lands_once_whatever_goes_wrong_outside(stack: Stack, outside: Town) -> None:
    begun = []
    for number, (fault, bring) in enumerate(FAULTS.items()):
        repo = REPOS[number % len(REPOS)]
        name = outside.ask_for(f"Through {fault}", repo)
        bring(outside, repo, name)
        begun.append((repo, name))
        wait_until(lambda: not outside.plane.stub.fails, PATIENCE, f"{fault} met nobody")
    for repo, name in begun:
        wait_for_end(stack, outside, name)
        require_landed_once(stack, outside, repo, name)
    assert not any(forge.stub.fails for forge in outside.repos.values())


# --- the incident


def facts_of(stack: Stack, name: str) -> str:
    found = stack.inside.sql("SELECT facts FROM tracked WHERE work_item_id = :name", name=name)
    return str(found[0]["facts"])


def start_again_parking(stack: Stack, outside: Town) -> None:
    """The control worker comes again with `park_states` in its settings."""
    stack.configure(tables(stack, outside, park='"Backlog"'))
    control = stack.running[0]
    control.send(signal.SIGTERM)
    control.process.wait()
    stack.again(control)


def begin_and_hold(stack: Stack, outside: Town, name: str) -> Path:
    """Its agent is at work and stays there until the file is gone."""
    hold, begun = (stack.desk.folder / f"{word}-{name}" for word in ("hold", "begun"))
    hold.touch()
    wait_until(begun.exists, PATIENCE, f"{name} never began")
    return hold


def test_an_item_in_backlog_holds_and_frees_nothing_unless_the_settings_say_so(
    stack: Stack, outside: Town
) -> None:
    name = outside.ask_for("Work nobody needs now", "rates")
    hold = begin_and_hold(stack, outside, name)
    urgent = outside.ask_for("Mend the rates", "rates", priority="urgent")
    outside.move(name, "Backlog")
    assert outside.plane_says(name) == "accepted"
    wait_until(lambda: "Backlog" in facts_of(stack, name), PATIENCE, "nobody saw it")
    wait_until(lambda: stack.inside.sql("SELECT id FROM tasks WHERE work_item_id=:n", n=urgent))
    assert stack.inside.task(name)["paused_at"] is None
    assert stack.inside.job(urgent)["status"] == "queued"

    start_again_parking(stack, outside)
    wait_until(lambda: stack.inside.task(name)["paused_at"], PATIENCE, "it was never paused")
    task = stack.inside.task(name)
    reason = "moved to Backlog in the tracker by ann"
    assert (task["paused_by"], task["paused_reason"]) == ("tracker:plan", reason)
    assert stack.inside.job(urgent)["status"] == "queued", "the agent at work keeps the repo"
    hold.unlink()
    wait_for_end(stack, outside, urgent)
    assert (outside.state_of(name), stack.inside.task(name)["paused_by"]) == (
        "Backlog",
        "tracker:plan",
    )
    outside.move(name, "In Progress")
    wait_for_end(stack, outside, name)
    remedy = [text for text in outside.comments(name) if "Paused" in text or "goes on" in text]
    assert len(remedy) == 2
    assert remedy[0].startswith(f"Paused: {reason}\nIt goes on when that is over, or by: ")
    keep_story(stack, outside, "rates", name)
