"""A bare repository over smart HTTP: `git http-backend` behind a handler of any test server."""

from __future__ import annotations

import base64
import binascii
import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.git_bench import ENVIRONMENT


class SmartHttp:
    """Serves one bare repository under one path, to whoever brings the token."""

    def __init__(self, bare: Path, beginning: str, token: str = "") -> None:
        """`beginning` is the path it is served under, `/acme/shop.git`."""
        self.bare, self.beginning, self.token = bare, beginning, token
        self.down = False
        """While true it answers 503."""
        self.asked: list[str] = []
        """Method and path of each request."""
        self.headers: list[dict[str, str]] = []

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        self.asked.append(f"{handler.command} {handler.path}")
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        body = _body(handler)
        if self.down:
            _say(handler, 503)
        elif self.token and not self._is_known(handler.headers.get("Authorization", "")):
            _say(handler, 401, {"WWW-Authenticate": 'Basic realm="git"'})
        else:
            self._serve(handler, body)

    def _is_known(self, header: str) -> bool:
        kind, _, value = header.partition(" ")
        try:
            _, _, password = base64.b64decode(value).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return kind == "Basic" and password == self.token

    def _serve(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        path, _, query = handler.path.partition("?")
        env = {
            **ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.bare.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{self.bare.name}{path.removeprefix(self.beginning)}",
            "QUERY_STRING": query,
            "REQUEST_METHOD": handler.command,
            "REMOTE_USER": "orch-bot",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
        }
        command = ["git", "http-backend"]
        done = subprocess.run(command, env=env, input=body, capture_output=True, timeout=60)
        head, _, data = done.stdout.partition(b"\r\n\r\n")
        pairs = (line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        headers = dict(pairs)
        status = int(headers.pop("Status", "200").split()[0])
        _say(handler, status, headers, data)


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    """What was sent, in one piece or in chunks, as git sends what is large."""
    if handler.headers.get("Transfer-Encoding", "") != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    found = b""
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        found += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return found


def _say(
    handler: BaseHTTPRequestHandler,
    status: int,
    headers: dict[str, str] | None = None,
    data: bytes = b"",
) -> None:
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
