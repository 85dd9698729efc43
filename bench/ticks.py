"""The dispatcher's tick: with nothing to do, claiming a few of many, claiming a whole backlog."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any

from sqlalchemy import text

from bench.databases import Backlog, Kind, filled, settle, slots
from bench.measuring import Ratio, interleaved, milliseconds
from orch import dispatcher
from orch.line import Line
from orch.store.session import Store

FEW = 100
"""How many jobs the tick claims that is measured against the bare update."""


def idle(quick: bool) -> Iterator[Ratio]:
    """A tick with nothing to do, however much waits."""
    sizes: dict[Kind, list[Backlog]] = {
        "postgres": [_held(10_000, 1_000), _held(100_000, 10_000), _held(950_000, 100_000)],
        "sqlite": [_held(10_000, 1_000), _held(100_000, 10_000)],
    }
    for kind, backlogs in sizes.items():
        for backlog in backlogs[:1] if quick else backlogs:
            with ExitStack() as stack:
                few = stack.enter_context(filled(kind, _held(1_000, 100)))
                many = stack.enter_context(filled(kind, backlog))
                yield _idle(kind, backlog, many, few, 50 if quick else 300)


def _held(waiting: int, repos: int) -> Backlog:
    return Backlog(waiting, repos, held=repos)


def _idle(kind: Kind, backlog: Backlog, many: Line, few: Line, rounds: int) -> Ratio:
    def look(line: Line) -> None:
        assert not dispatcher.tick(line).claimed

    ours, reference = interleaved(rounds, lambda: look(many), lambda: look(few))
    return Ratio(
        f"idle tick, {kind}, {backlog}", ours, reference, "ms",
        "the same with 1,000 waiting", at_most=3,
    )  # fmt: skip


def few_of_many(quick: bool) -> Iterator[Ratio]:
    """A tick that claims a hundred jobs of a hundred repos, and the bare update of those rows."""
    for kind in ("postgres", "sqlite"):
        big = kind == "postgres" and not quick
        repos = 100_000 if big else 10_000
        waiting = repos * 10 if not big else 950_000
        backlog = Backlog(waiting, repos, free=1_000)
        with filled(kind, backlog) as line:
            slots(line, repos)
            yield _few(kind, backlog, line, 4 if quick else 16)


def _few(kind: Kind, backlog: Backlog, line: Line, rounds: int) -> Ratio:
    groups = [
        [f"free{index}" for index in range(first, first + FEW)]
        for first in range(0, backlog.free, FEW)
    ]
    ours: list[float] = []
    reference: list[float] = []
    bare = Bare(line.store)
    for turn in range(rounds):
        names = groups[turn % len(groups)]
        heads = heads_of(line.store, names)
        steps = [
            lambda names=names: ours.append(_tick(line, names)),
            lambda heads=heads: reference.append(bare.milliseconds(heads)),
        ]
        for step in steps if turn % 2 == 0 else reversed(steps):
            step()
            undo(line.store, heads)
    return Ratio(
        f"tick claiming {FEW}, {kind}, {backlog}",
        median(ours), median(reference), "ms",
        f"bare UPDATE of the same {FEW} rows", at_most=6,
    )  # fmt: skip


def _tick(line: Line, names: Sequence[str]) -> float:
    wake(line.store, names)
    began = time.perf_counter()
    done = dispatcher.tick(line)
    took = (time.perf_counter() - began) * 1000
    assert len(done.claimed) == len(names), f"{len(done.claimed)} of {len(names)} claimed"
    return took


WARMING = 11
"""Rounds that do not count: a dispatcher runs for days, and for its first ten looks the driver and
PostgreSQL plan each statement anew."""


def whole(quick: bool) -> Iterator[Ratio]:
    """A backlog claimed from end to end, and the bare update of the same rows in equal batches."""
    for kind in ("postgres", "sqlite"):
        backlog = Backlog(40_000, 2_000) if quick else Backlog(200_000, 2_000)
        with filled(kind, backlog) as line:
            slots(line, backlog.waiting)
            yield _whole(kind, backlog, line, 3 if quick else 12)


def _whole(kind: Kind, backlog: Backlog, line: Line, rounds: int) -> Ratio:
    """Each round claims the heads of all repos twice over: bare, undone, and by a tick."""
    names = [f"r{index}" for index in range(backlog.repos)]
    bare, size = Bare(line.store), dispatcher.BATCH
    ours: list[float] = []
    reference: list[float] = []
    for _ in range(WARMING + rounds):
        heads = heads_of(line.store, names)
        batches = [heads[first : first + size] for first in range(0, len(heads), size)]
        reference.append(sum(bare.milliseconds(batch) for batch in batches))
        undo(line.store, heads)
        ours.append(_tick(line, names))
        over(line.store, heads)
    count = len(names) * 1000
    ours, reference = ours[WARMING:], reference[WARMING:]
    return Ratio(
        f"claim rate, {kind}, {backlog}", count / median(ours), count / median(reference), "jobs/s",
        f"bare UPDATE of the same rows, {size:,} at a time", at_least=0.3,
    )  # fmt: skip


class Bare:
    """The least that claiming could be: one UPDATE by primary key, straight through the driver."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._engine = store.writer

    def milliseconds(self, heads: Sequence[int]) -> float:
        return milliseconds(lambda: self._claim(heads))

    def _claim(self, heads: Sequence[int]) -> None:
        raw = self._engine.raw_connection()
        try:
            self._update(raw, list(heads))
            raw.commit()
        finally:
            raw.close()

    def _update(self, raw: Any, heads: list[int]) -> None:
        moved = "UPDATE jobs SET status = 'claimed', claim_token = 'bare', "
        cursor = raw.cursor()
        if self._store.is_sqlite:
            marks = ", ".join("?" * len(heads))
            soon = "strftime('%Y-%m-%d %H:%M:%f000', 'now', '60 seconds')"
            set_times = (
                f"claimed_at = strftime('%Y-%m-%d %H:%M:%f000', 'now'), lease_until = {soon}"
            )
            cursor.execute("BEGIN IMMEDIATE")
            statement = f"{moved}{set_times} WHERE id IN ({marks}) RETURNING id"
            cursor.execute(statement, heads)
        else:
            set_times = "claimed_at = now(), lease_until = now() + interval '60 s'"
            statement = f"{moved}{set_times} WHERE id = ANY(%s) RETURNING id"
            cursor.execute(statement, [heads])
        assert len(cursor.fetchall()) == len(heads)


