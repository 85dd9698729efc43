"""What the pages read: the overview of all repos, and one page of waiting jobs with reasons."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from flask.testing import FlaskClient
from sqlalchemy import select, text

from bench.databases import Backlog, Kind, filled
from bench.measuring import Ratio, interleaved
from orch import snapshot
from orch.config import Settings
from orch.line import Line
from orch.snapshot import Wanted
from orch.store import views
from orch.store.moments import DATABASE_TIME
from orch.store.schema import jobs
from web import create_app

GROUPED = text(
    "SELECT repo, count(*), min(created_at) FROM jobs WHERE status = 'queued' GROUP BY repo"
)
PAGE = 100
ROWS, ROWS_BUDGET = 500, 200.0
"""Rows of the longest page there is, and the milliseconds it may take to be made."""


def measure(quick: bool) -> Iterator[Ratio]:
    """Overview and page, on both databases, with few repos and with many."""
    waiting, rounds = (10_000, 10) if quick else (100_000, 25)
    kinds: list[Kind] = ["postgres", "sqlite"]
    for kind in kinds:
        backlog = Backlog(waiting, waiting // 100, held=waiting // 200)
        with filled(kind, backlog) as line:
            yield _overview(kind, backlog, line, rounds)
            yield _page(kind, backlog, line, rounds)
        long = Backlog(waiting, 10, held=5)
        with filled(kind, long) as line:
            yield _page(kind, long, line, rounds)


def _overview(kind: Kind, backlog: Backlog, line: Line, rounds: int) -> Ratio:
    store, gate = line.store, line.gate
    ours, reference = interleaved(
        rounds,
        lambda: store.read(lambda conn: views.overview(conn, gate)),
        lambda: store.read(lambda conn: conn.execute(GROUPED).all()),
    )
    return Ratio(
        f"overview, {kind}, {backlog}", ours, reference, "ms", "the bare grouping SQL", at_most=2
    )


def _page(kind: Kind, backlog: Backlog, line: Line, rounds: int) -> Ratio:
    store, gate = line.store, line.gate
    one_row = select(jobs.c.id, jobs.c.repo, jobs.c.status).where(jobs.c.id == backlog.waiting // 2)

    def page() -> None:
        found = store.read(lambda conn: views.waiting_rows(conn, gate, DATABASE_TIME, ["r1"], PAGE))
        assert len(found) == PAGE

    ours, reference = interleaved(
        rounds * 4, page, lambda: store.read(lambda conn: conn.execute(one_row).one())
    )
    return Ratio(
        f"page of {PAGE} with reasons, {kind}, {backlog}",
        ours, reference, "ms", "one row by primary key", at_most=10,
    )  # fmt: skip


def _asked_for(client: FlaskClient) -> None:
    answer = client.get(f"/ui/line?repo=r1&rows={ROWS}")
    assert answer.text.count('id="w-') == ROWS, answer.status


def as_html(quick: bool) -> Iterator[Ratio]:
    """The longest page of the line, from the request to its last byte, beside what it reads."""
    waiting, rounds = (10_000, 10) if quick else (100_000, 25)
    kinds: list[Kind] = ["postgres", "sqlite"]
    for kind in kinds:
        backlog = Backlog(waiting, 10, held=5)
        with filled(kind, backlog) as line, tempfile.TemporaryDirectory() as folder:
            client = create_app(line, Settings(data_dir=Path(folder))).test_client()

            ours, reference = interleaved(
                rounds,
                partial(_asked_for, client),
                partial(snapshot.snapshot, line, Wanted(("r1",), ROWS)),
            )
            yield Ratio(
                f"line page of {ROWS} rows as HTML, {kind}, {backlog}",
                ours, reference, "ms", "the snapshot it shows", budget=ROWS_BUDGET,
            )  # fmt: skip
