"""Where the stand-in agents work: how a test holds them up, and what they leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

AGENT = Path(__file__).parent / "agent.sh"


@dataclass(frozen=True)
class Mark:
    """One line that an agent wrote."""

    repo: str
    item: str
    stage: str
    job: int
    attempt: int
    pid: int
    word: str
    uptime: float

    @property
    def turn(self) -> tuple[int, int, int]:
        """What tells one start of the agent from every other."""
        return self.job, self.attempt, self.pid


@dataclass(frozen=True)
class Desk:
    """The folder in which the agents of one stack leave their lines and look for a test's files."""

    folder: Path

    @contextmanager
    def held(self, item: str) -> Iterator[None]:
        """Agents of this work item wait inside the block."""
        hold = self.folder / f"hold-{item}"
        hold.touch()
        try:
            yield
        finally:
            hold.unlink()

    def poison(self, item: str) -> None:
        """From now on the agents of this work item kill whoever runs them."""
        (self.folder / f"poison-{item}").touch()

    def trace(self, item: str = "") -> list[Mark]:
        """Every line the agents wrote, in the order in which they did; or those of one task."""
        path = self.folder / "trace"
        lines = path.read_text().splitlines() if path.exists() else []
        marks = [_mark(line) for line in lines]
        return [mark for mark in marks if item in ("", mark.item)]

    def agents_alive(self) -> list[int]:
        """The processes that carry this desk's mark in their environment."""
        mark = f"DESK={self.folder}".encode()
        return [pid for pid in processes() if mark in _environ_of(pid)]


def processes() -> list[int]:
    """The id of every process there is."""
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def _mark(line: str) -> Mark:
    repo, item, stage, job, attempt, pid, word, uptime = line.split(" ")
    return Mark(repo, item, stage, int(job), int(attempt), int(pid), word, float(uptime))


def _environ_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
