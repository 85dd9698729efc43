"""The wall around an agent: its words, and what it keeps out."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from orch.errors import AgentError
from orch.ports import Sandbox
from orch.sandbox import wall
from tests.unit.agent_bench import AGENTS, COMMAND, AgentBench


@cache
def _bubblewrap_works() -> bool:
    program = shutil.which("bwrap")
    argv = [str(program), "--ro-bind", "/", "/", "--unshare-pid", "--unshare-net", "true"]
    return program is not None and subprocess.run(argv, check=False, timeout=30).returncode == 0


needs_bubblewrap = pytest.mark.skipif(
    not _bubblewrap_works(), reason="bubblewrap is not there, or may not make namespaces"
)


@pytest.fixture
def bench(tmp_path: Path) -> AgentBench:
    """A task's folders below a data folder, with another task and a secret file beside them."""
    data = tmp_path / "data"
    for folder in (data / "mine", data / "other", tmp_path / "home/.state"):
        folder.mkdir(parents=True)
    (data / "other" / "code.py").write_text("of another task")
    (tmp_path / ".env").write_text("canary")
    bench = AgentBench(data / "mine")
    bench.hidden = (data, tmp_path / ".env")
    bench.base_env = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "HOME": f"{tmp_path}/home"}  # noqa: TID251
    return bench


def walled(bench: AgentBench, *argv: str, sandbox: Sandbox, network: bool = True) -> list[str]:
    command = replace(COMMAND, sandbox=sandbox, network=network)
    work = replace(bench.work(*argv, command=command), writable=(Path("/srv/repo.git"),))
    return wall(work, bench.base_env, bench.hidden, [".state"])


def stand_in(bench: AgentBench) -> None:
    """A `bwrap` that walls nothing: it drops its own words and becomes the command."""
    program = Path(bench.base_env["PATH"].partition(":")[0]) / "bwrap"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n')
    program.chmod(0o755)


def test_without_a_sandbox_nothing_is_put_before(bench: AgentBench) -> None:
    assert walled(bench, "x", sandbox=()) == []


def test_own_wall_is_told_the_folders(bench: AgentBench) -> None:
    sandbox = ("podman", "run", "--volume={workdir}:{workdir}", "{rundir}", "{other}")
    expected = [f"--volume={bench.workdir}:{bench.workdir}", str(bench.rundir), "{other}"]
    assert walled(bench, "x", sandbox=sandbox) == ["podman", "run", *expected]


def test_own_wall_is_put_before_the_command(bench: AgentBench) -> None:
    command = replace(COMMAND, sandbox=("env", "WALL={workdir}"))
    result = bench.run(bench.work("sh", "-c", "echo $WALL", command=command))
    assert (result.exit_code, bench.log()) == (0, f"{bench.workdir}\n")
    assert result.argv == ("env", f"WALL={bench.workdir}", "sh", "-c", "echo $WALL")


def test_bubble_hides_the_data_folder_before_it_opens_the_task(bench: AgentBench) -> None:
    stand_in(bench)
    words = walled(bench, "x", sandbox="bubblewrap")
    text = " ".join(words)
    data, home = bench.hidden[0], bench.base_env["HOME"]
    order = [
        "--ro-bind / /",
        "--tmpfs /tmp",
        f"--tmpfs {data}",
        f"--ro-bind /dev/null {bench.hidden[1]}",
        f"--bind-try {home}/.state {home}/.state",
        f"--bind {bench.workdir} {bench.workdir}",
        f"--bind {bench.rundir} {bench.rundir}",
        "--bind /srv/repo.git /srv/repo.git",
        f"--chdir {bench.workdir} --",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "--unshare-pid" in words
    assert "--unshare-net" not in words
    assert "--unshare-net" in walled(bench, "x", sandbox="bubblewrap", network=False)


def test_missing_bubblewrap_is_a_sentence(bench: AgentBench) -> None:
    bench.base_env = {"PATH": str(bench.workdir)}
    with pytest.raises(AgentError, match="needs the program `bwrap`"):
        walled(bench, "x", sandbox="bubblewrap")
    command = replace(COMMAND, sandbox="bubblewrap")
    result = bench.run(bench.work("/bin/true", command=command))
    assert (result.ending, "`bwrap`" in result.detail) == ("spawn_failed", True)


def test_command_runs_behind_the_bubble(bench: AgentBench) -> None:
    stand_in(bench)
    command = replace(COMMAND, sandbox="bubblewrap")
    result = bench.run(bench.work("sh", "-c", "echo 'ORCH-VERDICT: pass'", command=command))
    assert (result.verdict, result.argv[-3:-1]) == ("pass", ("sh", "-c"))


@needs_bubblewrap
def test_bubble_shows_and_opens_only_the_task(bench: AgentBench) -> None:
    other, secret = bench.hidden[0] / "other", bench.hidden[1]
    script = f"""
        ls {other} {other}/code.py; cat {secret}; ls {bench.hidden[0]}
        touch here $ORCH_RESULT_FILE.x $HOME/.state/kept
        touch /etc/written $HOME/written {other.parent}/../written && echo LEAKED
        cat /proc/[0-9]*/comm | grep -c pytest
    """
    command = replace(COMMAND, sandbox="bubblewrap", network=False)
    work = bench.work("sh", "-c", script, command=command)
    assert bench.run(work).ending == "exited"
    said = (bench.rundir / "stdout").read_text()
    assert said == "mine\n0\n", bench.log()
    assert (bench.workdir / "here").exists()
    assert (bench.rundir / "result.json.x").exists()


@needs_bubblewrap
def test_nobody_outlives_the_bubble(bench: AgentBench) -> None:
    script = "setsid sh -c 'touch ready; sleep 60' & sleep 60"
    command = replace(COMMAND, sandbox="bubblewrap")
    work = bench.work("sh", "-c", script, command=command)
    result = bench.run(work, bench.when("ready", "paused"), beat=0.02)
    assert (result.ending, result.stop_reason) == ("stopped", "paused")
    assert bench.alive() == []


@needs_bubblewrap
def test_agent_behind_the_bubble_is_stopped_politely(bench: AgentBench) -> None:
    command = replace(COMMAND, sandbox="bubblewrap", stop_grace=5)
    shutil.copy(AGENTS / "interrupted.py", bench.workdir)  # where it lies may be hidden
    work = bench.work("sh", "-c", "exec ./interrupted.py", command=command)
    bench.run(work, bench.when("ready", "paused"), beat=0.02)
    assert "stopped by SIG" in bench.log()
