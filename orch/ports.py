"""What orch needs from the outside, in orch's words: at most five verbs a port.

An adapter implements a port and translates the errors of its world into `orch.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from orch.qg.commands import CommandName, CommandRun


@dataclass(frozen=True)
class Claim:
    """A job taken for one agent under a token. The message on the queue carries nothing else."""

    job_id: int
    token: str
    agent: str


class JobQueue(Protocol):
    """The doorbell: tells workers that a claimed job waits, the dispatcher that a gate may be open.

    Losing, doubling or delaying a ring costs time, never truth.
    """

    def publish(self, claims: Sequence[Claim]) -> list[Claim]:
        """Ring for each claim; answers those that could not be sent."""
        ...

    def kick(self) -> bool:
        """Ask a dispatcher to look now. False when the broker could not be reached."""
        ...

    def reachable(self) -> bool:
        """Whether the broker answers at this moment."""
        ...


@dataclass(frozen=True)
class AgentCommand:
    """How one agent is called."""

    agent: str
    argv: tuple[str, ...]
    timeout: float = 3600.0
    """Seconds after which the command is stopped."""
    stall_timeout: float = 900.0
    """Seconds without output and without CPU growth after which the command is stopped."""
    stop_grace: float = 10.0
    """Seconds between the polite and the hard signals."""
    env: dict[str, str] = field(default_factory=dict)
    log_limit: int = 50 * 1024 * 1024
    """Bytes of output kept; the rest is counted and dropped."""


@dataclass(frozen=True)
class AgentWork:
    """One turn of an agent: what it is told, and where it works."""

    command: AgentCommand
    job_id: int
    token: str
    attempt: int
    work_item_id: str
    repo: str
    stage: str
    prompt: str
    workdir: Path
    """The folder the command runs in; it exists."""
    rundir: Path
    """A folder of orch's own for prompt, result file and log; it exists, outside `workdir`."""
    base_sha: str = ""
    silence: float = 60.0
    """Seconds without a sign of life of the worker after which the agent is stopped: its lease."""


StopReason = Literal["cancelled", "paused", "fenced", "shutdown"]
Ending = Literal["exited", "timeout", "stalled", "spawn_failed", "stopped"]


@dataclass(frozen=True)
class AgentResult:
    """How a turn ended, and what the agent said."""

    ending: Ending
    exit_code: int | None = None
    verdict: str | None = None
    """One of `orch.jobs.VERDICTS`, or None when the agent gave none."""
    summary: str = ""
    question: str = ""
    rework_to: str = ""
    stop_reason: StopReason | None = None
    usage: dict[str, float] = field(default_factory=dict)
    log_path: Path | None = None
    log_bytes: int = 0
    detail: str = ""
    """One sentence about what went wrong, empty when nothing did."""


Watch = Callable[[], StopReason | None]
"""Called every heartbeat while a command runs: renews the lease, and says whether to stop."""


class AgentRunner(Protocol):
    """Runs one turn of an agent to its end and leaves no process behind."""

    def run(self, work: AgentWork, watch: Watch, beat: float) -> AgentResult:
        """Run the command; call `watch` every `beat` seconds and stop when it says so."""
        ...


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