def heads_of(store: Store, names: Sequence[str]) -> list[int]:
    """The first waiting job of each of these repos."""
    statement = "SELECT repo, min(id) FROM jobs WHERE status = 'queued' GROUP BY repo"
    with store.reader.begin() as conn:
        found = dict(conn.execute(text(statement)).tuples().all())
    return [found[name] for name in names]


def wake(store: Store, names: Sequence[str]) -> None:
    with store.writer.begin() as conn:
        conn.execute(text("INSERT INTO wakes (repo) VALUES (:repo)"), [{"repo": n} for n in names])


def undo(store: Store, heads: Sequence[int]) -> None:
    """Put claimed jobs back, and what the claim wrote beside them."""
    back = (
        "UPDATE jobs SET status = 'queued', claim_token = NULL, claimed_at = NULL, "
        "lease_until = NULL WHERE id = :id"
    )
    with store.writer.begin() as conn:
        conn.execute(text(back), [{"id": head} for head in heads])
        conn.execute(
            text("UPDATE tasks SET admitted_at = NULL WHERE id = :id"), [{"id": h} for h in heads]
        )
        conn.execute(text("DELETE FROM events"))
        conn.execute(text("DELETE FROM wakes"))


def over(store: Store, heads: Sequence[int]) -> None:
    """Let claimed jobs and their tasks be over, as if each had been the only stage."""
    with store.writer.begin() as conn:
        rows = [{"id": head} for head in heads]
        conn.execute(text("UPDATE jobs SET status = 'succeeded' WHERE id = :id"), rows)
        conn.execute(text("UPDATE tasks SET stage = 'done' WHERE id = :id"), rows)
    settle(store)
