"""Whatever happens, and however seldom somebody looks: the ledger is true, whole and once only."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from sqlalchemy import select

from orch import dispatcher, explain, serial_gate, snapshot, spans
from orch.store import answers, history, views
from orch.store.schema import jobs, tasks
from tests.factories import START, Rig, dump
from tests.kept import empty
from tests.store.random_life import Life, lives
from tests.store.spell_book import SpellBook


def as_shown(rig: Rig) -> dict[str, str]:
    """What each task does or waits for, asked of the snapshot and of the rows."""
    found: dict[str, str] = {}

    def ask(conn: Any) -> None:
        now = rig.line.now()
        serving = views.agents_now(conn, now, rig.limits.worker_stale)
        waiting = serial_gate.snapshot(rig.gate, now, tasks.c.work_item_id, jobs.c.agent)
        for row in conn.execute(waiting).mappings():
            reason = serial_gate.reason(row) or snapshot.hold(row["agent"], serving)
            found[row["work_item_id"]] = reason or "start"
        its = select(tasks, jobs.c.status).outerjoin(
            jobs,
            (jobs.c.task_id == tasks.c.id) & jobs.c.status.in_(("queued", "claimed", "running")),
        )
        for row in conn.execute(its).mappings():
            if row["status"] in ("claimed", "running"):
                found[row["work_item_id"]] = "work"
            elif row["status"] is None and row["paused_at"] is not None:
                verdict = answers.verdict_of(conn, row["id"])
                found[row["work_item_id"]] = explain.parked_for(row, verdict)

    rig.store.read(ask)
    return found


def check(book: SpellBook, looks: list[int]) -> None:
    """After a look the ledger says what the snapshot says, and a further look writes nothing."""
    dispatcher.expire(book.rig.line)  # as every tick does: the end of a freeze is an event
    book.look()
    book.check()
    said, shown = book.now(), as_shown(book.rig)
    for item in {*said, *shown}:
        # Who waits for a slot waits until it has it: one that is free for a moment is no change.
        about_to = (said.get(item), shown.get(item)) == ("capacity", "start")
        assert about_to or said.get(item) == shown.get(item), (item, said, shown)
    before = dump(book.rig.store)
    assert book.look() == 0
    assert dump(book.rig.store) == before
    looks.append(len(book.rows()))


def worked(book: SpellBook) -> dict[str, float]:
    sums: Counter[str] = Counter()
    for row in book.rows():
        if row["reason"] == "work":
            until = row["until"] or book.rig.clock()
            sums[row["work_item_id"]] += (until - row["since"]).total_seconds()
    return {item: total for item, total in sums.items() if total}


def worked_by_the_events(rig: Rig) -> dict[str, float]:
    """The same, read from the ledger of events by other code."""
    found = {}
    for item, task_id in rig.store.read(
        lambda conn: conn.execute(select(tasks.c.work_item_id, tasks.c.id)).tuples().all()
    ):
        asked = history.EventFilter(task_id=task_id, after=0, limit=5000)
        told = rig.store.read(lambda conn, asked=asked: history.events_page(conn, asked, 10**9))
        rows = rig.store.read(lambda conn, task_id=task_id: history.jobs_of(conn, task_id))
        seen = [{**row, "queued_at": row["created_at"]} for row in rows]
        turns = spans.of_jobs(told, seen, rig.clock())
        found[item] = sum(span.seconds for span in turns if span.why == "work")
    return {item: total for item, total in found.items() if total}


def test_the_ledger_says_what_the_snapshot_says_and_each_change_once(timed_rig: Rig) -> None:
    rig = timed_rig

    # One life has hundreds of statements; each of them is a round trip on PostgreSQL.
    @settings(max_examples=8 if rig.store.is_sqlite else 3)
    @given(told=lives)
    def live(told: list[tuple[Any, ...]]) -> None:
        rig.store.write(empty)
        rig.clock.now, rig.queue.published = START, []
        book = SpellBook(rig)
        looks: list[int] = []
        book.look()
        Life(rig, lambda: check(book, looks)).live(told)
        check(book, looks)
        assert worked(book) == pytest.approx(worked_by_the_events(rig))

    live()
