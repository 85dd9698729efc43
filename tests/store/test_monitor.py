"""The monitor: red freezes, green says so and lifts nothing, the unknown changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orch import monitor
from orch.adapters.memory_commands import MemoryCommands
from orch.adapters.memory_git import MemoryForge, MemoryWorkspaces
from orch.monitor import Finding, Rounds, Watched
from orch.ports import Remote, RepoCommand, RepoWork, Turn, Watch
from orch.qg.commands import CommandRun
from orch.store import freezes, landings
from tests.factories import Rig


class Post:
    """One repo with a health command, and the rounds over it."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.rig, self.forge = rig, MemoryForge()
        self.commands = MemoryCommands()
        self.rooms = MemoryWorkspaces(self.forge, folder)
        command = RepoCommand("health", ("./healthy",), 600)
        watched = [Watched(Remote("app", "/nowhere", "main"), command)]
        self.rounds = Rounds(self.rooms, self.commands, watched, folder / "monitor")

    def look(self, exit_code: int | None = None, output: str = "") -> Finding:
        """One round; the command ends so from now on."""
        if exit_code is not None:
            self.commands.let("health", exit_code, output)
        (found,) = monitor.go_round(self.rig.line, self.rounds)
        return found

    def freeze(self) -> dict[str, object] | None:
        return self.rig.store.read(lambda conn: freezes.active_freeze(conn, "app"))


@pytest.fixture
def watch(rig: Rig, tmp_path: Path) -> Post:
    return Post(rig, tmp_path)


def test_the_newest_commit_is_looked_at_in_a_room_of_its_own(watch: Post) -> None:
    tip = watch.forge.branches["main"] = watch.forge.commit(watch.forge.branches["main"])
    assert watch.look() == Finding("app", "green", "", tip)
    (asked,) = watch.commands.asked
    assert (asked.head_sha, asked.command.timeout, asked.workdir.name) == (tip, 600, "orch-health")
    assert asked.rundir.is_dir()
    assert watch.rooms.spaces == {}
    assert (watch.freeze(), watch.rig.events("repo.degraded")) == (None, [])


def test_what_a_round_left_that_died_is_no_ground_for_the_next(watch: Post) -> None:
    left = watch.rooms.cut(watch.rounds.watched[0].remote, "orch-health", Turn(1, "gone"))
    watch.rooms.commit(left, "rubbish")
    tip = watch.forge.branches["main"] = watch.forge.commit(watch.forge.branches["main"])
    assert watch.look().sha == tip


def test_only_who_set_a_freeze_gives_it_another_reason(watch: Post) -> None:
    watch.rig.order("freeze", "app", "deploy day")

    def restate(source: str) -> bool:
        return watch.rig.store.write(
            lambda conn: freezes.restate(conn, "app", source, "something else")
        )

    assert [restate("monitor"), restate("ann"), restate("ann")] == [False, True, False]


def test_red_freezes_the_repo_once_and_says_why(watch: Post) -> None:
    watch.rig.task("A-1")
    found = watch.look(3, "starting\nport \x1b[31m8080 does not answer\n")
    tip = watch.forge.branches["main"]
    assert (found.found, found.changed) == ("red", True)
    lane = watch.rig.lanes()["app"]
    assert (lane["frozen"], lane["frozen_by"]) == (True, "monitor")
    reason = f"DEGRADED: health of main at {tip[:12]} ended with 3: port [31m8080 does not answer"
    assert lane["frozen_reason"] == reason
    assert watch.rig.waiting()["A-1"]["reason"] == "freeze"
    (event,) = watch.rig.events("repo.degraded")
    assert (event["actor"], event["reason"]) == ("monitor", reason)
    assert event["data"] == {"source": "monitor", "head_sha": tip, "exit_code": 3}
    watch.rig.clock.advance(300)
    assert watch.look().changed is False
    assert len(watch.rig.events("repo.degraded")) == len(watch.rig.events("repo.frozen")) == 1


