"""Job states: every pair of state and event, by the table and in a database."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import get_args

import pytest

from orch import jobs
from orch.jobs import ENDED, EVENTS, LIVE, OPEN, STATES, TRANSITIONS, JobEvent, JobState
from orch.store import ledger
from orch.store.schema import jobs as rows
from orch.store.schema import metadata
from orch.store.session import Store
from tests.factories import START, add_job, add_task

PAIRS = list(itertools.product(get_args(JobState), get_args(JobEvent)))


@pytest.fixture(scope="module")
def one_store() -> Iterator[Store]:
    """A store in memory; each test undoes what it did."""
    opened = Store("sqlite://")
    opened.write(metadata.create_all)
    yield opened
    opened.dispose()


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_the_ledger_moves_a_job_exactly_where_the_table_says(
    one_store: Store, state: JobState, event: JobEvent
) -> None:
    wanted = TRANSITIONS.get((state, event))
    with one_store.rolled_back() as conn:
        task_id = add_task(conn, "A-1", "app", START)
        job_id = add_job(conn, task_id, START, status=state)
        moved = ledger.move_job(conn, event, rows.c.id == job_id)
        found = conn.execute(rows.select()).mappings().one()["status"]
    assert (moved is not None) == (wanted is not None)
    assert found == (wanted or state)


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_from_states_and_target_are_the_table_read_backwards(
    state: JobState, event: JobEvent
) -> None:
    wanted = TRANSITIONS.get((state, event))
    assert (state in jobs.from_states(event)) is (wanted is not None)
    if wanted is not None:
        assert jobs.target(event) == wanted


def test_every_event_is_possible_somewhere() -> None:
    assert {event for _, event in TRANSITIONS} == set(EVENTS)


def test_every_state_is_reached_from_the_first() -> None:
    seen = {"queued"}
    for _ in STATES:
        seen |= {to for (here, _), to in TRANSITIONS.items() if here in seen}
    assert seen == set(STATES)


def test_ended_states_are_final_and_every_other_can_end() -> None:
    assert {here for here, _ in TRANSITIONS} & set(ENDED) == set()
    assert set(ENDED) == {"succeeded", "failed", "cancelled"}
    for state in OPEN:
        reached = {state}
        for _ in STATES:
            reached |= {to for (here, _), to in TRANSITIONS.items() if here in reached}
        assert reached >= set(ENDED)


def test_open_is_queued_or_live() -> None:
    assert set(OPEN) == {"queued", *LIVE}
    assert set(LIVE) == {"claimed", "running"}
    assert set(OPEN) | set(ENDED) == set(STATES)


def test_only_a_claim_leaves_the_queue_alive_and_only_the_queue_can_be_claimed() -> None:
    assert jobs.from_states("claim") == ("queued",)
    assert {to for (here, _), to in TRANSITIONS.items() if here == "queued"} == {
        "claimed", "cancelled",
    }  # fmt: skip


def test_verdicts_and_failures_are_the_closed_lists_of_the_pipeline() -> None:
    assert set(jobs.VERDICTS) == {"pass", "rework", "needs_input", "fail", "no_work"}
    assert len(jobs.FAILURES) == 12
