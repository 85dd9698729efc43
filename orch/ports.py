"""What orch needs from the outside, in orch's words: at most five verbs a port.

An adapter implements a port and translates the errors of its world into `orch.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from orch.jobs import Failure
from orch.qg.commands import CommandName, CommandRun
from orch.qg.verdict import OwnDocument


class Claim(NamedTuple):
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


@dataclass(frozen=True)
class Remote:
    """Where the shared repository of a repo is."""

    repo: str
    url: str
    """As `orch.names.remote_url` takes it: it holds no password."""
    default_branch: str = ""
    """The branch that work is cut from and lands on; empty is the one the remote names."""


@dataclass(frozen=True)
class Turn:
    """Which claim works in a workspace, so that an older one can be told from it."""

    number: int
    """Never falls from one claim of a task to the next."""
    token: str


@dataclass(frozen=True)
class Cut:
    """A task's workspace: a folder with its own repository, on the task's own branch."""

    remote: Remote
    """With the default branch filled in."""
    work_item: str
    path: Path
    branch: str
    base_sha: str
    """The commit of the default branch that the task's commits stand on."""
    turn: Turn


@dataclass(frozen=True)
class Tree:
    """What is in a workspace. Paths are relative; bytes that are no UTF-8 are shown as `\\xNN`."""

    head_sha: str
    branch: str
    """The branch that is checked out; empty when none is."""
    dirty: tuple[str, ...]
    """Paths with changes that no commit holds, and untracked ones that are not ignored."""
    on_base: bool
    """Whether the head descends from the base."""
    commits: int
    merges: int
    """Commits since the base, and how many of them are merges."""
    changed: tuple[str, ...]
    """Paths that differ between base and head."""
    escaping_symlinks: tuple[str, ...]
    """Changed links that lead out of the tree, into `.git`, or cannot be shown not to."""
    oversize: tuple[str, ...]
    """Changed or untracked files above the limit."""
    submodules: tuple[str, ...]
    """Changed submodules, and `.gitmodules`."""

    @property
    def empty(self) -> bool:
        """Whether the commits, if there are any, change nothing."""
        return not self.changed


@dataclass(frozen=True)
class Rebased:
    """Where the task's commits stand now."""

    base_sha: str
    head_sha: str
    moved: bool
    """False when they stood on the newest default branch already."""


@dataclass(frozen=True)
class Commit:
    """One commit of a task, for people."""

    sha: str
    author: str
    at: datetime
    subject: str


@dataclass(frozen=True)
class Change:
    """What a task's commits change, as text for prompts and pages."""

    commits: tuple[Commit, ...]
    """Newest first, at most 200."""
    text: str
    truncated: bool


class Workspaces(Protocol):
    """Folders in which agents work, one per task. Every verb may raise a GitError."""

    def cut(
        self, remote: Remote, work_item: str, turn: Turn, *, known: str = "", fresh: bool = False
    ) -> Cut:
        """The task's workspace, put right or made, and taken over by this turn.

        A new one is cut from the default branch as it is now, or from the topic branch if orch had
        offered it. `known` is the head last offered as the store has it, for a machine that has
        not seen the task yet. `fresh` throws away what no offer holds. Raises GitFenced when a
        later turn has it, GitRefused when the topic branch holds commits that are not orch's,
        GitMissing when somebody deleted it.
        """
        ...

    def inspect(self, cut: Cut, *, file_limit: int = 100_000_000) -> Tree:
        """What is in the workspace; `file_limit` is in bytes. Nothing in it is executed."""
        ...

    def rebase(self, cut: Cut) -> Rebased:
        """Carry the task's commits over to the default branch as it is now.

        Raises GitConflict with `files` and `hunks`, the workspace as it was; GitRefused when there
        are uncommitted changes, merges, or another branch checked out.
        """
        ...

    def diff(self, cut: Cut, limit: int = 200_000) -> Change:
        """The task's commits and what they change; `limit` is in bytes."""
        ...

    def discard(self, cut: Cut, *, force: bool = False) -> bool:
        """Remove the workspace and what orch keeps of the task's branch; False if there is none.

        Raises GitRefused when work would be lost that is neither landed nor offered, unless forced.
        """
        ...


@dataclass(frozen=True)
class DiskUse:
    """Bytes taken by one repo, and bytes that are left."""

    depot: int
    workspaces: int
    free: int


class Upkeep(Protocol):
    """What keeps the disk from filling unseen."""

    def workspaces(self, repo: str) -> list[str]:
        """The work items that have a workspace here."""
        ...

    def disk_use(self, repo: str) -> DiskUse:
        """What the repo takes on disk."""
        ...


@dataclass(frozen=True)
class Landed:
    """A task's work on the default branch."""

    base_sha: str
    """The default branch right before."""
    tested_sha: str
    merge_sha: str
    """The first commit of the default branch that contains the tested head."""
    anew: bool
    """False when it had landed before: the answer was lost, or a person merged it."""


class Forge(Protocol):
    """The shared repository: where work is offered and where it lands.

    Every verb may raise GitUnreachable or GitTimeout, and may then simply be called again.
    """

    def tip(self, remote: Remote) -> str:
        """The commit at which the default branch is now."""
        ...

    def offer(self, cut: Cut, head_sha: str) -> None:
        """Push this head as the topic branch, over nothing but what orch itself put there.

        Raises GitFenced when a later turn has the workspace, GitMoved when somebody else changed
        the branch, GitMissing when somebody deleted it, GitRefused when the remote says no.
        """
        ...

    def land(self, cut: Cut, tested_sha: str, expected_base: str, title: str = "") -> Landed:
        """Merge exactly this head into the default branch, which must be exactly there.

        The same call again finds what it did before. Raises GitMoved (`branch`, `expected`,
        `actual`) when the default or the topic branch is elsewhere, GitRefused when there is
        nothing to land, when the head does not stand on that base, or holds merges.
        """
        ...

    def contains(self, remote: Remote, sha: str) -> bool:
        """Whether the default branch, read anew, contains this commit."""
        ...

    def withdraw(self, cut: Cut) -> bool:
        """Delete the topic branch if it is as orch offered it; whether it is gone."""
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
