"""A job's log for people: its last lines, and what comes after them as it is written.

By server-sent events where one of the few streams is free, else by asking for the next part: both
go on from a mark that says which file it was and how far it was read. Everything is text that shows
itself; the page puts it in as text.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, Final

from flask import Response, current_app, request
from pydantic import Field

from orch import job_log, jobs
from orch.errors import NotFound
from orch.job_log import JobLog
from web import following, values
from web.following import HELLO, PING
from web.given import Given
from web.pages import frame
from web.pages.frame import PAGES
from web.routes import Call, Desk, as_json

LINES: Final = 500
"""Lines that the page begins with."""
FIRST_BYTES: Final = 64 * 1024
MARK: Final = r"^[0-9a-f]{0,8}:[0-9]{1,18}$"
START: Final = ":0"
EVENTS: Final = "text/event-stream; charset=utf-8"


class OfLog(Given):
    """Whose log, and from where on."""

    job_id: values.Id
    at: Annotated[str, Field(pattern=MARK, description="How far it was read.")] = START


class OfJob(Given):
    """Which job."""

    job_id: values.Id
    seen: Annotated[str, Field(pattern=MARK, description="What the page showed before.")] = START


@PAGES.add("GET", "/ui/jobs/<job_id>/log", "viewer", OfJob)
def log(call: Call[OfJob]) -> Response:
    """The log of a job, followed as long as it is written."""
    return frame.live(call, "log.html", lambda: _facts(call))


def _facts(call: Call[OfJob]) -> dict[str, Any]:
    desk, job_id = call.desk, call.given.job_id
    job = job_log.facts(desk.line, job_id)
    with Reader(desk, job_id) as reader:
        try:
            shown = reader.last()
            away, has_prompt = "", job_log.prompt(desk.line, desk.data_dir, job_id) is not None
        except NotFound as error:
            shown, away = Step("", START, anew=False, is_open=False), error.message
            has_prompt = False
    return {
        "job": job,
        "text": shown.text,
        "at": shown.at,
        "is_open": job["status"] in jobs.OPEN,
        "away": away,
        "has_prompt": has_prompt,
        "next": job_log.next_job(desk.line, job_id),
    }


@PAGES.add("GET", "/ui/jobs/<job_id>/log/raw", "viewer", OfJob)
def raw(call: Call[OfJob]) -> Response:
    """The whole log as it was written, as a text."""
    return following.log(call.desk, values.JobLog(job_id=call.given.job_id), request, call.may)


@PAGES.add("GET", "/ui/jobs/<job_id>/log/part", "viewer", OfLog)
def part(call: Call[OfLog]) -> Response:
    """What was written since, for pages that find no stream free."""
    with Reader(call.desk, call.given.job_id, call.given.at) as reader:
        step = reader.step()
    return as_json({**_said(step), **({} if step.goes_on else _end(call.desk, call.given.job_id))})


@PAGES.add("GET", "/ui/jobs/<job_id>/log/stream", "viewer", OfLog)
def stream(call: Call[OfLog]) -> Response:
    """The same as it is written: `lines`, and `end` with the job that comes next."""
    desk, job_id = call.desk, call.given.job_id
    seen = request.headers.get("Last-Event-ID", "")
    reader = Reader(desk, job_id, seen if Reader.knows(seen) else call.given.at)
    encode = current_app.json.dumps
    waiting = [HELLO]
    over: list[bool] = []

    def look() -> bytes | None:
        if over:
            return None
        step = reader.step()
        said = waiting.pop() if waiting else b""
        if step.text or step.anew:
            said += _event("lines", encode(_said(step)), step.at)
        if not step.goes_on:
            over.append(True)
            said += _event("end", encode(_end(desk, job_id)), step.at)
        return said

    try:
        first = [look()]  # what is wrong is still an answer of its own
        response = desk.streams.response(
            lambda: first.pop() if first else look(), EVENTS, call.may, PING
        )
    except Exception:
        reader.close()
        raise
    response.call_on_close(reader.close)
    response.headers["Cache-Control"] = "no-store"
    return response


def _event(kind: str, data: str, at: str) -> bytes:
    return f"id: {at}\nevent: {kind}\ndata: {data}\n\n".encode()


def _said(step: Step) -> dict[str, Any]:
    return {"text": step.text, "at": step.at, "anew": step.anew, "open": step.goes_on}


def _end(desk: Desk, job_id: int) -> dict[str, Any]:
    """How the job ended, and which one came after it."""
    status = job_log.facts(desk.line, job_id)["status"]
    return {"status": status, "next": job_log.next_job(desk.line, job_id)}


@dataclass(frozen=True)
class Step:
    """Some of a log, and where to go on."""

    text: str
    at: str
    anew: bool
    """Whether it is the beginning of another file, as after a job was taken up again."""
    is_open: bool
    more: bool = False

    @property
    def goes_on(self) -> bool:
        """Whether there is, or may be, more to read."""
        return self.is_open or self.more


class Reader:
    """Reads on in a job's log, from one file to the next when the job is begun again."""

    def __init__(self, desk: Desk, job_id: int, at: str = START) -> None:
        self._desk = desk
        self._job_id = job_id
        self._mark, _, position = at.partition(":")
        self._position = int(position)
        self._opened: tuple[str, BinaryIO] | None = None
        self._files = ExitStack()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def knows(at: str) -> bool:
        """Whether this is a mark."""
        mark, colon, position = at.partition(":")
        hexadecimal = len(mark) <= 8 and set(mark) <= set("0123456789abcdef")
        return bool(colon) and hexadecimal and position.isdecimal() and len(position) <= 18

    def close(self) -> None:
        """Let go of the file."""
        self._files.close()

    def last(self) -> Step:
        """The last lines; what is written after them is for the next step."""
        found, mark, file = self._current()
        if file is None:
            return Step("", START, anew=False, is_open=found.open)
        least = max(0, job_log.size(file) - FIRST_BYTES)
        start = max(least, job_log.tail_start(file, LINES))
        piece = job_log.piece(file, start, ended=not found.open, most=FIRST_BYTES)
        return Step(piece.text, f"{mark}:{piece.end}", anew=False, is_open=found.open)

    def step(self) -> Step:
        """What has come since, a chunk at most."""
        # Whether it still grows is asked before reading: what comes between is found the next time.
        found, mark, file = self._current()
        if file is None:
            return Step("", f"{self._mark}:{self._position}", anew=False, is_open=found.open)
        is_other = bool(self._mark) and mark != self._mark
        start = 0 if is_other or job_log.size(file) < self._position else self._position
        anew = start < self._position
        piece = job_log.piece(file, start, ended=not found.open)
        self._mark, self._position = mark, piece.end
        more = piece.end > start and job_log.size(file) > piece.end
        return Step(piece.text, f"{mark}:{piece.end}", anew, found.open, more)

    def _current(self) -> tuple[JobLog, str, BinaryIO | None]:
        found = job_log.find(self._desk.line, self._desk.data_dir, self._job_id)
        # Part of the folder's name is the right to write as the job's worker: it is not shown.
        mark = hashlib.sha256(str(found.path).encode()).hexdigest()[:8]
        if self._opened is None or self._opened[0] != mark:
            file = job_log.open_log(found)
            if file is None:
                return found, mark, None
            self._files.close()
            self._files.enter_context(file)
            self._opened = mark, file
        return found, mark, self._opened[1]
