"""The two answers that can go on: the ledger as it is written, the log of a running job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, Final

from flask import Request, Response, current_app

from orch import events, job_log
from orch.errors import BadInput
from web import values
from web.routes import Desk

PING: Final = b": still here\n\n"
HELLO: Final = b"retry: 2000\n\n"
"""Tells browsers to come again after two seconds when the stream ends."""


def ledger(desk: Desk, wanted: events.Wanted, last_event_id: str | None) -> Response:
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
        lambda: first.pop() if first else look(), "text/event-stream", PING
    )


def _event(event: dict[str, object], data: str) -> bytes:
    return f"id: {event['id']}\nevent: {event['kind']}\ndata: {data}\n\n".encode()


def _seen(last_event_id: str | None, after: int | None) -> int | None:
    if last_event_id is None or not last_event_id:
        return after
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19):
        raise BadInput("Last-Event-ID is not the id of an event.", field="Last-Event-ID")
    return int(last_event_id)


def log(desk: Desk, asked: values.JobLog, request: Request) -> Response:
    """A job's log: whole or a range of it, its last lines, or following it to its end."""
    found = job_log.find(desk.line, desk.data_dir, asked.job_id)
    file = job_log.open_log(found)
    if asked.follow:
        return _follow(desk, asked, file)
    if file is None:
        return _text(iter(()))
    length = job_log.size(file)
    start = 0 if asked.tail is None else job_log.tail_start(file, asked.tail)
    response = _text(job_log.part(file, start, length))
    response.call_on_close(file.close)
    if asked.tail is None:
        response.headers["Content-Length"] = str(length)
        response.make_conditional(request, accept_ranges=True, complete_length=length)
    return response


def _text(chunks: Iterator[bytes]) -> Response:
    return Response(chunks, content_type="text/plain; charset=utf-8")


def _follow(desk: Desk, asked: values.JobLog, file: BinaryIO | None) -> Response:
    position = job_log.tail_start(file, asked.tail) if file and asked.tail else 0
    opened = [file] if file else []

    def look() -> bytes | None:
        nonlocal position
        # Asked before reading: what is written between the two is found the next time.
        now = job_log.find(desk.line, desk.data_dir, asked.job_id)
        if not opened and (late := job_log.open_log(now)) is not None:
            opened.append(late)
        if opened:
            stop = min(job_log.size(opened[0]), position + job_log.CHUNK)
            if chunk := b"".join(job_log.part(opened[0], position, stop)):
                position += len(chunk)
                return chunk
        return b"" if now.open else None

    response = desk.streams.response(look, "text/plain; charset=utf-8")
    response.call_on_close(lambda: [each.close() for each in opened])
    return response
