"""A stand-in for a service that speaks JSON: checks each request against the published contract,
answers from state of its own, and fails as it is told.

    with Stub(contract("plane"), {"list_states": states}) as stub:
        stub.fail("429", "GET", "/states/", times=2, retry_after=7)
        Service(stub.url, ...).ask(...)

Leaving the block fails the test when a request was not as the contract says.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Literal, Self
from urllib.parse import parse_qsl

from tests.contracts.schemas import Endpoint, endpoints, parameters

FaultKind = Literal[
    "timeout", "500", "503", "429", "reset", "lost", "slow", "not-json", "other-json"
]
FAULTS: Final[Mapping[FaultKind, str]] = {
    "timeout": "no answer at all",
    "500": "its own error",
    "503": "not now",
    "429": "too many requests, with Retry-After",
    "reset": "the connection cut, nothing done",
    "lost": "done, and the connection cut before the answer",
    "slow": "done, and answered late",
    "not-json": "done, and answered with a page for people",
    "other-json": "done, and answered with JSON of another shape",
}
"""What can go wrong at any request. What is *done* has happened at the service."""


@dataclass(frozen=True)
class Call:
    """One request as it came."""

    endpoint: str
    """Id in the contract; empty where it has none."""
    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """By names in small letters."""
    body: Any = None


@dataclass(frozen=True)
class Said:
    """One answer."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


Answering = Callable[[Call], Said]
Bare = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class _Rule:
    """What happens to some of the requests, and how often still."""

    method: str
    path: str
    times: int | None

    def takes(self, method: str, path: str) -> bool:
        if self.times == 0 or self.method not in ("*", method) or self.path not in path:
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass
class _Fault(_Rule):
    kind: FaultKind
    retry_after: int = 7
    seconds: float = 0.05


@dataclass
class _Act(_Rule):
    act: Callable[[], object]
    after: bool


