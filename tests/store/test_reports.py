"""Where the time went: sums of the waiting ledger, whole, and cut to what was asked for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from orch import reports
from orch.errors import UnknownTask
from orch.reports import Wanted
from orch.serial_gate import CLAUSES
from orch.spells import UNSEEN, WORK
from orch.store import spells as spells_of_store
from orch.store.session import Store
from orch.store.tables_waits import waits, waits_cursor
from tests.factories import START, Rig, SetClock
from tests.kept import empty
from tests.store.spell_book import SpellBook

HOUR = 3600.0
MONDAY = datetime.fromisoformat("2026-02-23T00:00:00Z")  # START is the Sunday after it


def spells(rig: Rig, *told: tuple[Any, ...]) -> None:
    """Spells as (task, repo, reason, begin, end), in hours before or after the start."""

    def at(hours: float | None) -> datetime | None:
        return None if hours is None else START + timedelta(hours=hours)

    rows = [
        {"task_id": task, "repo": repo, "reason": reason, "since": at(begin), "until": at(end)}
        | {"stage": "review", "agent": "reviewer" if reason == "work" else None}
        for task, repo, reason, begin, end in told
    ]
    looked = {"name": "waits", "began_at": at(-2000), "looked_at": rig.clock()}
    rig.store.write(lambda conn: conn.execute(insert(waits), rows))
    rig.store.write(lambda conn: conn.execute(insert(waits_cursor).values(**looked)))


@pytest.fixture
def told(rig: Rig) -> Rig:
    """Two tasks in two repos, twelve hours after the start."""
    one, two = rig.task("A-1", title="one"), rig.task("B-2", repo="lib", title="two")
    rig.clock.now = START + timedelta(hours=12)
    spells(
        rig,
        (one, "app", "active-task", 0, 4),
        (one, "app", "work", 4, 6),
        (one, "app", "approval", 6, None),
        (two, "lib", "freeze", 0, 1),
        (two, "lib", "work", 1, 2),
    )
    return rig


def test_every_reason_of_the_ledger_has_its_words() -> None:
    words = {*CLAUSES, *spells_of_store.HOLDS, *spells_of_store.PARKED, WORK, UNSEEN}
    assert set(reports.REASONS) == words


def test_all_time_is_waited_worked_or_parked(told: Rig) -> None:
    found = reports.report(told.line)
    assert found["seconds"] == 14 * HOUR
    totals = {kind: (each["seconds"], each["spells"]) for kind, each in found["totals"].items()}
    assert totals == {"waited": (5 * HOUR, 2), "worked": (3 * HOUR, 2), "parked": (6 * HOUR, 1)}
    reasons = [(row["reason"], row["seconds"], row["tasks"]) for row in found["by_reason"]]
    assert reasons == [
        ("approval", 6 * HOUR, 1), ("active-task", 4 * HOUR, 1), ("work", 3 * HOUR, 2),
        ("freeze", HOUR, 1),
    ]  # fmt: skip
    assert sum(row["share"] for row in found["by_reason"]) == pytest.approx(1, abs=0.001)
    said = "36% waited, 21% worked, 43% parked; most of the waiting: another task held its repo."
    assert found["sentence"] == f"Of the tasks' time: {said}"
    assert found["not_known"] == []


def test_each_grouping_is_the_same_time_put_together_otherwise(told: Rig) -> None:
    found = reports.report(told.line)
    for by in ("repo", "stage", "week", "task"):
        rows = found[f"by_{by}"]
        assert sum(row["seconds"] for row in rows) == found["seconds"], by
        for row in rows:
            assert sum(row[kind] for kind in reports.KINDS) == row["seconds"], by
            assert sum(row["reasons"].values()) == row["seconds"], by
    assert [(row["repo"], row["seconds"]) for row in found["by_repo"]] == [
        ("app", 12 * HOUR), ("lib", 2 * HOUR),
    ]  # fmt: skip
    assert [(row["agent"], row["worked"]) for row in found["by_stage"]] == [
        (None, 0), ("reviewer", 3 * HOUR),
    ]  # fmt: skip
    first = found["by_task"][0]
    assert (first["work_item_id"], first["title"], first["parked"]) == ("A-1", "one", 6 * HOUR)


def test_a_part_is_cut_to_what_lies_inside(told: Rig) -> None:
    since = START + timedelta(hours=5)
    found = reports.report(told.line, Wanted(since=since, by=("reason",)))
    assert {row["reason"]: row["seconds"] for row in found["by_reason"]} == {
        "approval": 6 * HOUR, "work": HOUR,
    }  # fmt: skip
    assert "by_repo" not in found
    lib = reports.report(told.line, Wanted(repos=("lib",)))
    assert (lib["seconds"], [row["repo"] for row in lib["by_repo"]]) == (2 * HOUR, ["lib"])
    assert [row["work_item_id"] for row in lib["by_task"]] == ["B-2"]
    top = reports.report(told.line, Wanted(top=1))
    assert [row["repo"] for row in top["by_repo"]] == ["app"]
    assert top["totals"]["worked"]["seconds"] == 3 * HOUR


def test_what_lies_over_the_end_of_a_week_counts_in_both(rig: Rig) -> None:
    task = rig.task("A-1")
    rig.clock.now = START + timedelta(hours=24)
    spells(rig, (task, "app", "no-worker", -24 * 10, 24))
    weeks = reports.report(rig.line)["by_week"]
    assert [(row["week"], row["begins"], row["seconds"] / HOUR) for row in weeks] == [
        ("2026-W08", MONDAY - timedelta(days=7), 3.5 * 24),
        ("2026-W09", MONDAY, 7 * 24),
        ("2026-W10", MONDAY + timedelta(days=7), 12),
    ]


def test_what_cannot_be_known_is_said(rig: Rig) -> None:
    assert reports.report(rig.line)["not_known"][0].startswith("Anything: nobody has looked yet.")
    book = SpellBook(rig)
    book.look()
    rig.clock.advance(3600)
    found = reports.report(rig.line)
    assert found["sentence"] == "Nothing has waited, worked or been parked in this time."
    assert [sentence[:23] for sentence in found["not_known"]] == [
        "What was before 2026-03", "What changed since 2026",
    ]  # fmt: skip


def test_a_tasks_spells_and_gaps_are_all_of_its_life(rig: Rig) -> None:
    book = SpellBook(rig)
    book.look()
    rig.task("A-1", "development", job=None)  # at 0, and nobody gives it a job
    rig.task("B-2", "development", job="running")
    rig.clock.advance(40)
    rig.order("retry", "A-1")  # at 42
    book.look(8)
    book.look(30)
    found = reports.task(rig.line, "A-1")
    assert found["spent"] == {"active-task": 38.0, "idle": 42.0}
    assert found["seconds"] == 80.0
    (spell,) = found["spells"]
    assert (spell["kind"], spell["blocker"], spell["until"]) == ("waited", "B-2", None)
    with pytest.raises(UnknownTask):
        reports.task(rig.line, "A-9")


spans = st.tuples(
    st.integers(1, 4),
    st.sampled_from(["app", "lib"]),
    st.sampled_from(sorted(reports.REASONS)),
    st.floats(-900, 10).map(lambda hours: round(hours, 3)),
    st.none() | st.floats(0, 300).map(lambda hours: round(hours, 3)),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=st.lists(spans, min_size=1, max_size=12), back=st.integers(1, 1000))
def test_whatever_is_asked_for_the_parts_are_the_whole(
    kept_store: Store, told: list[tuple[Any, ...]], back: int
) -> None:
    kept_store.write(empty)
    rig = Rig(kept_store, SetClock(START + timedelta(hours=12)))
    unique: set[int] = set()
    rows, since = [], -float(back)
    for task, repo, reason, begin, length in told:
        goes_on = length is None and task not in unique
        unique |= {task} if goes_on else set()
        end = None if goes_on else min(12.0, begin + (length or 0))
        rows.append((task, repo, reason, begin, end))
    spells(rig, *rows)
    asked = Wanted(since=START + timedelta(hours=since))
    found = reports.report(rig.line, asked)
    whole = sum(
        max(0.0, (12.0 if end is None else end) - max(begin, since)) * HOUR
        for *_, begin, end in rows
    )
    assert found["seconds"] == pytest.approx(whole, abs=0.1)
    for by in reports.GROUPS:
        assert sum(row["seconds"] for row in found[f"by_{by}"]) == pytest.approx(whole, abs=0.1)
    kept_store.write(empty)
