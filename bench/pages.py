"""What the pages read: the overview of all repos, and one page of waiting jobs with reasons."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select, text

from bench.databases import Backlog, Kind, filled
from bench.measuring import Ratio, interleaved
from orch.line import Line
from orch.store import views
from orch.store.moments import DATABASE_TIME
from orch.store.schema import jobs

GROUPED = text(
    "SELECT repo, count(*), min(created_at) FROM jobs WHERE status = 'queued' GROUP BY repo"
)
PAGE = 100


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
