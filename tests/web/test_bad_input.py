"""Bad input gets a problem with a code and a next step; nothing is written, nothing crashes."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tests.factories import dump
from tests.web.conftest import Web

PAUSE = "/serial-gate/pause?work_item=APP-1"
FREEZE = "/serial-gate/freeze"
MALFORMED_ITEMS = [
    "", "..", "a/b", "APP-1%00", "APP%0A1", "%2e%2e%2f", "-x", "A" * 65, "APP-1.lock", "%ff",
]  # fmt: skip
MALFORMED_REPOS = ["", ".", "..", "a/b/c", ".git", "CON", "a" * 300, "%00", "x%20y", "-x"]
BAD_TIMES = [
    "yesterday", "2026-02-30T00:00:00Z", "2026-12-24", "%2B2x",
    "%2B", "1e9",
]  # fmt: skip

Case = tuple[str, str, int, str]
CASES: list[Case] = [
    *[("GET", f"/why?work_item={item}", 400, "bad_input") for item in MALFORMED_ITEMS],
    *[("POST", f"/serial-gate/pause?work_item={i}", 400, "bad_input") for i in MALFORMED_ITEMS],
    *[("GET", f"/queue?repo={repo}", 400, "bad_input") for repo in MALFORMED_REPOS],
    *[("POST", f"{FREEZE}?reason=x&repo={repo}", 400, "bad_input") for repo in MALFORMED_REPOS],
    *[("POST", f"{PAUSE}&until={time}", 400, "bad_input") for time in BAD_TIMES],
    *[("GET", f"/queue?limit={n}", 400, "bad_input") for n in ("-1", "0", "1e9", "abc", "NaN")],
    *[("GET", f"/tasks?cursor={n}", 400, "bad_input") for n in ("-1", "x", "9" * 30, "1.5")],
    *[("GET", f"/events?after={n}", 400, "bad_input") for n in ("-1", "x", "9" * 30)],
    *[("GET", f"/jobs/{n}/log", 400, "bad_input") for n in ("-1", "x", "9" * 30)],
    ("GET", "/why", 400, "bad_input"),
    ("GET", "/why?work_item=APP-1&work_item=APP-2", 400, "bad_input"),
    ("GET", "/why?work_item=APP-1&sort=id;drop%20table", 400, "bad_input"),
    ("GET", "/why?work_item=APP-9", 404, "unknown_task"),
    ("GET", "/queue?repo=nobody", 404, "not_found"),
    ("GET", "/queue?token=orch_0", 400, "bad_input"),
    ("GET", "/tasks?repo=nobody", 404, "not_found"),
    ("GET", "/tasks?stage=deployment", 400, "bad_input"),
    ("GET", "/tasks?state=blocked", 400, "bad_input"),
    ("GET", "/tasks?agent=plumber", 400, "bad_input"),
    ("GET", "/tasks?agent=Developer%20", 400, "bad_input"),
    ("GET", "/tasks/APP-9", 404, "unknown_task"),
    ("GET", "/tasks/..%2f..%2fetc", 404, "no_such_page"),
    ("GET", "/static/..%2f..%2f/etc/passwd", 404, "not_found"),
    ("GET", "/events?kind=x'%20OR%201=1", 400, "bad_input"),
    ("GET", "/events?since=0", 400, "bad_input"),
    ("GET", "/events?until=2026-03-01", 400, "bad_input"),
    ("GET", "/events?work_item=APP-9", 404, "unknown_task"),
    ("GET", "/jobs/999/log", 404, "unknown_job"),
    ("GET", "/jobs/1/log?tail=0", 400, "bad_input"),
    ("POST", "/serial-gate/pause?work_item=APP-9", 404, "unknown_task"),
    ("POST", f"{PAUSE}&now=perhaps", 400, "bad_input"),
    ("POST", f"{PAUSE}&until=2001-01-01T00:00:00Z", 409, "does_not_fit"),
    ("POST", f"{PAUSE}&until=0001-01-01T00:00:00%2B14:00", 409, "does_not_fit"),
    ("POST", f"{PAUSE}&reason=a%00b", 400, "bad_input"),
    ("POST", f"{PAUSE}&reason=%1b[31m", 400, "bad_input"),
    ("POST", f"{PAUSE}&reason=%ff", 400, "bad_input"),
    ("POST", f"{PAUSE}&reason={'x' * 501}", 400, "bad_input"),
    ("POST", f"{FREEZE}?repo=app", 400, "bad_input"),
    ("POST", f"{FREEZE}?repo=app&reason=%20", 400, "bad_input"),
    ("POST", f"{FREEZE}?repo=app&reason={'x' * 10_000}", 400, "bad_input"),
    ("POST", f"{FREEZE}?repo=app&reason=x&allow=APP-9", 404, "unknown_task"),
    ("POST", "/serial-gate/unfreeze?repo=nobody", 404, "not_found"),
    ("POST", "/serial-gate/promote?work_item=APP-2", 409, "illegal_transition"),
    ("POST", "/serial-gate/pause?work_item=APP-3", 409, "illegal_transition"),
    ("POST", "/serial-gate/pause?work_item=APP-3&preview=1", 409, "illegal_transition"),
    ("POST", "/tasks/APP-3/retry", 409, "illegal_transition"),
    ("POST", "/tasks/APP-1/dependencies", 400, "bad_input"),
    ("POST", "/tasks/APP-1/dependencies?on=APP-9", 404, "unknown_task"),
    ("POST", "/tasks/APP-1/dependencies?on=APP-1", 409, "dependency_cycle"),
    ("DELETE", "/tasks/APP-9/dependencies?on=APP-1", 404, "unknown_task"),
    ("POST", "/tasks?work_item=APP-4&repo=app", 400, "bad_input"),
    ("PUT", PAUSE, 405, "method_not_allowed"),
    ("GET", PAUSE, 405, "method_not_allowed"),
    ("OPTIONS", PAUSE, 405, "method_not_allowed"),
    ("DELETE", "/tasks/APP-1", 405, "method_not_allowed"),
    ("POST", "/queue", 405, "method_not_allowed"),
    ("TRACE", "/queue", 405, "method_not_allowed"),
]


@pytest.fixture
def line(web: Web) -> Web:
    web.rig.task("APP-1")
    web.rig.task("APP-2", "development")
    web.rig.task("APP-3", "done", job=None)
    return web


def refused(line: Web, method: str, address: str, **more: Any) -> dict[str, Any]:
    """The problem with which a request is refused, having changed nothing."""
    before = dump(line.rig.store)
    response = line.client.open(address, method=method, **more)
    assert dump(line.rig.store) == before
    assert line.rig.queue.kicked == 0
    assert response.content_type == "application/problem+json"
    problem: dict[str, Any] = response.get_json(force=True)
    assert problem["status"] == response.status_code
    assert problem["detail"].strip()
    assert problem["suggested_fix"].strip()
    assert problem["type"] == f"/docs#{problem['code']}"
    assert "Traceback" not in response.text
    return problem


@pytest.mark.parametrize(("method", "address", "status", "code"), CASES)
def test_a_bad_request_is_refused_whole(
    line: Web, method: str, address: str, status: int, code: str
) -> None:
    problem = refused(line, method, address)
    assert (problem["status"], problem["code"]) == (status, code)


BODIES = {
    "array": b"[]",
    "string": b'"x"',
    "null": b"null",
    "number": b"1",
    "true": b"true",
    "half an object": b'{"reason": ',
    "two objects": b"{} {}",
    "doubled key": b'{"reason": "a", "reason": "b"}',
    "doubled key inside": b'{"reason": {"a": 1, "a": 2}}',
    "NaN": b'{"reason": NaN}',
    "Infinity": b'{"reason": -Infinity}',
    "huge number": b'{"reason": 1' + b"0" * 400 + b"}",
    "endless number": b'{"reason": ' + b"9" * 100_000 + b"}",
    "huge float": b'{"reason": 1e400}',
    "lone surrogate": b'{"reason": "\\ud800"}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "utf-16": '{"reason": "x"}'.encode("utf-16"),
    "invalid utf-8": b'{"reason": "\xff"}',
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep inside": b'{"reason": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    "wrong type": b'{"reason": 5}',
    "list for a text": b'{"reason": ["x"]}',
    "unknown field": b'{"reasons": "x"}',
    "given twice": b'{"work_item": "APP-1"}',
    "time of the wrong type": b'{"until": 5}',
    "text for a switch": b'{"now": "perhaps"}',
    "control character": b'{"reason": "a\\u0007b"}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_not_what_is_asked_for_is_refused(line: Web, body: bytes) -> None:
    problem = refused(line, "POST", PAUSE, data=body, content_type="application/json")
    assert (problem["status"], problem["code"]) == (400, "bad_input")


def test_the_unknown_field_is_named(line: Web) -> None:
    body = b'{"reasons": "x"}'
    problem = refused(line, "POST", PAUSE, data=body, content_type="application/json")
    assert problem["fields"] == ["reasons"]
    assert "reason" in problem["suggested_fix"]


NEW_TASKS: list[tuple[dict[str, Any], int, str]] = [
    ({}, 400, "bad_input"),
    ({"work_item": "APP-4"}, 400, "bad_input"),
    ({"work_item": 4, "repo": "app"}, 400, "bad_input"),
    ({"work_item": "../x", "repo": "app"}, 400, "bad_input"),
    ({"work_item": "APP-4", "repo": "../x"}, 400, "bad_input"),
    ({"work_item": "APP-4", "repo": "app", "track": "slow"}, 409, "does_not_fit"),
    ({"work_item": "APP-4", "repo": "app", "title": "a\nb"}, 400, "bad_input"),
    ({"work_item": "APP-4", "repo": "app", "title": "x" * 256}, 400, "bad_input"),
    ({"work_item": "APP-4", "repo": "app", "title": None}, 400, "bad_input"),
    ({"work_item": "APP-4", "repo": "app", "description": "\0"}, 400, "bad_input"),
    ({"work_item": "APP-4", "repo": "app", "depends_on": "APP-1"}, 400, "bad_input"),
    ({"work_item": "APP-4", "repo": "app", "depends_on": ["APP-9"]}, 404, "unknown_task"),
    ({"work_item": "APP-4", "repo": "app", "command": "id"}, 400, "bad_input"),
    ({"work_item": "APP-4", "repo": "app", "paused": 0}, 400, "bad_input"),
    ({"work_item": "APP-4", "repo": "app", "paused": "true"}, 400, "bad_input"),
    ({"work_item": "APP-1", "repo": "app"}, 409, "already_exists"),
]


@pytest.mark.parametrize(("body", "status", "code"), NEW_TASKS)
def test_a_bad_task_is_not_taken_in(
    line: Web, body: dict[str, Any], status: int, code: str
) -> None:
    problem = refused(line, "POST", "/tasks", json=body)
    assert (problem["status"], problem["code"]) == (status, code)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_only_json_is_taken(line: Web, content_type: str) -> None:
    body = b'{"reason": "x"}'
    problem = refused(line, "POST", PAUSE, data=body, content_type=content_type)
    assert (problem["status"], problem["code"]) == (415, "wrong_content_type")


def test_a_compressed_body_is_not_taken(line: Web) -> None:
    more = {"data": b"x", "content_type": "application/json"}
    problem = refused(line, "POST", PAUSE, headers={"Content-Encoding": "gzip"}, **more)
    assert problem["status"] == 415


def test_two_megabytes_are_too_much(line: Web) -> None:
    body = b'{"reason": "' + b"x" * 2**21 + b'"}'
    problem = refused(line, "POST", PAUSE, data=body, content_type="application/json")
    assert (problem["status"], problem["code"]) == (413, "too_large")


class Endless(io.RawIOBase):
    """A body without an end that knows how much of it was read."""

    taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.taken += len(buffer)
        buffer[:] = b" " * len(buffer)
        return len(buffer)


def test_a_body_of_unknown_length_is_given_up_while_it_is_read(line: Web) -> None:
    endless = Endless()
    problem = refused(
        line,
        "POST",
        PAUSE,
        headers={"Transfer-Encoding": "chunked"},
        content_type="application/json",
        environ_overrides={"wsgi.input": endless, "wsgi.input_terminated": True},
    )
    assert problem["status"] == 413
    assert endless.taken < 2**21


def test_a_body_where_none_is_asked_for_is_refused(line: Web) -> None:
    assert refused(line, "GET", "/queue", json={"limit": 5})["status"] == 400


def test_what_looks_like_the_unknown_thing_is_named(line: Web) -> None:
    assert refused(line, "GET", "/why?work_item=APP-11")["did_you_mean"] == [
        "APP-3",
        "APP-2",
        "APP-1",
    ]
    assert refused(line, "GET", "/queue?repo=ap")["did_you_mean"] == ["app"]


def test_a_crash_says_nothing_of_the_inside(line: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("secret path /srv/orch")

    monkeypatch.setattr("orch.mirror.why", broken)
    problem = refused(line, "GET", "/why?work_item=APP-1")
    assert (problem["status"], problem["code"]) == (500, "internal_error")
    assert "secret" not in str(problem)
