"""Reads files an agent may have made: follows no link, waits for no FIFO, takes no endless text."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

LIMIT: Final = 1024 * 1024
"""Bytes a file may have."""
MOST_ENTRIES: Final = 1000
"""Entries of a folder that are looked at."""


class RefusedError(Exception):
    """The file cannot be used; the text says why, and goes on after "it was refused:"."""


def content(root: Path, path: str) -> bytes | None:
    """The bytes of a file below `root`, None when there is none.

    `root` is orch's own and may be reached by a link; on `path` no part may be one. Raises
    RefusedError.
    """
    *folders, name = _parts(path)
    try:
        with _inside(root, folders) as folder:
            fd = _opened(name, folder, "it", 0)
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise RefusedError("it is not a regular file")
                with os.fdopen(fd, "rb", closefd=False) as file:
                    found = file.read(LIMIT + 1)
            finally:
                os.close(fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RefusedError(error.strerror or "it cannot be read") from error
    if len(found) > LIMIT:
        raise RefusedError(f"it is larger than {LIMIT} bytes")
    return found


def text(root: Path, path: str) -> str | None:
    """The text of a file below `root`, with plain line ends; None when there is none.

    Raises RefusedError, also when it is not UTF-8 or holds a NUL character.
    """
    found = content(root, path)
    return None if found is None else decoded(found)


def decoded(found: bytes) -> str:
    """The text these bytes are, with plain line ends. Raises RefusedError naming the line."""
    try:
        read = found.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = found.count(b"\n", 0, error.start) + 1
        raise RefusedError(
            f"line {line} is not UTF-8: it has the byte 0x{found[error.start]:02x}"
        ) from error
    if "\0" in read:
        line = read.count("\n", 0, read.index("\0")) + 1
        raise RefusedError(f"line {line} holds a NUL character")
    return read.replace("\r\n", "\n")


def entries(root: Path, path: str) -> list[str]:
    """The names in a folder below `root`, sorted; none when there is no such folder.

    Raises RefusedError.
    """
    try:
        with _inside(root, _parts(path)) as folder, os.scandir(folder) as found:
            return sorted(entry.name for entry in islice(found, MOST_ENTRIES))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RefusedError(error.strerror or "it cannot be listed") from error


def _parts(path: str) -> list[str]:
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise RefusedError("it has no plain path")
    return parts


@contextmanager
def _inside(root: Path, folders: Sequence[str]) -> Iterator[int]:
    # Folder by folder, so that no link put in between while we look leads out of the root.
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in folders:
            inner = _opened(name, fd, f"its folder `{name}`", os.O_DIRECTORY)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def _opened(name: str, folder: int, what: str, flags: int) -> int:
    flags |= os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            raise RefusedError(f"{what} is a symbolic link") from error
        if isinstance(error, NotADirectoryError):
            raise RefusedError(f"{what} is not a folder") from error
        raise
