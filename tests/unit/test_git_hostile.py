"""What an agent or a repository may hold, and that orch neither runs nor follows it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orch.adapters.git.trees import escapes
from orch.errors import GitMissing, GitRefused
from orch.ports import Turn
from tests.git_bench import FIRST, GitBench, commit, git

LATER = Turn(2, "second")


def test_no_commit_is_an_empty_tree(bench: GitBench) -> None:
    tree = bench.workspaces.inspect(bench.cut())
    assert (tree.commits, tree.empty, tree.on_base, tree.dirty) == (0, True, True, ())


def test_commits_that_change_nothing_are_empty_too(bench: GitBench) -> None:
    cut = bench.cut()
    git(cut.path, "commit", "-q", "--allow-empty", "-m", "Nothing")
    tree = bench.workspaces.inspect(cut)
    assert (tree.commits, tree.empty) == (1, True)


def test_every_kind_of_dirt_is_seen(bench: GitBench) -> None:
    cut = bench.cut()
    (cut.path / "README").write_text("changed")
    (cut.path / "src" / "app.py").unlink()
    (cut.path / "new").write_text("1")
    (cut.path / "staged").write_text("1")
    git(cut.path, "add", "staged")
    (cut.path / "nested").mkdir()
    git(cut.path / "nested", "init", "-q")
    tree = bench.workspaces.inspect(cut)
    assert tree.dirty == ("README", "nested/", "new", "src/app.py", "staged")
    with pytest.raises(GitRefused, match="5 uncommitted changes"):
        bench.workspaces.rebase(cut)


def test_dirt_cannot_be_hidden_by_the_agents_own_index_or_excludes(bench: GitBench) -> None:
    cut = bench.cut()
    (cut.path / "README").write_text("changed")
    (cut.path / "new").write_text("1")
    git(cut.path, "update-index", "--assume-unchanged", "README")
    git(cut.path, "update-index", "--skip-worktree", "README")
    (cut.path / ".git" / "info").mkdir()
    (cut.path / ".git" / "info" / "exclude").write_text("*\n")
    assert bench.workspaces.inspect(cut).dirty == ("README", "new")


def test_what_the_repo_ignores_is_no_dirt(bench: GitBench) -> None:
    bench.somebody_pushes({".gitignore": "build/\n"})
    cut = bench.cut()
    (cut.path / "build").mkdir()
    (cut.path / "build" / "out").write_text("1")
    assert bench.workspaces.inspect(cut).dirty == ()


def test_another_branch_is_seen_and_not_rebased(bench: GitBench) -> None:
    cut = bench.cut()
    git(cut.path, "checkout", "-q", "-b", "elsewhere")
    commit(cut.path, {"a": "1"})
    assert bench.workspaces.inspect(cut).branch == "elsewhere"
    with pytest.raises(GitRefused, match="has elsewhere checked out, not feature/ACME-1"):
        bench.workspaces.rebase(cut)
    git(cut.path, "checkout", "-q", "--detach")
    assert bench.workspaces.inspect(cut).branch == ""


def test_a_merge_commit_is_seen_and_not_rebased(bench: GitBench) -> None:
    cut = bench.cut()
    git(cut.path, "checkout", "-q", "-b", "side")
    commit(cut.path, {"a": "1"})
    git(cut.path, "checkout", "-q", cut.branch)
    git(cut.path, "merge", "-q", "--no-ff", "-m", "Merge", "side")
    tree = bench.workspaces.inspect(cut)
    assert (tree.commits, tree.merges) == (2, 1)
    with pytest.raises(GitRefused, match="holds a merge commit"):
        bench.workspaces.rebase(cut)


def test_a_history_of_its_own_is_seen_and_not_rebased(bench: GitBench) -> None:
    cut = bench.cut()
    git(cut.path, "checkout", "-q", "--orphan", "new")
    commit(cut.path, {"a": "1"})
    git(cut.path, "branch", "-q", "-f", cut.branch, "new")
    git(cut.path, "checkout", "-q", cut.branch)
    assert not bench.workspaces.inspect(cut).on_base
    with pytest.raises(GitRefused, match="do not descend"):
        bench.workspaces.rebase(cut)


def test_a_branch_without_a_commit_is_missing_one(bench: GitBench) -> None:
    cut = bench.cut()
    git(cut.path, "checkout", "-q", "--orphan", "new")
    with pytest.raises(GitMissing, match="Nothing is checked out"):
        bench.workspaces.inspect(cut)


@pytest.mark.parametrize(
    ("path", "target", "out"),
    [
        (b"l", b"README", False),
        (b"a/b/l", b"../../README", False),
        (b"a/l", b"../../x", True),
        (b"l", b"/etc/passwd", True),
        (b"l", b"..", True),
        (b"l", b"a/../b", True),
        (b"l", b".git/config", True),
        (b"l", b"./a/.GIT/x", True),
        (b"l", b"", True),
        (b"l", b"a" * 5000, True),
        (b"l", b"...", False),
    ],
)
def test_links_that_may_lead_out_are_told(path: bytes, target: bytes, out: bool) -> None:
    assert escapes(path, target) is out


def test_links_that_lead_out_are_reported_and_not_followed(bench: GitBench) -> None:
    cut = bench.cut()
    for name, target in (("in", "README"), ("out", "/etc"), ("up", "../../x")):
        (cut.path / name).symlink_to(target)
    commit(cut.path, {})
    assert bench.workspaces.inspect(cut).escaping_symlinks == ("out", "up")


def test_large_files_are_reported_committed_or_not(bench: GitBench) -> None:
    cut = bench.cut()
    commit(cut.path, {"large": b"\0" * 3_000_000, "small": "1"})
    with (cut.path / "sparse").open("wb") as file:
        file.truncate(200_000_000)
    assert bench.workspaces.inspect(cut, file_limit=2_000_000).oversize == ("large", "sparse")
    assert bench.workspaces.inspect(cut).oversize == ("sparse",)


def test_odd_path_names_come_through(bench: GitBench) -> None:
    cut = bench.cut()
    odd = ["a\nb", 'q"uote', "-rf", ":(top)x", "späce und", "README*"]
    commit(cut.path, dict.fromkeys(odd, "1"))
    (cut.path / os.fsdecode(b"bytes\xff")).write_text("1")
    tree = bench.workspaces.inspect(cut)
    assert tree.changed == tuple(sorted(odd, key=str.encode))
    assert tree.dirty == ("bytes\\xff",)


def test_a_submodule_whose_address_is_an_option_does_not_come_in(bench: GitBench) -> None:
    cut = bench.cut()
    url = "-u./payload"
    (cut.path / ".gitmodules").write_text(f'[submodule "s"]\n\tpath = s\n\turl = {url}\n')
    git(cut.path, "add", ".gitmodules")
    git(cut.path, "commit", "-q", "-m", "Trick")
    with pytest.raises(GitRefused, match="gitmodulesUrl"):
        bench.workspaces.inspect(cut)


def test_a_changed_submodule_is_reported(bench: GitBench, tmp_path: Path) -> None:
    cut = bench.cut()
    inner = cut.path / "s"
    inner.mkdir()
    git(inner, "init", "-q")
    commit(inner, {"a": "1"})
    git(inner, "config", "core.fsmonitor", f"touch {tmp_path}/ran; false")
    (cut.path / ".gitmodules").write_text('[submodule "s"]\n\tpath = s\n\turl = ../s.git\n')
    git(cut.path, "-c", "advice.addEmbeddedRepo=false", "add", ".")
    git(cut.path, "-c", "core.fsmonitor=false", "commit", "-q", "-m", "Module")
    (tmp_path / "ran").unlink(missing_ok=True)
    (inner / "a").write_text("2")
    tree = bench.workspaces.inspect(cut)
    assert tree.submodules == (".gitmodules", "s")
    assert not (tmp_path / "ran").exists()


def traps(git_dir: Path, mark: Path) -> None:
    """Everything git would execute on a repository's word."""
    program = mark.with_name("trap")
    program.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    program.chmod(0o755)
    (git_dir / "hooks").mkdir(exist_ok=True)
    for hook in ("post-checkout", "reference-transaction", "pre-push", "post-index-change"):
        (git_dir / "hooks" / hook).write_text(f"#!/bin/sh\ntouch {mark}\n")
        (git_dir / "hooks" / hook).chmod(0o755)
    for key in (
        "core.fsmonitor", "core.sshCommand", "core.pager", "core.alternateRefsCommand",
        "diff.external", "diff.trap.textconv", "diff.trap.command", "filter.trap.clean",
        "filter.trap.smudge", "filter.trap.process", "merge.trap.driver", "gpg.program",
        "uploadpack.packObjectsHook", "remote.origin.uploadpack", "credential.helper",
    ):  # fmt: skip
        git(git_dir, "config", "--file", str(git_dir / "config"), key, f"{program} %A")
    git(git_dir, "config", "--file", str(git_dir / "config"), "core.hooksPath", "hooks")


