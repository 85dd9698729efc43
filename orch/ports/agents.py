"""What runs an agent: how it is called, what it is told, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from orch.jobs import Failure
from orch.qg.verdict import OwnDocument

Adapter = Literal["command", "claude", "codex", "opencode"]
Sandbox = Literal["bubblewrap"] | tuple[str, ...]


@dataclass(frozen=True)
class AgentCommand:
    """How one agent is called."""

    agent: str
    argv: tuple[str, ...]
    """The program and its first words; empty for the adapter's own program."""
    timeout: float = 3600.0
    """Seconds after which the command is stopped."""
    stall_timeout: float = 900.0
    """Seconds without output and without CPU growth after which the command is stopped."""
    stop_grace: float = 10.0
    """Seconds between the polite and the hard signals."""
    env: dict[str, str] = field(default_factory=dict)
    log_limit: int = 50 * 1024 * 1024
    """Bytes of output kept; the rest is counted and dropped."""
    adapter: Adapter = "command"
    """Which program it is: how to call it, and how to read what it prints."""
    model: str = ""
    max_turns: int | None = None
    budget_usd: float | None = None
    """What one turn may cost, where the program keeps count."""
    sandbox: Sandbox = ()
    """The wall around it: orch's own, or words before the command; empty for none."""
    network: bool = True
    """Whether it reaches the network from inside `bubblewrap`."""


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
    """The folder the command runs in; made if it is not there."""
    rundir: Path
    """A folder of orch's own for prompt, result file and log, outside `workdir`; made as well."""
    base_sha: str = ""
    silence: float = 60.0
    """Seconds without a sign of life of the worker after which the agent is stopped: its lease."""
    resume_session: str = ""
    """The `session_id` of the attempt this one goes on with; empty begins anew."""
    document: OwnDocument | None = None
    """The document of the stage in which the verdict may stand, as it was before."""
    writable: tuple[Path, ...] = ()
    """Folders beside `workdir` that it writes, such as the repository a worktree belongs to."""


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
    """What the turn took: input_tokens, cached_input_tokens (part of them), output_tokens,
    cost_usd, turns; what nobody counted is not there."""
    session_id: str = ""
    """By which a further attempt may go on with this conversation."""
    failure: Failure | None = None
    """The class of the failure, where the program itself told."""
    limited_until: datetime | None = None
    """When the provider serves again, where it was stated with `provider_limited`."""
    argv: tuple[str, ...] = ()
    """The command as it was run, sandbox included."""
    env_names: tuple[str, ...] = ()
    """The names in its environment; the values are nobody's business."""
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
