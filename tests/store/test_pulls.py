"""The mirror of pull requests: what is kept of each, and which tasks are parked for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from orch.adapters.hosted import HostedForge
from orch.adapters.memory_git import MemoryForge
from orch.adapters.memory_pulls import MemoryPulls
from orch.outside.mirrors import Hosted, Mirrors, look
from orch.ports import Cut, Remote, Showing, Turn
from orch.store.schema import tasks
from orch.store.tables_outside import inbox
from tests.factories import Rig

A, REPO = "A-1", "app"
REMOTE = Remote(REPO, "/nowhere", "main")


class Desk:
    """A task with work at a forge, and the mirror that looks at it."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.git = rig, MemoryForge()
        git = self.git
        at = lambda branch: git.branches.get(branch, "")  # noqa: E731
        self.pulls = MemoryPulls(at, lambda branch, sha, _: git.merge(branch, sha))
        self.forge = HostedForge(git, self.pulls)
        self.mirrors = Mirrors(self.forge, {REPO: Hosted(REMOTE, "gitea")})
        rig.task(A, "review")
        base, turn = git.tip(), Turn(1, "x")
        git.turns[A] = turn
        cut = Cut(REMOTE, A, Path("/nowhere"), f"feature/{A}", base, turn)
        head = git.commit(base)
        self.forge.offer(cut, head, Showing("Sell more"))
        known = update(tasks).values(head_sha=head)
        rig.store.write(lambda conn: conn.execute(known))

    def look(self) -> bool:
        """Whether it was looked at."""
        return bool(look(self.rig.line, self.mirrors))


@pytest.fixture
def desk(rig: Rig) -> Desk:
    return Desk(rig)


def test_a_repo_is_looked_at_when_it_is_time_and_no_sooner(desk: Desk) -> None:
    assert (desk.look(), desk.look()) == (True, False)
    desk.rig.clock.advance(desk.mirrors.every + 1)
    assert desk.look()


def test_a_webhook_is_a_hint_to_look_at_once_and_once(desk: Desk) -> None:
    desk.look()
    desk.pulls.somebody_closes(f"feature/{A}")
    row = {"source": "gitea", "digest": "d", "event": "pull_request"}
    desk.rig.store.write(lambda conn: conn.execute(inbox.insert().values(**row)))
    assert (desk.look(), desk.look()) == (True, False)
    assert "Somebody closed pull request #1" in desk.rig.row(A)["paused_reason"]


def test_a_closed_pull_request_parks_again_what_was_resumed_without_reopening_it(
    desk: Desk,
) -> None:
    desk.pulls.somebody_closes(f"feature/{A}")
    desk.look()
    desk.rig.order("resume", A)
    desk.rig.clock.advance(60)
    desk.look()
    assert desk.rig.row(A)["paused_at"] is not None


def test_an_early_merge_parks_once_and_a_resumed_task_goes_on(desk: Desk) -> None:
    desk.look()
    desk.pulls.somebody_merges(f"feature/{A}")
    for resumed in (False, True):
        desk.rig.clock.advance(60)
        desk.look()
        assert (desk.rig.row(A)["paused_at"] is None) is resumed
        if not resumed:
            desk.rig.order("resume", A)


def test_what_is_seen_stands_in_the_task(desk: Desk) -> None:
    assert desk.rig.why(A)["pull"] is None
    desk.look()
    seen = desk.rig.why(A)["pull"]
    assert (seen["state"], seen["number"]) == ("open", 1)
    assert seen["url"] == "https://forge.example.org/pulls/1"
    desk.mirrors = replace(desk.mirrors, leaving=lambda: True)
    desk.rig.clock.advance(60)
    assert not desk.look()
