"""The observer writes down what each task waits for: once, with true times, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from orch import affected, waits
from orch.store import answers, fleet
from orch.store.schema import jobs, repo_freeze
from orch.store.session import Connection
from orch.store.tables_waits import waits as table
from tests.factories import Rig, add_job, dump
from tests.store.spell_book import SpellBook

A, B, C = "A-1", "B-2", "C-3"


@pytest.fixture
def book(timed_rig: Rig) -> SpellBook:
    """A ledger begun at the start, with workers alive for the whole test."""
    rig = timed_rig
    rig.limits = type(rig.limits)(worker_stale=10**6)
    rig.workers()
    found = SpellBook(rig)
    found.look()
    return found


def test_a_wait_begins_with_its_cause_and_ends_with_it(book: SpellBook) -> None:
    rig = book.rig
    rig.task(A)  # at 0
    rig.task(B)  # at 1
    claim = rig.started(A)  # at 2
    book.look(3)
    assert book.of(A) == [("unseen", 0, 2), ("work", 2, None)]
    assert book.of(B) == [("unseen", 1, 2), ("active-task", 2, None)]
    rig.order("freeze", "app", "main is red")  # at 5
    book.look(4)
    assert book.of(B)[1:] == [("active-task", 2, 5), ("freeze", 5, None)]
    assert book.of(A)[-1] == ("work", 2, None)
    rig.clock.advance(1)
    rig.order("unfreeze", "app")  # at 10
    book.look(4)
    assert book.of(B)[2:] == [("freeze", 5, 10), ("active-task", 10, None)]
    book.ends(claim, "analysis", "architecture")  # at 14
    book.look(1)
    assert book.of(A)[1:] == [("work", 2, 14), ("start", 14, None)]
    book.check()


def test_what_blocks_is_kept_with_the_spell(book: SpellBook) -> None:
    holder = book.rig.task(A, "development", job="running")
    book.rig.task(B)
    book.look()
    (row,) = [row for row in book.rows() if row["work_item_id"] == B]
    assert (row["reason"], row["blocker_id"], row["blocker"]) == ("active-task", holder, A)
    assert (row["agent"], row["stage"], row["job_id"]) == (
        "analyst",
        "analysis",
        book.rig.job(B)["id"],
    )


def test_turns_between_two_looks_are_told_to_the_moment(book: SpellBook) -> None:
    rig = book.rig
    rig.task(A)
    first = rig.started(A)  # at 1
    rig.clock.advance(2)
    book.ends(first, "analysis", "architecture")  # at 3
    rig.clock.advance(1)
    second = rig.started(A)  # at 4
    rig.clock.advance(5)
    book.ends(second, "architecture", "development")  # at 9
    book.look(1)
    assert book.of(A) == [
        ("work", 1, 3), ("unseen", 3, 4), ("work", 4, 9), ("start", 9, None),
    ]  # fmt: skip
    stages = [(row["stage"], row["agent"]) for row in book.rows() if row["reason"] == "work"]
    assert stages == [("analysis", "analyst"), ("architecture", "architect")]


def test_each_kind_of_parking_has_its_own_reason(book: SpellBook) -> None:
    rig = book.rig
    for item, repo in ((A, "app"), (B, "lib"), (C, "web")):
        rig.task(item, "analysis", repo, job=None)
    rig.task("D-4", repo="doc")
    ask = rig.row_id(B)
    rig.store.write(lambda conn: answers.ask_approval(conn, ask, rig.clock(), "analysis"))
    rig.order("pause", A)
    add_job_to = rig.row_id(C)
    rig.store.write(lambda conn: add_job(conn, add_job_to, rig.clock(), status="succeeded"))
    rig.asked(C)
    rig.order("pause", "D-4")  # at 4, and its job waits
    book.look(6)
    assert book.now() == {A: "paused", B: "approval", C: "needs-input", "D-4": "paused"}
    assert book.of("D-4") == [("unseen", 0 + 3, 4), ("paused", 4, None)]
    rig.order("resume", "D-4")  # at 10
    rig.order("cancel", A)
    book.look(2)
    assert book.of("D-4")[1:] == [("paused", 4, 10), ("start", 10, None)]
    assert book.of(A)[-1] == ("paused", 4, 10)


def test_parked_at_work_goes_on_working_and_is_parked_after(book: SpellBook) -> None:
    rig = book.rig
    rig.task(A)
    claim = rig.started(A)  # at 1
    rig.clock.advance(1)
    rig.order("pause", A)  # at 2
    book.look(3)
    assert book.of(A)[1:] == [("work", 1, None)]
    book.ends(claim, "analysis", "architecture")  # at 5, which queues the next job
    book.look(1)
    assert book.of(A)[1:] == [("work", 1, 5), ("paused", 5, None)]


def test_backoff_ends_at_its_time_and_holds_are_told_apart(book: SpellBook) -> None:
    rig = book.rig
    task_id = rig.task(A, job=None)
    due = rig.clock() + timedelta(seconds=20)
    rig.store.write(lambda conn: add_job(conn, task_id, rig.clock(), available_at=due))
    book.look()  # at 1
    assert book.of(A) == [("backoff", 1, None)]
    book.look(22)
    assert book.of(A) == [("backoff", 1, 21), ("start", 21, None)]

    def hold(until: float | None) -> None:
        end = rig.clock() + timedelta(seconds=until or 0)
        rig.store.write(lambda conn: fleet.suspend(conn, "analyst", end, "limit", rig.clock()))

    hold(30)  # at 23
    book.look(2)
    assert book.of(A)[1:] == [("start", 21, 23), ("suspended", 23, None)]
    rig.store.write(lambda conn: fleet.leave(conn, "w-analyst", rig.clock()))  # at 25
    book.look(1)
    assert book.now() == {A: "no-worker"}
    book.check()


def test_a_slot_that_is_free_for_a_moment_is_no_change(book: SpellBook) -> None:
    rig = book.rig
    rig.workers(slots=1)
    rig.task(A, repo="lib", job="running")
    rig.task(B)
    book.look()
    assert book.now()[B] == "capacity"
    rig.store.write(lambda conn: conn.execute(update(jobs).values(status="queued")))
    before = book.of(B)
    book.look(4)
    assert book.of(B) == before


def test_a_look_with_nothing_changed_writes_nothing(book: SpellBook) -> None:
    rig = book.rig
    rig.task(A, job="running")
    rig.task(B)
    rig.order("freeze", "other", "for reasons")
    book.look()
    before = dump(rig.store)
    for _ in range(3):
        assert book.look(4) == 0
    assert dump(rig.store) == before
    book.look(4)  # a sign that somebody looked, and nothing else
    assert dump(rig.store, without=("waits_cursor",)) == {
        name: rows for name, rows in before.items() if name != "waits_cursor"
    }


def test_of_two_who_look_at_once_one_writes(book: SpellBook) -> None:
    rig = book.rig
    rig.task(A)
    rig.clock.advance(1)
    line = rig.line
    writes = []

    def slow(work: Callable[[Connection], Any]) -> Any:
        """Between the look of the one and its writing the other looks and writes."""
        if not writes:
            writes.append(waits.look(rig.line))
        return line.store.write(work)

    late = waits.look(replace(line, store=SimpleNamespace(survey=line.store.survey, write=slow)))
    assert (writes[0].changes, late.changes) == (1, 0)
    assert book.of(A) == [("start", 0, None)]


def test_the_law_refuses_a_second_open_spell(book: SpellBook) -> None:
    rig = book.rig
    rig.task(A)
    book.look()
    row = {name: value for name, value in book.rows()[-1].items() if name in table.c}
    with pytest.raises(IntegrityError):
        rig.store.write(lambda conn: conn.execute(insert(table).values(row | {"id": 99})))


def test_after_a_long_silence_only_what_can_be_known_is_told(book: SpellBook) -> None:
    rig = book.rig
    rig.task(A)  # at 0
    claim = rig.started(A)  # at 1
    rig.task(B)
    rig.task(C)
    rig.task("D-4", repo="lib")
    rig.order("freeze", "lib", "for reasons")  # at 4
    book.look(6)  # at 10
    rig.clock.advance(600)  # nobody looks
    book.ends(claim, "analysis", "architecture")  # at 610
    rig.clock.advance(10)
    rig.order("pause", A)  # at 620
    rig.clock.advance(10)
    rig.started(B)  # at 630
    book.look(20)  # at 650
    # What a task did itself its events tell to the moment, and a freeze its own row.
    assert book.of(A)[1:] == [("work", 1, 610), ("unseen", 610, 620), ("paused", 620, None)]
    assert book.of("D-4")[1:] == [("freeze", 4, None)]
    # Whom the others waited for meanwhile nobody saw; since when it is B again is a fact.
    assert book.of(B)[-2:] == [("unseen", 10, 630), ("work", 630, None)]
    assert book.of(C)[-3:] == [
        ("active-task", 2, 10),
        ("unseen", 10, 630),
        ("active-task", 630, None),
    ]
    book.check()


def test_what_held_all_through_a_silence_goes_on(book: SpellBook) -> None:
    rig = book.rig
    rig.task(A, job="running")  # at 0
    rig.task(B)
    book.look(1)
    before = book.of(B)
    book.look(3600)
    assert book.of(B) == before == [("active-task", 1, None)]
    rig.clock.advance(3600)
    rig.order("freeze", "app", "a while")
    rig.clock.advance(60)
    rig.order("unfreeze", "app")
    book.look(60)  # a freeze came and went: who knows what the reason was, and when
    assert [reason for reason, *_ in book.of(B)] == ["active-task", "unseen", "active-task"]


def test_rows_that_others_write_are_found(book: SpellBook) -> None:
    rig = book.rig
    rig.task(A)
    rig.task(B)
    book.look(1)  # at 3
    assert book.now() == {A: "start", B: "active-task"}
    rig.store.write(
        lambda conn: conn.execute(
            insert(repo_freeze).values(repo="app", frozen_at=rig.clock() - timedelta(seconds=1))
        )
    )
    book.look(1)
    # Dated back: it was not there at the look at 3, so it counts from the one that saw it.
    assert book.of(A) == [("start", 0, 4), ("freeze", 4, None)]
    cleared = update(repo_freeze).values(cleared_at=rig.clock.advance(1))  # at 5
    rig.store.write(lambda conn: conn.execute(cleared))
    for _ in range(8):
        book.look(40)  # nothing tells of it but the walk through everybody
    assert book.of(A)[1:] == [("freeze", 4, 5), ("start", 5, None)]
    book.check()


def test_what_is_unread_stays_unwritten(book: SpellBook, break_clause: Callable[..., None]) -> None:
    rig = book.rig
    rig.task(A)
    break_clause("freeze")
    before = dump(rig.store, without=("counters",))
    assert book.look() == 0
    assert dump(rig.store, without=("counters",)) == before


def test_a_long_line_is_not_written_anew_when_its_head_changes(book: SpellBook) -> None:
    rig = book.rig
    for number in range(30):
        rig.task(f"T-{number}")
    assert book.look() == 30
    claim = rig.started("T-0")
    assert book.look(1) == 1
    book.ends(claim, "analysis", "architecture")
    rig.clock.advance(1)
    assert book.look() == 1  # T-0 alone, which may start again: all others wait as before
    rig.order("freeze", "app", "now all of them")
    assert book.look(1) == 30


def test_a_walk_goes_on_where_it_was_left(book: SpellBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affected, "PAGE", 3)
    rig = book.rig
    for number in range(10):
        rig.task(f"T-{number}", repo=f"repo-{number % 2}")
    while waits.look(rig.line).more:
        pass
    rig.order("freeze", "repo-*", "all at once")
    rig.clock.advance(1)
    looks = 1
    while waits.look(rig.line).more:
        looks += 1
    assert looks > 3
    assert set(book.now().values()) == {"freeze"}
    book.check()


def test_a_line_that_is_there_already_is_walked_through_once(
    timed_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = timed_rig
    monkeypatch.setattr(affected, "PAGE", 4)
    for number in range(10):
        rig.task(f"T-{number}")
    rig.task("P-1", job=None)
    rig.order("pause", "P-1")
    looks = [waits.look(rig.line) for _ in range(5)]
    assert [each.changes for each in looks] == [5, 4, 3, 0, 0]  # one was unseen before
    assert [each.more for each in looks][2:] == [False, False, False]
    book = SpellBook(rig)
    assert len(book.now()) == 11
    assert (book.now()["T-0"], book.now()["P-1"]) == ("no-worker", "paused")
    assert book.of("T-0") == [("unseen", 0, 11), ("no-worker", 11, None)]
    book.check()
