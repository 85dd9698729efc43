"""The page of a log: harmless text, followed by stream or by parts, over files and attempts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from orch import job_log
from orch.store.schema import jobs
from tests.factories import add_job
from tests.web.conftest import Web
from tests.web.page import get, person
from web.streams import Streams

TOKEN, OTHER = "a" * 64, "b" * 64


def write_job(web: Web, **values: Any) -> None:
    here = jobs.c.id == 1
    web.rig.store.write(lambda conn: conn.execute(update(jobs).where(here).values(**values)))


def place(web: Web, token: str = TOKEN) -> Path:
    path = web.folder.resolve() / "jobs" / "1" / token[:12] / "log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture
def log(web: Web) -> Path:
    """The log of job 1, which runs."""
    web.rig.task("APP-1", job="running")
    write_job(web, claim_token=TOKEN)
    place(web).write_bytes(b"one\ntwo\n")
    return place(web)


def streamed(web: Web, query: str = "", **headers: str) -> list[tuple[str, dict[str, Any], str]]:
    """Kind, data and id of each event, to the end."""
    answer = person(web, "viewer").get(
        f"/ui/jobs/1/log/stream{query}", headers=headers, buffered=True
    )
    assert answer.content_type == "text/event-stream; charset=utf-8"
    found = []
    for block in answer.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"]), fields["id"]))
    return found


def acting(web: Web, *acts: Callable[[], object]) -> None:
    """What happens each time a stream waits; at last the job ends."""
    left = [*acts, lambda: write_job(web, status="succeeded")]
    web.streams = Streams(most=2, pause=lambda _: left.pop(0)())


def test_the_page_shows_the_last_lines_and_where_to_go_on(web: Web, log: Path) -> None:
    log.write_bytes(b"".join(b"line %d\n" % number for number in range(2000)) + b"unfinished")
    page = get(person(web, "viewer"), "/ui/jobs/1/log")
    (given,) = [given for tag, given in page.tags if given.get("id") == "log"]
    assert "line 1999" in page.text
    assert "line 1400 " not in page.text
    assert str(given["data-at"]).endswith(f":{log.stat().st_size - len('unfinished')}")
    assert "/ui/jobs/1/log?seen=" in "".join(page.links())


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07x\x1b]8;;http://x\x1b\\link", "xlink"),
        (b"\x1b[2J\x1b[1;1Hgone", "gone"),
        (b"bell\x07 nul\x00 \x9b", "bell\u2407 nul\u2400 \ufffd"),
        (b"<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("\u202egnp".encode(), "<U+202E>gnp"),
        (b"half \xf0\x9f\x92", "half \ufffd"),
        (b"10%\r20%\r\n", "10%\n20%"),
    ],
)
def test_what_an_agent_wrote_is_text_and_does_nothing(
    web: Web, log: Path, written: bytes, shown: str
) -> None:
    log.write_bytes(written + b"\n")
    acting(web)
    page = get(person(web, "viewer"), "/ui/jobs/1/log")
    assert shown in "".join(page.texts)
    assert streamed(web)[0][1]["text"].rstrip("\n") == shown


def test_a_log_is_followed_to_the_end_and_on_to_the_next_job(web: Web, log: Path) -> None:
    task_id = web.rig.row_id("APP-1")

    def goes_on() -> None:
        write_job(web, status="failed", claim_token=None, log_path=str(log))
        web.rig.store.write(lambda conn: add_job(conn, task_id, web.rig.clock(), attempt=2))

    acting(web, lambda: log.write_bytes(b"one\ntwo\nthree\nfo"), goes_on)
    kinds = [(kind, data.get("text")) for kind, data, _ in streamed(web)]
    assert kinds == [("lines", "one\ntwo\n"), ("lines", "three\n"), ("lines", "fo"), ("end", None)]
    (*_, (_, end, _)) = streamed(web)
    assert end == {"status": "failed", "next": 2}


def test_who_comes_again_goes_on_where_it_was(web: Web, log: Path) -> None:
    acting(web)
    first = streamed(web)[0]
    log.write_bytes(b"one\ntwo\nthree\n")
    again = streamed(web, **{"Last-Event-ID": first[2]})
    assert again[0][1]["text"] == "three\n"
    assert streamed(web, f"?at={first[2]}")[0][1]["text"] == "three\n"


def test_a_job_taken_up_again_is_read_from_its_new_beginning(web: Web, log: Path) -> None:
    def taken_up() -> None:
        place(web, OTHER).write_bytes(b"again\n")
        write_job(web, claim_token=OTHER)

    acting(web, taken_up)
    said = [data for kind, data, _ in streamed(web) if kind == "lines"]
    assert [each["text"] for each in said] == ["one\ntwo\n", "again\n"]
    assert [each["anew"] for each in said] == [False, True]


def test_a_log_that_became_shorter_is_read_anew(web: Web, log: Path) -> None:
    acting(web, lambda: log.write_bytes(b"x\n"))
    assert [data["text"] for kind, data, _ in streamed(web) if kind == "lines"][1:] == ["x\n"]


def test_with_no_stream_free_the_parts_are_there(web: Web, log: Path) -> None:
    client = person(web, "viewer")
    held = [client.get("/ui/jobs/1/log/stream") for _ in range(2)]  # slow readers
    refused = client.get("/ui/jobs/1/log/stream")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
    part = client.get("/ui/jobs/1/log/part").get_json()
    assert (part["text"], part["open"]) == ("one\ntwo\n", True)
    log.write_bytes(b"one\ntwo\nthree\n")
    assert client.get(f"/ui/jobs/1/log/part?at={part['at']}").get_json()["text"] == "three\n"
    write_job(web, status="succeeded", claim_token=None, log_path=str(log))
    end = client.get(f"/ui/jobs/1/log/part?at={part['at']}").get_json()
    assert (end["open"], end["status"], end["next"]) == (False, "succeeded", None)
    for each in held:
        each.close()
    assert client.get("/ui/jobs/1/log/stream", buffered=True).status_code == 200


def test_a_line_longer_than_a_chunk_comes_in_parts(web: Web, log: Path) -> None:
    log.write_bytes(b"x" * (job_log.CHUNK + 10) + b"\ny\n")
    acting(web)
    texts = [data["text"] for kind, data, _ in streamed(web) if kind == "lines"]
    assert [len(text) for text in texts] == [job_log.CHUNK, 13]


@pytest.mark.parametrize("at", ["x", ":-1", ":1.5", "zz:1", f":{'9' * 19}", "../:1"])
def test_a_mark_that_is_none_is_refused(web: Web, log: Path, at: str) -> None:
    refused = person(web, "viewer").get("/ui/jobs/1/log/part", query_string={"at": at})
    assert refused.status_code == 400
    acting(web)
    assert streamed(web, **{"Last-Event-ID": at})[0][1]["text"] == "one\ntwo\n"


def test_a_log_elsewhere_is_said_to_be_so(web: Web, log: Path) -> None:
    log.unlink()
    write_job(web, status="succeeded", log_path=str(log), worker="agent.analyst@far")
    page = get(person(web, "viewer"), "/ui/jobs/1/log")
    assert "not on this machine" in page.text
    assert "agent.analyst@far" in page.text
    assert person(web, "viewer").get("/ui/jobs/9/log").status_code == 404


def test_the_token_of_a_job_is_in_no_answer(web: Web, log: Path) -> None:
    client = person(web, "viewer")
    for address in ("log", "log/part"):
        assert TOKEN[:12] not in client.get(f"/ui/jobs/1/{address}").text
