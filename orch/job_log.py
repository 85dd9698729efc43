"""The log of one job, while it is written and afterwards: found, checked, read in parts.

A log is a plain file in orch's own folder. Whatever the database says about its place, nothing
outside that folder is ever opened, and no link is followed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from orch.errors import NotFound, UnknownJob
from orch.line import Line
from orch.store import history

CHUNK: Final = 64 * 1024
TAIL_BYTES: Final = 1024 * 1024
"""How far back the last lines are looked for."""
TOKEN_PART: Final = 12
"""How much of the claim's token names the folder of a turn."""


@dataclass(frozen=True)
class JobLog:
    """Where a job's log is, and whether it can still grow."""

    job_id: int
    path: Path | None
    """None as long as no agent has begun to write."""
    open: bool


def find(line: Line, data_dir: Path, job_id: int) -> JobLog:
    """The job's log. Raises UnknownJob, and NotFound for a place that is not orch's."""
    row = line.store.read(lambda conn: history.job_place(conn, job_id))
    if row is None:
        raise UnknownJob(f"No job has the id {job_id}.")
    root = data_dir.resolve() / "jobs"
    path = None
    if row["log_path"]:
        path = Path(row["log_path"])
    elif row["claim_token"]:
        path = root / str(job_id) / row["claim_token"][:TOKEN_PART] / "log"
    if path is not None and not path.resolve().is_relative_to(root):
        raise NotFound(f"The log of job {job_id} is not in this orch's folder.")
    return JobLog(job_id, path, bool(row["open"]))


def open_log(log: JobLog) -> BinaryIO | None:
    """The file; None when nothing has been written. Raises NotFound when it is gone for good."""
    if log.path is not None:
        try:
            return os.fdopen(os.open(log.path, os.O_RDONLY | os.O_NOFOLLOW), "rb")
        except OSError as error:
            if not log.open:
                raise NotFound(
                    f"The log of job {log.job_id} is not on this machine.",
                    suggested_fix="Look on the machine of the worker named in the job.",
                ) from error
    return None


def size(file: BinaryIO) -> int:
    """Bytes written up to now."""
    return os.fstat(file.fileno()).st_size


def part(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    """The bytes from `start` up to `stop`, never more than a chunk in memory."""
    file.seek(start)
    while start < stop and (chunk := file.read(min(CHUNK, stop - start))):
        start += len(chunk)
        yield chunk


def tail_start(file: BinaryIO, lines: int) -> int:
    """Where the last so many lines begin, at most a megabyte before the end."""
    end = size(file)
    begin = max(0, end - TAIL_BYTES)
    file.seek(begin)
    found = file.read(end - begin)
    cut = len(found.rstrip(b"\n"))
    for _ in range(lines):
        cut = found.rfind(b"\n", 0, max(cut, 0))
        if cut < 0:
            return begin
    return begin + cut + 1
