"""The folders orch keeps for git, and nothing outside them: no path leads through a link.

`depots/<repo>.git` is one bare repository per repo, `work/<repo>/<ID>` one workspace per task.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from orch import names
from orch.errors import GitDiskFull, GitError, GitRefused, GitTimeout

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
BLOCK: Final = 512
"""Bytes in the unit in which a file system says what a file takes."""


class Folders:
    """Where everything is below the data folder; no path is built but from checked names."""

    def __init__(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.root = data.resolve()

    def depot(self, repo: str) -> Path:
        """The bare repository of a repo."""
        return self._inside("depots", f"{_flat(repo)}.git")

    def lock(self, repo: str) -> Path:
        """The file whose lock says who writes in the depot of a repo."""
        return self._inside("depots", f"{_flat(repo)}.lock")

    def work(self, repo: str) -> Path:
        """The folder of a repo's workspaces."""
        return self._inside("work", _flat(repo))

    def workspace(self, repo: str, work_item: str) -> Path:
        """The workspace of a task."""
        return self._inside("work", _flat(repo), names.work_item(work_item))

    def remove(self, path: Path) -> None:
        """Remove a folder of orch's own with all that is in it; a link is never followed."""
        inside = path.relative_to(self.root).parts  # a fault of ours otherwise, and no removal
        if len(inside) < 2:
            raise GitRefused(f"{path} is not a folder that orch may remove.")
        self._inside(*inside[:-1])
        with disk_errors(f"{path} cannot be removed"):
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.exists():
                _open_up(path)
                shutil.rmtree(path)

    def _inside(self, *parts: str) -> Path:
        path = self.root
        for part in parts:
            path = path / part
            if path.is_symlink():
                raise GitRefused(
                    f"{path} is a link, and orch follows none among its own folders.",
                    suggested_fix="Find out who put it there, then remove it.",
                )
        return path


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Errors of the file system, as errors of orch."""
    try:
        yield
    except OSError as error:
        kind = GitDiskFull if error.errno in FULL else GitError
        raise kind(f"{what}: {error.strerror or error}.") from error


@contextmanager
def locked(path: Path, patience: float) -> Iterator[int]:
    """Hold the lock on this file, waiting up to `patience` seconds; its file descriptor.

    A process that ends loses it, however it ends. Raises GitTimeout.
    """
    deadline = time.monotonic() + patience
    with disk_errors(f"{path} cannot be locked"):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        while not _taken(descriptor):
            if time.monotonic() >= deadline:
                raise GitTimeout(
                    f"Another process has been busy in {path.stem} for {patience:g} s."
                )
            threading.Event().wait(0.02)
        yield descriptor
    finally:
        os.close(descriptor)


def write_anew(path: Path, content: bytes) -> None:
    """Put a file in its place as a whole; a link that stands there is replaced, not followed."""
    beside = path.with_name(f"{path.name}.lock")  # as git calls it, so what stays is cleared
    with disk_errors(f"{path} cannot be written"):
        beside.unlink(missing_ok=True)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
        with os.fdopen(os.open(beside, flags, 0o644), "wb") as file:
            file.write(content)
        beside.replace(path)


def is_folder(path: Path) -> bool:
    """Whether there is a folder, and not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def clear_locks(git_dir: Path) -> None:
    """Remove the lock and half-written files of processes that are gone.

    Only for whoever knows that nobody else writes in this repository.
    """
    with disk_errors(f"{git_dir} cannot be cleared of old locks"):
        for folder, folders, files in os.walk(git_dir):
            if Path(folder).name in ("objects", "pack"):
                stale = [name for name in files if name.startswith(("tmp_", ".tmp-"))]
            else:
                stale = [name for name in files if name.endswith(".lock")]
            for name in stale:
                (Path(folder) / name).unlink(missing_ok=True)
            if Path(folder).name == "objects":
                # The folders of single objects are many, and their names say which is half made.
                folders[:] = [name for name in folders if name == "pack"]


def used(path: Path) -> int:
    """Bytes that a folder takes on disk; what goes away meanwhile is not counted."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(Path(folder) / name).st_blocks * BLOCK
            except OSError:
                continue  # gone, or not ours to look at
    return total


def _flat(repo: str) -> str:
    """A repo's name as one folder; `owner/name` must not lie within a repo called `owner`."""
    return names.repo(repo).replace("/", "+")


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open_up(path: Path) -> None:
    """Let the folders below be emptied: build tools like to make theirs read-only."""
    path.chmod(0o700)
    for folder, folders, _ in os.walk(path):
        for name in folders:
            mode = os.lstat(Path(folder) / name).st_mode
            if stat.S_ISDIR(mode) and mode & 0o700 != 0o700:
                (Path(folder) / name).chmod(0o700)
