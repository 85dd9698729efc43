"""Freezes: whom they cover, whom they let through, how long they last, and who lifts them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert

from orch import dispatcher, serial_gate
from orch.errors import BadInput, IllegalTransition, NotFound, UnknownTask
from orch.store.schema import repo_freeze
from tests.factories import Rig

A, B = "A-1", "B-2"


def is_frozen(rig: Rig, repo: str) -> bool:
    return rig.store.read(lambda conn: serial_gate.is_repo_frozen(conn, repo, rig.clock()))


def test_a_freeze_covers_its_own_repo_and_no_other(rig: Rig) -> None:
    rig.task(A)
    rig.task(B, repo="app-web")
    rig.order("freeze", "app")
    assert rig.reasons() == {A: "freeze", B: None}
    assert (is_frozen(rig, "app"), is_frozen(rig, "app-web")) == (True, False)


@pytest.mark.parametrize(
    ("glob", "covered"),
    [
        ("*", {"app", "app-web", "APP", "team/app", "a_b", "axb"}),
        ("app*", {"app", "app-web"}),
        ("*app", {"app", "team/app"}),
        ("team/*", {"team/app"}),
        ("a?b", {"a_b", "axb"}),
        ("a_b", {"a_b"}),
        ("ap?", {"app"}),
        ("none*", set()),
    ],
)
def test_a_glob_covers_what_it_matches_letter_for_letter(
    rig: Rig, glob: str, covered: set[str]
) -> None:
    names = ("app", "app-web", "APP", "team/app", "a_b", "axb")
    for number, name in enumerate(names):
        rig.task(f"T-{number}", repo=name)
    rig.order("freeze", glob)
    assert {name for name in names if is_frozen(rig, name)} == covered
    frozen = {item for item, reason in rig.reasons().items() if reason == "freeze"}
    assert {names[int(item[2:])] for item in frozen} == covered
    assert {name for name, lane in rig.lanes().items() if lane["frozen"]} == covered


def test_who_when_and_why_are_told(rig: Rig) -> None:
    rig.task(A)
    rig.order("freeze", "a*", "main is red")
    lane = rig.lanes()["app"]
    assert (lane["frozen_by"], lane["frozen_reason"], lane["frozen_at"]) == (
        "ann", "main is red", rig.clock(),
    )  # fmt: skip
    (blocker,) = rig.waiting()[A]["blockers"]
    assert blocker["clear_with"] == "orch unfreeze 'a*'"
    assert (blocker["set_by"], blocker["since"]) == ("ann", rig.clock())
    assert blocker["detail"] == "a* is frozen by ann: main is red"
    (event,) = rig.events("repo.frozen")
    assert (event["actor"], event["reason"], event["repo"]) == ("ann", "main is red", "a*")


def test_freezing_twice_keeps_the_first(rig: Rig) -> None:
    rig.task(A)
    first = rig.clock()
    assert rig.order("freeze", "app", "first")["changed"] is True
    rig.clock.advance(60)
    again = rig.order("freeze", "app", "second", until=rig.clock() + timedelta(hours=1))
    assert again["changed"] is False
    lane = again["serial_gate"]["per_repo"]["app"]
    assert (lane["frozen_reason"], lane["frozen_at"]) == ("first", first)
    assert len(rig.events("repo.frozen")) == 1
    rig.clock.advance(7200)
    assert is_frozen(rig, "app")


def test_a_freeze_ends_by_itself_at_its_time(rig: Rig) -> None:
    rig.task(B, repo="lib")
    rig.workers()
    rig.order("freeze", "lib", until=rig.clock() + timedelta(minutes=5))
    rig.clock.advance(299)
    assert dispatcher.tick(rig.line).claimed == []
    rig.clock.advance(1)
    rig.workers()
    done = dispatcher.tick(rig.line)
    assert (done.expired, [each.repo for each in done.claimed]) == (1, ["lib"])
    (event,) = rig.events("repo.unfrozen")
    assert (event["actor"], event["reason"]) == ("orch", "its time was over")


def test_a_freeze_that_ran_out_can_be_set_anew_before_any_tick(rig: Rig) -> None:
    rig.order("freeze", "app", "first", until=rig.clock() + timedelta(minutes=5))
    rig.clock.advance(301)
    assert rig.order("freeze", "app", "second")["changed"] is True
    assert rig.lanes()["app"]["frozen_reason"] == "second"


def test_a_freeze_lets_the_named_task_through_and_no_other(rig: Rig) -> None:
    rig.task(A, "development")
    rig.task(B)
    rig.order("pause", A)
    rig.order("freeze", "app", allow=B)
    assert rig.reasons() == {A: "freeze", B: None}
    rig.order("resume", A)
    assert rig.reasons() == {A: "freeze", B: "active-task"}


def test_a_task_let_through_by_one_freeze_is_stopped_by_another(rig: Rig) -> None:
    rig.task(A)
    rig.order("freeze", "app", allow=A)
    rig.order("freeze", "*", "deploy day")
    assert rig.reasons() == {A: "freeze"}
    (blocker,) = rig.waiting()[A]["blockers"]
    assert blocker["clear_with"] == "orch unfreeze '*'"
    rig.order("unfreeze", "*")
    assert rig.claimable() == {A}


def test_the_name_of_a_task_let_through_must_be_known(rig: Rig) -> None:
    with pytest.raises(UnknownTask):
        rig.order("freeze", "app", allow="NOBODY-1")
    assert not is_frozen(rig, "app")


def test_a_repo_under_a_glob_is_not_lifted_alone_and_the_answer_says_how(rig: Rig) -> None:
    rig.task(A)
    rig.order("freeze", "a*")
    with pytest.raises(IllegalTransition) as refused:
        rig.order("unfreeze", "app")
    assert refused.value.suggested_fix == "Run `orch unfreeze 'a*'`."
    assert is_frozen(rig, "app")
    assert rig.order("unfreeze", "a*")["changed"] is True
    assert not is_frozen(rig, "app")


def test_own_freeze_and_glob_are_lifted_one_by_one(rig: Rig) -> None:
    rig.task(A)
    rig.order("freeze", "app", "own")
    rig.order("freeze", "a*", "wide")
    assert rig.lanes()["app"]["frozen_reason"] == "own"
    rig.order("unfreeze", "app")
    assert rig.lanes()["app"]["frozen_reason"] == "wide"


@pytest.mark.parametrize("name", ["not-seen-yet", "team/*"])
def test_a_repo_not_seen_before_can_be_frozen(rig: Rig, name: str) -> None:
    assert rig.order("freeze", name)["changed"] is True
    rig.task(A, repo=name.replace("*", "new"))
    assert rig.reasons() == {A: "freeze"}
    assert rig.order("unfreeze", name)["changed"] is True
    assert rig.order("unfreeze", name)["changed"] is False
    assert len(rig.events("repo.unfrozen")) == 1


def test_lifting_what_nobody_has_heard_of_says_so(rig: Rig) -> None:
    with pytest.raises(NotFound):
        rig.order("unfreeze", "typo")


def test_a_freeze_needs_a_reason(rig: Rig) -> None:
    with pytest.raises(BadInput):
        rig.order("freeze", "app", " ")


def test_a_freeze_written_by_hand_counts_and_one_cleared_by_hand_does_not(rig: Rig) -> None:
    rig.task(A)
    rig.task(B, repo="lib")
    now = rig.clock()
    rows = [
        {"repo": "app", "frozen_at": now, "cleared_at": None},
        {"repo": "lib", "frozen_at": now, "cleared_at": now},
    ]
    rig.store.write(lambda conn: conn.execute(insert(repo_freeze), rows))
    assert rig.reasons() == {A: "freeze", B: None}


def test_a_freeze_stops_nothing_that_runs(rig: Rig) -> None:
    rig.task(A)
    rig.started(A)
    rig.order("freeze", "app")
    assert (rig.job(A)["status"], rig.job(A)["stop_requested"]) == ("running", None)


def test_lifting_rings_the_dispatcher_which_then_finds_the_work(rig: Rig) -> None:
    rig.task(A)
    rig.workers()
    rig.order("freeze", "app")
    rig.tick()
    rig.queue.clear_kick()
    rig.order("unfreeze", "app")
    assert rig.queue.kick_waits
    assert len(dispatcher.tick(rig.line).claimed) == 1


def test_a_freeze_in_force_can_still_let_the_fix_through(rig: Rig) -> None:
    rig.task(A)
    rig.order("freeze", "app", "DEGRADED")
    fix = rig.task(B)
    rig.order("promote", B)
    assert rig.order("freeze", "app", "the fix", allow=B)["changed"]
    assert rig.reasons() == {B: None, A: "freeze"}
    assert not rig.order("freeze", "app", "the fix", allow=B)["changed"]
    (event,) = rig.events("repo.let_through")
    assert (event["task_id"], event["reason"]) == (fix, "the fix")
    assert rig.lanes()["app"]["frozen_reason"] == "DEGRADED"
