"""The log of one job, while it is written and afterwards: found, checked, read in parts.

A log is a plain file in orch's own folder. Whatever the database says about its place, nothing
outside that folder is ever opened, and no link is followed.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from orch.errors import NotFound, UnknownJob
from orch.line import Line
from orch.store import ended, history

CHUNK: Final = 64 * 1024
PROMPT_BYTES: Final = 256 * 1024
"""So much of a prompt is shown."""
TAIL_BYTES: Final = 1024 * 1024
"""How far back the last lines are looked for."""
_ESCAPE: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
"""What a terminal would obey: colours, titles, links, the place of the cursor."""
_UNSEEN: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)
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
            return _plain_file(log.path)
        except OSError as error:
            if not log.open:
                raise NotFound(
                    f"The log of job {log.job_id} is not on this machine.",
                    suggested_fix="Look on the machine of the worker named in the job.",
                ) from error
    return None


def _plain_file(path: Path) -> BinaryIO:
    """Open what is a file and nothing else. Raises OSError."""
    # A pipe in its place would keep this thread until somebody writes to it.
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "is no plain file", str(path))
        return os.fdopen(number, "rb")
    except OSError:
        os.close(number)
        raise


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


@dataclass(frozen=True)
class Piece:
    """Some of a log as text for people, and where in the file it ends."""

    text: str
    end: int


def piece(file: BinaryIO, start: int, *, ended: bool, most: int = CHUNK) -> Piece:
    """What can be read on from `start`, `most` bytes of it: whole lines while it still grows.

    A file that has become shorter was begun anew, and is read from its beginning.
    """
    length = size(file)
    start = start if start <= length else 0
    data = b"".join(part(file, start, min(length, start + most)))
    cut = data.rfind(b"\n") + 1
    if not cut and len(data) == most:
        cut = len(data)  # one line is longer than that
    if ended and start + len(data) == length:
        cut = len(data)
    return Piece(readable(data[:cut]), start + cut)


def readable(data: bytes) -> str:
    """Bytes of a program as text that shows itself and does nothing: no escape sequence, no control
    character but tab and line break, nothing that turns the direction of reading."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return visible(_ESCAPE.sub("", text))


def visible(text: str) -> str:
    """A text in which nothing is unseen that a terminal or a browser would obey."""
    return _UNSEEN.sub(_made_visible, text)


def _made_visible(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else f"<U+{code:04X}>"


def prompt(line: Line, data_dir: Path, job_id: int) -> tuple[str, bool] | None:
    """What the job's agent was told, as it was sent, and whether that is all; None when there is
    none. Raises UnknownJob, NotFound."""
    log = find(line, data_dir, job_id)
    if log.path is None:
        return None
    with open_log(JobLog(job_id, log.path.with_name("prompt.md"), True)) or io.BytesIO() as file:
        data = file.read(PROMPT_BYTES + 1)
    if not data:
        return None
    return readable(data[:PROMPT_BYTES]), len(data) <= PROMPT_BYTES


def facts(line: Line, job_id: int) -> dict[str, Any]:
    """A job with the names of its task, to stand above its log. Raises UnknownJob."""
    row = line.store.read(lambda conn: ended.job_facts(conn, job_id))
    if row is None:
        raise UnknownJob(f"No job has the id {job_id}.")
    return dict(row)


def next_job(line: Line, job_id: int) -> int | None:
    """The job that came after this one for the same task, if there is one by now."""
    return line.store.read(lambda conn: ended.next_job(conn, job_id))
