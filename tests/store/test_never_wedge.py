"""A clause that cannot be evaluated: open ones are left out, closed ones close; both are told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import false, select, text
from sqlalchemy.exc import DBAPIError

from orch import dispatcher, serial_gate
from orch.errors import OrchError, StoreUnavailable
from orch.serial_gate import CLAUSES
from orch.store.schema import jobs
from tests.factories import Rig

A, B, C, F, W = "A-1", "B-2", "C-3", "F-4", "W-5"
Break = Callable[..., None]


def crossed(rig: Rig) -> None:
    """A paused holder, one behind it, one that waits, one frozen, one whose time has not come."""
    rig.task(A, "development")
    rig.task(B)
    rig.task(C, repo="lib")
    rig.task(F, repo="frozen")
    rig.task(W, repo="slow")
    rig.order("pause", A)
    rig.order("depend", C, on=A)
    rig.order("freeze", "frozen")
    later = rig.clock.now.replace(year=2027)
    slow = jobs.update().where(jobs.c.repo == "slow").values(available_at=later)
    rig.store.write(lambda conn: conn.execute(slow))
    rig.workers()


WHOLE: dict[str, str | None] = {
    A: "paused", B: None, C: "dependency", F: "freeze", W: "backoff",
}  # fmt: skip
WITHOUT: dict[str, dict[str, str | None]] = {
    "freeze": dict.fromkeys(WHOLE, "freeze"),
    "paused": {**WHOLE, A: None, B: "active-task"},
    "dependency": {**dict.fromkeys(WHOLE, "dependency"), A: "paused", F: "freeze"},
    "active-task": WHOLE,
    "backoff": {**WHOLE, W: None},
}
"""What the snapshot says with one clause unreadable."""


def unplanned(*_: object) -> Any:
    """A condition the database refuses to plan."""
    return select(text("no_such_column")).scalar_subquery() == 1


@pytest.mark.parametrize("name", CLAUSES)
@pytest.mark.parametrize("how", ["cannot be built", "cannot be run"])
def test_one_unreadable_clause_falls_to_its_side_and_touches_no_other(
    rig: Rig, break_clause: Break, name: str, how: str
) -> None:
    crossed(rig)
    break_clause(name) if how == "cannot be built" else break_clause(name, unplanned)
    assert rig.reasons() == WITHOUT[name]
    # A tick looks where something is due, so a job whose time has not come stays where it is.
    open_items = {item for item, reason in WITHOUT[name].items() if reason is None} - {W}
    done = rig.tick()
    assert done.degraded == {name}
    claimed = {rig.row(item)["id"]: item for item in WHOLE}
    assert {claimed[each.task_id] for each in done.claimed} == open_items


@pytest.mark.parametrize("name", CLAUSES)
def test_a_clause_left_out_is_counted_logged_and_shown(
    rig: Rig, break_clause: Break, name: str, logged: list[dict[str, object]]
) -> None:
    rig.task(A)
    break_clause(name, unplanned)
    assert rig.shown()["degraded"] == [name]
    assert rig.counted("gate_fallback", name) == 1
    assert rig.why(A)["degraded"] == [name]
    assert rig.counted("gate_fallback", name) == 2
    warned = [each for each in logged if each["event"] == "gate.fallback"]
    assert [(each["clause"], each["log_level"]) for each in warned] == [(name, "warning")] * 2


def test_nothing_is_counted_while_everything_can_be_read(
    rig: Rig, logged: list[dict[str, object]]
) -> None:
    crossed(rig)
    rig.tick()
    assert rig.shown()["degraded"] == []
    assert [name for name in CLAUSES if rig.counted("gate_fallback", name)] == []
    assert [each for each in logged if each["event"] == "gate.fallback"] == []


def test_an_open_clause_left_out_does_not_open_the_closed_ones(
    rig: Rig, break_clause: Break
) -> None:
    crossed(rig)
    for name in ("paused", "active-task", "backoff"):
        break_clause(name)
    assert rig.reasons() == {A: None, B: None, C: "dependency", F: "freeze", W: None}


def test_with_every_clause_unreadable_nothing_starts(rig: Rig, break_clause: Break) -> None:
    crossed(rig)
    for name in CLAUSES:
        break_clause(name)
    assert rig.tick().claimed == []
    assert set(rig.reasons().values()) == {"freeze"}
    assert rig.shown()["degraded"] == sorted(CLAUSES)


@pytest.mark.parametrize("name", ["freeze", "dependency"])
def test_a_closed_clause_that_is_switched_off_closes_nothing(
    rig: Rig, break_clause: Break, name: str
) -> None:
    rig.task(A)
    off = name != "freeze", name != "dependency"
    rig.layers = serial_gate.Layers(serial_gate_freeze_enabled=off[0], task_deps_enabled=off[1])
    break_clause(name)
    assert (rig.claimable(), rig.reasons(), rig.shown()["degraded"]) == ({A}, {A: None}, [])


def test_the_start_goes_on_without_an_unreadable_pause_and_not_without_the_freeze(
    rig: Rig, break_clause: Break, tmp_path: Path
) -> None:
    rig.task(A)
    rig.task(B, repo="lib")
    first, second = rig.claimed(A), rig.claimed(B)
    break_clause("paused")
    assert rig.work(first, tmp_path) == "advance"
    break_clause("freeze")
    assert rig.work(second, tmp_path) == "released"
    assert (rig.job(B)["status"], rig.job(B)["attempt"]) == ("queued", 1)


@pytest.mark.parametrize("name", CLAUSES)
def test_every_control_works_with_a_clause_unreadable(
    rig: Rig, break_clause: Break, name: str
) -> None:
    rig.task(A)
    rig.task(B)
    break_clause(name)
    assert rig.order("pause", A)["degraded"] == [name]
    assert rig.row(A)["paused_at"] is not None
    assert rig.order("freeze", "app")["changed"] is True
    assert rig.order("unfreeze", "app")["changed"] is True
    assert rig.order("resume", A)["changed"] is True
    assert len(rig.events("task.paused")) == 1


def test_a_fault_of_another_kind_is_no_fallback(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.task(A)

    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr("orch.snapshot.view", away)
    with pytest.raises(StoreUnavailable):
        rig.shown()
    monkeypatch.setattr("orch.snapshot.view", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        rig.shown()
    assert [name for name in CLAUSES if rig.counted("gate_fallback", name)] == []


# --- a database that is really broken

BREAKS = {
    "the pause column": ("ALTER TABLE tasks RENAME COLUMN paused_at TO gone", {"paused"}),
    "the freeze table": ("ALTER TABLE repo_freeze RENAME TO gone", {"freeze"}),
    "the freeze's end": ("ALTER TABLE repo_freeze RENAME COLUMN expires_at TO gone", {"freeze"}),
    "the dependencies": ("ALTER TABLE job_deps RENAME TO gone", {"dependency"}),
}


def broken(rig: Rig, what: str) -> set[str]:
    statement, names = BREAKS[what]
    rig.store.write(lambda conn: conn.execute(text(statement)))
    rig.store.dispose()
    return names


@pytest.mark.parametrize("what", BREAKS)
def test_on_a_broken_schema_snapshot_and_mirror_still_answer(breakable: Rig, what: str) -> None:
    crossed(breakable)
    names = broken(breakable, what)
    shown = breakable.shown()
    assert set(shown["degraded"]) == names
    assert breakable.reasons() == WITHOUT[min(names)]
    assert set(breakable.why(B)["degraded"]) == names
    frozen = {name for name, lane in breakable.lanes().items() if lane["frozen"]}
    assert frozen == ({"app", "lib", "frozen", "slow"} if names == {"freeze"} else {"frozen"})


@pytest.mark.parametrize("what", BREAKS)
def test_on_a_broken_schema_the_queue_goes_on_as_far_as_it_may(
    breakable: Rig, what: str, tmp_path: Path
) -> None:
    crossed(breakable)
    (name,) = broken(breakable, what)
    done = breakable.tick()
    expected = {item for item, reason in WITHOUT[name].items() if reason is None}
    items = {breakable.row_id(item): item for item in WHOLE}
    assert {items[each.task_id] for each in done.claimed} == expected
    for each in done.claimed:
        assert breakable.work(each.claim, tmp_path) == "advance"


def test_on_a_broken_schema_lost_jobs_are_still_found(breakable: Rig) -> None:
    breakable.task(A)
    breakable.started(A)
    broken(breakable, "the freeze table")
    breakable.clock.advance(61)
    assert dispatcher.tick(breakable.line).reaped == 1
    assert breakable.job(A)["status"] == "queued"


def test_a_repo_whose_freezes_cannot_be_read_counts_as_frozen(breakable: Rig) -> None:
    broken(breakable, "the freeze table")
    assert breakable.store.read(
        lambda conn: serial_gate.is_repo_frozen(conn, "app", breakable.clock())
    )


def test_a_schema_broken_where_no_clause_looks_is_an_error(breakable: Rig) -> None:
    breakable.task(A)
    breakable.store.write(
        lambda conn: conn.execute(text("ALTER TABLE jobs RENAME COLUMN agent TO gone"))
    )
    breakable.store.dispose()
    with pytest.raises((DBAPIError, OrchError)):
        breakable.shown()


def test_a_false_condition_is_a_reason_and_no_fault(rig: Rig, break_clause: Break) -> None:
    rig.task(A)
    break_clause("paused", lambda *_: false())
    assert (rig.reasons(), rig.shown()["degraded"]) == ({A: "paused"}, [])
