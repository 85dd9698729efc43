"""What every Workspaces promises: the fake, and real git."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from orch.adapters.memory_git import MemoryForge, MemoryWorkspaces
from orch.errors import GitConflict, GitFenced, GitMissing, GitRefused, GitUnreachable
from orch.ports import Cut, Forge, Remote, Turn, Workspaces
from tests.git_bench import TURN, GitBench, commit, git, make_template

LATER = Turn(2, "second")


class World(Protocol):
    """Workspaces, an agent in one of them, and other people at the same remote."""

    @property
    def workspaces(self) -> Workspaces: ...
    @property
    def forge(self) -> Forge: ...

    remote: Remote

    def commit(self, cut: Cut, path: str, *, merge: bool = False) -> str: ...
    def soil(self, cut: Cut, path: str) -> None: ...
    def somebody_pushes(self, path: str) -> str: ...
    def somebody_sets(self, branch: str, sha: str) -> None: ...
    def go_down(self) -> None: ...


class MemoryWorld:
    def __init__(self, root: Path) -> None:
        self.forge = MemoryForge()
        self.workspaces = MemoryWorkspaces(self.forge, root)
        self.remote = Remote("acme/shop", "/nowhere")

    def commit(self, cut: Cut, path: str, *, merge: bool = False) -> str:
        return self.workspaces.commit(cut, path, merge=merge)

    def soil(self, cut: Cut, path: str) -> None:
        self.workspaces.spaces[cut.work_item].dirty.add(path)

    def somebody_pushes(self, path: str) -> str:
        main = self.forge.commit(self.forge.branches["main"], paths=[path])
        self.forge.branches["main"] = main
        return main

    def somebody_sets(self, branch: str, sha: str) -> None:
        self.forge.branches[branch] = sha
        if not sha:
            del self.forge.branches[branch]

    def go_down(self) -> None:
        self.forge.down = True


class RealWorld:
    def __init__(self, bench: GitBench) -> None:
        self.bench = bench
        self.forge, self.workspaces, self.remote = bench.forge, bench.workspaces, bench.remote

    def commit(self, cut: Cut, path: str, *, merge: bool = False) -> str:
        if not merge:
            return commit(cut.path, {path: "ours"})
        git(cut.path, "checkout", "-q", "-b", "side")
        commit(cut.path, {path: "ours"})
        git(cut.path, "checkout", "-q", cut.branch)
        git(cut.path, "merge", "-q", "--no-ff", "-m", "Merge", "side")
        return git(cut.path, "rev-parse", "HEAD")

    def soil(self, cut: Cut, path: str) -> None:
        (cut.path / path).write_text("dirt")

    def somebody_pushes(self, path: str) -> str:
        return self.bench.somebody_pushes({path: "theirs"})

    def somebody_sets(self, branch: str, sha: str) -> None:
        how = ("update-ref", f"refs/heads/{branch}", sha) if sha else ("branch", "-q", "-D", branch)
        git(self.bench.bare, *how)

    def go_down(self) -> None:
        self.bench.bare.rename(self.bench.bare.with_name("away"))


@pytest.fixture(scope="session")
def git_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("git"))


@pytest.fixture(params=["memory", "git"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "memory":
        return MemoryWorld(tmp_path)
    return RealWorld(GitBench(tmp_path, request.getfixturevalue("git_template")))


@pytest.fixture
def cut(world: World) -> Cut:
    return world.workspaces.cut(world.remote, "ACME-1", TURN)


def test_a_cut_is_a_folder_at_the_newest_main(world: World) -> None:
    newest = world.somebody_pushes("new")
    made = world.workspaces.cut(world.remote, "ACME-1", TURN)
    assert made.path.is_dir()
    assert (made.branch, made.base_sha, made.turn) == ("feature/ACME-1", newest, TURN)
    assert made.remote == replace(world.remote, default_branch="main")
    tree = world.workspaces.inspect(made)
    assert (tree.head_sha, tree.branch, tree.empty) == (newest, made.branch, True)


def test_the_next_turn_finds_what_the_last_one_left(world: World, cut: Cut) -> None:
    head = world.commit(cut, "a")
    world.soil(cut, "b")
    world.somebody_pushes("c")
    again = world.workspaces.cut(world.remote, "ACME-1", LATER)
    tree = world.workspaces.inspect(again)
    assert (again.base_sha, tree.head_sha, tree.dirty) == (cut.base_sha, head, ("b",))
    assert (tree.commits, tree.changed, tree.on_base) == (1, ("a",), True)


def test_a_fresh_one_starts_from_main_or_from_what_was_offered(world: World, cut: Cut) -> None:
    world.commit(cut, "a")
    world.soil(cut, "b")
    newest = world.somebody_pushes("c")
    fresh = world.workspaces.cut(world.remote, "ACME-1", LATER, fresh=True)
    assert (fresh.base_sha, world.workspaces.inspect(fresh).head_sha) == (newest, newest)
    offered = world.commit(fresh, "d")
    world.workspaces.inspect(fresh)
    world.forge.offer(fresh, offered)
    world.commit(fresh, "e")
    third = world.workspaces.cut(world.remote, "ACME-1", Turn(3, "third"), fresh=True)
    assert world.workspaces.inspect(third).head_sha == offered


def test_an_older_turn_is_fenced(world: World, cut: Cut) -> None:
    world.workspaces.cut(world.remote, "ACME-1", LATER)
    with pytest.raises(GitFenced):
        world.workspaces.rebase(cut)
    with pytest.raises(GitFenced):
        world.workspaces.cut(world.remote, "ACME-1", TURN)


def test_a_topic_branch_of_somebody_else_is_refused(world: World) -> None:
    world.somebody_sets("feature/ACME-1", world.somebody_pushes("a"))
    with pytest.raises(GitRefused):
        world.workspaces.cut(world.remote, "ACME-1", TURN)


def test_a_known_topic_branch_is_gone_on_from_and_a_deleted_one_missed(world: World) -> None:
    head = world.somebody_pushes("a")
    world.somebody_sets("feature/ACME-1", head)
    made = world.workspaces.cut(world.remote, "ACME-1", TURN, known=head)
    assert world.workspaces.inspect(made).head_sha == head
    world.somebody_sets("feature/ACME-1", "")
    with pytest.raises(GitMissing):
        world.workspaces.cut(world.remote, "ACME-1", LATER, known=head, fresh=True)


def test_rebase_moves_the_commits_onto_main(world: World, cut: Cut) -> None:
    world.commit(cut, "a")
    world.commit(cut, "b")
    newest = world.somebody_pushes("c")
    rebased = world.workspaces.rebase(cut)
    tree = world.workspaces.inspect(cut)
    assert (rebased.base_sha, rebased.moved) == (newest, True)
    assert (tree.head_sha, tree.commits) == (rebased.head_sha, 2)
    assert (tree.changed, tree.dirty) == (("a", "b"), ())
    assert world.workspaces.rebase(cut) == replace(rebased, moved=False)
    again = world.workspaces.cut(world.remote, "ACME-1", LATER)
    assert again.base_sha == newest


def test_a_conflict_leaves_everything_as_it_was(world: World, cut: Cut) -> None:
    head = world.commit(cut, "a")
    world.somebody_pushes("a")
    with pytest.raises(GitConflict) as raised:
        world.workspaces.rebase(cut)
    assert raised.value.facts["files"] == ("a",)
    assert "<<<<<<<" in raised.value.facts["hunks"]
    tree = world.workspaces.inspect(cut)
    assert (tree.head_sha, tree.dirty) == (head, ())


def test_dirt_and_merges_are_not_rebased(world: World, cut: Cut) -> None:
    world.soil(cut, "a")
    with pytest.raises(GitRefused):
        world.workspaces.rebase(cut)
    world.commit(cut, "a", merge=True)
    assert world.workspaces.inspect(cut).merges == 1
    with pytest.raises(GitRefused):
        world.workspaces.rebase(cut)


def test_the_change_names_commits_and_paths(world: World, cut: Cut) -> None:
    first, second = world.commit(cut, "a"), world.commit(cut, "b")
    change = world.workspaces.diff(cut)
    assert [one.sha for one in change.commits] == [second, first]
    assert {"+++ b/a", "+++ b/b"} <= set(change.text.splitlines())
    short = world.workspaces.diff(cut, limit=5)
    assert (len(short.text), short.truncated, change.truncated) == (5, True, False)


def test_work_is_discarded_once_it_is_offered(world: World, cut: Cut) -> None:
    head = world.commit(cut, "a")
    with pytest.raises(GitRefused):
        world.workspaces.discard(cut)
    world.workspaces.inspect(cut)
    world.forge.offer(cut, head)
    assert world.workspaces.discard(cut)
    assert not world.workspaces.discard(cut)
    with pytest.raises(GitMissing):
        world.workspaces.inspect(cut)


def test_work_is_discarded_by_force_and_a_clean_cut_without(world: World, cut: Cut) -> None:
    world.soil(cut, "a")
    with pytest.raises(GitRefused):
        world.workspaces.discard(cut)
    assert world.workspaces.discard(cut, force=True)
    clean = world.workspaces.cut(world.remote, "ACME-2", TURN)
    assert world.workspaces.discard(clean)


def test_landed_work_is_discarded(world: World, cut: Cut) -> None:
    head = world.commit(cut, "a")
    world.workspaces.inspect(cut)
    world.forge.offer(cut, head)
    world.forge.land(cut, head, cut.base_sha)
    world.soil(cut, "b")
    assert world.workspaces.discard(cut)


def test_without_the_remote_a_live_workspace_is_still_there(world: World, cut: Cut) -> None:
    world.commit(cut, "a")
    world.go_down()
    again = world.workspaces.cut(world.remote, "ACME-1", LATER)
    assert world.workspaces.inspect(again).commits == 1
    with pytest.raises(GitUnreachable):
        world.workspaces.rebase(again)
    with pytest.raises(GitUnreachable):
        world.workspaces.cut(world.remote, "ACME-2", TURN)
