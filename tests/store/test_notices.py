"""Notices: read off the ledger once, sent in order until they are taken, given up with a word."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import insert

from orch import notices
from orch.adapters.memory_channel import MemoryChannel
from orch.channels import Notice
from orch.errors import ChannelUnavailable, IllegalTransition, NotFound
from orch.notices import NEWS, REFUSALS, Subscription, Wanted
from orch.store import answers, freezes, history, ledger
from orch.store.schema import events
from orch.store.session import Connection
from tests.factories import Rig

A, B = "A-1", "B-2"
HOOK = Subscription(("memory",))
BOTH = Subscription(("memory", "other"), web_url="https://orch.example.org")


@pytest.fixture
def rig(rig: Rig) -> Rig:
    """A line whose ledger was read to its end, which is now."""
    collect(rig)
    return rig


def collect(rig: Rig, wanted: Subscription = HOOK) -> int:
    """Read on once everything in the ledger is old enough to be complete."""
    rig.clock.advance(history.GAP_SECONDS + 1)
    return notices.collect(rig.line, wanted)


def listed(rig: Rig, **wanted: Any) -> list[dict[str, Any]]:
    """The outbox, oldest first."""
    found: list[dict[str, Any]] = notices.listed(rig.line, Wanted(**wanted))["notices"]
    return found[::-1]


def frozen(rig: Rig, *repos: str) -> None:
    """Freeze these repos, and read on."""
    for repo in repos:
        rig.order("freeze", repo, "main is red")
    collect(rig)


def deliver(rig: Rig, *channels: MemoryChannel) -> dict[str, dict[str, int]]:
    return {name: dict(done) for name, done in notices.deliver(rig.line, channels).items()}


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
        dying.setattr(notices.outbox, "post", die)
        with pytest.raises(KeyboardInterrupt):
            collect(rig)
    assert (collect(rig), len(listed(rig))) == (1, 1)


# --- at least once to the receiver


def test_what_is_due_is_sent_in_order_and_once(rig: Rig) -> None:
    frozen(rig, "app", "lib")
    memory = MemoryChannel()
    assert deliver(rig, memory) == {"memory": {"sent": 2}}
    assert [notice.data["repo"] for notice in memory.sent] == ["app", "lib"]
    assert deliver(rig, memory) == {"memory": {}}
    assert [row["state"] for row in listed(rig)] == ["sent", "sent"]
    assert rig.counted("notices_sent", "memory") == 2
    assert not notices.any_due(rig.line, HOOK)


def test_a_receiver_that_is_away_is_tried_again_ever_later_and_gets_all_in_order(rig: Rig) -> None:
    frozen(rig, "app", "lib")
    memory = MemoryChannel()
    memory.away = True
    waits = []
    for _ in range(9):
        assert deliver(rig, memory) == {"memory": {"failed": 1}}
        assert deliver(rig, memory) == {"memory": {}}  # those behind it wait as well
        first, second = listed(rig)
        waits.append((first["next_try_at"] - rig.clock()).total_seconds())
        rig.clock.now = first["next_try_at"]
    assert waits[0] < waits[1] < waits[2]
    assert all(10 * 2**n <= wait <= 12.5 * 2**n for n, wait in enumerate(waits[:6]))
    assert all(900 <= wait <= 1125 for wait in waits[7:])
    assert (first["tries"], second["tries"], first["last_error"]) == (9, 0, "memory is away.")
    memory.away = False
    assert deliver(rig, memory) == {"memory": {"sent": 2}}
    assert [notice.data["repo"] for notice in memory.sent] == ["app", "lib"]


def test_a_receiver_may_ask_to_be_left_alone_for_longer(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen(rig, "app")

    def busy(*_: object) -> None:
        raise ChannelUnavailable("busy", wait=600)

    memory = MemoryChannel()
    monkeypatch.setattr(memory, "send", busy)
    deliver(rig, memory)
    (row,) = listed(rig)
    assert (row["next_try_at"] - rig.clock()).total_seconds() == 600


def test_who_says_no_again_and_again_is_given_up_with_a_word_in_the_ledger(rig: Rig) -> None:
    frozen(rig, "app", "lib")
    memory = MemoryChannel()
    memory.refusing = True
    for _ in range(REFUSALS - 1):
        assert deliver(rig, memory) == {"memory": {"failed": 1}}
        rig.clock.advance(1200)
    # The one behind it has its turn in the same round.
    assert deliver(rig, memory) == {"memory": {"given_up": 1, "failed": 1}}
    (event,) = rig.events("notice.given_up")
    assert (event["reason"], event["repo"]) == ("memory wants nothing.", "app")
    assert event["data"]["tries"] == REFUSALS
    assert [row["state"] for row in listed(rig)] == ["failed", "waiting"]


def test_who_is_away_for_a_day_is_not_told_what_is_no_news_any_more(rig: Rig) -> None:
    frozen(rig, "app")
    memory = MemoryChannel()
    memory.away = True
    rig.clock.advance(NEWS - 10)
    assert deliver(rig, memory) == {"memory": {"failed": 1}}
    rig.clock.advance(1200)
    assert deliver(rig, memory) == {"memory": {"given_up": 1}}


def test_a_sender_that_dies_leaves_the_notice_to_another_one(rig: Rig) -> None:
    frozen(rig, "app")

    taken = rig.store.write(
        lambda conn: notices.outbox.take(conn, "memory", rig.clock(), notices.HOLD)
    )
    assert taken is not None  # whoever has it may die now, before or after it was sent
    memory = MemoryChannel()
    rig.clock.advance(notices.HOLD - 1)
    assert deliver(rig, memory) == {"memory": {}}
    rig.clock.advance(1)
    assert deliver(rig, memory) == {"memory": {"sent": 1}}
    assert [notice.uid for notice in memory.sent] == [taken["uid"]]  # as it was sent before


def test_a_slow_receiver_holds_nobody_else(rig: Rig) -> None:
    rig.order("freeze", "app")
    collect(rig, BOTH)
    ends = threading.Event()

    class Slow(MemoryChannel):
        def send(self, notice: Notice, now: datetime) -> None:
            ends.wait(30)

    slow, other = Slow(), MemoryChannel("other")
    done = notices.deliver(rig.line, [slow, other], patience=0.1)
    ends.set()
    assert (done["memory"]["failed"], done["other"]["sent"]) == (1, 1)
    (row,) = listed(rig, state="waiting")
    assert (row["channel"], row["last_error"]) == ("memory", "memory did not take it within 0 s.")


def test_a_fault_in_a_channel_stops_no_other(rig: Rig) -> None:
    rig.order("freeze", "app")
    collect(rig, BOTH)

    class Broken(MemoryChannel):
        def send(self, notice: Notice, now: datetime) -> None:
            raise ZeroDivisionError

    done = deliver(rig, Broken(), MemoryChannel("other"))
    assert done == {"memory": {"failed": 1}, "other": {"sent": 1}}


def test_who_is_told_to_leave_takes_nothing_more_up(rig: Rig) -> None:
    frozen(rig, "app")
    memory = MemoryChannel()
    notices.deliver(rig.line, [memory], leaving=lambda: True)
    assert memory.sent == []
    assert notices.any_due(rig.line, HOOK)


def test_the_outbox_forgets_after_a_month(rig: Rig) -> None:
    frozen(rig, "app")
    rig.clock.advance(notices.KEPT + 1)
    deliver(rig, MemoryChannel("other"))
    assert listed(rig) == []


# --- what a person asks


def test_one_that_was_given_up_is_tried_again_on_request(rig: Rig) -> None:
    frozen(rig, "app")
    memory = MemoryChannel()
    memory.refusing = True
    for _ in range(REFUSALS):
        deliver(rig, memory)
        rig.clock.advance(1200)
    (row,) = listed(rig, state="failed")
    answer = notices.retry(rig.line, row["id"], "ann")
    assert (answer["changed"], answer["state"], answer["tries"]) == (True, "waiting", 0)
    assert notices.retry(rig.line, row["id"], "ann")["changed"] is False
    memory.refusing = False
    assert deliver(rig, memory) == {"memory": {"sent": 1}}
    assert notices.retry(rig.line, row["id"], "ann")["changed"] is False
    (event,) = rig.events("notice.retried")
    assert event["actor"] == "ann"
    with pytest.raises(NotFound):
        notices.retry(rig.line, 999, "ann")


def test_a_test_goes_through_every_channel_now_and_past_the_outbox(rig: Rig) -> None:
    good, bad = MemoryChannel("webhook"), MemoryChannel("mail")
    bad.refusing = True
    results = notices.test(rig.line, "ann", [good, bad])
    assert [(each["channel"], each["ok"]) for each in results] == [
        ("webhook", True),
        ("mail", False),
    ]
    assert results[1]["error"] == "mail wants nothing."
    assert [(notice.kind, "ann" in notice.text) for notice in good.sent] == [("test", True)]
    (event,) = rig.events("notice.tested")
    assert event["data"] == {"webhook": "sent", "mail": "mail wants nothing."}
    assert listed(rig) == []
    with pytest.raises(IllegalTransition, match="No channel"):
        notices.test(rig.line, "ann", [])


def test_the_list_goes_back_a_page_at_a_time(rig: Rig) -> None:
    frozen(rig, "a", "b", "c")
    first = notices.listed(rig.line, Wanted(limit=2))
    assert [row["repo"] for row in first["notices"]] == ["c", "b"]
    rest = notices.listed(rig.line, Wanted(before=first["before"], limit=2))
    assert ([row["repo"] for row in rest["notices"]], rest["before"]) == (["a"], None)
    assert first["waiting"] == {"memory": 3}
