"""A repo's own commands, as real processes: what they see, how they end, what is left of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.adapters.agent_command import CommandRunner
from orch.adapters.repo_command import SupervisedCommands
from orch.ports import RepoCommand, RepoWork, StopReason
from orch.qg.commands import TAIL_LIMIT, CommandRun, environment, tail_of

HEAD = "a" * 40
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="only Linux finds every descendant")


class Yard:
    """Runs scripts in folders of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.workdir, self.rundir = folder / "work", folder / "run"
        self.workdir.mkdir()
        self.rundir.mkdir()
        self.base = {"PATH": os.defpath, "HOME": str(folder)}
        self.secrets: tuple[str, ...] = ()
        self.command = RepoCommand("test", (), timeout=20, stop_grace=0.2)

    def run(
        self, *argv: str, watch: Callable[[], StopReason | None] = lambda: None, beat: float = 5.0
    ) -> CommandRun:
        runner = CommandRunner(self.base, self.secrets)
        command = replace(self.command, argv=argv)
        work = RepoWork(command, "acme/shop", "ACME-7", HEAD, self.workdir, self.rundir)
        return SupervisedCommands(runner, self.base).run(work, watch, beat)

    def alive(self) -> list[str]:
        """The processes that work in this yard."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if (folder / "cwd").readlink() == self.workdir.resolve():
                    found.append(folder.name)
            except OSError:
                continue
        return found


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


def test_command_sees_its_own_environment_and_nothing_else(yard: Yard) -> None:
    yard.base |= {"LC_TIME": "C", "GITEA_TOKEN": "canary", "ORCH_BROKER_URL": "canary"}
    env = {"MODE": "a b=c\n'", "ORCH_HEAD_SHA": "forged", "ORCH_JOB": "7", "1x": "no", "a b": "no"}
    yard.command = replace(yard.command, env=env)
    run = yard.run("env", "-0")
    seen = dict(pair.split("=", 1) for pair in run.tail.split("\N{REPLACEMENT CHARACTER}") if pair)
    assert seen == {
        **{"PATH": os.defpath, "HOME": yard.base["HOME"], "LC_TIME": "C", "MODE": "a b=c\n'"},
        **{"ORCH_WORK_ITEM": "ACME-7", "ORCH_REPO": "acme/shop", "ORCH_HEAD_SHA": HEAD},
    }


def test_command_runs_in_the_worktree_with_nothing_on_standard_input(yard: Yard) -> None:
    run = yard.run("sh", "-c", "pwd; cat; echo end >&2")
    assert sorted(run.tail.splitlines()) == sorted([str(yard.workdir.resolve()), "end"])
    assert run.passed


@pytest.mark.parametrize("odd", ["", "-x", "a b", "$(id)", "A=B", "*", "ü", "--", "a\nb"])
def test_arguments_arrive_as_they_are(yard: Yard, odd: str) -> None:
    assert yard.run("printf", "<%s>", odd).tail == f"<{odd}>"


def test_script_of_the_worktree_can_be_run(yard: Yard) -> None:
    (yard.workdir / "check").write_text("#!/bin/sh\necho $1; exit 4\n")
    (yard.workdir / "check").chmod(0o755)
    run = yard.run("./check", "x")
    assert (run.exit_code, run.tail) == (4, "x\n")


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        ((), "nothing to run"),
        (("",), "nothing to run"),
        (("no-such-program",), "not on the command's PATH"),
        (("./a=b",), "holds an equals sign"),
        (("true", "a\0b"), "NUL"),
    ],
)
def test_command_that_cannot_start_is_a_run_that_failed(
    yard: Yard, argv: tuple[str, ...], why: str
) -> None:
    run = yard.run(*argv)
    assert (run.exit_code, run.passed, run.tail) == (None, False, "")
    assert why in run.detail


def test_missing_script_of_the_worktree_fails_with_a_reason(yard: Yard) -> None:
    run = yard.run("./gone")
    assert (run.exit_code, run.passed) == (127, False)
    assert "gone" in run.tail


@needs_proc
def test_command_over_its_time_is_killed_with_all_its_group(yard: Yard) -> None:
    yard.command = replace(yard.command, timeout=0.3)
    run = yard.run("sh", "-c", "trap '' INT TERM; echo begun; setsid sleep 60 & sleep 60; sleep 60")
    assert (run.timed_out, run.passed, run.tail) == (True, False, "begun\n")
    assert "time limit of 0.3 s" in run.detail
    assert run.seconds >= 0.3
    assert yard.alive() == []


@needs_proc
def test_what_a_command_leaves_behind_is_killed(yard: Yard) -> None:
    run = yard.run("sh", "-c", "setsid sleep 60 & echo done")
    assert (run.exit_code, run.tail, yard.alive()) == (0, "done\n", [])


@pytest.mark.parametrize("reason", ["paused", "cancelled", "fenced", "shutdown"])
def test_watch_stops_the_command(yard: Yard, reason: StopReason) -> None:
    run = yard.run("sleep", "60", watch=lambda: reason, beat=0.05)
    assert (run.stopped, run.passed, run.timed_out) == (reason, False, False)


def test_command_that_ends_well_on_being_stopped_has_not_passed(yard: Yard) -> None:
    script = "trap 'exit 0' INT TERM; touch ready; while :; do sleep 0.05; done"
    ready = yard.workdir / "ready"
    run = yard.run(
        "sh", "-c", script, watch=lambda: "paused" if ready.exists() else None, beat=0.05
    )
    assert (run.exit_code, run.stopped, run.passed) == (0, "paused", False)


@needs_proc
def test_command_whose_supervisor_was_killed_has_not_passed(yard: Yard) -> None:
    run = yard.run("sh", "-c", "kill -9 $PPID; sleep 60")
    assert (run.exit_code, run.passed) == (None, False)
    assert "supervisor was killed" in run.detail


def test_log_is_capped_and_says_so_in_the_tail(yard: Yard) -> None:
    yard.command = replace(yard.command, log_limit=1000)
    run = yard.run("sh", "-c", "head -c 5000 /dev/zero | tr '\\0' x")
    assert (yard.rundir / "log").stat().st_size < 1200
    assert run.tail.endswith("4000 bytes of output were dropped: the limit is 1000 bytes.\n")


def test_secrets_are_masked_in_the_tail(yard: Yard) -> None:
    yard.secrets = ("s3cr3t-value",)
    assert yard.run("echo", "s3cr3t-value").tail == "[masked]\n"


@pytest.mark.parametrize("instead", ["link", "fifo", "nothing"])
def test_log_that_the_command_put_away_is_not_followed(yard: Yard, instead: str) -> None:
    (yard.workdir / "other").write_text("somebody else's secret")
    log = yard.rundir / "log"
    put = {"link": f"ln -s {yard.workdir}/other {log}", "fifo": f"mkfifo {log}", "nothing": ":"}
    run = yard.run("sh", "-c", f"rm {log}; {put[instead]}")
    assert (run.exit_code, run.tail) == (0, "")


def test_programs_own_path_is_searched_and_not_the_workers(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    (yard.workdir / "bin").mkdir()
    (yard.workdir / "bin" / "own-check").write_text("#!/bin/sh\necho own\n")
    (yard.workdir / "bin" / "own-check").chmod(0o755)
    path = f"{yard.workdir}/bin:{os.defpath}"
    yard.command = replace(yard.command, env={"PATH": path})
    assert yard.run("own-check").tail == "own\n"
    monkeypatch.setenv("PATH", path)
    yard.command = replace(yard.command, env={})
    assert "not on the command's PATH" in yard.run("own-check").detail


@given(output=st.binary(max_size=200), times=st.integers(0, 200))
def test_tail_is_never_longer_than_its_limit_and_always_storable(output: bytes, times: int) -> None:
    tail = tail_of(output * times)
    assert len(tail.encode()) <= TAIL_LIMIT
    assert "\0" not in tail


def test_short_output_is_its_own_tail() -> None:
    assert tail_of(b"a\nb") == "a\nb"
    assert tail_of(b"x" * (TAIL_LIMIT + 1)) == "x" * TAIL_LIMIT
    assert tail_of(b"x" * TAIL_LIMIT + b"\nend\n") == "end\n"


def test_environment_never_says_what_only_orch_may_say() -> None:
    made = environment({"ORCH_X": "1"}, {"ORCH_X": "2", "Y": "3"}, {"ORCH_REPO": "r"})
    assert made == {"Y": "3", "ORCH_REPO": "r"}
