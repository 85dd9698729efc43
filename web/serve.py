"""Serving the app with gunicorn: one process of many threads, most of which only wait."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, ClassVar, Final

import click
from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.util import write_nonblock
from gunicorn.workers import gthread
from werkzeug.exceptions import ClientDisconnected

from orch import bootstrap, invitations, logs, tasks, tokens
from orch.config import Settings
from orch.invitations import address, welcome_path
from orch.line import Line
from web import HEADERS, create_app, problems
from web.streams import MOST

THREADS: Final = 2 * MOST
"""As many for calls as for streams."""
REQUEST_LINE: Final = 8190
"""Bytes: as many as gunicorn can be told, for the addresses of pages that hold what was typed."""
FIRST: Final = "For half an hour, and once, this makes you the admin:"
STOP_SECONDS: Final = 10
"""How long answers that have begun may go on when the server is to stop."""
REQUEST_SECONDS: Final = 10.0
"""Within this a request has come whole, or its connection is closed: reading it holds a thread."""
SEND_SECONDS: Final = 30
"""How long a reader may take nothing of an answer."""
LINGER_SECONDS: Final = 0.2
"""How long a connection that is over is still read, so that the last of the answer arrives."""
UNREAD: Final = {
    "LimitRequestLine": 414,
    "LimitRequestHeaders": 431,
    "UnsupportedTransferCoding": 501,
    "ExpectationFailed": 417,
    "ConfigurationProblem": 500,
    "InvalidResponseHeader": 500,
    "InvalidResponseHeaderName": 500,
    "ParseException": 400,
}
"""With what a request is refused that is none, or none that is taken: by the names of gunicorn's
errors, of which older versions know fewer."""
SILENCE_SECONDS: Final = 0.1
"""How long a new connection that says nothing may keep a thread before it waits without one."""


def serve(settings: Settings) -> None:
    """Serve until told to stop. Raises ConfigError, SchemaMismatch, StoreUnavailable."""
    line = tasks.line()
    require_tokens_beyond_loopback(line, settings)
    invitation = invitations.first(line)
    # The worker is forked from here and opens connections of its own.
    line.store.dispose()
    tasks.line.cache_clear()
    tasks.queue.cache_clear()
    _Server(settings, invitation).run()


def require_tokens_beyond_loopback(line: Line, settings: Settings) -> None:
    """Raise ConfigError for an address others can reach while nobody could be told from another."""
    if not settings.web_proxy_user_header:
        tokens.require_beyond_loopback(line, settings.web_host)


def tell_invitation(secret: str, site: str) -> None:
    """Say once, on the terminal of whoever started this, how to become the first admin."""
    # Not through the log: what is logged is kept, and read by more people.
    click.echo(f"Nobody can sign in yet. {FIRST} {site}{welcome_path(secret)}", err=True)


class _Body:
    """A request's body that says when it has come whole, and never passes half of one for all."""

    def __init__(self, stream: Any, announced: int | None, whole: Callable[[], object]) -> None:
        self._stream, self._left, self._whole = stream, announced, whole

    def read(self, size: int = -1) -> bytes:
        """Some more of it. Raises ClientDisconnected when it ends before its announced length."""
        data: bytes = self._stream.read(size) if size >= 0 else self._stream.read()
        if self._left is not None:
            self._left -= len(data)
        if self._left == 0 or not data:
            self._whole()
        if not data and size and self._left:
            raise ClientDisconnected
        return data


