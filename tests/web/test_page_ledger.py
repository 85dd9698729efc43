"""The ledger for people: filters that stand in the address, pages, exports of it all."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from orch import events
from orch.store.schema import events as ledger
from tests.factories import START
from tests.web.conftest import Web
from tests.web.page import HOSTILE, get, person
from web.pages.ledger import COLUMNS
from web.pages.words import visible


def tell(web: Web, count: int, **facts: Any) -> None:
    rows = [{"kind": "task.seen", "at": web.rig.clock(), "actor": "ann", **facts}] * count
    web.rig.store.write(lambda conn: conn.execute(insert(ledger), rows))


def exported(web: Web, ending: str, query: str = "") -> str:
    return person(web, "viewer").get(f"/ui/ledger.{ending}?{query}", buffered=True).text


@pytest.mark.parametrize(
    "query",
    [
        "actor=bob",
        "kind=repo.frozen",
        "repo=lib",
        "text=DEPLOY",
        "work_item=APP-1",
        "since=2026-03-01T13:00",
        "since=2026-03-01T13:00:00%2B00:00&until=2026-03-02",
        "actor=bob&kind=repo.frozen&repo=lib&text=ploy+d&work_item=&since=&until=",
    ],
)
def test_every_filter_narrows_and_stands_in_the_address(web_on_both: Web, query: str) -> None:
    web = web_on_both
    task_id = web.rig.task("APP-1")
    tell(web, 3, reason="50% of it_")
    told = {"actor": "bob", "kind": "repo.frozen", "repo": "lib", "reason": "deploy day"}
    tell(web, 1, task_id=task_id, **(told | {"at": START + timedelta(hours=2)}))
    found = get(person(web, "viewer"), f"/ui/ledger?{query}")
    assert "deploy day" in found.text
    assert "50% of it_" not in found.text
    first = next(pair for pair in query.split("&") if not pair.endswith("="))
    assert any(first.split("%")[0].split("T")[0] in link for link in found.links())


def test_what_stands_in_a_text_is_no_pattern(web_on_both: Web) -> None:
    tell(web_on_both, 1, reason="a_b 100%")
    tell(web_on_both, 1, reason="axb 1000")
    lines = exported(web_on_both, "jsonl", "text=A_B").splitlines()
    assert [json.loads(line)["reason"] for line in lines] == ["a_b 100%"]


def test_the_past_is_paged_by_position_without_loss(web: Web) -> None:
    for number in range(250):
        tell(web, 1, reason=f"number {number:03}.")
    address, seen = "/ui/ledger?actor=ann", []
    while address:
        page = get(person(web, "viewer"), address)
        seen += [word for word in page.text.split() if word.endswith(".") and word[:3].isdigit()]
        older = [given for tag, given in page.tags if tag == "a" and given.get("rel") == "next"]
        address = str(older[0]["href"]) if older else ""
        tell(web, 1, actor="bob")  # what is written meanwhile moves nothing
    assert seen == [f"{number:03}." for number in reversed(range(250))]


def test_what_is_rare_is_looked_for_in_bounded_steps(
    web_on_both: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = web_on_both
    monkeypatch.setattr(events, "WINDOW", 10)
    tell(web, 1, actor="bob", reason="long ago")
    tell(web, 25)
    first = get(person(web, "viewer"), "/ui/ledger?actor=bob")
    assert "Looked back to" in first.text
    assert len(exported(web, "jsonl", "actor=bob").splitlines()) == 1


def test_times_are_found_without_reading_what_came_after(
    web_on_both: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = web_on_both
    monkeypatch.setattr(events, "WINDOW", 10)
    for day in range(40):
        tell(web, 1, at=START + timedelta(days=day), reason=f"day {day}.")
    page = get(person(web, "viewer"), "/ui/ledger?since=2026-03-05&until=2026-03-07")
    assert [f"day {day}." in page.text for day in (3, 4, 5, 6)] == [False, True, True, False]


def test_an_export_read_back_is_the_ledger(web: Web) -> None:
    tell(web, 1203, reason='plain, with a comma and a "quote"\nand a line', data={"a": [1, "ü"]})
    visitor, program = person(web, "viewer"), web.client_of("viewer")
    told = visitor.get("/ui/ledger.jsonl", buffered=True).text
    lines = [json.loads(line) for line in told.splitlines()]
    assert lines[:1000] == program.get("/events?limit=1000").get_json()["events"]
    sheet = visitor.get("/ui/ledger.csv", buffered=True).text
    rows = list(csv.DictReader(io.StringIO(sheet, newline="")))
    assert [int(row["id"]) for row in rows] == [line["id"] for line in lines]
    assert tuple(rows[0]) == COLUMNS
    seen = [row for row in rows if row["kind"] == "task.seen"]
    assert len(seen) == 1203
    assert {row["reason"] for row in seen} == {'plain, with a comma and a "quote"\nand a line'}
    assert json.loads(seen[0]["data"]) == {"a": [1, "ü"]}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", *HOSTILE])
def test_no_cell_is_a_formula(web: Web, text: str) -> None:
    tell(web, 1, reason=text, actor=text)
    row = next(
        row
        for row in csv.DictReader(io.StringIO(exported(web, "csv"), newline=""))
        if row["kind"] == "task.seen"
    )
    assert not row["reason"].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert row["reason"].removeprefix("'") == text


def test_an_export_holds_no_more_than_a_batch_and_takes_a_place(web: Web) -> None:
    tell(web, 1203)
    client = person(web, "viewer")
    streams = [client.get("/ui/ledger.jsonl") for _ in range(2)]  # begun, not read
    refused = client.get("/ui/ledger.csv")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
    sizes = [chunk.count(b"\n") for chunk in streams[0].iter_encoded()]
    assert max(sizes) <= events.BATCH
    for stream in streams:
        stream.close()


def test_five_hundred_events_are_pages_of_bounded_weight(web: Web) -> None:
    tell(web, 500, reason="x" * 120)
    answer = person(web, "viewer").get("/ui/ledger")
    assert len(answer.data) < 150_000


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_was_said_stays_text(web: Web, text: str) -> None:
    tell(web, 1, reason=text, actor=text[:100], data={"told": text})
    assert visible(text).strip() in "".join(get(person(web, "viewer"), "/ui/ledger").texts)


@pytest.mark.parametrize(
    "query",
    ["since=yesterday", "kind=x", "before=-1", "text=%00", "colour=red"],
)
def test_a_filter_that_cannot_be_is_named(web: Web, query: str) -> None:
    assert person(web, "viewer").get(f"/ui/ledger?{query}").status_code == 400
