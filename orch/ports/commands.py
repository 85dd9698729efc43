"""What runs a repo's own commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from orch.ports.agents import Watch
from orch.qg.commands import CommandName, CommandRun


@dataclass(frozen=True)
class RepoCommand:
    """A command of a repo's own settings."""

    name: CommandName
    argv: tuple[str, ...]
    timeout: float = 3600.0
    """Seconds after which the command is stopped."""
    stop_grace: float = 10.0
    """Seconds between the polite and the hard signals."""
    env: dict[str, str] = field(default_factory=dict)
    log_limit: int = 50 * 1024 * 1024
    """Bytes of output kept; the rest is counted and dropped."""


@dataclass(frozen=True)
class RepoWork:
    """One run of a repo's command: on what, and where."""

    command: RepoCommand
    repo: str
    work_item_id: str
    head_sha: str
    """The commit that is checked out in `workdir`; whoever asks for the run answers for that."""
    workdir: Path
    """The folder the command runs in; it exists."""
    rundir: Path
    """A folder of orch's own for the log of this run alone; it exists, outside `workdir`."""
    silence: float = 60.0
    """Seconds without a sign of life of the worker after which the command is stopped."""


class RepoCommands(Protocol):
    """Runs a repo's test, staging, deploy and health commands, and leaves no process behind."""

    def run(self, work: RepoWork, watch: Watch, beat: float) -> CommandRun:
        """Run the command to its end; call `watch` every `beat` seconds, stop when it says so."""
        ...
