"""The tables of docs/adapters.md are those that the contract suites run."""

from __future__ import annotations

from tests.contracts import matrix


def test_the_page_shows_the_outcomes_that_the_suites_run() -> None:
    text = matrix.PAGE.read_text("utf-8")
    assert matrix.BEGIN in text
    assert text == matrix.page(text), "docs/adapters.md is out of step: run `make docs`"


def test_every_outcome_and_every_fault_has_its_words() -> None:
    for grid in matrix.GRIDS:
        for adapter, faults in grid.adapters.items():
            assert set(faults) <= matrix.FAULT_WORDS.keys()
            told = {grid.outcome(adapter, verb, fault) for verb in grid.verbs for fault in faults}
            assert told - {None} <= matrix.WORDS.keys()
