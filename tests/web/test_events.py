"""GET /events: pages forwards and backwards, and the stream that can be taken up again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, text

from orch import events
from orch.store.history import GAP_SECONDS
from orch.store.schema import events as ledger
from orch.store.session import Store
from tests.factories import Rig
from tests.web.conftest import Web
from web.following import PING
from web.streams import MOST, PING_SECONDS, POLL_SECONDS

STREAM = {"Accept": "text/event-stream"}


def tell(web: Web, count: int, **facts: Any) -> None:
    rows = [{"kind": "task.seen", "at": web.rig.clock(), **facts} for _ in range(count)]
    web.rig.store.write(lambda conn: conn.execute(insert(ledger), rows))


def ids(web: Web, query: str) -> list[int]:
    return [event["id"] for event in web.client.get(f"/events?{query}").get_json()["events"]]


def test_the_newest_come_first_and_the_past_is_paged(web_on_both: Web) -> None:
    tell(web_on_both, 5)
    first = web_on_both.client.get("/events?limit=2").get_json()
    assert [event["id"] for event in first["events"]] == [5, 4]
    assert ids(web_on_both, f"limit=2&before={first['before']}") == [3, 2]
    assert ids(web_on_both, "before=2") == [1]
    assert first["last"] == 5


def test_who_goes_on_from_the_last_meets_every_event_once(web_on_both: Web) -> None:
    tell(web_on_both, 5)
    seen, after = [], 0
    for _ in range(3):
        page = web_on_both.client.get(f"/events?limit=2&after={after}").get_json()
        seen += [event["id"] for event in page["events"]]
        after = page["last"]
    assert (seen, after, page["more"]) == ([1, 2, 3, 4, 5], 5, False)


def test_who_when_and_why_narrow_in_both_directions(web_on_both: Web) -> None:
    tell(web_on_both, 1, actor="ann", reason="Deploy day")
    web_on_both.rig.clock.advance(3600)
    tell(web_on_both, 1, actor="bob", reason="50%_off")
    since = "since=2026-03-01T12:30:00Z"
    for query, found in (
        ("actor=ann", [1]),
        ("text=deploy", [1]),
        (since, [2]),
        ("text=%25_", [2]),
    ):
        assert ids(web_on_both, query) == ids(web_on_both, f"{query}&after=0") == found
    assert ids(web_on_both, "until=2026-03-01T12:30:00%2B00:00&actor=bob") == []
    for wrong in ("since=2026-03-01", "until=2026-02-30T00:00:00Z", "actor=%00"):
        assert web_on_both.client.get(f"/events?{wrong}").status_code == 400


def test_filters_narrow_and_the_position_moves_all_the_same(web_on_both: Web) -> None:
    task_id = web_on_both.rig.task("APP-1")
    tell(web_on_both, 1, task_id=task_id, repo="app")
    tell(web_on_both, 1, repo="lib", kind="repo.frozen")
    found = web_on_both.client.get("/events?work_item=APP-1&after=0").get_json()
    assert [event["work_item_id"] for event in found["events"]] == ["APP-1"]
    assert found["last"] == 2
    assert ids(web_on_both, "repo=app") == [1]
    assert ids(web_on_both, "kind=repo.frozen") == [2]
    assert ids(web_on_both, "kind=repo.unfrozen") == []


def write_one(conn: Connection, web: Web) -> None:
    conn.execute(insert(ledger).values(kind="task.seen", at=web.rig.clock()))


@pytest.fixture
def on_postgres(emptied_postgres: str, tmp_path: Path) -> Iterator[Web]:
    """SQLite has one writer at a time: there ids commit in their order."""
    store = Store(emptied_postgres)
    yield Web(Rig(store), tmp_path)
    store.dispose()


@pytest.mark.postgres
def test_an_event_that_commits_late_is_waited_for(on_postgres: Web) -> None:
    tell(on_postgres, 1)
    with on_postgres.rig.store.writer.begin() as slow:
        write_one(slow, on_postgres)
        tell(on_postgres, 1)
        assert ids(on_postgres, "after=0") == [1]
        assert events.newest(on_postgres.line) == 1
    assert ids(on_postgres, "after=1") == [2, 3]


@pytest.mark.postgres
def test_an_id_that_was_rolled_back_is_not_waited_for_for_ever(on_postgres: Web) -> None:
    tell(on_postgres, 1)
    with on_postgres.rig.store.rolled_back() as conn:
        write_one(conn, on_postgres)
    tell(on_postgres, 1)
    assert ids(on_postgres, "after=0") == [1]
    on_postgres.rig.clock.advance(GAP_SECONDS)
    assert ids(on_postgres, "after=0") == [1, 3]


def chunks(web: Web, query: str = "", **headers: str) -> Iterator[str]:
    answer = web.client.get(f"/events{query}", headers=STREAM | headers)
    assert (answer.status_code, answer.mimetype) == (200, "text/event-stream")
    assert answer.headers["X-Accel-Buffering"] == "no"
    return (chunk.decode() for chunk in answer.iter_encoded())


def ids_in(chunk: str) -> list[int]:
    lines = chunk.splitlines()
    return [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]


def test_a_stream_tells_what_happens_from_now_on(web_on_both: Web) -> None:
    tell(web_on_both, 2)
    stream = chunks(web_on_both)
    assert next(stream).startswith("retry: ")
    tell(web_on_both, 2)
    said = next(stream)
    assert ids_in(said) == [3, 4]
    assert '"kind": "task.seen"' in said.replace('":"', '": "')
    web_on_both.streams.close()
    assert list(stream) == []


@pytest.mark.parametrize(
    ("query", "headers"),
    [("?after=1", {}), ("", {"Last-Event-ID": "1"}), ("?after=2", {"Last-Event-ID": "1"})],
)
def test_a_stream_is_taken_up_where_it_was_left(
    web: Web, query: str, headers: dict[str, str]
) -> None:
    tell(web, 3)
    assert ids_in(next(chunks(web, query, **headers))) == [2, 3]


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "9" * 30, "\u0661"])
def test_a_position_that_is_none_is_refused(web: Web, value: str) -> None:
    environ = {"HTTP_LAST_EVENT_ID": value.encode().decode("latin1")}
    answer = web.client.get("/events", headers=STREAM, environ_base=environ)
    assert answer.status_code == 400


def test_a_stream_that_is_asked_for_wrongly_is_a_problem(web: Web) -> None:
    for query, status in (("?work_item=NO-1", 404), ("?before=3", 400), ("?limit=0", 400)):
        assert web.client.get(f"/events{query}", headers=STREAM).status_code == status


def test_a_quiet_stream_gives_a_sign_of_life(web: Web) -> None:
    stream = chunks(web)
    next(stream)
    assert next(stream).encode() == PING
    assert web.pauses == [POLL_SECONDS] * round(PING_SECONDS / POLL_SECONDS)


def test_a_stream_ends_so_that_readers_who_are_gone_are_noticed(web: Web) -> None:
    pings = list(takewhile(bool, chunks(web)))
    assert len(pings) == 1 + 60 / PING_SECONDS


def test_there_is_room_for_so_many_streams_only(web: Web) -> None:
    client = web.client
    held = [client.get("/events", headers=STREAM) for _ in range(2)]
    refused = client.get("/events", headers=STREAM)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
    assert refused.get_json(force=True)["code"] == "too_many_streams"
    assert client.get("/queue").status_code == 200
    held[0].close()
    with client.get("/events", headers=STREAM) as again:
        assert again.status_code == 200
    held[1].close()
    assert MOST > 2


def test_a_stream_holds_no_connection_while_it_waits(
    web_on_both: Web, wait_until: Callable[..., object]
) -> None:
    stream = chunks(web_on_both)
    next(stream)
    pool: Any = web_on_both.rig.store.reader.pool
    assert pool.checkedout() == 0
    web_on_both.rig.store.write(lambda conn: conn.execute(text("SELECT 1")))
    web_on_both.streams.close()
