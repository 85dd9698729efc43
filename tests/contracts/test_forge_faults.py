"""Each verb of a forge under each fault: the cells of the table in docs/adapters.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orch.errors import GitUnreachable
from tests.contracts.forge_worlds import (
    READY,
    TOPIC,
    FaultyWorld,
    GiteaWorld,
    HostedMemoryWorld,
    PlainWorld,
)
from tests.contracts.gitea_stub import gitea
from tests.contracts.github_stub import GitHubStub
from tests.contracts.github_world import GitHubWorld
from tests.contracts.matrix import FORGE
from tests.git_bench import GitBench, make_template


@pytest.fixture(scope="session")
def git_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("git"))


@pytest.fixture
def bench(tmp_path: Path, git_template: Path) -> GitBench:
    return GitBench(tmp_path, git_template)


@contextmanager
def at_gitea(bench: GitBench) -> Iterator[GiteaWorld]:
    with gitea(bench.bare) as service:
        yield GiteaWorld(bench, service)


@contextmanager
def at_github(bench: GitBench) -> Iterator[GitHubWorld]:
    github = GitHubStub(bench.bare)
    with github.stub:
        yield GitHubWorld(bench, github)


def ask(world: FaultyWorld, verb: str, head: str) -> Any:
    """Call one verb about a head that is offered already, or is about to be."""
    forge, cut = world.forge, world.cut
    calls: dict[str, Callable[[], Any]] = {
        "look": lambda: forge.look(world.remote, (TOPIC,)),
        "offer": lambda: forge.offer(cut, head, replace(READY, ready=False)),
        "offer ready": lambda: forge.offer(cut, head, READY),
        "land": lambda: forge.land(cut, head, cut.base_sha, "Sell more"),
        "contains": lambda: forge.contains(world.remote, cut.base_sha),
        "withdraw": lambda: forge.withdraw(cut),
    }
    return calls[verb]()


def hold(world: FaultyWorld, verb: str, fault: str, outcome: str) -> None:
    """Bring a fault about, and see that it comes to that outcome, and to the same in the end."""
    head = world.work()
    if not verb.startswith("offer"):
        world.forge.offer(world.cut, head, READY)
    world.fail(fault)
    if outcome == "done":
        ask(world, verb, head)
        world.mend()
    else:
        with pytest.raises(GitUnreachable) as said:
            ask(world, verb, head)
        assert said.value.message
        world.mend()
        ask(world, verb, head)
    require_done_once(world, verb, head)


def require_done_once(world: FaultyWorld, verb: str, head: str) -> None:
    seen = world.forge.look(world.remote, (TOPIC,)).pulls[TOPIC]
    if verb == "land":
        merged = world.at("main")
        assert world.parents(merged) == (world.cut.base_sha, head)
        return
    assert world.at("main") == world.cut.base_sha
    assert world.at(TOPIC) == ("" if verb == "withdraw" else head)
    if verb == "offer ready" and isinstance(world, GitHubWorld | GiteaWorld):
        assert (seen.state, seen.head_sha) == ("open", head)


@pytest.mark.parametrize(("verb", "fault", "outcome"), FORGE.cells("memory"))
def test_memory(verb: str, fault: str, outcome: str) -> None:
    hold(HostedMemoryWorld(), verb, fault, outcome)


@pytest.mark.parametrize(("verb", "fault", "outcome"), FORGE.cells("plain git"))
def test_plain_git(verb: str, fault: str, outcome: str, bench: GitBench) -> None:
    hold(PlainWorld(bench), verb, fault, outcome)


@pytest.mark.parametrize(("verb", "fault", "outcome"), FORGE.cells("gitea"))
def test_gitea(verb: str, fault: str, outcome: str, bench: GitBench) -> None:
    with at_gitea(bench) as world:
        hold(world, verb, fault, outcome)


@pytest.mark.parametrize(("verb", "fault", "outcome"), FORGE.cells("github"))
def test_github(verb: str, fault: str, outcome: str, bench: GitBench) -> None:
    with at_github(bench) as world:
        hold(world, verb, fault, outcome)
