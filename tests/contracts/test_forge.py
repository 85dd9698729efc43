"""What every Forge promises: the fakes, plain git on a real repository, and hosted ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orch.errors import (
    GitFenced,
    GitMissing,
    GitMoved,
    GitRefused,
    GitUnreachable,
)
from tests.contracts.forge_worlds import (
    READY,
    TOPIC,
    GiteaWorld,
    HostedMemoryWorld,
    MemoryWorld,
    PlainWorld,
    World,
)
from tests.contracts.gitea_stub import gitea
from tests.contracts.github_stub import GitHubStub
from tests.contracts.github_world import GitHubWorld
from tests.contracts.live_gitea import Live, LiveGiteaWorld
from tests.git_bench import GitBench, make_template


@pytest.fixture(scope="session")
def git_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("git"))


@pytest.fixture(params=["memory", "hosted in memory", "plain git", "gitea", "github", "live gitea"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if "memory" in request.param:
        yield MemoryWorld() if request.param == "memory" else HostedMemoryWorld()
        return
    if request.param == "live gitea":
        live = Live(*request.getfixturevalue("live_gitea"))
        yield LiveGiteaWorld(tmp_path, request.getfixturevalue("git_template"), live)
        return
    bench = GitBench(tmp_path, request.getfixturevalue("git_template"))
    if request.param == "plain git":
        yield PlainWorld(bench)
    elif request.param == "gitea":
        with gitea(bench.bare) as service:
            yield GiteaWorld(bench, service)
    else:
        github = GitHubStub(bench.bare)
        with github.stub:
            yield GitHubWorld(bench, github)


def offered(world: World) -> tuple[str, str]:
    """A head that was offered, and the base it stands on."""
    head = world.work()
    world.forge.offer(world.cut, head, READY)
    return head, world.cut.base_sha


def test_the_tip_follows_the_default_branch(world: World) -> None:
    before = world.forge.look(world.remote).tip
    after = world.somebody_pushes()
    assert (before, world.forge.look(world.remote).tip) == (world.cut.base_sha, after)


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
    assert world.at("main") == landed.merge_sha == world.forge.look(world.remote).tip
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
        lambda: world.forge.look(world.remote),
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
