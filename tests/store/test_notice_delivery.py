"""Notices on their way: sent in order until they are taken, given up with a word, tried again."""

from __future__ import annotations

import threading
from datetime import datetime

import pytest

from orch import notices
from orch.adapters.memory_channel import MemoryChannel
from orch.channels import Notice
from orch.errors import ChannelUnavailable, IllegalTransition, NotFound
from orch.notices import NEWS, REFUSALS, Wanted
from orch.store import outbox
from tests.factories import Rig
from tests.store.notice_desk import BOTH, HOOK, collect, deliver, frozen, listed


@pytest.fixture
def rig(rig: Rig) -> Rig:
    """A line whose ledger was read to its end, which is now."""
    collect(rig)
    return rig


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

    taken = rig.store.write(lambda conn: outbox.take(conn, "memory", rig.clock(), notices.HOLD))
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
    other_has_it = threading.Event()

    class Slow(MemoryChannel):
        def send(self, notice: Notice, now: datetime) -> None:
            assert other_has_it.wait(30)

    class Quick(MemoryChannel):
        def send(self, notice: Notice, now: datetime) -> None:
            other_has_it.set()

    assert deliver(rig, Slow(), Quick("other")) == {"memory": {"sent": 1}, "other": {"sent": 1}}


def test_a_receiver_that_takes_too_long_is_tried_later(rig: Rig) -> None:
    frozen(rig, "app")
    over = threading.Event()

    class Endless(MemoryChannel):
        def send(self, notice: Notice, now: datetime) -> None:
            over.wait(30)

    done = notices.deliver(rig.line, [Endless()], patience=0.05)
    over.set()
    assert done["memory"]["failed"] == 1
    (row,) = listed(rig, state="waiting")
    assert row["last_error"] == "memory did not take it in time."


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
