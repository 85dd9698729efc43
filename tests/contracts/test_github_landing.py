"""A whole landing at GitHub: what only git and the service together can show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orch.errors import GitHeld, GitMoved
from orch.ports import Mark, Showing
from tests.contracts.forge_worlds import TOPIC
from tests.contracts.github_stub import TOKEN, GitHubStub
from tests.contracts.github_world import GitHubWorld
from tests.git_bench import GitBench, make_template

READY = Showing("Sell more", "Why.", ready=True, marks=(Mark("orch/re-test", "passed"),))


@pytest.fixture(scope="session")
def git_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("git"))


@pytest.fixture
def world(tmp_path: Path, git_template: Path) -> Iterator[GitHubWorld]:
    bench = GitBench(tmp_path, git_template)
    github = GitHubStub(bench.bare)
    with github.stub:
        yield GitHubWorld(bench, github)


def test_the_merge_queue_lands_what_was_tested(world: GitHubWorld) -> None:
    head, base = world.work(), world.cut.base_sha
    world.forge.offer(world.cut, head, READY)
    world.github.rule("merge_queue", merge_method="MERGE")
    with pytest.raises(GitHeld, match="in the merge queue"):
        world.forge.land(world.cut, head, base)
    group = world.github.queue_goes_on(world.github.of(TOPIC))
    with pytest.raises(GitHeld, match="place 1"):
        world.forge.land(world.cut, head, base)
    assert world.github.said(group) == {"orch/re-test": "success"}
    assert not world.forge.contains(world.remote, head)
    world.github.queue_lands(world.github.of(TOPIC))
    landed = world.forge.land(world.cut, head, base)
    assert (landed.base_sha, landed.merge_sha) == (base, group)
    assert world.forge.contains(world.remote, head)


def test_work_that_lands_before_it_in_the_queue_has_it_tested_again(world: GitHubWorld) -> None:
    head, base = world.work(), world.cut.base_sha
    world.forge.offer(world.cut, head, READY)
    world.github.rule("merge_queue", merge_method="MERGE")
    with pytest.raises(GitHeld):
        world.forge.land(world.cut, head, base)
    world.somebody_pushes()
    with pytest.raises(GitMoved) as moved:
        world.forge.land(world.cut, head, base)
    assert moved.value.facts["branch"] == "main"


def test_without_strict_checks_the_landing_tells_what_it_really_landed_on(
    world: GitHubWorld,
) -> None:
    head, base = world.work(), world.cut.base_sha
    world.forge.offer(world.cut, head, READY)
    seen: list[str] = []
    world.stub.meanwhile("PUT", "/merge", lambda: seen.append(world.somebody_pushes()))
    landed = world.forge.land(world.cut, head, base)
    assert ([landed.base_sha], landed.tested_sha) == (seen, head)
    assert landed.base_sha != base


def test_git_and_the_api_are_shown_the_token_and_nobody_else_is(world: GitHubWorld) -> None:
    head = world.work()
    world.forge.offer(world.cut, head, READY)
    world.forge.land(world.cut, head, world.cut.base_sha)
    assert all(call.headers["authorization"] == f"Bearer {TOKEN}" for call in world.stub.calls)
    kept = [path for path in world.bench.data.rglob("*") if path.is_file()]
    assert all(TOKEN.encode() not in path.read_bytes() for path in kept)
    assert TOKEN not in repr(vars(world.pulls))
