"""What every Forge promises: the fake, and plain git on a real repository."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from orch.adapters.git.command import PLAIN, Access, Ask, GitCommand, Output, Place
from orch.adapters.git.forge import PlainForge
from orch.adapters.memory_git import MemoryForge
from orch.errors import (
    GitFenced,
    GitMissing,
    GitMoved,
    GitRefused,
    GitUnreachable,
)
from orch.ports import Cut, Forge, Remote, Turn
from tests.git_bench import TURN, GitBench, commit, git, make_template

TOPIC = "feature/ACME-1"


class World(Protocol):
    """A forge, a task's workspace, and other people at the same remote."""

    @property
    def forge(self) -> Forge: ...

    remote: Remote
    cut: Cut

    def work(self, *, merge: bool = False) -> str: ...
    def take_over(self) -> Cut: ...
    def at(self, branch: str) -> str: ...
    def parents(self, sha: str) -> tuple[str, ...]: ...
    def somebody_pushes(self) -> str: ...
    def somebody_sets(self, branch: str, sha: str) -> None: ...
    def before_push(self, act: Callable[[], object]) -> None: ...
    def go_down(self) -> None: ...
    def come_up(self) -> None: ...
    def refuse(self) -> None: ...


class MemoryWorld:
    def __init__(self) -> None:
        self.forge = MemoryForge()
        self.remote = Remote("acme/shop", "/nowhere", "main")
        base = self.forge.branches["main"]
        self.cut = Cut(self.remote, "ACME-1", Path("/nowhere"), TOPIC, base, TURN)
        self.forge.turns["ACME-1"] = TURN
        self.head = base

    def work(self, *, merge: bool = False) -> str:
        side = [self.forge.commit(self.head)] if merge else []
        self.head = self.forge.commit(self.head, *side)
        return self.head

    def take_over(self) -> Cut:
        later = Turn(2, "second")
        self.forge.turns["ACME-1"] = later
        return replace(self.cut, turn=later)

    def at(self, branch: str) -> str:
        return self.forge.branches.get(branch, "")

    def parents(self, sha: str) -> tuple[str, ...]:
        return self.forge.parents[sha]

    def somebody_pushes(self) -> str:
        self.forge.branches["main"] = self.forge.commit(self.forge.branches["main"])
        return self.at("main")

    def somebody_sets(self, branch: str, sha: str) -> None:
        self.forge.branches[branch] = sha
        if not sha:
            del self.forge.branches[branch]

    def before_push(self, act: Callable[[], object]) -> None:
        self.forge.before_push = act

    def go_down(self) -> None:
        self.forge.down = True

    def come_up(self) -> None:
        self.forge.down = False

    def refuse(self) -> None:
        self.forge.refuses = True


class ActingCommand(GitCommand):
    """A git right before whose first push something else happens."""

    def __init__(self, access: Access, act: Callable[[], object]) -> None:
        super().__init__(access)
        self.act: Callable[[], object] | None = act

    def run(self, place: Place, *arguments: str, ask: Ask = PLAIN) -> Output:
        if arguments[0] == "push" and self.act is not None:
            act, self.act = self.act, None
            act()
        return super().run(place, *arguments, ask=ask)


