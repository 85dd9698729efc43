"""Workspaces on real git: cut, looked into, rebased, discarded."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from orch.errors import (
    BadInput,
    GitConflict,
    GitFenced,
    GitMissing,
    GitRefused,
    GitUnreachable,
)
from orch.ports import Cut, Remote, Turn
from tests.git_bench import FIRST, TURN, GitBench, commit, git, make_template

LATER = Turn(2, "second")


def test_a_workspace_is_cut_from_main_as_it_is_now(bench: GitBench) -> None:
    newest = bench.somebody_pushes({"new": "1"})
    cut = bench.cut()
    assert (cut.base_sha, cut.branch) == (newest, "feature/ACME-1")
    assert cut.path == bench.data / "work" / "acme+shop" / "ACME-1"
    assert cut.remote.default_branch == "main"
    assert (cut.path / "new").read_text() == "1"
    assert git(cut.path, "status", "--porcelain", "--branch") == "## feature/ACME-1"
    assert bench.at("feature/ACME-1") == ""


def test_a_live_task_keeps_its_workspace_and_its_base(bench: GitBench) -> None:
    cut = bench.cut()
    head = commit(cut.path, {"a": "1"})
    (cut.path / "half").write_text("done")
    bench.somebody_pushes({"new": "1"})
    again = bench.cut(turn=LATER)
    assert again == replace(cut, turn=LATER)
    tree = bench.workspaces.inspect(again)
    assert (tree.head_sha, tree.dirty) == (head, ("half",))


def test_two_tasks_do_not_meet(bench: GitBench) -> None:
    one, two = bench.cut("ACME-1"), bench.cut("ACME-2")
    commit(one.path, {"a": "1"})
    git(one.path, "config", "user.name", "Somebody")
    git(one.path, "stash", "list")
    assert bench.workspaces.inspect(two).commits == 0
    assert git(two.path, "for-each-ref", "refs/heads/feature/ACME-1") == ""
    assert bench.workspaces.workspaces("acme/shop") == ["ACME-1", "ACME-2"]


def test_the_default_branch_may_be_named(bench: GitBench) -> None:
    git(bench.person, "push", "-q", "origin", "HEAD:release/2")
    head = bench.somebody_pushes({"new": "1"})
    bench.remote = replace(bench.remote, default_branch="release/2")
    assert bench.cut().base_sha != head
    assert bench.cut("ACME-2").remote.default_branch == "release/2"


def test_a_repository_of_sha256_names_is_served(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "b").mkdir()
    bench = GitBench(tmp_path / "b", make_template(tmp_path / "t", "sha256"))
    cut = bench.cut()
    commit(cut.path, {"a": "1"})
    bench.somebody_pushes({"b": "1"})
    rebased = bench.workspaces.rebase(cut)
    assert len(rebased.head_sha) == 64
    assert bench.workspaces.inspect(cut).changed == ("a",)


def test_an_older_turn_is_fenced_once_a_later_one_took_over(bench: GitBench) -> None:
    old = bench.cut()
    bench.cut(turn=LATER)
    with pytest.raises(GitFenced):
        bench.workspaces.rebase(old)
    with pytest.raises(GitFenced):
        bench.cut(turn=TURN)
    assert bench.cut(turn=replace(LATER, token="third")).turn.token == "third"


@pytest.mark.parametrize("name", ["../../x", "-D", "@{-1}", "a/../..", "x\n", ".git", "a.lock"])
def test_names_that_mean_something_to_git_or_the_disk_are_refused(
    bench: GitBench, name: str
) -> None:
    with pytest.raises(BadInput):
        bench.cut(name)
    with pytest.raises(BadInput):
        bench.workspaces.cut(Remote(name, bench.remote.url), "ACME-1", TURN)
    with pytest.raises(BadInput):
        bench.workspaces.cut(replace(bench.remote, default_branch=name), "ACME-1", TURN)


def test_a_topic_branch_that_is_not_orchs_is_refused(bench: GitBench) -> None:
    git(bench.person, "push", "-q", "origin", "HEAD:feature/ACME-1")
    with pytest.raises(GitRefused, match="orch did not put that there") as refused:
        bench.cut()
    assert refused.value.facts["actual"] == bench.at("feature/ACME-1")


def test_a_machine_that_never_saw_the_task_goes_on_from_what_was_offered(bench: GitBench) -> None:
    cut = bench.cut()
    head = commit(cut.path, {"a": "1"})
    bench.workspaces.inspect(cut)
    bench.forge.offer(cut, head)
    bench.somebody_pushes({"b": "1"})
    bench.data = bench.data.with_name("other-machine")
    bench.use(bench.access)
    there = bench.cut(turn=LATER, known=head)
    tree = bench.workspaces.inspect(there)
    assert (tree.head_sha, tree.commits, there.base_sha) == (head, 1, cut.base_sha)


def test_a_lost_workspace_comes_back_with_the_commits_orch_saw(bench: GitBench) -> None:
    cut = bench.cut()
    head = commit(cut.path, {"a": "1"})
    bench.workspaces.inspect(cut)
    cut.path.rename(cut.path.with_name("elsewhere"))
    bench.cut(turn=LATER)
    assert git(cut.path, "rev-parse", "HEAD") == head


def test_a_fresh_workspace_holds_nothing_of_the_lost_attempt(bench: GitBench) -> None:
    cut = bench.cut()
    commit(cut.path, {"a": "1"})
    (cut.path / "junk").write_text("x")
    bench.workspaces.inspect(cut)
    newest = bench.somebody_pushes({"b": "1"})
    again = bench.workspaces.cut(bench.remote, "ACME-1", LATER, fresh=True)
    tree = bench.workspaces.inspect(again)
    assert (again.base_sha, tree.head_sha, tree.dirty) == (newest, newest, ())
    assert (cut.path.with_name(".ACME-1.aside") / "junk").read_text() == "x"


def test_a_deleted_topic_branch_is_not_made_again(bench: GitBench) -> None:
    cut = bench.cut()
    head = commit(cut.path, {"a": "1"})
    bench.workspaces.inspect(cut)
    bench.forge.offer(cut, head)
    git(bench.bare, "update-ref", "-d", "refs/heads/feature/ACME-1")
    with pytest.raises(GitMissing, match="deleted the branch"):
        bench.workspaces.cut(bench.remote, "ACME-1", LATER, fresh=True)


def test_a_remote_that_is_away_leaves_a_live_workspace_usable(bench: GitBench) -> None:
    cut = bench.cut()
    bench.bare.rename(bench.bare.with_name("away"))
    assert bench.cut(turn=LATER).path == cut.path
    assert bench.workspaces.inspect(cut).empty
    with pytest.raises(GitUnreachable):
        bench.cut("ACME-2")
    assert not (cut.path.parent / "ACME-2").exists()


def test_an_empty_remote_is_missing_its_first_commit(bench: GitBench, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "empty.git")
    with pytest.raises(GitMissing, match="no branch"):
        bench.workspaces.cut(Remote("acme/empty", str(tmp_path / "empty.git")), "ACME-1", TURN)


def test_many_fetch_one_repo_at_once(bench: GitBench) -> None:
    cuts: list[Cut] = []
    threads = [
        threading.Thread(target=lambda item=f"ACME-{number}": cuts.append(bench.cut(item)))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {cut.base_sha for cut in cuts} == {bench.at("main")}
    assert len(cuts) == 4
    git(bench.depot, "fsck", "--strict")


def test_rebase_carries_author_and_message_over(bench: GitBench) -> None:
    cut = bench.cut()
    commit(cut.path, {"README": FIRST + "four\n"}, "Körper\n\nWith a body.")
    commit(cut.path, {"src/app.py": "print(2)\n"}, "Second")
    newest = bench.somebody_pushes({"README": "zero\n" + FIRST})
    rebased = bench.workspaces.rebase(cut)
    assert (rebased.base_sha, rebased.moved) == (newest, True)
    said = git(cut.path, "log", "--format=%an|%cn|%B", f"{newest}..HEAD").split("\n\n")
    assert said[0].startswith("Ann|orch|Second")
    assert (cut.path / "README").read_text() == "zero\n" + FIRST + "four\n"
    assert git(cut.path, "status", "--porcelain", "--branch") == "## feature/ACME-1"
    assert git(cut.path, "rev-parse", "origin/main") == newest
    tree = bench.workspaces.inspect(cut)
    assert (tree.head_sha, tree.commits, tree.dirty) == (rebased.head_sha, 2, ())
    assert git(cut.path, "fsck", "--strict", "--no-dangling") == ""


def test_rebase_of_what_stands_on_main_already_moves_nothing(bench: GitBench) -> None:
    cut = bench.cut()
    head = commit(cut.path, {"a": "1"})
    rebased = bench.workspaces.rebase(cut)
    assert (rebased.base_sha, rebased.head_sha, rebased.moved) == (cut.base_sha, head, False)


def test_a_commit_that_main_has_already_is_left_out(bench: GitBench) -> None:
    cut = bench.cut()
    commit(cut.path, {"same": "1"})
    newest = bench.somebody_pushes({"same": "1"})
    assert bench.workspaces.rebase(cut).head_sha == newest
    assert bench.workspaces.inspect(cut).empty


@pytest.mark.parametrize("goes_on", [False, True])
def test_what_was_taken_out_of_main_does_not_return(bench: GitBench, goes_on: bool) -> None:
    before = bench.at("main")
    bench.somebody_pushes({"secret": "1"})
    cut = bench.cut()
    commit(cut.path, {"a": "1"})
    git(bench.person, "reset", "-q", "--hard", before)
    if goes_on:
        commit(bench.person, {"b": "1"})
    git(bench.person, "push", "-q", "--force", "origin", "HEAD:main")
    rebased = bench.workspaces.rebase(cut)
    assert (rebased.base_sha, rebased.moved) == (bench.at("main"), True)
    tree = bench.workspaces.inspect(cut)
    assert (tree.changed, tree.commits, tree.dirty) == (("a",), 1, ())
    assert not (cut.path / "secret").exists()


def test_a_conflict_names_files_and_hunks_and_changes_nothing(bench: GitBench) -> None:
    cut = bench.cut()
    commit(cut.path, {"fine": "1"})
    head = commit(cut.path, {"README": "ours\ntwo\nthree\n"})
    bench.somebody_pushes({"README": "theirs\ntwo\nthree\n"})
    with pytest.raises(GitConflict) as raised:
        bench.workspaces.rebase(cut)
    facts = raised.value.facts
    assert facts["files"] == ("README",)
    assert {"+ours", " theirs"} <= set(facts["hunks"].splitlines())
    assert len(facts["hunks"]) <= 20_000
    assert git(cut.path, "rev-parse", "HEAD") == head
    assert git(cut.path, "status", "--porcelain") == ""
    assert bench.workspaces.inspect(cut).dirty == ()


def test_a_huge_conflict_is_cut_short(bench: GitBench) -> None:
    cut = bench.cut()
    commit(cut.path, {"README": "ours\n" * 20_000})
    bench.somebody_pushes({"README": "theirs\n" * 20_000})
    with pytest.raises(GitConflict) as raised:
        bench.workspaces.rebase(cut)
    assert 1000 < len(raised.value.facts["hunks"]) <= 20_000


def test_the_change_is_shown_with_its_commits(bench: GitBench) -> None:
    cut = bench.cut()
    commit(cut.path, {"a\nb": "1\n"}, "First\n\nBody")
    head = commit(cut.path, {"README": FIRST + "four\n"}, "Second")
    change = bench.workspaces.diff(cut)
    assert [one.subject for one in change.commits] == ["Second", "First"]
    assert (change.commits[0].sha, change.commits[0].author) == (head, "Ann")
    assert "+four" in change.text
    assert '"b/a\\nb"' in change.text
    assert not change.truncated
    assert bench.workspaces.diff(cut, limit=20).truncated


def test_unlanded_work_is_not_discarded(bench: GitBench) -> None:
    cut = bench.cut()
    (cut.path / "new").write_text("1")
    with pytest.raises(GitRefused, match="1 uncommitted changes, 'new' first"):
        bench.workspaces.discard(cut)
    head = commit(cut.path, {"new": "1"})
    with pytest.raises(GitRefused, match="neither landed nor offered"):
        bench.workspaces.discard(cut)
    bench.workspaces.inspect(cut)
    bench.forge.offer(cut, head)
    assert bench.workspaces.discard(cut)
    assert not bench.workspaces.discard(cut)
    assert git(bench.depot, "for-each-ref", "refs/orch") == ""
    assert list(cut.path.parent.iterdir()) == []


def test_landed_work_is_discarded_whatever_lies_about(bench: GitBench) -> None:
    cut = bench.cut()
    head = commit(cut.path, {"a": "1"})
    (cut.path / "junk").write_text("1")
    git(bench.person, "pull", "-q", str(cut.path), head)
    git(bench.person, "push", "-q", "origin", "HEAD:main")
    assert bench.workspaces.discard(cut)


def test_force_discards_anything_even_what_was_made_read_only(bench: GitBench) -> None:
    cut = bench.cut()
    (cut.path / "cache" / "deep").mkdir(parents=True)
    (cut.path / "cache" / "deep" / "file").write_text("1")
    (cut.path / "cache" / "deep").chmod(0)
    (cut.path / "cache").chmod(0o500)
    assert bench.workspaces.discard(cut, force=True)
    assert bench.workspaces.workspaces("acme/shop") == []


def test_an_older_turn_discards_nothing(bench: GitBench) -> None:
    cut = bench.cut()
    bench.cut(turn=LATER)
    with pytest.raises(GitFenced):
        bench.workspaces.discard(cut, force=True)
    assert cut.path.is_dir()


def test_disk_use_counts_what_a_repo_takes(bench: GitBench) -> None:
    assert bench.workspaces.disk_use("acme/shop").workspaces == 0
    cut = bench.cut()
    before = bench.workspaces.disk_use("acme/shop")
    (cut.path / "large").write_bytes(os.urandom(300_000))
    after = bench.workspaces.disk_use("acme/shop")
    assert after.workspaces - before.workspaces >= 300_000
    assert after.free > 0
    assert after.depot > 0
