"""What an agent, a repository or a dying process may leave, and what orch makes of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orch.adapters.git.trees import escapes
from orch.errors import GitDiskFull, GitError, GitMissing, GitRefused
from orch.ports import Turn
from tests.unit.git_bench import FIRST, TURN, GitBench, commit, git, runs

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


def test_a_depot_somebody_wrote_to_executes_next_to_nothing(
    bench: GitBench, tmp_path: Path
) -> None:
    cut = bench.cut()
    commit(cut.path, {"README": FIRST + "four\n"})
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


def test_old_locks_of_killed_processes_are_cleared(bench: GitBench) -> None:
    cut = bench.cut()
    commit(cut.path, {"a": "1"})
    for path in (
        cut.path / ".git" / "index.lock",
        cut.path / ".git" / "refs" / "heads" / "feature" / "ACME-1.lock",
        bench.depot / "packed-refs.lock",
        bench.depot / "refs" / "remotes" / "origin" / "main.lock",
        bench.depot / "orch" / "ACME-1" / "index.lock",
        bench.depot / "objects" / "pack" / "tmp_pack_x",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    bench.somebody_pushes({"b": "1"})
    bench.cut(turn=TURN)
    assert bench.workspaces.rebase(cut).moved
    commit(cut.path, {"c": "1"})
    assert [path for path in bench.data.rglob("*") if path.name.endswith(".lock")] == [
        bench.data / "depots" / "acme+shop.lock"
    ]


def test_a_half_made_workspace_is_made_anew(bench: GitBench) -> None:
    (bench.data / "work" / "acme+shop" / "ACME-1" / ".git").mkdir(parents=True)
    (bench.data / "work" / "acme+shop" / ".ACME-1.new").mkdir()
    assert bench.workspaces.inspect(bench.cut()).dirty == ()


@pytest.mark.parametrize("harm", ["HEAD", "pack", "refs", "leftover"])
def test_a_broken_depot_is_made_anew_and_keeps_the_tasks(bench: GitBench, harm: str) -> None:
    cut = bench.cut()
    head = commit(cut.path, {"a": "1"})
    bench.workspaces.inspect(cut)
    _harm(bench, harm)
    newest = bench.somebody_pushes({"b": "1"})
    try:
        bench.workspaces.rebase(cut)
    except GitError:
        bench.workspaces.rebase(bench.cut())  # the turn after finds it marked as damaged
    tree = bench.workspaces.inspect(bench.cut())
    assert (tree.changed, tree.commits, tree.dirty) == (("a",), 1, ())
    assert git(cut.path, "rev-parse", "HEAD~1") == newest
    assert head != tree.head_sha
    git(bench.depot, "fsck")


def _harm(bench: GitBench, harm: str) -> None:
    match harm:
        case "HEAD":
            (bench.depot / "HEAD").unlink()
        case "refs":
            (bench.depot / "refs").rename(bench.depot / "gone")
        case "leftover":
            bench.depot.with_name("acme+shop.git.new").mkdir()
            bench.depot.with_name("acme+shop.git.old").mkdir()
            bench.depot.rename(bench.depot.with_name("acme+shop.git.old") / "deeper")
        case "pack":
            for path in (bench.depot / "objects").rglob("*"):
                if path.is_file() and path.parent.name != "info":
                    path.chmod(0o644)
                    path.write_bytes(b"")


def test_a_rebase_cut_short_is_finished_by_the_next_cut(
    bench: GitBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = bench.cut()
    commit(cut.path, {"a": "1"})
    newest = bench.somebody_pushes({"b": "1"})
    name = "orch.adapters.git.desk.Desk._hand_out_index"
    with monkeypatch.context() as patched:
        patched.setattr(name, lambda *_: _raise(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            bench.workspaces.rebase(cut)
    again = bench.cut(turn=LATER)
    assert bench.workspaces.rebase(again).base_sha == newest
    tree = bench.workspaces.inspect(again)
    assert (tree.commits, tree.changed, tree.dirty) == (1, ("a",), ())
    assert git(cut.path, "status", "--porcelain") == ""


def _raise(error: BaseException) -> None:
    raise error


def test_a_full_disk_is_said_and_harms_no_depot(bench: GitBench) -> None:
    bench.cut()
    bench.somebody_pushes({"large": os.urandom(2_000_000)})
    program = bench.data.with_name("small-git")
    program.write_text('#!/bin/sh\nulimit -f 1000\nexec git "$@"\n')
    program.chmod(0o755)
    bench.use(bench.access, str(program))
    with pytest.raises(GitDiskFull):
        bench.cut("ACME-2")
    assert not (bench.data / "work" / "acme+shop" / "ACME-2").exists()
    bench.use(bench.access)
    assert (bench.cut("ACME-2").path / "large").stat().st_size == 2_000_000
    assert not list((bench.depot / "objects" / "pack").glob("tmp_*"))
    git(bench.depot, "fsck")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_killed_worker_takes_its_git_and_its_lock_along(
    bench: GitBench, wait_until: Callable[..., object]
) -> None:
    bench.cut()
    pid, program = bench.data.with_name("pid"), bench.data.with_name("slow-git")
    program.write_text(f"#!/bin/sh\necho $$ > {pid}.new\nmv {pid}.new {pid}\nexec sleep 600\n")
    program.chmod(0o755)
    script = (
        "import sys; from pathlib import Path\n"
        "from orch.adapters.git.command import GitCommand\n"
        "from orch.adapters.git.forge import PlainForge; from orch.ports import Remote\n"
        "forge = PlainForge(GitCommand(program=sys.argv[1]), Path(sys.argv[2]))\n"
        "forge.tip(Remote('acme/shop', sys.argv[3]))\n"
    )
    arguments = (str(program), str(bench.data), str(bench.bare))
    root = Path(__file__).parents[2]
    worker = subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=root)
    wait_until(pid.exists)
    worker.kill()
    worker.wait()
    bench.use(bench.access, patience=20)
    assert bench.forge.tip(bench.remote) == bench.at("main")
    assert not runs(int(pid.read_text()))
