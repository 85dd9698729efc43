"""What every RepoCommands promises, on the fake and on real processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import pytest

from orch.adapters.agent_command import CommandRunner
from orch.adapters.memory_commands import MemoryCommands
from orch.adapters.repo_command import SupervisedCommands
from orch.ports import RepoCommand, RepoCommands, RepoWork
from orch.qg.commands import COMMANDS, TAIL_LIMIT, CommandName

HEAD = "a" * 40


class Yard(Protocol):
    """The port, and a way to say how a command is to end."""

    @property
    def commands(self) -> RepoCommands: ...
    def let(self, name: CommandName, exit_code: int, output: str) -> tuple[str, ...]: ...


class MemoryYard:
    def __init__(self) -> None:
        self.commands = MemoryCommands()

    def let(self, name: CommandName, exit_code: int, output: str) -> tuple[str, ...]:
        self.commands.let(name, exit_code, output)
        return ("make", name)


class RealYard:
    def __init__(self, folder: Path) -> None:
        self.base = {"PATH": os.defpath}
        self.commands = SupervisedCommands(CommandRunner(self.base), self.base)
        self._folder = folder

    def let(self, name: CommandName, exit_code: int, output: str) -> tuple[str, ...]:
        path = self._folder / f"{name}.out"
        path.write_text(output)
        return ("sh", "-c", f"cat {path}; exit {exit_code}")


@pytest.fixture(params=["memory", "real"])
def yard(request: pytest.FixtureRequest, tmp_path: Path) -> Yard:
    return MemoryYard() if request.param == "memory" else RealYard(tmp_path)


def work(tmp_path: Path, name: CommandName, argv: tuple[str, ...]) -> RepoWork:
    folders = tmp_path / "work", tmp_path / "run"
    for folder in folders:
        folder.mkdir(exist_ok=True)
    command = RepoCommand(name, argv, timeout=20, stop_grace=0.2)
    return RepoWork(command, "acme/shop", "ACME-7", HEAD, *folders)


@pytest.mark.parametrize("name", COMMANDS)
def test_run_is_told_by_name_commit_exit_code_and_output(
    yard: Yard, tmp_path: Path, name: CommandName
) -> None:
    argv = yard.let(name, 3, "one failed\n")
    run = yard.commands.run(work(tmp_path, name, argv), lambda: None, 5)
    assert (run.name, run.argv, run.head_sha) == (name, argv, HEAD)
    assert (run.exit_code, run.tail, run.passed) == (3, "one failed\n", False)
    assert (run.timed_out, run.stopped, run.seconds >= 0) == (False, "", True)


def test_exit_code_nought_has_passed(yard: Yard, tmp_path: Path) -> None:
    argv = yard.let("test", 0, "")
    run = yard.commands.run(work(tmp_path, "test", argv), lambda: None, 5)
    assert (run.exit_code, run.tail, run.passed) == (0, "", True)


def test_tail_is_the_end_of_a_long_output(yard: Yard, tmp_path: Path) -> None:
    argv = yard.let("test", 1, "".join(f"line {number}\n" for number in range(5000)))
    tail = yard.commands.run(work(tmp_path, "test", argv), lambda: None, 5).tail
    assert TAIL_LIMIT - 20 < len(tail.encode()) <= TAIL_LIMIT
    assert tail.startswith("line ")
    assert tail.endswith("line 4998\nline 4999\n")


def test_command_is_stopped_when_the_watch_says_so(yard: Yard, tmp_path: Path) -> None:
    yard.let("deploy", 0, "")
    run = yard.commands.run(work(tmp_path, "deploy", ("sleep", "60")), lambda: "paused", 0.05)
    assert (run.stopped, run.passed) == ("paused", False)
