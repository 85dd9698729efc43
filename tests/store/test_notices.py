"""Notices: what of the ledger is told, in which words, and that each is told once."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import insert

from orch import notices, tidings
from orch.notices import NEWS, Subscription
from orch.store import answers, freezes, history, ledger, outbox
from orch.store.schema import events
from orch.store.session import Connection
from tests.factories import Rig
from tests.store.notice_desk import BOTH, HOOK, collect, frozen, listed

A = "A-1"


@pytest.fixture
def rig(rig: Rig) -> Rig:
    """A line whose ledger was read to its end, which is now."""
    collect(rig)
    return rig


# --- what is told


def test_what_happened_before_the_first_time_is_no_news(rig: Rig) -> None:
    assert listed(rig) == []
    rig.order("freeze", "app")
    assert (collect(rig), collect(rig)) == (1, 0)


def test_without_a_channel_nothing_is_read(rig: Rig) -> None:
    rig.order("freeze", "app")
    assert collect(rig, Subscription()) == 0
    assert collect(rig) == 1


def test_a_frozen_repo_and_its_end_are_told_through_every_channel(rig: Rig) -> None:
    rig.order("freeze", "app", "main is red")
    rig.order("unfreeze", "app", "fixed")
    assert collect(rig, BOTH) == 4
    told = [(row["channel"], row["kind"], row["title"]) for row in listed(rig)]
    assert told == [
        ("memory", "frozen", "app is frozen: main is red"),
        ("other", "frozen", "app is frozen: main is red"),
        ("memory", "unfrozen", "app is no longer frozen: fixed"),
        ("other", "unfrozen", "app is no longer frozen: fixed"),
    ]
    row = listed(rig)[0]
    assert row["link"] == "https://orch.example.org/ui/repos/app"
    assert "By: ann\nTo do: orch unfreeze 'app'" in row["text"]
    assert len({row["uid"] for row in listed(rig)}) == 4


def test_a_parked_task_is_told_with_who_and_why(rig: Rig) -> None:
    rig.task(A, title="Rework\x1b[31m the cache")
    rig.order("pause", A, "moved to Backlog")
    collect(rig, BOTH)
    row = listed(rig)[0]
    assert (row["kind"], row["title"]) == ("parked", f"{A} is parked: moved to Backlog")
    assert (row["repo"], row["work_item_id"]) == ("app", A)
    assert row["link"] == f"https://orch.example.org/ui/tasks/{A}"
    assert "Task: Rework [31m the cache" in row["text"]
    assert f"To do: orch why {A}; orch resume {A}" in row["text"]


def test_a_question_is_told_as_one_with_all_its_lines(rig: Rig) -> None:
    rig.task(A, "development")
    rig.asked(A, "Which colour?\nBlue is taken.")
    collect(rig)
    (row,) = listed(rig)
    assert (row["kind"], row["title"]) == (
        "needs_input", f"{A} needs input: Which colour? Blue is taken.",
    )  # fmt: skip
    assert f"orch answer {A} …" in row["text"]


def test_a_task_that_waits_for_approval_is_told_once(rig: Rig) -> None:
    task_id = rig.task(A, "review", job=None)
    rig.store.write(lambda conn: answers.ask_approval(conn, task_id, rig.clock(), "review"))
    collect(rig)
    (row,) = listed(rig)
    assert (row["kind"], row["title"]) == (
        "approval", f"{A} waits for a person: waits for approval of review",
    )  # fmt: skip


def red(conn: Connection, rig: Rig, freeze: bool) -> None:
    if freeze:
        freezes.set_repo_freeze(conn, "app", "DEGRADED: x", "monitor", rig.clock())
    ledger.record(conn, rig.clock(), "repo.degraded", repo="app", reason="DEGRADED: x")


@pytest.mark.parametrize(
    ("freeze", "kinds", "told"),
    [
        (True, HOOK.kinds, ["frozen"]),
        (False, HOOK.kinds, ["degraded"]),
        (True, frozenset({"degraded"}), ["degraded"]),
    ],
)
def test_a_red_repo_is_told_once(
    rig: Rig, freeze: bool, kinds: frozenset[str], told: list[str]
) -> None:
    rig.store.write(lambda conn: red(conn, rig, freeze))
    collect(rig, Subscription(("memory",), kinds))
    assert [row["kind"] for row in listed(rig)] == told


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("head.watch", "head_watch"),
        ("line.degraded", "degraded"),
        ("line.recovered", "degraded"),
        ("agent.unserved", "no_worker"),
        ("agent.served", "no_worker"),
    ],
)
def test_alarms_are_told_by_their_own_words(rig: Rig, event: str, kind: str) -> None:
    told = {"reason": "it hurts", "data": {"about": "developer"}}
    rig.store.write(lambda conn: ledger.record(conn, rig.clock(), event, **told))
    collect(rig)
    (row,) = listed(rig)
    assert (row["kind"], "it hurts" in row["title"]) == (kind, True)
    assert ("orch worker developer" in row["text"]) == (event == "agent.unserved")


def test_only_the_kinds_that_are_wanted_are_told(rig: Rig) -> None:
    rig.task(A)
    rig.order("pause", A)
    rig.order("freeze", "app")
    collect(rig, Subscription(("memory",), frozenset({"frozen"})))
    assert [row["kind"] for row in listed(rig)] == ["frozen"]


def test_what_is_older_than_a_day_is_no_news(rig: Rig) -> None:
    rig.order("freeze", "app")
    rig.clock.advance(NEWS)
    assert collect(rig) == 0


def test_more_than_a_batch_is_read_whole_and_in_order(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "BATCH", 3)
    repos = [f"repo-{number}" for number in range(7)]
    frozen(rig, *repos)
    assert [row["repo"] for row in listed(rig)] == repos


@pytest.mark.parametrize("many", [2, 3])
def test_a_burst_of_the_same_is_told_as_one(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(tidings, "BURST", 2)
    items = [f"T-{number}" for number in range(many)]
    for item in items:
        rig.task(item)
        rig.order("pause", item, "the sprint is over")
    rig.order("freeze", "app")
    collect(rig)
    titles = [row["title"] for row in listed(rig)]
    assert titles[-1] == "app is frozen: because"
    if many == 2:
        assert len(titles) == many + 1
        return
    assert titles[:-1] == ["T-0 is parked: the sprint is over (and 2 more)"]
    assert listed(rig)[0]["text"].endswith(f"The same for: {', '.join(items[1:])}")


# --- exactly once into the outbox


def test_an_event_that_commits_late_is_not_missed(rig: Rig) -> None:
    """As PostgreSQL hands out ids: a later one may be there before an earlier one."""
    now = rig.clock()
    last = rig.store.read(history.last_event)

    def write(number: int, repo: str) -> None:
        row = {"id": number, "at": now, "kind": "repo.frozen", "repo": repo, "reason": "r"}
        rig.store.write(lambda conn: conn.execute(insert(events).values(**row)))

    write(last + 1, "first")
    write(last + 3, "third")
    assert notices.collect(rig.line, HOOK) == 1
    write(last + 2, "second")
    assert collect(rig) == 2
    assert [row["repo"] for row in listed(rig)] == ["first", "second", "third"]


def test_two_who_read_at_once_tell_it_once(rig: Rig) -> None:
    rig.order("freeze", "app")
    rig.clock.advance(60)
    found: list[int] = []
    readers = [
        threading.Thread(target=lambda: found.append(notices.collect(rig.line, BOTH)))
        for _ in range(4)
    ]
    for each in readers:
        each.start()
    for each in readers:
        each.join()
    assert (sum(found), len(listed(rig))) == (2, 2)


def test_what_is_undone_is_not_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bookmark and the rows are one transaction: dying between them loses nothing."""
    rig.order("freeze", "app")

    def die(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(outbox, "post", die)
        with pytest.raises(KeyboardInterrupt):
            collect(rig)
    assert (collect(rig), len(listed(rig))) == (1, 1)
