"""What dying processes and full disks leave, and how orch puts it right."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orch.adapters.git.desk import Desk
from orch.errors import GitDiskFull, GitError
from orch.ports import Turn
from tests.git_bench import TURN, GitBench, commit, git, runs

LATER = Turn(2, "second")


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


def test_a_fresh_cut_that_was_cut_short_is_understood_by_the_next(
    bench: GitBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = bench.cut()
    commit(cut.path, {"a": "1"})
    bench.workspaces.inspect(cut)
    newest = bench.somebody_pushes({"b": "1"})
    make = Desk.make

    def make_and_die(*arguments: Any) -> None:
        make(*arguments)
        _raise(KeyboardInterrupt())

    with monkeypatch.context() as patched:
        patched.setattr(Desk, "make", make_and_die)
        with pytest.raises(KeyboardInterrupt):
            bench.workspaces.cut(bench.remote, "ACME-1", LATER, fresh=True)
    again = bench.cut(turn=LATER)
    tree = bench.workspaces.inspect(again)
    assert (again.base_sha, tree.head_sha, tree.commits) == (newest, newest, 0)


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
        "forge.look(Remote('acme/shop', sys.argv[3])).tip\n"
    )
    arguments = (str(program), str(bench.data), str(bench.bare))
    root = Path(__file__).parents[2]
    worker = subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=root)
    wait_until(pid.exists)
    worker.kill()
    worker.wait()
    bench.use(bench.access, patience=20)
    assert bench.forge.look(bench.remote).tip == bench.at("main")
    assert not runs(int(pid.read_text()))
