"""What a preview says in words, what it compares, and that it stands in nobody's way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from orch import controls, dispatcher, preview
from orch.controls import Order
from orch.errors import LostRace
from orch.line import Line
from orch.store import fleet
from tests.factories import Rig, dump

A, B, C = "A-1", "B-2", "C-3"


def said(rig: Rig, verb: str, target: str, **more: Any) -> dict[str, Any]:
    before = dump(rig.store)
    answer = preview.preview(rig.line, Order(verb, target, "ann", "because", **more))
    assert dump(rig.store) == before
    return answer


def test_pausing_the_head_starts_the_next_and_the_others_wait_for_that(rig: Rig) -> None:
    rig.task(A)
    rig.task(B)
    rig.task(C)
    rig.workers()
    answer = said(rig, "pause", A)
    assert answer["sentence"] == (
        "B-2 starts; C-3 waits for B-2; A-1 is parked; nothing else changes"
    )
    assert (answer["starts"], answer["begins_waiting"]) == ([B], [A])
    (of_b,) = [each for each in answer["changes"] if each["work_item_id"] == B]
    assert of_b["before"]["reason"] == "active-task"
    assert of_b["after"] == {"reason": None, "hold": None, "blockers": [], "starts": True}


def test_many_of_which_the_same_is_said_are_counted(rig: Rig) -> None:
    rig.task(A)
    for number in range(2, 9):
        rig.task(f"B-{number}")
    rig.workers()
    sentence = said(rig, "pause", A)["sentence"]
    assert "B-3, B-4, B-5 and 3 more wait for B-2; A-1 is parked;" in sentence


def test_of_two_with_one_slot_the_older_starts_and_the_other_waits_for_it(rig: Rig) -> None:
    rig.task(A, repo="team/one")
    rig.task(B, repo="team/two")
    rig.workers(slots=1)
    rig.order("freeze", "team/*")
    rig.tick()
    answer = said(rig, "unfreeze", "team/*")
    assert (answer["starts"], answer["held"]) == ([A], [B])
    assert answer["sentence"] == (
        "A-1 starts; B-2 waits for a free slot of analyst; the freeze of team/* is lifted; "
        "nothing else changes"
    )


def test_who_loses_a_slot_in_another_repo_is_named(rig: Rig) -> None:
    rig.task(A, paused_at=rig.clock())
    rig.task(B, repo="elsewhere")
    rig.workers(slots=1)
    rig.order("promote", B)  # marks its repo, as any write does
    answer = said(rig, "resume", A)
    assert (answer["starts"], answer["begins_waiting"]) == ([A], [B])
    assert "B-2 waits for a free slot of analyst" in answer["sentence"]


@pytest.mark.parametrize(
    ("now", "words"), [(False, "works on to the end"), (True, "is told to stop")]
)
def test_a_task_at_work_is_said_to_keep_the_repo(rig: Rig, now: bool, words: str) -> None:
    rig.task(A, "development", job="running")
    rig.task(B)
    rig.workers()
    answer = said(rig, "pause", A, now=now)
    assert answer["starts"] == []
    assert answer["sentence"].startswith(f"A-1 is parked; its developer {words}, and the repo is")


def test_a_move_within_the_line_is_said_even_if_no_reason_changes(rig: Rig) -> None:
    rig.task(A, "development", job="running")
    for number in range(2, 6):
        rig.task(f"B-{number}")
    answer = said(rig, "promote", "B-5")
    assert answer["changes"] == []
    assert answer["sentence"] == (
        "B-5 moves from place 4 to 1 and waits for A-1; nothing else changes"
    )


@pytest.mark.parametrize(
    ("verb", "more", "words"),
    [
        ("depend", {"on": C}, "B-2 waits for C-3; nothing else changes"),
        ("undepend", {"on": C}, "Nothing changes."),
        ("retry", {}, "Nothing changes."),
        ("cancel", {}, "B-2 is cancelled; nothing else changes"),
        ("pause", {}, "B-2 is parked; nothing else changes"),
    ],
)
def test_each_order_has_words_of_its_own(
    rig: Rig, verb: str, more: dict[str, Any], words: str
) -> None:
    rig.task(A, paused_at=rig.clock())
    rig.task(B)
    rig.task(C, repo="lib")
    rig.workers()
    dispatcher.sweep(rig.line)
    assert said(rig, verb, B, **more)["sentence"] == words


def test_what_is_only_written_down_is_said_and_what_is_not_is_not(rig: Rig) -> None:
    rig.task(A, "development", job="running")
    rig.task(B, repo="lib")
    only = said(rig, "depend", A, on=B)["sentence"]
    assert only == "A-1 depends on B-2; nothing else changes"
    rig.order("freeze", "app")
    assert said(rig, "freeze", "app")["sentence"] == "Nothing changes."
    assert said(rig, "promote", B)["sentence"] == (
        "promote of B-2 is written down; nothing else changes"
    )


def test_a_frozen_repo_names_what_may_end(rig: Rig) -> None:
    rig.task(A, "development", job="running")
    rig.task(B)
    sentence = said(rig, "freeze", "a*")["sentence"]
    assert sentence.endswith("a* is frozen; A-1 may end; nothing else changes")
    assert "B-2 waits: a* is frozen by ann: because" in sentence


def test_more_repos_than_are_compared_are_said(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "LANES", 2)
    for number in range(1, 5):
        rig.task(f"T-{number}", repo=f"team/{number}")
    rig.workers()
    rig.order("freeze", "team/*")
    answer = said(rig, "unfreeze", "team/*")
    assert answer["not_compared"] == "of 4 repos at work the first 2 were compared"
    # Who starts is the next tick's own word, however many repos are compared.
    assert answer["starts"] == ["T-1", "T-2", "T-3", "T-4"]
    assert "nothing else changes" not in answer["sentence"]


def test_a_line_too_long_to_compare_is_said(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "ROWS", 6)
    for number in range(1, 9):
        rig.task(f"T-{number}")
    rig.workers()
    answer = said(rig, "cancel", "T-1")
    assert answer["starts"] == ["T-2"]
    assert [each["work_item_id"] for each in answer["changes"]] == ["T-1", "T-2", "T-3"]
    assert answer["not_compared"] == "only the first 3 waiting tasks of app were compared"
    dispatcher.sweep(rig.line)
    last = said(rig, "pause", "T-8")
    assert [each["work_item_id"] for each in last["changes"]] == ["T-8"]


def test_a_head_beyond_what_is_compared_is_still_followed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "ROWS", 4)
    for number in range(1, 5):
        rig.task(f"P-{number}", paused_at=rig.clock())
    rig.task(A)
    rig.task(B)
    rig.workers()
    dispatcher.sweep(rig.line)
    frozen = said(rig, "freeze", "app")
    (of_head,) = [each for each in frozen["changes"] if each["work_item_id"] == A]
    assert of_head["after"]["reason"] == "freeze"
    assert A in frozen["begins_waiting"]
    assert said(rig, "pause", A)["starts"] == [B]


def test_what_others_do_meanwhile_is_not_taken_for_the_orders_effect(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.task(A)
    rig.task(B)
    rig.task(C, repo="lib")
    rig.workers()
    dispatcher.sweep(rig.line)
    pause = controls.VERBS["pause"]

    def slow(conn: Any, line: Line, order: Order) -> bool:
        if not rig.store.is_sqlite:  # there nobody writes meanwhile
            rig.order("freeze", "lib")
        return pause(conn, line, order)

    monkeypatch.setitem(controls.VERBS, "pause", slow)
    answer = preview.preview(rig.line, Order("pause", A, "ann"))
    assert [each["work_item_id"] for each in answer["changes"]] == [A, B]


@pytest.mark.parametrize("name", ["freeze", "paused", "dependency", "active-task"])
def test_a_preview_is_given_without_a_clause_that_cannot_be_read(
    rig: Rig, break_clause: Callable[..., None], name: str
) -> None:
    rig.task(A)
    rig.task(B)
    rig.workers()
    break_clause(name)
    answer = preview.preview(rig.line, Order("cancel", A, "ann"))
    assert answer["sentence"]
    assert (answer["starts"] == []) == (name in ("freeze", "dependency"))


def test_a_preview_does_not_wait_for_a_dispatcher(rig: Rig) -> None:
    rig.task(A)
    rig.task(B)
    rig.workers()
    with ExitStack() as held:
        if not rig.store.is_sqlite:  # which has one writer at a time
            conn = held.enter_context(rig.store.rolled_back())
            assert fleet.capacity(conn, rig.clock(), 45)  # as a tick holds the agents' rows
        assert preview.preview(rig.line, Order("pause", A, "ann"))["starts"] == [B]


def test_a_rehearsal_that_meets_others_is_done_again(rig: Rig) -> None:
    tries = []

    def work(conn: object) -> str:
        tries.append(conn)
        if len(tries) == 1 and not rig.store.is_sqlite:
            raise LostRace
        return "done"

    assert rig.store.rehearse(work) == "done"