def test_nothing_a_workspace_configures_is_executed(bench: GitBench, tmp_path: Path) -> None:
    cut = bench.cut()
    kinds = "* filter=trap diff=trap merge=trap\n"
    commit(cut.path, {".gitattributes": kinds, "README": FIRST + "four\n"})
    traps(cut.path / ".git", tmp_path / "ran")
    bench.somebody_pushes({"README": "zero\n" + FIRST})
    bench.cut()
    bench.workspaces.inspect(cut)
    rebased = bench.workspaces.rebase(cut)
    bench.workspaces.diff(cut)
    bench.workspaces.inspect(cut)
    bench.forge.offer(cut, rebased.head_sha)
    assert bench.workspaces.discard(cut)
    assert not (tmp_path / "ran").exists()
    other = bench.cut("ACME-2")
    traps(other.path / ".git", tmp_path / "ran")
    git(other.path, "status")
    assert (tmp_path / "ran").exists()  # whoever believes a workspace does run it


def test_a_depot_somebody_wrote_to_executes_nothing(bench: GitBench, tmp_path: Path) -> None:
    cut = bench.cut()
    kinds = "* filter=trap diff=trap merge=trap\n"
    commit(cut.path, {".gitattributes": kinds, "README": FIRST + "four\n"})
    traps(bench.depot, tmp_path / "ran")
    bench.somebody_pushes({"README": "zero\n" + FIRST})
    rebased = bench.workspaces.rebase(cut)
    bench.workspaces.diff(cut)
    bench.forge.offer(cut, rebased.head_sha)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("what", [".git", ".git/objects", ".git/refs", ".git/objects/info"])
