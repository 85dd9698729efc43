"""GET /jobs/<id>/log: whole, in ranges, its end, as it grows; and never another file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from werkzeug.test import TestResponse

from orch import job_log
from orch.store.schema import jobs
from tests.web.conftest import Web
from web.streams import Streams

TEXT = b"".join(b"line %d\n" % number for number in range(1, 101))


def write_job(web: Web, **values: Any) -> None:
    web.rig.store.write(lambda conn: conn.execute(update(jobs).values(**values)))


def get(web: Web, query: str = "", **headers: str) -> TestResponse:
    """The answer read to its end and closed, as a server does it."""
    return web.client.get(f"/jobs/1/log{query}", headers=headers, buffered=True)


@pytest.fixture
def log(web: Web) -> Path:
    """The log of job 1, which has ended."""
    web.rig.task("APP-1")
    path = web.folder.resolve() / "jobs" / "1" / "token" / "log"
    path.parent.mkdir(parents=True)
    path.write_bytes(TEXT)
    write_job(web, log_path=str(path), status="succeeded")
    return path


def test_a_log_is_plain_text_whatever_is_in_it(web: Web, log: Path) -> None:
    log.write_bytes(b"<script>alert(1)</script>\x1b[31m\xff\x00")
    answer = get(web)
    assert answer.data == log.read_bytes()
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "found"),
    [("bytes=0-6", TEXT[:7]), ("bytes=100-", TEXT[100:]), ("bytes=-9", TEXT[-9:])],
)
def test_a_part_of_a_log_can_be_asked_for(web: Web, log: Path, asked: str, found: bytes) -> None:
    answer = get(web, Range=asked)
    assert (answer.status_code, answer.data) == (206, found)
    assert answer.headers["Content-Range"].endswith(f"/{len(TEXT)}")


def test_a_part_that_is_not_there_is_a_problem(web: Web, log: Path) -> None:
    answer = get(web, Range=f"bytes={len(TEXT)}-")
    assert (answer.status_code, answer.content_type) == (416, "application/problem+json")
    assert answer.headers["Content-Range"] == f"bytes */{len(TEXT)}"


@pytest.mark.parametrize("lines", [1, 3, 100, 500])
def test_the_last_lines_can_be_asked_for(web: Web, log: Path, lines: int) -> None:
    answer = get(web, f"?tail={lines}")
    assert answer.data.splitlines() == TEXT.splitlines()[-lines:]


def test_the_last_lines_are_bounded_in_bytes(web: Web, log: Path) -> None:
    log.write_bytes(b"x" * (job_log.TAIL_BYTES + 10))
    assert len(get(web, "?tail=1").data) == job_log.TAIL_BYTES


def test_a_job_that_has_not_begun_has_an_empty_log(web: Web) -> None:
    web.rig.task("APP-1")
    answer = get(web)
    assert (answer.status_code, answer.data) == (200, b"")


def test_a_running_job_shows_what_is_there_already(web: Web, log: Path) -> None:
    token = "a" * 64
    write_job(web, log_path=None, status="running", claim_token=token)
    path = web.folder / "jobs" / "1" / token[:12] / "log"
    path.parent.mkdir()
    path.write_bytes(b"so far")
    assert get(web).data == b"so far"


def test_following_goes_on_until_the_job_ends(web: Web, log: Path) -> None:
    write_job(web, log_path=None, status="running", claim_token="token")
    log.unlink()
    acts: list[Callable[[], object]] = [
        lambda: log.write_bytes(b"one\n"),
        lambda: log.write_bytes(b"one\ntwo\n"),
        lambda: write_job(web, status="succeeded", log_path=str(log)),
    ]
    web.streams = Streams(pause=lambda _: acts.pop(0)())
    answer = get(web, "?follow=1")
    assert answer.data == b"one\ntwo\n"
    assert acts == []


def test_following_can_begin_near_the_end(web: Web, log: Path) -> None:
    answer = get(web, "?follow=1&tail=2")
    assert answer.data == b"line 99\nline 100\n"


@pytest.mark.parametrize(
    "place", ["/etc/passwd", "../../../etc/passwd", "{data}/orch.db", "{data}"]
)
def test_a_file_that_is_no_log_is_never_read(web: Web, log: Path, place: str) -> None:
    write_job(web, log_path=place.format(data=web.folder))
    for query in ("", "?tail=5", "?follow=1"):
        answer = get(web, f"{query}")
        assert (answer.status_code, answer.content_type) == (404, "application/problem+json")
        assert "passwd" not in answer.text


def test_a_link_in_place_of_a_log_is_not_followed(web: Web, log: Path) -> None:
    secret = web.folder / "secret"
    secret.write_text("canary")
    log.unlink()
    log.symlink_to(secret)
    answer = get(web)
    assert answer.status_code == 404
    assert "canary" not in answer.text


def test_a_log_on_another_machine_is_said_to_be_so(web: Web, log: Path) -> None:
    log.unlink()
    answer = get(web)
    assert answer.status_code == 404
    assert "machine" in answer.get_json(force=True)["detail"]
