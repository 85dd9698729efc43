"""Long work that a short task sets off: a verb of orch in a process of its own, one at a time.

A control task must be over in a moment: while it runs its dispatcher claims nothing, and after a
minute it is taken for stuck (`orch.processes`). What takes longer runs beside it and bounds itself:
each of its commands has a time limit, and it ends when the process that set it off has ended.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from orch.errors import AlreadyThere


class Errands:
    """The errands of one process; each kind runs once at a time."""

    def __init__(self, program: Sequence[str] = (sys.executable, "-m", "orch")) -> None:
        self._program = tuple(program)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *words: str) -> bool:
        """Run a verb with these words beside us. False while the last one like it still runs.

        What it says goes to our standard error.
        """
        last = self._running.get(words[0])
        if last is not None and last.poll() is None:
            return False
        self._running[words[0]] = subprocess.Popen(
            [*self._program, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # Ctrl-C at a terminal is for whoever leads the group, and reaches us through its end.
            start_new_session=True,
        )
        return True

    def wait(self, patience: float) -> None:
        """Wait for all of them, at most so many seconds for each."""
        for process in self._running.values():
            process.wait(patience)


def orphaned() -> Callable[[], bool]:
    """What answers whether the process that started this one has ended since."""
    parent = os.getppid()
    return lambda: os.getppid() != parent


@contextmanager
def alone(lock: Path, taken: str = "", fix: str = "") -> Iterator[None]:
    """Be the only one in this block on this machine. Raises AlreadyThere when somebody is in it,
    in the words given."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyThere(
                taken or f"Another process is at it already: {lock.name} is taken.",
                suggested_fix=fix or "Wait until it is through; it ends by itself.",
            ) from error
        yield
