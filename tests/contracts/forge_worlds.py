"""Where the contract of the Forge is tried: a forge, a workspace, and other people beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from orch.adapters.git.command import PLAIN, Access, Ask, GitCommand, Output, Place
from orch.adapters.git.credentials import by_token
from orch.adapters.git.forge import PlainForge
from orch.adapters.gitea import GiteaPulls, Way
from orch.adapters.hosted import HostedForge
from orch.adapters.memory_git import MemoryForge
from orch.adapters.memory_pulls import MemoryPulls
from orch.ports import Cut, Forge, Remote, Showing, Turn
from orch.rest import Service
from tests.contracts.gitea_stub import TOKEN, Gitea
from tests.git_bench import TURN, GitBench, commit, git

TOPIC = "feature/ACME-1"
IMPATIENT = 0.2
"""Seconds of waiting for a service that never answers."""
READY = Showing("Sell more", "What it is about.", ready=True)


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


class FaultyWorld(World, Protocol):
    """One that brings about every fault of its row in the table."""

    def fail(self, fault: str) -> None: ...
    def mend(self) -> None: ...


class MemoryWorld:
    def __init__(self) -> None:
        self.memory = MemoryForge()
        self.forge: Forge = self.memory
        self.remote = Remote("acme/shop", "/nowhere", "main")
        base = self.memory.branches["main"]
        self.cut = Cut(self.remote, "ACME-1", Path("/nowhere"), TOPIC, base, TURN)
        self.memory.turns["ACME-1"] = TURN
        self.head = base

    def work(self, *, merge: bool = False) -> str:
        side = [self.memory.commit(self.head)] if merge else []
        self.head = self.memory.commit(self.head, *side)
        return self.head

    def take_over(self) -> Cut:
        later = Turn(2, "second")
        self.memory.turns["ACME-1"] = later
        return replace(self.cut, turn=later)

    def at(self, branch: str) -> str:
        return self.memory.branches.get(branch, "")

    def parents(self, sha: str) -> tuple[str, ...]:
        return self.memory.parents[sha]

    def somebody_pushes(self) -> str:
        self.memory.branches["main"] = self.memory.commit(self.memory.branches["main"])
        return self.at("main")

    def somebody_sets(self, branch: str, sha: str) -> None:
        self.memory.branches[branch] = sha
        if not sha:
            del self.memory.branches[branch]

    def before_push(self, act: Callable[[], object]) -> None:
        self.memory.before_push = act

    def go_down(self) -> None:
        self.memory.down = True

    def come_up(self) -> None:
        self.memory.down = False

    def refuse(self) -> None:
        self.memory.refuses = True

    def fail(self, fault: str) -> None:
        assert fault == "git-down"
        self.go_down()

    def mend(self) -> None:
        self.come_up()


class HostedMemoryWorld(MemoryWorld):
    """The same with pull requests, which a service merges."""

    def __init__(self) -> None:
        super().__init__()
        self.pulls = MemoryPulls(self.at, lambda branch, sha, _: self.memory.merge(branch, sha))
        self.forge = HostedForge(self.memory, self.pulls)


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
        self.forge: Forge = bench.forge
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

    def fail(self, fault: str) -> None:
        assert fault == "git-down"
        self.bench.bare.rename(self.bench.bare.with_name("away"))

    def mend(self) -> None:
        away = self.bench.bare.with_name("away")
        if away.exists():
            away.rename(self.bench.bare)

    def refuse(self) -> None:
        hook = self.bench.bare / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\necho not on a Friday >&2\nexit 1\n")
        hook.chmod(0o755)


class GiteaWorld(PlainWorld):
    """A bare repository that Gitea serves over http, and orch's forge in front of it."""

    def __init__(self, bench: GitBench, gitea: Gitea, way: Way | None = None) -> None:
        self.gitea = gitea
        self.way = way or Way("acme/shop")
        self.waited: list[float] = []
        url = f"{gitea.url}/acme/shop.git"
        bench.remote = Remote("acme/shop", url)
        self.access = replace(
            bench.access, protocols=("file", "http"), credential=by_token(url, lambda: TOKEN)
        )
        bench.use(self.access)
        super().__init__(bench)
        self.service = Service(f"{gitea.url}/api/v1", read=5)
        self.forge = self._forge(self.bench.forge)

    def _forge(self, git: PlainForge) -> HostedForge:
        self.pulls = GiteaPulls(self.service, self.way, lambda: TOKEN, self.waited.append)
        return HostedForge(git, self.pulls)

    def before_push(self, act: Callable[[], object]) -> None:
        self.gitea.stub.meanwhile("POST", "/merge", act)

    def fail(self, fault: str) -> None:
        if fault == "git-down":
            super().fail(fault)
            return
        if fault == "timeout":
            self.service = Service(f"{self.gitea.url}/api/v1", read=IMPATIENT)
            self.forge = self._forge(self.bench.forge)
        self.gitea.stub.fail(fault)  # type: ignore[arg-type]

    def mend(self) -> None:
        super().mend()
        self.gitea.stub.mend()

    def go_down(self) -> None:
        self.gitea.go_down()

    def come_up(self) -> None:
        self.gitea.come_up()

    def refuse(self) -> None:
        super().refuse()
        self.gitea.rejects = True
