"""The observer writes down what each task waits for: once, with true times, and nothing else."""

from __future__ import annotations

import pytest

from tests.factories import Rig
from tests.store.spell_book import SpellBook

A, B, C = "A-1", "B-2", "C-3"


@pytest.fixture
def book(rig: Rig) -> SpellBook:
    """A ledger begun at the start, with workers alive for the whole test."""
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
    assert book.of(A)[1][:3] == ("work", 2, 14)
    book.check()
