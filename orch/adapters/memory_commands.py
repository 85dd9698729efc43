"""A stand-in for a repo's commands: ends each as it was told, and remembers what was asked."""

from __future__ import annotations

from orch.ports import RepoWork, Watch
from orch.qg.commands import CommandName, CommandRun, tail_of


class MemoryCommands:
    """The RepoCommands port without a process."""

    def __init__(self) -> None:
        self.asked: list[RepoWork] = []
        self._ends: dict[CommandName, tuple[int, str]] = {}

    def let(self, name: CommandName, exit_code: int, output: str = "") -> None:
        """From now on this command prints that and ends so; without a word it passes in silence."""
        self._ends[name] = exit_code, output

    def run(self, work: RepoWork, watch: Watch, beat: float) -> CommandRun:
        """The end it was told, unless `watch` stops it first."""
        self.asked.append(work)
        stopped = watch()
        exit_code, output = self._ends.get(work.command.name, (0, ""))
        return CommandRun(
            name=work.command.name,
            argv=work.command.argv,
            exit_code=None if stopped else exit_code,
            seconds=0.0,
            tail="" if stopped else tail_of(output.encode("utf-8", "replace")),
            head_sha=work.head_sha,
            stopped=stopped or "",
        )
