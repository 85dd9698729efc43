"""What the ledger keeps of a control beside who and why: until when, for whom, what it replaced."""

from __future__ import annotations

from datetime import timedelta

from tests.factories import START, Rig

LATER = START + timedelta(hours=3)


def test_the_end_of_a_pause_is_kept(rig: Rig) -> None:
    rig.task("A-1")
    rig.order("pause", "A-1", until=LATER)
    (told,) = rig.events("task.paused")
    assert told["data"] == {"kill": False, "until": LATER.isoformat()}


def test_the_end_and_the_exemptions_of_a_freeze_are_kept(rig: Rig) -> None:
    for item in ("A-1", "B-2"):
        rig.task(item)
    rig.order("freeze", "app", until=LATER, allow="A-1")
    rig.order("freeze", "app", allow="B-2")
    (frozen,), (let,) = rig.events("repo.frozen"), rig.events("repo.let_through")
    assert frozen["data"] == {"until": LATER.isoformat(), "allow": "A-1"}
    assert (let["from_state"], let["to_state"]) == ("frozen", "frozen")
    assert let["data"] == {"allow": "B-2"}


def test_a_freeze_that_outlives_itself_is_told_as_opened(rig: Rig) -> None:
    rig.order("freeze", "app", until=LATER)
    rig.clock.now = LATER + timedelta(seconds=1)
    rig.tick()
    (told,) = rig.events("repo.unfrozen")
    assert (told["from_state"], told["to_state"]) == ("frozen", "open")
