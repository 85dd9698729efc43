"""Real receivers of notices on ports of their own: a web server and a mail server."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from orch.clock import utc_now


@dataclass
class WebReceiver:
    """Keeps each request, and answers with the status it was told."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"thanks"
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/orch?to=ops"


@contextmanager
def web_receiver() -> Iterator[WebReceiver]:
    """A web server that takes what is posted to it."""
    known = WebReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            known.requests.append((self.path, dict(self.headers), data))
            self.send_response(known.status)
            for name, value in known.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(known.body)

        def do_GET(self) -> None:
            known.requests.append((self.path, dict(self.headers), b""))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that reads no answer closes while it is written

    with Server(("127.0.0.1", 0), Handler) as server:
        known.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield known
        server.shutdown()
        thread.join()


@dataclass
class MailReceiver:
    """Keeps each message; answers DATA as it was told."""

    answer: str = "250 taken"
    answer_to: dict[str, str] = field(default_factory=dict)
    """What single receivers are answered with."""
    envelopes: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    port: int = 0

    @property
    def messages(self) -> list[EmailMessage]:
        return [message_from_bytes(data, policy=policy.default) for _, _, data in self.envelopes]

    async def handle_RCPT(  # noqa: N802 - the library looks for this name
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        answer = self.answer_to.get(address, "250 ok")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            self.envelopes.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return self.answer


class _OnAnyPort(Controller):
    """A controller for port 0: the library would knock at that very number to see it up."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        assert isinstance(self.handler, MailReceiver)
        address = self.server.sockets[0].getsockname()
        self.handler.port = address[1]
        with socket.create_connection(address, 10):
            pass


@contextmanager
def mail_receiver(
    certificate: Path | None = None, login: tuple[str, str] | None = None, at_once: bool = False
) -> Iterator[MailReceiver]:
    """A mail server; with a certificate it wants STARTTLS, or speaks TLS `at_once`."""
    known, more = MailReceiver(), dict[str, Any]()
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        more |= {"ssl_context": context} if at_once else {}
        more |= {} if at_once else {"tls_context": context, "require_starttls": True}
    if login is not None:
        more |= {"auth_required": True, "authenticator": _door(login)}
    server = _OnAnyPort(known, hostname="127.0.0.1", port=0, **more)
    server.start()
    yield known
    server.stop()


def _door(login: tuple[str, str]) -> Any:
    def let_in(server: SMTP, session: Any, envelope: Any, mechanism: str, auth: Any) -> AuthResult:
        user, password = (word.encode() for word in login)
        good = isinstance(auth, LoginPassword) and (auth.login, auth.password) == (user, password)
        return AuthResult(success=good, handled=False)

    return let_in


def make_certificate(folder: Path) -> Path:
    """A key and a certificate for 127.0.0.1 in one file, signed by nobody but itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), utc_now()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, encryption_algorithm=NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path
