"""Answers that go on end soon after their reader may no longer read."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert

from orch import events, people, sessions, tokens
from orch.store.schema import events as ledger
from tests.web.conftest import Web
from tests.web.test_page_log import write_job
from web.streams import ASKED_SECONDS, Streams

CANARY = "after the end"
PROXY = {"web_proxy_addresses": "127.0.0.1", "web_proxy_user_header": "X-User"}
API = {"log": "/jobs/1/log?follow=1", "events": "/events"}
PAGES = {"log": "/ui/jobs/1/log/stream", "export": "/ui/ledger.jsonl?kind=task.seen"}
CASES = [
    *(("token", address) for address in API.values()),
    *((how, address) for how in ("session", "disabled", "proxy") for address in PAGES.values()),
]


def come_in(web: Web, how: str) -> FlaskClient:
    if how == "token":
        return web.client_of("viewer")
    if how != "proxy":
        return web.signed_in("viewer").client
    client = web.client
    client.environ_base["HTTP_X_USER"] = web.person("p-viewer")
    return client


def end(web: Web, how: str) -> None:
    if how == "token":
        tokens.revoke(web.line, "the-viewer", "root")
    elif how == "session":
        (open_one,) = sessions.listed(web.line, 3600)
        sessions.revoke(web.line, open_one["id"], "root")
    else:
        people.disable(web.line, "p-viewer", "root")


@pytest.mark.parametrize(("how", "address"), CASES)
def test_a_stream_ends_when_its_reader_may_no_longer_read(
    web: Web, monkeypatch: pytest.MonkeyPatch, how: str, address: str
) -> None:
    web = Web(web.rig, web.folder, **(PROXY if how == "proxy" else {}))
    web.rig.task("APP-1", job="running")
    log = web.folder.resolve() / "jobs" / "1" / "log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"before\n")
    write_job(web, status="running", log_path=str(log))
    monkeypatch.setattr(events, "BATCH", 1)
    tell(web, CANARY if "ledger" in address else "before")  # an export begins with the newest
    tell(web, "before")
    paused = count()

    def pause(_: float) -> None:
        if not next(paused):
            end(web, how)
            log.write_bytes(b"before\n" + CANARY.encode() + b"\n")
            tell(web, CANARY)

    web.streams = Streams(pause=pause, stopwatch=ticking)
    headers = {"Accept": "text/event-stream"} if address == "/events" else {}
    with come_in(web, how).get(address, headers=headers) as answer:
        assert answer.status_code == 200
        if "ledger" in address:
            end(web, how)  # it never pauses: the second batch is asked for after this
        assert CANARY not in answer.get_data(as_text=True)


def ticking() -> Callable[[], float]:
    seconds = count(0, ASKED_SECONDS)
    return lambda: float(next(seconds))


def tell(web: Web, reason: str) -> None:
    row: dict[str, Any] = {"kind": "task.seen", "at": web.rig.clock(), "reason": reason}
    web.rig.store.write(lambda conn: conn.execute(insert(ledger).values(**row)))
