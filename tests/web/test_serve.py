"""The server itself: clients that send or read nothing keep no thread from the others."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from contextlib import ExitStack, closing
from types import SimpleNamespace

import pytest
from flask import Flask, Response, request

from tests.web.serving import InThread, served
from web.problems import TYPE
from web.serve import REQUEST_LINE, THREADS, Worker
from web.streams import Streams

FORM = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\na"
HEAD = "HTTP/1.1\r\nHost: 127.0.0.1\r\n"


class Impatient(InThread):
    request_seconds = 0.1


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ("GET /" + REQUEST_LINE * "a" + " " + HEAD + "\r\n", 414, "address_too_long"),
        ("GET / " + HEAD + "X-Much: " + 9000 * "a" + "\r\n\r\n", 431, "headers_too_large"),
        ("GET / " + HEAD + "Bad Header: 1\r\n\r\n", 400, "bad_request"),
        ("POST / " + HEAD + "Transfer-Encoding: odd\r\n\r\n", 501, "refused"),
    ],
)
def test_what_the_server_itself_refuses_is_a_problem(sent: str, status: int, code: str) -> None:
    with served(answering) as port, closing(socket.create_connection(("127.0.0.1", port))) as sock:
        sock.sendall(sent.encode())
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        assert (answer.status, answer.headers["Content-Type"]) == (status, TYPE)
        assert json.loads(answer.read())["code"] == code


def asked(port: int, address: str = "/healthz", body: bytes | None = None) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as client:
        client.request("GET" if body is None else "POST", address, body)
        return client.getresponse().status


def answering(_: list[Worker]) -> Flask:
    app = Flask("answering")
    app.extensions["orch"] = SimpleNamespace(streams=Streams())
    app.add_url_rule("/healthz", view_func=lambda: "alive")
    app.add_url_rule(
        "/form", endpoint="form", view_func=lambda: dict(request.form), methods=["POST"]
    )
    app.config["MAX_CONTENT_LENGTH"] = 100_000
    return app


@pytest.mark.parametrize(
    ("clients", "said"),
    [
        (THREADS, f"POST /form {HEAD}{FORM}"),
        (THREADS, f"GET /healthz {HEAD}X-a: "),
        (60, ""),
        (THREADS, f"GET /healthz {HEAD}Connection: close\r\n\r\n"),
    ],
    ids=["half a body", "half a head", "silent", "never closing"],
)
def test_b10_clients_that_say_half_or_nothing_keep_nobody_else_out(clients: int, said: str) -> None:
    with served(answering, Impatient) as port, ExitStack() as open_:
        for _ in range(clients):
            sock = open_.enter_context(socket.create_connection(("127.0.0.1", port)))
            sock.sendall(said.encode())
        assert asked(port) == 200


def test_an_answer_may_take_longer_than_a_request() -> None:
    def slow(workers: list[Worker]) -> Flask:
        app = answering(workers)

        @app.post("/slow")
        def answer() -> bytes:
            data = request.get_data()
            threading.Event().wait(2 * Impatient.request_seconds)
            workers[0].murder_keepalived()
            return data

        return app

    with served(slow, Impatient) as port:
        assert [asked(port, "/slow", body) for body in (b"x" * 50_000, b"")] == [200, 200]


def test_half_a_form_is_not_taken_for_a_whole_one() -> None:
    seen: list[int] = []

    def noting(workers: list[Worker]) -> Flask:
        app = answering(workers)

        @app.after_request
        def note(response: Response) -> Response:
            seen.append(response.status_code)
            return response

        return app

    with served(noting, Impatient) as port, socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(f"POST /form {HEAD}{FORM}".encode())
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(4096):
            pass
    assert seen == [400]