class Stub:
    """A service on a free port of this machine."""

    def __init__(
        self,
        known: Mapping[str, Any] | Sequence[Endpoint],
        answers: Mapping[str, Answering],
        *,
        guard: Callable[[Call], Said | None] = lambda call: None,
        errors: Mapping[str, Any] | None = None,
    ) -> None:
        """`known` is a contract, or its endpoints read already; `answers` by the ids of endpoints;
        `guard` may answer before any of them, such as to a wrong key; `errors` are the bodies of
        faults by status."""
        self.violations: list[str] = []
        self.calls: list[Call] = []
        self.bare: dict[str, Bare] = {}
        """By the beginning of a path: what is no part of the API, such as git's own protocol."""
        self._endpoints = endpoints(known) if isinstance(known, Mapping) else known
        self._answers, self._guard, self._errors = answers, guard, errors or {}
        self._faults: list[_Fault] = []
        self._acts: list[_Act] = []
        self._lock = threading.RLock()
        self.closing = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """Where it is, without a path."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.cut_all()
        self._server.server_close()
        assert kind is not None or not self.violations, "\n".join(self.violations)

    def fail(
        self,
        kind: FaultKind,
        method: str = "*",
        path: str = "",
        *,
        times: int | None = 1,
        retry_after: int = 7,
    ) -> None:
        """Fail at the next `times` requests of that method whose path holds `path`; None is until
        `mend`."""
        with self._lock:
            self._faults.append(_Fault(method, path, times, kind, retry_after))

    def still(self) -> AbstractContextManager[Any]:
        """Inside the block no request is answered: for who changes what it answers from."""
        return self._lock

    def mend(self) -> None:
        """Fail no more."""
        with self._lock:
            self._faults.clear()

    @property
    def fails(self) -> bool:
        """Whether a request may still fail."""
        with self._lock:
            return any(fault.times != 0 for fault in self._faults)

    def meanwhile(
        self, method: str, path: str, act: Callable[[], object], *, after: bool = False
    ) -> None:
        """Right before the next such request is answered, or right after, somebody does this."""
        with self._lock:
            self._acts.append(_Act(method, path, 1, act, after))

    def seen(self, method: str = "*", path: str = "") -> list[Call]:
        """The requests of that method whose path holds `path`, oldest first; failed ones too."""
        with self._lock:
            return [c for c in self.calls if method in ("*", c.method) and path in c.path]

    def take(self, call: Call, raw: bytes) -> tuple[Said, _Fault | None]:
        """What one request comes to. Called by the server."""
        with self._lock:
            endpoint, call = self._understood(call, raw)
            self.calls.append(call)
            fault = next((f for f in self._faults if f.takes(call.method, call.path)), None)
            if fault is not None and fault.kind in ("timeout", "reset", "500", "503", "429"):
                return self._failed(fault), fault
            self._do(call, after=False)
            said = self._guard(call) or self._answer(endpoint, call)
            if endpoint is not None:
                self._hold_against(call, endpoint.wrong_in_answer(said.status, said.body))
            self._do(call, after=True)
            return self._mangled(said, fault), fault

    def _understood(self, call: Call, raw: bytes) -> tuple[Endpoint | None, Call]:
        body = self._body(call, raw)
        for endpoint in self._endpoints:
            found = parameters(endpoint, call.path)
            if endpoint.method == call.method and found is not None:
                known = Call(
                    endpoint.id, call.method, call.path, found, call.query, call.headers, body
                )
                self._hold_against(known, endpoint.wrong_in_query(call.query))
                self._hold_against(known, endpoint.wrong_in_body(body))
                return endpoint, known
        self._hold_against(call, ["the contract has no such endpoint"])
        return None, call

    def _body(self, call: Call, raw: bytes) -> Any:
        self._hold_against(call, _wrong_headers(call, raw))
        try:
            return json.loads(raw) if raw else None
        except ValueError:
            self._hold_against(call, ["the body is no JSON"])
            return None

    def _answer(self, endpoint: Endpoint | None, call: Call) -> Said:
        if endpoint is None:
            return Said(404, self._errors.get("404"))
        if (answer := self._answers.get(endpoint.id)) is None:
            self._hold_against(call, [f"the stub has no answer for {endpoint.id}"])
            return Said(404, self._errors.get("404"))
        return answer(call)

    def _do(self, call: Call, *, after: bool) -> None:
        for each in list(self._acts):
            if each.after is after and each.takes(call.method, call.path):
                each.act()

    def _failed(self, fault: _Fault) -> Said:
        if not fault.kind.isdigit():
            return Said(0)
        more = {"Retry-After": str(fault.retry_after)} if fault.kind in ("429", "503") else {}
        return Said(int(fault.kind), self._errors.get(fault.kind, {"message": "no"}), more)

    def _mangled(self, said: Said, fault: _Fault | None) -> Said:
        if fault is not None and fault.kind == "other-json":
            return Said(said.status, {"surprise": [None]}, said.headers)
        return said

    def _hold_against(self, call: Call, wrongs: Iterator[str] | list[str]) -> None:
        self.violations += [f"{call.method} {call.path}: {wrong}" for wrong in wrongs]


def _wrong_headers(call: Call, raw: bytes) -> Iterator[str]:
    if "json" not in call.headers.get("accept", ""):
        yield f"Accept is {call.headers.get('accept')}"
    if raw and call.headers.get("content-type") != "application/json":
        yield f"Content-Type is {call.headers.get('content-type')}"
    if not call.headers.get("user-agent", "").startswith("orch"):
        yield f"User-Agent is {call.headers.get('user-agent')}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The second write of an answer would wait 40 ms for the first to be acknowledged.
    disable_nagle_algorithm = True
    server: _Server

    def _take(self) -> None:
        stub = self.server.stub
        path, _, query = self.path.partition("?")
        for beginning, bare in stub.bare.items():
            if path.startswith(beginning):
                bare(self)
                return
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = dict(parse_qsl(query, keep_blank_values=True))
        said, fault = stub.take(Call("", self.command, path, query=asked, headers=headers), raw)
        kind = fault.kind if fault is not None else None
        if kind == "timeout":
            stub.closing.wait(30)
        if kind in ("timeout", "reset", "lost"):
            self.server.cut(self.connection)
            self.close_connection = True
            return
        if kind == "slow" and fault is not None:
            stub.closing.wait(fault.seconds)
        self._say(said, page=kind == "not-json")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _take  # noqa: N815 - the library's names

    def _say(self, said: Said, *, page: bool) -> None:
        data = b"<!doctype html><p>log in</p>" if page else b""
        if not page and said.body is not None:
            data = json.dumps(said.body).encode()
        self.send_response(said.status)
        self.send_header("Content-Type", "text/html" if page else "application/json")
        for name, value in said.headers.items():
            self.send_header(name, value)
        if said.status not in (204, 304):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if said.status not in (204, 304):
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, stub: Stub) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stub = stub
        self._open: set[socket.socket] = set()
        self._cut: set[socket.socket] = set()
        self._guard = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
            is_cut = request in self._cut
            self._cut.discard(request)
        if is_cut:
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def cut(self, connection: socket.socket) -> None:
        """End it so that the other side sees a reset, not an end."""
        linger = struct.pack("ii", 1, 0)
        with self._guard, suppress(OSError):
            self._cut.add(connection)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def cut_all(self) -> None:
        """End what clients keep open, so that no thread of this server stays."""
        with self._guard:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up closes while it is answered; anything else fails the test."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self.stub.violations.append(f"the stub broke: {error!r}")
