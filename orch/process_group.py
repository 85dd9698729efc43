"""Child processes kept together: started, read, started again when they end, stopped in order.

One thread does all of it: a parent-death signal is tied to the thread that forked.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
"""Seconds before an ended child is started again; doubles from the first to the longest."""
HEALTHY_AFTER: Final = 60.0
"""Seconds after which a child's earlier failures are forgotten."""
CHUNK: Final = 64 * 1024
LONGEST_LINE: Final = 1024 * 1024
_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

Tell = Callable[[str, str], None]
"""Takes the name of a child, or an empty one for the group itself, and a line."""


@dataclass
class Child:
    """One process that is meant to run."""

    name: str
    argv: Sequence[str]
    stop_signal: signal.Signals = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    again_at: float = 0.0
    unread: bytes = field(default=b"", repr=False)

    @property
    def alive(self) -> bool:
        """Whether it runs at this moment."""
        return self.process is not None and self.process.poll() is None


class ProcessGroup:
    """Children in sessions of their own, so that Ctrl-C reaches only whoever leads the group."""

    def __init__(self, tell: Tell, env: Mapping[str, str] | None = None) -> None:
        self.children: dict[str, Child] = {}
        self._tell = tell
        self._env = env
        self._readers = selectors.DefaultSelector()

    def start(
        self, name: str, argv: Sequence[str], stop_signal: signal.Signals = signal.SIGTERM
    ) -> None:
        """Start a child and keep it running."""
        child = self.children[name] = Child(name, argv, stop_signal)
        self._spawn(child)

    def turn(self, wait: float, *, restart: bool = True) -> None:
        """Pass on what the children print for up to `wait` seconds, then look who has ended."""
        for key, _ in self._readers.select(wait):
            self._read(key.data)
        for child in self.children.values():
            if child.process is not None and child.process.poll() is not None:
                self._note_end(child, restart)
            if restart and child.process is None and time.monotonic() >= child.again_at:
                self._spawn(child)

    def stop(
        self,
        names: Sequence[str],
        patience: float,
        hurry: Callable[[], bool],
        how: signal.Signals | None = None,
    ) -> None:
        """Ask these children to stop, in this order; kill those that have not in time.

        Each is asked by its own signal unless `how` names another; after that nobody is killed.
        """
        chosen = [self.children[name] for name in names if name in self.children]
        for child in chosen:
            if child.process is not None and child.alive:
                child.process.send_signal(how or child.stop_signal)
        deadline = time.monotonic() + patience
        while any(child.alive for child in chosen):
            self.turn(0.1, restart=False)
            if time.monotonic() > deadline or hurry():
                break
        for child in chosen:
            if child.alive and how is not None:
                continue
            if child.alive:
                self._tell("", f"{child.name} did not stop in time and is killed")
            self._kill(child)

    def _spawn(self, child: Child) -> None:
        child.started = time.monotonic()
        child.process = subprocess.Popen(
            child.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=None if self._env is None else dict(self._env),
            start_new_session=True,
            preexec_fn=partial(die_with_parent, child.stop_signal, os.getpid()),
        )
        if child.process.stdout is not None:
            os.set_blocking(child.process.stdout.fileno(), False)
            self._readers.register(child.process.stdout, selectors.EVENT_READ, child)

    def _read(self, child: Child) -> bool:
        """Pass on the whole lines that have come; False at the end."""
        if child.process is None or child.process.stdout is None:
            return False
        try:
            chunk = os.read(child.process.stdout.fileno(), CHUNK)
        except BlockingIOError:
            return False
        *lines, child.unread = (child.unread + chunk).split(b"\n")
        if not chunk or len(child.unread) > LONGEST_LINE:
            lines, child.unread = [*lines, child.unread], b""
        for line in lines:
            if line.strip():
                self._tell(child.name, line.decode("utf-8", "replace"))
        if not chunk:
            self._forget_output(child)
        return bool(chunk)

    def _forget_output(self, child: Child) -> None:
        if child.process is not None and child.process.stdout is not None:
            with suppress(KeyError, ValueError):
                self._readers.unregister(child.process.stdout)
            child.process.stdout.close()
            child.process.stdout = None

    def _note_end(self, child: Child, restart: bool) -> None:
        """Read the rest, and say when it starts again."""
        assert child.process is not None  # noqa: S101 - the caller looked
        code = child.process.returncode
        while self._read(child):
            pass
        self._kill(child)
        if not restart:
            return
        now = time.monotonic()
        if now - child.started > HEALTHY_AFTER:
            child.failures = 0
        pause = min(FIRST_PAUSE * 2**child.failures, LONGEST_PAUSE)
        child.failures += 1
        child.again_at = now + pause
        self._tell("", f"{child.name} ended with code {code}; it starts again in {pause:g} s")

    def _kill(self, child: Child) -> None:
        """Leave nothing of the child's session, whether it has ended or not."""
        if child.process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()
        self._forget_output(child)
        child.process = None


def die_with_parent(how: signal.Signals, parent: int) -> None:
    """In a child between fork and exec: be sent this signal when the parent's thread ends."""
    # Signals that this process ignores would stay ignored over the exec.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, how, 0, 0, 0)
        if os.getppid() != parent:  # it was gone before the call above
            os._exit(1)
