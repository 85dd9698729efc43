"""The two answers that can go on: the ledger as it is written, the log of a running job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO, Final

from flask import Request, Response, current_app

from orch import events, job_log
from orch.errors import BadInput
from orch.job_log import JobLog
from web import values
from web.routes import Desk
from web.streams import Look
from web.visits import May

TEXT: Final = "text/plain; charset=utf-8"
PING: Final = b": still here\n\n"
HELLO: Final = b"retry: 2000\n\n"
"""Tells browsers to come again after two seconds when the stream ends."""


def ledger(desk: Desk, wanted: events.Wanted, last_event_id: str | None, may: May) -> Response:
    """Events as they happen, from the last one the reader has seen, or from now."""
    if wanted.before is not None:
        raise BadInput("A stream only goes forwards: leave out `before`.", field="before")
    seen = _seen(last_event_id, wanted.after)
    position = events.newest(desk.line) if seen is None else seen
    encode = current_app.json.dumps
    hello = [HELLO]

    def look() -> bytes | None:
        nonlocal position
        page = events.page(desk.line, replace(wanted, after=position))
        position = page["last"]
        said = [_event(event, encode(event)) for event in page["events"]]
        return b"".join([*(hello.pop() for _ in hello[:]), *said])

    # Asked once before the answer begins, so that what is wrong is still a problem.
    first = [look()]
    return desk.streams.response(
        lambda: first.pop() if first else look(), "text/event-stream", may, PING
    )


def _event(event: dict[str, object], data: str) -> bytes:
    return f"id: {event['id']}\nevent: {event['kind']}\ndata: {data}\n\n".encode()


def _seen(last_event_id: str | None, after: int | None) -> int | None:
    if last_event_id is None or not last_event_id:
        return after
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19):
        raise BadInput("Last-Event-ID is not the id of an event.", field="Last-Event-ID")
    return int(last_event_id)


def log(desk: Desk, asked: values.JobLog, request: Request, may: May) -> Response:
    """A job's log: whole or a range of it, its last lines, or following it to its end."""
    opened: list[BinaryIO] = []

    def close() -> None:
        for file in opened:
            file.close()

    def current() -> tuple[JobLog, BinaryIO | None]:
        found = job_log.find(desk.line, desk.data_dir, asked.job_id)
        if not opened and (file := job_log.open_log(found)) is not None:
            opened.append(file)
        return found, opened[0] if opened else None

    try:
        _, file = current()
        response = (
            desk.streams.response(_growing(current, asked.tail), TEXT, may)
            if asked.follow
            else _as_it_is(file, asked.tail, request)
        )
    except Exception:
        close()
        raise
    response.call_on_close(close)
    return response


def _as_it_is(file: BinaryIO | None, tail: int | None, request: Request) -> Response:
    if file is None:
        return Response(b"", content_type=TEXT)
    length = job_log.size(file)
    start = 0 if tail is None else job_log.tail_start(file, tail)
    response = Response(job_log.part(file, start, length), content_type=TEXT)
    response.content_length = length - start
    if tail is None:
        response.make_conditional(request, accept_ranges=True, complete_length=length)
    return response


def _growing(current: Callable[[], tuple[JobLog, BinaryIO | None]], tail: int | None) -> Look:
    _, begun = current()
    position = job_log.tail_start(begun, tail) if begun and tail else 0

    def look() -> bytes | None:
        nonlocal position
        # Asked before reading: what is written between the two is found the next time.
        log, file = current()
        if file is not None:
            stop = min(job_log.size(file), position + job_log.CHUNK)
            if chunk := b"".join(job_log.part(file, position, stop)):
                position += len(chunk)
                return chunk
        return b"" if log.open else None

    return look
