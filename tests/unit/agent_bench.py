"""What the tests of agents share: a bench with folders, and stand-in programs to run on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from orch.adapters import agent_claude, agent_codex, agent_opencode
from orch.adapters.agent_command import CommandRunner
from orch.ports import AgentCommand, AgentResult, AgentWork, StopReason, Watch

AGENTS = Path(__file__).parent / "agents"
DIALECTS = {
    "claude": agent_claude.DIALECT,
    "codex": agent_codex.DIALECT,
    "opencode": agent_opencode.DIALECT,
}
COMMAND = AgentCommand("developer", (), timeout=20, stall_timeout=20, stop_grace=0.2)


def never() -> None:
    """A watch that lets the command run."""


class AgentBench:
    """Runs stand-ins in folders of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.workdir = folder / "work"
        self.rundir = folder / "run"
        self.workdir.mkdir()
        self.rundir.mkdir()
        self.base_env: Mapping[str, str] = {"PATH": os.defpath, "HOME": str(folder)}
        self.secrets: tuple[str, ...] = ()
        self.hidden: tuple[Path, ...] = ()
        self.now = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)

    def work(self, *argv: str, command: AgentCommand = COMMAND, prompt: str = "Go.") -> AgentWork:
        """A turn of this program; a bare name that is a stand-in is that stand-in."""
        stand_in = AGENTS / argv[0]
        program = str(stand_in) if stand_in.is_file() else argv[0]
        return AgentWork(
            command=replace(command, argv=(program, *argv[1:])),
            job_id=7,
            token="token",
            attempt=2,
            work_item_id="ACME-7",
            repo="acme/shop",
            stage="development",
            prompt=prompt,
            workdir=self.workdir,
            rundir=self.rundir,
            base_sha="abc123",
        )

    def run(self, work: AgentWork, watch: Watch = never, beat: float = 5.0) -> AgentResult:
        """The result of the turn."""
        runner = CommandRunner(
            self.base_env,
            self.secrets,
            dialects=DIALECTS,
            hidden=self.hidden,
            now=lambda: self.now,
        )
        return runner.run(work, watch, beat)

    def sh(self, script: str, watch: Watch = never, beat: float = 5.0) -> AgentResult:
        """The result of a shell script."""
        return self.run(self.work("sh", "-c", script), watch, beat)

    def log(self) -> str:
        """The log as a page would show it."""
        return (self.rundir / "log").read_text(errors="replace")

    def alive(self) -> list[int]:
        """The processes that carry this bench's mark in their environment."""
        mark = f"ORCH_RESULT_FILE={self.rundir.resolve()}/result.json".encode()
        return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if _has(folder, mark)]

    def when(self, name: str, reason: StopReason) -> Callable[[], StopReason | None]:
        """A watch that says to stop once the file exists in the working folder."""
        return lambda: reason if (self.workdir / name).exists() else None


def _has(process: Path, mark: bytes) -> bool:
    try:
        return mark in (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
