"""Requests that nobody sends by accident: each is answered as what it is, and costs nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from werkzeug.datastructures import MultiDict
from werkzeug.formparser import FormDataParser

from orch import job_log
from orch.errors import NotFound
from orch.job_log import JobLog
from tests.web.conftest import Web
from tests.web.reader import client_of
from web import turned_away

HALF = "\\ud83d"


@pytest.mark.parametrize("field", ["q", "repo", "stage", "reason"])
def test_a_filter_with_what_no_database_takes_is_refused(web_on_both: Web, field: str) -> None:
    client = client_of(web_on_both)
    for sent in ("a%00b", "%1b[31m", "a%0ab"):
        assert client.get(f"/ui/line?{field}={sent}").status_code == 400
        form = {"verb": "pause", "whole": "1", "filter": f"{field}={sent}", "reason": "x"}
        assert client.post("/ui/bulk", data=form).status_code == 400


@pytest.mark.parametrize("name", ["%00", "a%00.js", "a" * 5000, "a/" * 900 + "b"])
def test_a_file_that_cannot_be_called_so_is_not_there(web: Web, name: str) -> None:
    assert web.client.get(f"/static/{name}").status_code == 404


@pytest.mark.parametrize(
    ("base", "origin", "status"),
    [
        ("http://localhost", "http://[::1", 403),
        ("http://localhost", "null", 403),
        ("http://localhost", "", 403),
        ("http://localhost", "http://localhost:x", 403),
        ("http://localhost", "https://localhost", 403),
        ("http://localhost", "http://localhost:8080", 403),
        ("https://localhost", "http://localhost", 403),
        ("http://localhost", "http://localhost:80", 200),
        ("http://localhost:8765", "http://LOCALHOST:8765", 200),
        ("https://localhost", "https://localhost:443", 200),
        ("http://[::1]:8765", "http://[::1]:8765", 200),
    ],
)
def test_a_page_is_ours_by_scheme_host_and_port(
    web: Web, base: str, origin: str, status: int
) -> None:
    web.rig.task("APP-1")
    pause = "/serial-gate/pause?work_item=APP-1"
    answer = web.client.post(pause, base_url=base, headers={"Origin": origin})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("[::1]", 200), ("[::1]:8765", 200), ("[0:0:0:0:0:0:0:1]", 200), ("LOCALHOST:8765", 200),
        ("[fd00::1]", 400), ("[::1", 400), ("::1", 400), ("", 400), ("[]", 400),
        ("localhost@evil.test", 400), ("evil.test#localhost", 400), ("localhost:99999", 400),
    ],
)  # fmt: skip
def test_a_host_is_known_in_every_form_of_its_name(web: Web, host: str, status: int) -> None:
    client = web.app.test_client(use_cookies=False)  # which reads no address itself
    assert client.get("/readyz", headers={"Host": host}).status_code == status


def test_an_address_of_ipv6_that_is_served_is_known(web: Web) -> None:
    served = Web(web.rig, web.folder, web_host="fd00::A")
    assert served.client.get("/readyz", headers={"Host": "[fd00::a]:8765"}).status_code == 200


def test_a_form_that_cannot_be_proved_is_not_even_read(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, gone = web.signed_in("admin"), web.visitor()
    gone.get("/ui/sign-in")
    read: list[int] = []
    parse = FormDataParser.parse

    def noted(self: FormDataParser, stream: Any, *args: Any, **more: Any) -> Any:
        found = parse(self, stream, *args, **more)
        read.append(1)
        return found

    monkeypatch.setattr(FormDataParser, "parse", noted)
    long = {"name": "x" * 100_000, "csrf": "0" * 64}
    for who, address, headers, status in (
        (web.visitor(), "/ui/sign-in", {}, 403),
        (web.visitor(), "/ui/people/add", {"Origin": "http://localhost"}, 401),
        (gone, "/ui/people/add", {}, 401),
        (gone, "/ui/welcome", {}, 413),
        (ann, "/ui/people/add", {"X-CSRF-Token": "0" * 64}, 403),
    ):
        assert who.client.post(address, data=long, headers=headers).status_code == status
        assert read == []
    web.person("ben")
    kept = turned_away.pack("/ui/me", MultiDict({"reason": "x" * 150_000}))
    assert gone.sign_in("ben", kept=kept).status_code == 200


@pytest.mark.parametrize("name", ["log", "prompt.md"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_plain_file_is_not_read_and_keeps_nothing(
    tmp_path: Path, make: object, name: str
) -> None:
    assert callable(make)
    make(tmp_path / name)
    held = len([*Path("/proc/self/fd").iterdir()])
    for is_open in (True, False):
        if is_open:
            assert job_log.open_log(JobLog(1, tmp_path / name, is_open)) is None
        else:
            with pytest.raises(NotFound):
                job_log.open_log(JobLog(1, tmp_path / name, is_open))
    assert len([*Path("/proc/self/fd").iterdir()]) == held


def test_a_kept_form_with_half_a_character_is_dropped() -> None:
    kept = f'{{"to": "/ui/", "fields": [["reason", "{HALF}"]]}}'
    assert turned_away.unpack(kept) is None
    assert turned_away.unpack(kept.replace(HALF, HALF + "\\ude00")) is not None