def test_a_workspace_bent_elsewhere_is_refused(bench: GitBench, what: str) -> None:
    cut = bench.cut()
    outside = bench.data.with_name("outside")
    (cut.path / what).rename(outside)
    (cut.path / what).symlink_to(outside)
    with pytest.raises((GitRefused, GitMissing)):
        bench.workspaces.inspect(cut)
    with pytest.raises((GitRefused, GitMissing)):
        bench.workspaces.rebase(cut)
    assert bench.workspaces.cut(bench.remote, "ACME-1", LATER, fresh=True).path == cut.path
    assert bench.workspaces.inspect(cut).dirty == ()


def test_refs_bent_elsewhere_are_not_written_through(bench: GitBench) -> None:
    cut = bench.cut()
    commit(cut.path, {"a": "1"})
    bench.somebody_pushes({"b": "1"})
    outside = bench.data.with_name("outside")
    remotes = cut.path / ".git" / "refs" / "remotes"
    remotes.rename(outside)
    remotes.symlink_to(outside)
    before = sorted(path.read_bytes() for path in outside.rglob("*") if path.is_file())
    with pytest.raises(GitRefused, match="not the folder that orch made"):
        bench.workspaces.rebase(cut)
    assert sorted(path.read_bytes() for path in outside.rglob("*") if path.is_file()) == before


def test_a_link_in_place_of_a_workspace_is_refused_and_what_it_names_stays(
    bench: GitBench,
) -> None:
    cut = bench.cut()
    outside = bench.data.with_name("outside")
    cut.path.rename(outside)
    cut.path.symlink_to(outside)
    for act in (
        lambda: bench.workspaces.inspect(cut),
        lambda: bench.cut(turn=LATER),
        lambda: bench.workspaces.discard(cut, force=True),
    ):
        with pytest.raises(GitRefused, match="is a link"):
            act()
    assert (outside / "README").exists()


def test_a_linked_root_of_workspaces_is_refused(bench: GitBench) -> None:
    outside = bench.data.with_name("outside")
    outside.mkdir()
    (bench.data / "work").symlink_to(outside)
    with pytest.raises(GitRefused, match="is a link"):
        bench.cut()
    assert list(outside.iterdir()) == []