class PlainWorld:
    def __init__(self, bench: GitBench) -> None:
        self.bench = bench
        self.cut = bench.cut()
        self.remote = bench.remote
        self.forge = bench.forge
        self.count = 0

    def work(self, *, merge: bool = False) -> str:
        self.count += 1
        if merge:
            git(self.cut.path, "checkout", "-q", "-b", f"side-{self.count}")
        head = commit(self.cut.path, {f"work-{self.count}": "1"})
        if merge:
            git(self.cut.path, "checkout", "-q", TOPIC)
            git(self.cut.path, "merge", "-q", "--no-ff", "-m", "Merge", head)
        return self.bench.workspaces.inspect(self.cut).head_sha

    def take_over(self) -> Cut:
        return self.bench.cut(turn=Turn(2, "second"))

    def at(self, branch: str) -> str:
        return self.bench.at(branch)

    def parents(self, sha: str) -> tuple[str, ...]:
        return tuple(git(self.bench.bare, "rev-parse", f"{sha}^@").split())

    def somebody_pushes(self) -> str:
        self.count += 1
        return self.bench.somebody_pushes({f"other-{self.count}": "1"})

    def somebody_sets(self, branch: str, sha: str) -> None:
        how = ("update-ref", f"refs/heads/{branch}", sha) if sha else ("branch", "-q", "-D", branch)
        git(self.bench.bare, *how)

    def before_push(self, act: Callable[[], object]) -> None:
        self.forge = PlainForge(ActingCommand(self.bench.access, act), self.bench.data)

    def go_down(self) -> None:
        self.bench.bare.rename(self.bench.bare.with_name("away"))

    def come_up(self) -> None:
        self.bench.bare.with_name("away").rename(self.bench.bare)

    def refuse(self) -> None:
        hook = self.bench.bare / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\necho not on a Friday >&2\nexit 1\n")
        hook.chmod(0o755)


@pytest.fixture(scope="session")
def git_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("git"))