class Worker(gthread.ThreadWorker):
    """Ends the streams when it is to stop, and lets no slow client keep the threads of others."""

    request_seconds: ClassVar[float] = REQUEST_SECONDS
    wsgi: Any

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._app: Any = None
        self._deadlines: dict[socket.socket, float] = {}
        """When a request that is being read has to be here, by `time.monotonic`."""

    def load_wsgi(self) -> None:
        """Load the app, and put before it what notes that a request has come whole."""
        gthread.DEFAULT_WORKER_DATA_TIMEOUT = SILENCE_SECONDS
        super().load_wsgi()
        self._app = self.wsgi
        self.wsgi = self._answer

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Any:
        def whole() -> None:
            self._deadlines.pop(environ["gunicorn.socket"], None)

        def begin(*args: Any, **more: Any) -> Any:
            whole()
            return start_response(*args, **more)

        length = environ.get("CONTENT_LENGTH", "")
        if length in ("", "0") and "HTTP_TRANSFER_ENCODING" not in environ:
            whole()
        announced = int(length) if length.isdecimal() else None
        environ["wsgi.input"] = _Body(environ["wsgi.input"], announced, whole)
        return self._app(environ, begin)

    def handle(self, conn: Any) -> Any:
        """Serve one request of a connection, in a thread."""
        send = struct.pack("ll", SEND_SECONDS, 0)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, send)
        self._deadlines[conn.sock] = time.monotonic() + self.request_seconds
        try:
            goes_on = super().handle(conn)
        finally:
            self._deadlines.pop(conn.sock, None)
        if not goes_on:
            _take_leave(conn.sock)
        return goes_on

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Refuse what is no request the way everything else is refused: with a problem."""
        kinds = [kind.__name__ for kind in type(exc).__mro__]
        status = next((UNREAD[kind] for kind in kinds if kind in UNREAD), 500)
        if status >= 500:
            self.log.exception("A request could not be answered.")
        body = problems.unread(status).encode()
        head = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            "Connection: close",
            f"Content-Type: {problems.TYPE}",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in HEADERS.items()),
        ]
        with suppress(OSError):  # whoever sent it may be gone
            write_nonblock(client, "\r\n".join([*head, "", ""]).encode() + body)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close the connections that nothing has come on, and those whose request comes too slowly.

        The server's loop calls this once a second or more often.
        """
        super().murder_keepalived(force)
        now = time.monotonic()
        for sock in [sock for sock, end in list(self._deadlines.items()) if now > end]:
            # Whose request has come whole meanwhile is not there any more.
            if self._deadlines.pop(sock, None) is not None:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Told to stop."""
        if isinstance(self._app, Flask):
            self._app.extensions["orch"].streams.close()
        super().handle_exit(sig, frame)


def _take_leave(sock: socket.socket) -> None:
    """Wait a moment for the client to close: gunicorn would do so where it lets others in."""
    end = time.monotonic() + LINGER_SECONDS
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            if not sock.recv(4096):
                break
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RD)


class _Server(BaseApplication):
    def __init__(self, settings: Settings, invitation: str | None) -> None:
        self._settings = settings
        self._invitation = invitation
        super().__init__()

    def load_config(self) -> None:
        host = self._settings.web_host
        bind = f"[{host}]" if ":" in host else host
        wanted = {
            "bind": f"{bind}:{self._settings.web_port}",
            "worker_class": Worker,
            "workers": 1,
            "threads": THREADS,
            "limit_request_line": REQUEST_LINE,
            "graceful_timeout": STOP_SECONDS,
            "keepalive": 5,
            "proc_name": "orch-web",
            "forwarded_allow_ips": "",  # nobody's word is taken for where a request comes from
            "accesslog": None,  # an address may hold what should not be kept
            "control_socket_disable": True,
            "when_ready": self._ready,
        }
        for name, value in wanted.items():
            if name in self.cfg.settings:  # older versions know fewer
                self.cfg.set(name, value)

    def _ready(self, server: Any) -> None:
        """It listens, so that its port is known."""
        if self._invitation is not None and server.LISTENERS:
            host, port = server.LISTENERS[0].getsockname()[:2]
            tell_invitation(self._invitation, address(self._settings.web_url, host, port))

    def load(self) -> Flask:
        """Build the app in the worker, after the fork."""
        logs.configure(self._settings.log_level, self._settings.log_format)
        line = bootstrap.build_line(self._settings, tasks.queue(), looks_itself=True)
        return create_app(line, self._settings)
