"""One exchange with a service: what it answers, and what a fault comes to."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from orch import rest
from orch.rest import Answer, NoAnswer, Service

SECRET = "plane_api_0123456789"


BOMB = gzip.compress(b'"' + b"a" * (rest.ANSWER_LIMIT + 9) + b'"')
SAID: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "/api/redirect": (302, b"", {"Location": "http://169.254.169.254/"}),
    "/api/busy": (429, b'{"error_code": 5900}', {"Retry-After": "7"}),
    "/api/words": (502, b"<h1>Bad\r\n gateway</h1>", {}),
    "/api/page": (200, b"<p>log in</p>", {}),
    "/api/bomb": (200, BOMB, {"Content-Encoding": "gzip"}),
    "/api/nothing": (204, b"", {}),
}


class Handler(BaseHTTPRequestHandler):
    """Answers by path."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = {
            "path": self.path,
            "key": self.headers.get("X-API-Key"),
            "type": self.headers.get("Content-Type"),
            "body": json.loads(body or b"null"),
        }
        path = self.path.partition("?")[0]
        if path == "/api/echo":
            self._say(201, json.dumps(said).encode(), {})
        elif path == "/api/cut":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b'{"a":')
        else:
            self._say(*SAID[path])

    def _say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Service(f"http://127.0.0.1:{server.server_port}/api/", {"X-API-Key": SECRET})
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_request_carries_the_key_the_query_and_a_json_body(service: Service) -> None:
    answer = service.ask("POST", "/echo", query={"per_page": 5, "q": "a b&c"}, body={"n": "ü"})
    assert (answer.status, answer.ok) == (201, True)
    assert answer.body == {
        "path": "/api/echo?per_page=5&q=a+b%26c",
        "key": SECRET,
        "type": "application/json",
        "body": {"n": "ü"},
    }


def test_a_redirect_is_an_answer_and_goes_nowhere(service: Service) -> None:
    assert service.ask("POST", "/redirect").status == 302


def test_a_wish_for_patience_is_heard(service: Service) -> None:
    answer = service.ask("POST", "/busy")
    assert (answer.status, answer.retry_after, answer.body) == (429, 7.0, {"error_code": 5900})


def test_an_error_page_is_kept_as_one_line(service: Service) -> None:
    answer = service.ask("POST", "/words")
    assert (answer.status, answer.body, answer.text) == (502, None, "<h1>Bad gateway</h1>")


def test_no_content_is_an_answer(service: Service) -> None:
    answer = service.ask("POST", "/nothing")
    assert (answer.status, answer.body) == (204, None)


@pytest.mark.parametrize("path", ["/page", "/bomb", "/cut"])
def test_what_is_no_json_too_much_or_cut_off_is_no_answer(service: Service, path: str) -> None:
    with pytest.raises(NoAnswer) as failed:
        service.ask("POST", path)
    assert SECRET not in str(failed.value)


def test_nobody_there_is_no_answer() -> None:
    with pytest.raises(NoAnswer, match=r"GET http://127\.0\.0\.1:1/x got no answer"):
        Service("http://127.0.0.1:1", {"X-API-Key": SECRET}).ask("GET", "/x")


@pytest.mark.parametrize("said", ["", "soon", "-1", "99999999"])
def test_odd_words_for_patience_are_none(said: str) -> None:
    assert Answer(429, None, {"retry-after": said}).retry_after is None


def test_a_part_of_a_path_ends_nothing() -> None:
    assert rest.part("a/../b?c#d%2e") == "a%2F..%2Fb%3Fc%23d%252e"