@pytest.fixture(params=["memory", "plain git"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "memory":
        return MemoryWorld()
    return PlainWorld(GitBench(tmp_path, request.getfixturevalue("git_template")))


def offered(world: World) -> tuple[str, str]:
    """A head that was offered, and the base it stands on."""
    head = world.work()
    world.forge.offer(world.cut, head)
    return head, world.cut.base_sha


def test_the_tip_follows_the_default_branch(world: World) -> None:
    before = world.forge.tip(world.remote)
    after = world.somebody_pushes()
    assert (before, world.forge.tip(world.remote)) == (world.cut.base_sha, after)


def test_an_offer_moves_the_topic_branch_along(world: World) -> None:
    first, _ = offered(world)
    assert world.at(TOPIC) == first
    world.forge.offer(world.cut, first)
    second = world.work()
    world.forge.offer(world.cut, second)
    assert world.at(TOPIC) == second


def test_an_offer_may_replace_what_orch_offered(world: World) -> None:
    offered(world)
    other = world.parents(world.at(TOPIC))[0]
    world.forge.offer(world.cut, other)
    assert world.at(TOPIC) == other


def test_an_offer_writes_over_nobodys_branch(world: World) -> None:
    head, theirs = world.work(), world.somebody_pushes()
    world.somebody_sets(TOPIC, theirs)
    with pytest.raises(GitMoved) as moved:
        world.forge.offer(world.cut, head)
    facts = moved.value.facts
    assert (facts["branch"], facts["expected"], facts["actual"]) == (TOPIC, "", theirs)
    assert world.at(TOPIC) == theirs


def test_an_offer_does_not_bring_a_deleted_branch_back(world: World) -> None:
    offered(world)
    world.somebody_sets(TOPIC, "")
    with pytest.raises(GitMissing):
        world.forge.offer(world.cut, world.work())
    assert world.at(TOPIC) == ""


def test_a_commit_nobody_knows_is_not_offered(world: World) -> None:
    with pytest.raises(GitMissing):
        world.forge.offer(world.cut, "0" * 39 + "1")


def test_a_turn_that_was_taken_over_neither_offers_nor_lands(world: World) -> None:
    head, base = offered(world)
    later, more = world.take_over(), world.work()
    with pytest.raises(GitFenced):
        world.forge.offer(world.cut, more)
    with pytest.raises(GitFenced):
        world.forge.land(world.cut, head, base)
    assert (world.at(TOPIC), world.at("main")) == (head, base)
    world.forge.offer(later, more)
    assert world.at(TOPIC) == more


def test_landing_makes_a_merge_of_base_and_tested_head(world: World) -> None:
    head, base = offered(world)
    landed = world.forge.land(world.cut, head, base, "Title")
    assert (landed.base_sha, landed.tested_sha, landed.anew) == (base, head, True)
    assert world.at("main") == landed.merge_sha == world.forge.tip(world.remote)
    assert world.parents(landed.merge_sha) == (base, head)
    assert world.forge.contains(world.remote, head)


def test_what_landed_lands_no_second_time(world: World) -> None:
    head, base = offered(world)
    first = world.forge.land(world.cut, head, base)
    assert world.forge.land(world.cut, head, base) == replace(first, anew=False)
    last = world.somebody_pushes()
    assert world.forge.land(world.cut, head, base) == replace(first, anew=False)
    assert world.at("main") == last


def test_a_head_that_somebody_moved_main_to_has_landed(world: World) -> None:
    head, base = offered(world)
    world.somebody_sets("main", head)
    landed = world.forge.land(world.cut, head, base)
    assert (landed.base_sha, landed.merge_sha, landed.anew) == (base, head, False)


def test_nothing_lands_on_another_base_than_the_tested_one(world: World) -> None:
    head, base = offered(world)
    newest = world.somebody_pushes()
    with pytest.raises(GitMoved) as moved:
        world.forge.land(world.cut, head, base)
    facts = moved.value.facts
    assert (facts["branch"], facts["expected"], facts["actual"]) == ("main", base, newest)
    assert world.at("main") == newest
    with pytest.raises(GitRefused):
        world.forge.land(world.cut, head, newest)
    assert not world.forge.contains(world.remote, head)


def test_main_that_moves_right_before_the_push_is_not_overwritten(world: World) -> None:
    head, base = offered(world)
    seen: list[str] = []
    world.before_push(lambda: seen.append(world.somebody_pushes()))
    with pytest.raises(GitMoved):
        world.forge.land(world.cut, head, base)
    assert [world.at("main")] == seen


def test_only_the_tested_head_lands(world: World) -> None:
    tested, base = offered(world)
    world.somebody_sets(TOPIC, base)
    with pytest.raises(GitMoved) as moved:
        world.forge.land(world.cut, tested, base)
    assert (moved.value.facts["branch"], moved.value.facts["actual"]) == (TOPIC, base)
    world.somebody_sets(TOPIC, "")
    with pytest.raises(GitMissing):
        world.forge.land(world.cut, tested, base)
    assert world.at("main") == base


def test_neither_nothing_nor_a_merge_lands(world: World) -> None:
    base = world.cut.base_sha
    with pytest.raises(GitRefused):
        world.forge.land(world.cut, base, base)
    head = world.work(merge=True)
    world.forge.offer(world.cut, head)
    with pytest.raises(GitRefused, match="merge commit"):
        world.forge.land(world.cut, head, base)
    assert world.at("main") == base


def test_a_remote_that_is_away_is_said_and_nothing_is_lost(world: World) -> None:
    head, base = offered(world)
    more = world.work()
    world.go_down()
    for act in (
        lambda: world.forge.offer(world.cut, more),
        lambda: world.forge.land(world.cut, head, base),
        lambda: world.forge.tip(world.remote),
        lambda: world.forge.contains(world.remote, head),
        lambda: world.forge.withdraw(world.cut),
    ):
        with pytest.raises(GitUnreachable):
            act()
    world.come_up()
    world.forge.offer(world.cut, more)
    assert world.forge.land(world.cut, more, base).anew


def test_a_remote_that_refuses_is_said(world: World) -> None:
    head, base = offered(world)
    world.refuse()
    with pytest.raises(GitRefused):
        world.forge.land(world.cut, head, base)
    with pytest.raises(GitRefused):
        world.forge.offer(world.cut, world.work())
    assert (world.at("main"), world.at(TOPIC)) == (base, head)


def test_main_contains_what_is_behind_it_only(world: World) -> None:
    head, base = offered(world)
    assert world.forge.contains(world.remote, base)
    assert not world.forge.contains(world.remote, head)
    assert not world.forge.contains(world.remote, "0" * 39 + "1")


def test_withdrawing_deletes_what_orch_offered_and_nothing_else(world: World) -> None:
    assert world.forge.withdraw(world.cut)
    offered(world)
    assert world.forge.withdraw(world.cut)
    assert world.at(TOPIC) == ""
    head, _ = offered(world)
    theirs = world.somebody_pushes()
    world.somebody_sets(TOPIC, theirs)
    assert not world.forge.withdraw(world.cut)
    assert world.at(TOPIC) == theirs != head
