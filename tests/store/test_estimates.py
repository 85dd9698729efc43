"""When a task starts and is done, what that rests on, and what is said where nobody can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from orch import estimates, mirror
from orch.errors import StoreUnavailable
from orch.repo_settings import RepoSettings
from orch.store.schema import jobs, metadata
from orch.store.session import Store
from tests.factories import Rig, dump


@pytest.fixture
def quick() -> Iterator[Rig]:
    """A line in memory, with workers for all."""
    store = Store("sqlite://")
    store.write(metadata.create_all)
    rig = Rig(store)
    rig.workers()
    yield rig
    store.dispose()


def eta(rig: Rig, item: str) -> dict[str, Any]:
    found = estimates.why(rig.line, item)["eta"]
    assert found is not None
    return dict(found)


def minutes(rig: Rig, moment: datetime) -> float:
    return (moment - rig.clock()).total_seconds() / 60


def test_a_task_that_waits_is_told_its_start_and_its_end(rig: Rig) -> None:
    rig.workers()
    rig.task("APP-1", "deploy")
    rig.task("APP-2", "testing")
    rig.order("depend", "APP-2", on="APP-1")
    before = dump(rig.store)
    found = eta(rig, "APP-2")
    assert dump(rig.store) == before
    assert (minutes(rig, found["starts_at"]), minutes(rig, found["done_at"])) == (30, 120)
    assert found["basis"].startswith("testing: no record, 30 min assumed; deploy-staging: no")
    assert found["sentence"] == (
        "APP-2 starts at about 12:30 UTC (in 30 min) and is done at about 14:00 UTC (in 2 h), "
        "if every attempt passes."
    )


def test_all_else_of_why_is_as_the_mirror_says(quick: Rig) -> None:
    quick.task("APP-1")
    found = estimates.why(quick.line, "APP-1")
    found.pop("eta")
    assert found == mirror.why(quick.line, "APP-1")


def test_a_task_at_work_is_told_its_end_alone(quick: Rig) -> None:
    quick.task("APP-1", "deploy", job="running")
    found = eta(quick, "APP-1")
    assert minutes(quick, found["done_at"]) == pytest.approx(30, abs=0.1)
    assert found["sentence"].startswith("APP-1 is done at about 12:30 UTC (in 30 min)")


def test_a_task_that_is_over_has_nothing_to_be_estimated(quick: Rig) -> None:
    quick.task("APP-1", "done", job=None)
    assert estimates.why(quick.line, "APP-1")["eta"] is None


@pytest.mark.parametrize(
    ("verb", "target", "sentence"),
    [
        ("pause", "APP-1", "paused by ann: because; orch resume APP-1."),
        ("freeze", "app", "app is frozen by ann: because; orch unfreeze app."),
    ],
)
def test_where_only_a_person_helps_that_is_said(
    quick: Rig, verb: str, target: str, sentence: str
) -> None:
    quick.task("APP-1")
    quick.order(verb, target)
    found = eta(quick, "APP-1")
    assert (found["starts_at"], found["done_at"], found["basis"]) == (None, None, "")
    assert found["sentence"] == f"APP-1 does not go on by itself: {sentence}"
    quick.task("LIB-1", repo="lib")
    quick.order("depend", "LIB-1", on="APP-1")
    behind = eta(quick, "LIB-1")
    assert behind["starts_at"] is None
    assert behind["sentence"].startswith("By itself it gets no further than this: LIB-1 waits: ")


def test_what_was_given_an_end_is_waited_for(quick: Rig) -> None:
    quick.task("APP-1", "deploy")
    quick.order("pause", "APP-1", until=quick.clock() + timedelta(hours=1))
    assert minutes(quick, eta(quick, "APP-1")["done_at"]) == 90


def test_a_question_without_a_job_waits_for_a_person(quick: Rig) -> None:
    quick.task("APP-1", job="succeeded")
    quick.asked("APP-1")
    assert "orch answer APP-1" in eta(quick, "APP-1")["sentence"]
    quick.task("APP-2", job=None)
    assert "orch retry APP-2" in eta(quick, "APP-2")["sentence"]


def test_an_approval_on_the_way_is_as_far_as_is_told(quick: Rig) -> None:
    quick.repos = {"app": RepoSettings(url="/srv/app.git", approvals=("review",))}
    quick.task("APP-1", "review")
    found = eta(quick, "APP-1")
    assert (minutes(quick, found["starts_at"]), found["done_at"]) == (0, None)
    assert "; by itself it gets no further than this: APP-1 is parked" in found["sentence"]
    assert "orch approve APP-1" in found["sentence"]


def test_a_long_line_is_played_as_far_as_matters(
    quick: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        quick.task(f"APP-{number}", "deploy")
        quick.task(f"LIB-{number}", "deploy", repo="lib")
    quick.workers(slots=1)
    assert minutes(quick, eta(quick, "LIB-0")["starts_at"]) == 30
    monkeypatch.setattr(estimates, "MOST_TASKS", 4)
    alone = eta(quick, "LIB-0")
    assert minutes(quick, alone["starts_at"]) == 0
    assert alone["basis"].endswith("; other repos left out")
    monkeypatch.setattr(estimates, "LONGEST_LINE", 2)
    assert "more than 2 open tasks" in eta(quick, "LIB-0")["sentence"]


def test_no_more_turns_are_played_than_are_worth_the_wait(
    quick: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        quick.task(f"APP-{number}", "deploy")
    monkeypatch.setattr(estimates, "MOST_TURNS", 2)
    assert eta(quick, "APP-1")["done_at"] is not None
    assert eta(quick, "APP-3")["sentence"] == (
        "APP-3 is not done within the next 2 turns, and no more are played."
    )


def test_why_answers_also_where_nothing_can_be_estimated(
    breakable: Rig, break_clause: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    breakable.task("APP-1")

    def fall_over(*_: object, **__: object) -> None:
        raise StoreUnavailable("The task store does not answer: db.example")

    with monkeypatch.context() as patch:
        patch.setattr(estimates, "prepare", fall_over)
        assert eta(breakable, "APP-1")["sentence"].endswith("at this moment; the log says why.")
    break_clause("paused")
    found = estimates.why(breakable.line, "APP-1")
    assert found["degraded"] == ["paused"]
    assert "without a clause" in found["eta"]["sentence"]


def test_a_task_that_ends_between_the_two_looks_is_said_to_have(quick: Rig) -> None:
    quick.task("APP-1", "deploy")
    found = mirror.why(quick.line, "APP-1")
    quick.move("APP-1", "done")
    quick.store.write(lambda conn: conn.execute(jobs.update().values(status="succeeded")))
    told = estimates.eta(quick.line, found)
    assert told is not None
    assert told["sentence"] == "APP-1 has come to its end meanwhile."


def test_more_estimates_than_there_is_room_for_are_refused_with_a_reason(
    quick: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick.task("APP-1")
    said: list[str] = []
    played = estimates._played

    def meanwhile(*args: Any) -> Any:
        inner = eta(quick, "APP-1")
        said.append(inner["sentence"])
        return played(*args) if inner["done_at"] is None else inner

    monkeypatch.setattr(estimates, "_played", meanwhile)
    assert eta(quick, "APP-1")["done_at"] is not None
    assert "ask again" in said[0]
    assert len(said) == estimates.AT_ONCE
    assert eta(quick, "APP-1")["done_at"] is not None
