"""What comes out of a running command: masked, cut to size, written to files, read line by line.

Loaded by the supervisor of every turn, so it imports nothing that costs time.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # the name that type checkers know
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

CHUNK: Final = 64 * 1024
TAIL: Final = 16 * 1024
"""Bytes of the end of a stream that go back with the report."""
LINE_LIMIT: Final = 10 * 1024 * 1024
"""Bytes a line may have to be read for its meaning; longer ones are in the log only."""
MASK: Final = b"[masked]"


class CappedFile:
    """A file that takes so many bytes and counts the rest."""

    def __init__(self, path: bytes, limit: int) -> None:
        flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o600)
        self._limit = self._room = limit
        self.size = self.dropped = 0
        self.fault = ""

    def write(self, data: bytes) -> None:
        """Keep what fits. A full disk counts as dropped: it is not the agent's failure."""
        kept = self._put(data[: self._room])
        self._room -= kept
        self.dropped += len(data) - kept

    def close(self) -> None:
        """Say in a last line how much is missing."""
        if self.dropped:
            why = self.fault or f"the limit is {self._limit} bytes"
            self._put(f"\n[orch] {self.dropped} bytes of output were dropped: {why}.\n".encode())
        os.close(self._fd)

    def _put(self, data: bytes) -> int:
        kept = 0
        try:
            while kept < len(data):
                kept += os.write(self._fd, data[kept:])
        except OSError as error:
            self.fault, self._room = os.strerror(error.errno or 0), kept
        self.size += kept
        return kept


class Lines:
    """Puts the parts of an output together again and hands every whole line to a reader."""

    def __init__(self, hear: Callable[[bytes], object]) -> None:
        self._hear = hear
        self._parts: list[bytes] = []
        self._size = 0

    def take(self, data: bytes) -> None:
        """Hand on what is complete, keep the rest. A line beyond the limit is passed over."""
        *whole, rest = data.split(b"\n")
        for line in whole:
            self._keep(line)
            self.close()
        self._keep(rest)

    def close(self) -> None:
        """The line is over, whether or not its end was printed."""
        if 0 < self._size <= LINE_LIMIT:
            self._hear(b"".join(self._parts))
        self._parts, self._size = [], 0

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > LINE_LIMIT:
            self._parts = []
        elif part:
            self._parts.append(part)


class Stream:
    """One output of the command: masked, then written line by line where it belongs."""

    def __init__(
        self, fd: int, masks: list[bytes], files: list[CappedFile], lines: Lines | None = None
    ) -> None:
        self.fd = fd
        self.tail = b""
        self._lines = lines
        self._masks = masks
        self._files = files
        self._overlap = max((len(mask) for mask in masks), default=1) - 1
        self._held = b""

    def read(self) -> bool:
        """Take what is there; False at the end of the stream."""
        chunk = os.read(self.fd, CHUNK)
        self._held = self._masked(self._held + chunk)
        if not chunk:
            self.flush()
        elif (cut := self._held.rfind(b"\n") + 1) or len(self._held) > CHUNK:
            # A line too long to hold goes out in parts, but for what may begin a secret.
            cut = cut or len(self._held) - self._overlap
            self._pass_on(self._held[:cut])
            self._held = self._held[cut:]
        return bool(chunk)

    def flush(self) -> None:
        """Let go of the unfinished last line."""
        self._pass_on(self._held)
        self._held = b""
        if self._lines:
            self._lines.close()

    def _masked(self, data: bytes) -> bytes:
        for mask in self._masks:
            data = data.replace(mask, MASK)
        return data

    def _pass_on(self, data: bytes) -> None:
        self.tail = (self.tail + data)[-TAIL:]
        for file in self._files:
            file.write(data)
        if self._lines:
            self._lines.take(data)
