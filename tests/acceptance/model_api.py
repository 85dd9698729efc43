"""A model provider in small: answers every call with the same words, in three protocols."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Events = list[tuple[str, dict[str, Any]]]


class ModelApi:
    """Where it listens, what it says, and what it was asked."""

    def __init__(self, says: str) -> None:
        self.says = says
        self.status = 200
        self.asked: list[str] = []
        """The bodies of the calls."""
        self.url = ""


class Provider(ThreadingHTTPServer):
    """A server that knows what it is to say."""

    def __init__(self, says: str) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.api = ModelApi(says)
        self.api.url = f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    """One call."""

    server: Provider

    def do_GET(self) -> None:
        """Nothing is listed here."""
        self._answer(404, "application/json", b"{}")

    def do_POST(self) -> None:
        """The same words in the protocol of the path."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        protocol = self.path.partition("?")[0].rpartition("/")[2]
        api = self.server.api
        api.asked.append(body.decode("utf-8", "replace"))
        if api.status != 200:
            error = {"type": "error", "error": {"type": "refused", "message": "Refused."}}
            self._answer(api.status, "application/json", json.dumps(error).encode())
        elif protocol in STREAMS:
            self._answer(200, "text/event-stream", STREAMS[protocol](api.says))
        else:
            self._answer(404, "application/json", b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(says: str) -> Iterator[ModelApi]:
    """A provider on a free port of this machine, until the block ends."""
    with Provider(says) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.api
        finally:
            server.shutdown()
            thread.join()


def _named(events: Events) -> bytes:
    lines = [
        f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n" for name, data in events
    ]
    return ("\n".join(lines) + "\n").encode()


def _messages(text: str) -> Events:
    usage = {"input_tokens": 100, "output_tokens": 5}
    empty = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5"}
    empty |= {"content": [], "stop_reason": None, "usage": usage}
    return [
        ("message_start", {"message": empty}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": text}}),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}),
        ("message_stop", {}),
    ]


def _responses(text: str) -> Events:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item = {"type": "message", "id": "m1", "role": "assistant", "content": content}
    usage = {
        **{"input_tokens": 100, "output_tokens": 5, "total_tokens": 105},
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    return [
        ("response.created", {"response": {"id": "r1"}}),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        ("response.completed", {"response": {"id": "r1", "usage": usage}}),
    ]


def _chunks(text: str) -> bytes:
    usage = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    said = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    parts = [{"choices": [said]}, {"choices": [end]}, {"choices": [], "usage": usage}]
    lines = [f"data: {json.dumps(chunk | part)}\n\n" for part in parts]
    return ("".join(lines) + "data: [DONE]\n\n").encode()


STREAMS: dict[str, Callable[[str], bytes]] = {
    "messages": lambda says: _named(_messages(says)),
    "responses": lambda says: _named(_responses(says)),
    "completions": _chunks,
}
