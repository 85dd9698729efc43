"""What one process counts: nothing is lost between its threads, calls are told by how they end."""

from __future__ import annotations

import threading

import pytest

from orch import metrics
from orch.counts import Counts, counted
from orch.errors import GitMoved


class Till:
    """A port of two verbs and a fact."""

    name = "till"

    def pay(self, amount: int, *, tip: int = 0) -> int:
        if amount < 0:
            raise GitMoved("somebody pushed")
        return amount + tip

    def burn(self) -> None:
        raise ZeroDivisionError


def calls(counts: Counts) -> dict[str, float]:
    return {label: sum_ for (name, label), sum_ in counts.take().items() if name == "calls"}


def test_calls_are_counted_by_verb_and_by_how_they_ended() -> None:
    counts = Counts()
    till = counted(Till(), "till", counts)
    assert (till.pay(3, tip=1), till.pay(4), till.name) == (4, 4, "till")
    with pytest.raises(GitMoved):
        till.pay(-1)
    with pytest.raises(ZeroDivisionError):
        till.burn()
    assert calls(counts) == {"till|pay|ok": 2, "till|pay|git_moved": 1, "till|burn|crashed": 1}


def test_the_time_of_a_call_is_counted_however_it_ends() -> None:
    counts = Counts()
    with pytest.raises(GitMoved):
        counted(Till(), "till", counts).pay(-1)
    assert counts.take()["call_seconds", "till|pay"] > 0


def test_a_verb_that_is_not_there_is_not_made_up() -> None:
    with pytest.raises(AttributeError):
        counted(Till(), "till", Counts()).steal  # type: ignore[attr-defined] # noqa: B018


def test_what_was_taken_is_gone_and_can_be_put_back() -> None:
    counts = Counts()
    counts.add("lost_races", amount=2)
    taken = counts.take()
    assert counts.take() == {}
    counts.add("lost_races")
    counts.put_back(taken)
    assert counts.take() == {("lost_races", ""): 3}


def test_threads_that_count_at_once_lose_nothing() -> None:
    counts = Counts()

    def count() -> None:
        for _ in range(500):
            counts.observe("tick_duration_seconds", 0.02)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts.take()["tick_duration_seconds_bucket", "0.025"] == 2000


@pytest.mark.parametrize(
    ("seconds", "bound"), [(0, "1"), (1, "1"), (1.001, "5"), (86_400, "86400"), (1e9, "inf")]
)
def test_an_observation_falls_into_the_first_bucket_that_holds_it(
    seconds: float, bound: str
) -> None:
    found = dict(metrics.bucket("job_wait_seconds", seconds, "review"))
    assert found == {
        ("job_wait_seconds_bucket", f"review|{bound}"): 1,
        ("job_wait_seconds_sum", "review"): seconds,
    }


def test_time_that_ran_backwards_takes_nothing_away() -> None:
    found = dict(metrics.bucket("job_wait_seconds", -3.0, "review"))
    assert found["job_wait_seconds_sum", "review"] == 0


def test_labels_are_few_whatever_a_row_says() -> None:
    assert (metrics.known_stage("review"), metrics.known_stage("<x>")) == ("review", "other")
    assert (metrics.known_agent("developer"), metrics.known_agent(None)) == ("developer", "other")
    assert (metrics.known_outcome("timeout"), metrics.known_outcome("odd")) == ("timeout", "other")
