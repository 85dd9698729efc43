"""The command line on a database of the test's own, with a doorbell that only remembers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orch import bootstrap, logs, stages
from orch.adapters.memory_queue import MemoryQueue
from orch.cli import output
from orch.cli.root import root
from orch.line import Line
from orch.store import fleet
from orch.store.moments import DATABASE_TIME


@dataclass
class CommandLine:
    """Runs `orch` in this process and keeps what it rang."""

    bell: MemoryQueue
    folder: Path

    def __call__(self, *args: str) -> Result:
        """What a pipe would see."""
        return CliRunner().invoke(root, args, prog_name="orch")

    def facts(self, *args: str) -> list[Any]:
        """The JSON lines of a call that must succeed."""
        done = self(*args)
        assert done.exit_code == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def fact(self, *args: str) -> Any:
        """The only JSON line of a call that must succeed."""
        (only,) = self.facts(*args)
        return only

    def told(self, *args: str) -> str:
        """What a person at a terminal would read."""
        done = self(*args, "--table")
        assert done.exit_code == 0, done.stderr
        return done.stdout

    def line(self) -> Line:
        """The line itself, to arrange what the command line is then asked about."""
        return bootstrap.build_line(bootstrap.load(), self.bell)

    def staff(self, *agents: str, slots: int = 1) -> None:
        """Let workers serve these agents; all of them when none is named."""
        store = self.line().store
        for agent in agents or stages.AGENTS:
            queue = stages.queue_of(agent)
            store.write(
                lambda conn, agent=agent, queue=queue: fleet.register(
                    conn, f"{agent}@test", queue, slots, "0", DATABASE_TIME
                )
            )
        store.dispose()


@pytest.fixture
def bell() -> MemoryQueue:
    """The doorbell behind the command line."""
    return MemoryQueue()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bell: MemoryQueue) -> Iterator[Path]:
    """An empty folder as the present one, without a database."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(bootstrap, "build_queue", lambda settings: bell)
    # It rearranges the log of the whole process, which is that of the tests here.
    monkeypatch.setattr(logs, "configure", lambda level, form: None)
    output.console.cache_clear()
    yield here
    output.console.cache_clear()


@pytest.fixture
def orch(folder: Path, bell: MemoryQueue, sqlite_template: Path) -> CommandLine:
    """`orch` in a folder with a migrated database."""
    (folder / ".orch").mkdir()
    shutil.copyfile(sqlite_template, folder / ".orch" / "orch.db")
    return CommandLine(bell, folder)


@pytest.fixture
def bare_orch(folder: Path, bell: MemoryQueue) -> CommandLine:
    """`orch` in a folder with nothing in it."""
    return CommandLine(bell, folder)


@pytest.fixture
def incident(orch: CommandLine) -> CommandLine:
    """ORCH-116 holds the line of `shop`; ORCH-123 waits behind it."""
    for item in ("ORCH-116", "ORCH-123"):
        orch.fact("add", item, "--repo", "shop", "--title", f"about {item}")
    return orch