def test_green_after_it_is_said_and_lifts_nothing(watch: Post) -> None:
    watch.look(1)
    tip = watch.forge.branches["main"] = watch.forge.commit(watch.forge.branches["main"])
    assert watch.look(0).changed
    assert watch.look(0).changed is False
    freeze = watch.freeze()
    assert freeze is not None
    assert str(freeze["reason"]).startswith("DEGRADED: health of main at ")
    assert str(freeze["reason"]).endswith(f"; healthy again at {tip[:12]}")
    (event,) = watch.rig.events("repo.healthy")
    assert "`orch unfreeze app`" in event["reason"]
    watch.rig.order("unfreeze", "app")
    assert watch.look(0).changed is False
    assert watch.freeze() is None


def test_red_again_before_anybody_lifted_it_is_said_anew(watch: Post) -> None:
    for exit_code in (1, 0, 4, 4):
        watch.look(exit_code)
    freeze = watch.freeze()
    assert freeze is not None
    assert str(freeze["reason"]).endswith("ended with 4")
    assert len(watch.rig.events("repo.degraded")) == 2
    assert len(watch.rig.events("repo.frozen")) == 1


def test_a_freeze_of_somebody_else_is_left_alone(watch: Post) -> None:
    watch.rig.order("freeze", "app", "deploy day")
    assert [watch.look(code).changed for code in (1, 0)] == [False, False]
    freeze = watch.freeze()
    assert freeze is not None
    assert (freeze["source"], freeze["reason"]) == ("ann", "deploy day")


def test_a_repo_in_which_work_lands_is_passed_over(watch: Post) -> None:
    watch.rig.task("A-1", "deploy")
    take = watch.rig.store.write
    take(lambda conn: landings.take(conn, "app", 7, watch.rig.clock(), 60))
    assert watch.look(1).found == "skipped"
    watch.rig.clock.advance(60)
    assert watch.look(1).found == "red"


def test_a_repo_whose_work_is_being_deployed_is_passed_over(watch: Post) -> None:
    watch.rig.task("A-1", "deploy", job="running")
    assert watch.look(1).found == "skipped"
    assert watch.freeze() is None


def test_a_repo_in_which_an_agent_only_works_is_looked_at(watch: Post) -> None:
    watch.rig.task("A-1", "development", job="running")
    assert watch.look(1).found == "red"


def test_a_remote_that_is_away_says_nothing_about_health(watch: Post) -> None:
    watch.forge.down = True
    assert watch.look(1).found == "unknown"
    assert watch.freeze() is None


class Ends(MemoryCommands):
    """Commands that come to whatever the test wants."""

    def __init__(self, change: Callable[[CommandRun], CommandRun]) -> None:
        super().__init__()
        self.change = change

    def run(self, work: RepoWork, watch: Watch, beat: float) -> CommandRun:
        return self.change(super().run(work, watch, beat))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"exit_code": None, "timed_out": True}, "red"),
        ({"exit_code": None, "detail": "The program `x` is not there."}, "unknown"),
        ({"exit_code": None, "stopped": "shutdown"}, "unknown"),
        ({"exit_code": None}, "unknown"),
    ],
)
def test_only_what_the_command_itself_shows_counts(
    watch: Post, change: dict[str, object], found: str
) -> None:
    ends = Ends(lambda run: replace(run, **change))  # type: ignore[arg-type]
    watch.rounds = replace(watch.rounds, commands=ends)
    seen = watch.look()
    assert seen.found == found
    assert (watch.freeze() is not None) == (found == "red")
    assert watch.rooms.spaces == {}


def test_who_is_to_go_looks_at_no_further_repo(watch: Post) -> None:
    rounds = replace(watch.rounds, leaving=lambda: True)
    assert monitor.go_round(watch.rig.line, rounds) == []


def test_a_long_last_line_fits_into_a_reason(watch: Post) -> None:
    watch.look(1, "x" * 5000)
    freeze = watch.freeze()
    assert freeze is not None
    assert len(str(freeze["reason"])) < 400
