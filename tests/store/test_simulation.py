"""The line played forward, beside schedules worked out by hand; once on each kind of database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from orch import simulation
from orch.errors import BadInput, DependencyCycle, IllegalTransition, NotFound, UnknownTask
from orch.line import Limits
from orch.repo_settings import RepoSettings
from orch.simulation import plan as plans
from orch.store import answers
from orch.store.schema import jobs, metadata
from orch.store.session import Store
from tests.factories import START, Rig, dump

LENGTHS = ("analysis=10m", "development=20m", "review=5m", "deploy=5m")
"""Of the stages of the track `docs`."""


def play(rig: Rig, *orders: str, **more: Any) -> dict[str, Any]:
    """The line played under these words, each stage as long as above."""
    words = plans.Words(orders=orders, **({"durations": LENGTHS} | more))
    return simulation.run(rig.line, plans.read(words, rig.clock()))


def minute(found: dict[str, Any], name: str, row: dict[str, Any]) -> float | None:
    moment = row[name]
    return None if moment is None else (moment - found["generated_at"]).total_seconds() / 60


def schedule(found: dict[str, Any], repo: str | None = None) -> list[tuple[Any, ...]]:
    """Each turn as (work item, stage, begin, end), in minutes from the beginning."""
    return [
        (
            row["work_item_id"],
            row["stage"],
            minute(found, "starts_at", row),
            minute(found, "ends_at", row),
        )
        for row in found["rows"]
        if repo in (None, row["repo"])
    ]


def begins(found: dict[str, Any]) -> dict[str, float | None]:
    """In which minute each task starts; None for one that never does."""
    return {row["work_item_id"]: minute(found, "starts_at", row) for row in found["tasks"]}


def two_waiting(rig: Rig) -> Rig:
    """Two tasks of one repo that wait, and workers with slots for all."""
    rig.workers()
    for item in ("APP-1", "APP-2"):
        rig.task(item, track="docs")
    return rig


@pytest.fixture
def quick() -> Iterator[Rig]:
    """A line without rows, in memory: what is played is the same whichever database it is of."""
    store = Store("sqlite://")
    store.write(metadata.create_all)
    yield Rig(store)
    store.dispose()


@pytest.fixture
def docs(quick: Rig) -> Rig:
    """Two tasks of one repo, in memory."""
    return two_waiting(quick)


@pytest.fixture
def on_both(rig: Rig) -> Rig:
    """Two tasks of one repo, once on each kind of database."""
    return two_waiting(rig)


def test_a_repo_is_worked_through_one_task_after_the_other(docs: Rig) -> None:
    found = play(docs)
    assert schedule(found) == [
        ("APP-1", "analysis", 0, 10),
        ("APP-1", "development", 10, 30),
        ("APP-1", "review", 30, 35),
        ("APP-1", "deploy", 35, 40),
        ("APP-2", "analysis", 40, 50),
        ("APP-2", "development", 50, 70),
        ("APP-2", "review", 70, 75),
        ("APP-2", "deploy", 75, 80),
    ]
    assert found["drain_seconds"] == 80 * 60
    assert (found["never"], [row["number"] for row in found["rows"]]) == ([], list(range(1, 9)))
    assert found["rows"][4]["waited_seconds"] == 40 * 60


def test_two_repos_share_the_one_slot_of_each_agent(docs: Rig) -> None:
    docs.workers(slots=1)
    docs.order("cancel", "APP-2")
    docs.task("LIB-1", repo="lib", track="docs")
    found = play(docs)
    assert schedule(found, "app") == [
        ("APP-1", "analysis", 0, 10),
        ("APP-1", "development", 10, 30),
        ("APP-1", "review", 30, 35),
        ("APP-1", "deploy", 35, 40),
    ]
    assert schedule(found, "lib") == [
        ("LIB-1", "analysis", 10, 20),
        ("LIB-1", "development", 30, 50),
        ("LIB-1", "review", 50, 55),
        ("LIB-1", "deploy", 55, 60),
    ]
    developer = found["agents"]["developer"]
    assert (developer["slots"], developer["turns"], developer["busy_seconds"]) == (1, 2, 2400)
    assert developer["utilisation"] == round(40 / 60, 4)


def test_more_slots_let_both_run_at_once(docs: Rig) -> None:
    docs.workers(slots=1)
    docs.task("LIB-1", repo="lib", track="docs")
    found = play(docs, slots=("analyst=2", "developer=2", "reviewer=2", "deployer=2"))
    assert begins(found) == {"APP-1": 0, "APP-2": 40, "LIB-1": 0}
    assert found["drain_seconds"] == 80 * 60


def test_a_task_waits_for_one_in_another_repo_and_lets_others_pass(on_both: Rig) -> None:
    on_both.task("LIB-1", "review", repo="lib", track="docs")
    on_both.order("depend", "APP-1", on="LIB-1")
    found = play(on_both)
    assert begins(found) == {"APP-1": 40, "APP-2": 0, "LIB-1": 0}
    held = play(on_both, switches=("yield=off",))
    assert begins(held) == {"APP-1": 10, "APP-2": 50, "LIB-1": 0}
    assert begins(play(on_both, switches=("dependencies=off",))) == {
        "APP-1": 0, "APP-2": 40, "LIB-1": 0,
    }  # fmt: skip


def test_what_has_an_end_opens_then_and_what_has_none_never(docs: Rig) -> None:
    docs.order("freeze", "app", until=docs.clock() + timedelta(minutes=15))
    assert begins(play(docs)) == {"APP-1": 15, "APP-2": 55}
    docs.order("pause", "APP-1", until=docs.clock() + timedelta(minutes=20))
    assert begins(play(docs)) == {"APP-1": 55, "APP-2": 15}
    docs.order("unfreeze", "app")
    docs.order("freeze", "app", reason="main is red")
    found = play(docs)
    assert (found["rows"], found["drained_at"]) == ([], None)
    assert {each["clear_with"] for each in found["never"]} == {"orch unfreeze app"}


def test_a_paused_task_never_starts_and_holds_nobody(docs: Rig) -> None:
    docs.order("pause", "APP-1", "in the backlog")
    found = play(docs)
    assert begins(found) == {"APP-1": None, "APP-2": 0}
    (left,) = found["never"]
    assert (left["work_item_id"], left["reason"]) == ("APP-1", "paused")
    assert (left["detail"], left["clear_with"]) == (
        "paused by ann: in the backlog",
        "orch resume APP-1",
    )


def test_what_runs_already_goes_on_from_where_it_is(rig: Rig) -> None:
    rig.workers()
    rig.task("APP-1", "development", track="docs", job="running")
    rig.clock.advance(8 * 60 - 1)
    rig.workers()
    found = play(rig)
    first = found["rows"][0]
    assert (minute(found, "starts_at", first), first["running"]) == (-8, True)
    assert [end for *_, end in schedule(found)] == [12, 17, 22]
    rig.clock.advance(30 * 60)
    rig.workers()
    assert schedule(play(rig))[0][3] == 1  # longer than ever: it is given a minute


def test_a_turn_that_a_pause_stops_ends_at_the_next_heartbeat(docs: Rig) -> None:
    docs.started("APP-1")
    docs.clock.advance(5)
    found = play(docs, "pause APP-1 --now")
    assert begins(found)["APP-2"] == 0.25
    drained = play(docs, "pause APP-1")
    assert begins(drained)["APP-2"] == pytest.approx(10 - 5 / 60)


def test_a_stage_that_wants_an_approval_is_as_far_as_it_gets(docs: Rig) -> None:
    docs.repos = {"app": RepoSettings(url="/srv/app.git", approvals=("analysis",))}
    found = play(docs)
    assert schedule(found) == [("APP-1", "analysis", 0, 10), ("APP-2", "analysis", 10, 20)]
    assert found["never"][0]["clear_with"] == "orch approve APP-1, or orch reject APP-1 --note …"


def test_a_further_attempt_starts_when_its_time_has_come(docs: Rig) -> None:
    later = docs.clock() + timedelta(minutes=7)
    docs.store.write(lambda conn: conn.execute(jobs.update().values(available_at=later)))
    assert begins(play(docs)) == {"APP-1": 7, "APP-2": 47}


def test_nobody_starts_where_no_worker_is(quick: Rig) -> None:
    quick.task("APP-1", track="docs")
    (left,) = play(quick)["never"]
    assert (left["reason"], left["detail"]) == ("no-worker", "no worker serves analyst")
    assert begins(play(quick, slots=("analyst=1",))) == {"APP-1": 0}


@pytest.mark.parametrize(
    ("order", "starts"),
    [
        ("pause APP-1", {"APP-1": None, "APP-2": 0}),
        ("pause APP-1 until +30m", {"APP-1": 40, "APP-2": 0}),
        ("promote APP-2", {"APP-1": 40, "APP-2": 0}),
        ("cancel APP-1", {"APP-1": None, "APP-2": 0}),
        ("depend APP-1 --on APP-2", {"APP-1": 40, "APP-2": 0}),
        ("freeze 'a*' --until +1h", {"APP-1": 60, "APP-2": 100}),
        ("freeze app --allow APP-1", {"APP-1": 0, "APP-2": None}),
    ],
)
def test_every_control_can_be_tried(docs: Rig, order: str, starts: dict[str, float | None]) -> None:
    found = play(docs, order)
    assert begins(found) == starts
    assert found["changed"][0]["changed"] is True


def test_controls_that_undo_are_tried_on_what_they_undo(docs: Rig) -> None:
    docs.order("pause", "APP-1")
    docs.started("APP-2")
    assert begins(play(docs, "resume APP-1"))["APP-1"] == 40  # next, not beside
    docs.task("LIB-1", repo="lib")
    docs.order("depend", "LIB-1", on="APP-1")
    docs.order("freeze", "lib")
    found = play(docs, "unfreeze lib", "undepend LIB-1 --on APP-1", "unfreeze lib")
    assert begins(found)["LIB-1"] == 0
    assert [each["changed"] for each in found["changed"]] == [True, True, False]


def test_without_the_gate_all_of_a_repo_run_at_once(docs: Rig) -> None:
    assert begins(play(docs, switches=("gate=off",))) == {"APP-1": 0, "APP-2": 0}
    assert begins(play(docs, switches=("repos=lib,web*",))) == {"APP-1": 0, "APP-2": 0}


def test_the_line_is_not_touched(on_both: Rig) -> None:
    on_both.started("APP-1")
    on_both.order("freeze", "lib", until=on_both.clock() + timedelta(minutes=5))
    before = dump(on_both.store)
    play(on_both, "pause APP-1 --now", "freeze app", "cancel APP-2", slots=("tester=9",), seed=3)
    assert dump(on_both.store) == before
    with pytest.raises(DependencyCycle):
        play(on_both, "depend APP-1 --on APP-2", "depend APP-2 --on APP-1")
    assert dump(on_both.store) == before


def test_the_same_words_give_the_same_answer_to_the_byte(docs: Rig) -> None:
    record(docs, "lib", "analysis", *range(60, 3600, 397))
    for item in ("LIB-1", "LIB-2"):
        docs.task(item, repo="lib")

    def told(seed: int | None) -> str:
        return json.dumps(play(docs, durations=(), seed=seed), default=str)

    assert told(7) == told(7)
    assert told(None) == told(None)
    assert len({told(7), told(8), told(None)}) == 3


def test_a_seed_gives_a_turn_the_same_length_in_every_plan(docs: Rig) -> None:
    record(docs, "app", "analysis", *range(60, 3600, 397))
    one, other = (play(docs, *orders, durations=(), seed=11) for orders in ((), ("promote APP-2",)))
    lengths = [
        {row["work_item_id"]: row["seconds"] for row in found["rows"] if row["stage"] == "analysis"}
        for found in (one, other)
    ]
    assert lengths[0] == lengths[1]
    assert len(set(lengths[0].values())) == 2


def record(rig: Rig, repo: str, stage: str, *seconds: float, **more: Any) -> None:
    """Turns that passed, so long; of tasks that are done."""
    for number, each in enumerate(seconds):
        item = f"{repo}-{stage}-{number}"
        rig.task(item, stage, repo=repo, job="succeeded")
        ends = {"started_at": START, "finished_at": START + timedelta(seconds=each)}
        mine = jobs.update().where(jobs.c.id == rig.job(item)["id"])
        rig.store.write(
            lambda conn, mine=mine, ends=ends: conn.execute(mine.values(**ends, **more))
        )
        rig.move(item, "done")


def test_a_turn_takes_what_was_recorded_here_then_anywhere_then_what_is_assumed(
    on_both: Rig,
) -> None:
    record(on_both, "app", "analysis", 60, 120, 600)
    record(on_both, "lib", "development", 240, 300, 360)
    record(on_both, "app", "development", 30)
    record(on_both, "lib", "review", 999, 999, 999, verdict="needs_input")
    found = play(on_both, durations=("deploy=5m",))
    said = {each["stage"]: each["sentence"] for each in found["basis"]}
    assert said == {
        "analysis": "analysis: 2 min, the median of 3 in app",
        "development": "development: 4 min 30 s, the median of 4 in all repos",
        "review": "review: no record, 30 min assumed",
        "deploy": "deploy: 5 min, as given",
    }
    assert [row["seconds"] for row in found["rows"][:4]] == [120, 270, 1800, 300]


def test_only_the_repos_asked_for_are_shown_but_all_are_played(docs: Rig) -> None:
    docs.workers(slots=1)
    docs.task("LIB-1", repo="lib", track="docs")
    found = play(docs, repos=("lib",))
    assert schedule(found)[0] == ("LIB-1", "analysis", 10, 20)
    assert [each["work_item_id"] for each in found["tasks"]] == ["LIB-1"]
    with pytest.raises(NotFound, match="nowhere"):
        play(docs, repos=("nowhere",))


def test_a_line_that_is_too_long_is_played_by_the_repos_that_matter(on_both: Rig) -> None:
    on_both.task("LIB-1", repo="lib", track="docs")
    on_both.task("WEB-1", "deploy", repo="web", track="docs")
    on_both.order("depend", "LIB-1", on="WEB-1")
    with pytest.raises(BadInput, match="more than 3 open tasks"):
        simulation.run(on_both.line, plans.Plan(), most=3)
    found = simulation.run(on_both.line, plans.Plan(repos=("lib",)), most=3)
    assert begins(found) == {"LIB-1": 30}
    assert "other repos are left out" in found["assumed"][-1]
    with pytest.raises(BadInput, match="These repos"):
        simulation.run(on_both.line, plans.Plan(repos=("lib", "app")), most=3)


def test_a_control_that_cannot_be_is_refused_as_the_line_would(docs: Rig) -> None:
    docs.task("DONE-1", "done", job=None)
    with pytest.raises(UnknownTask, match="What is over"):
        play(docs, "pause DONE-1")
    docs.order("pause", "APP-1")
    docs.move("APP-2", "development")
    with pytest.raises(IllegalTransition):
        play(docs, "promote APP-2")


def test_an_empty_line_has_nothing_to_play(quick: Rig) -> None:
    found = play(quick)
    assert found["sentence"] == "Nothing is open: there is nothing to play."
    assert (found["rows"], found["tasks"], found["drained_at"]) == ([], [], None)


def test_what_was_claimed_and_is_frozen_since_goes_back(docs: Rig) -> None:
    docs.claimed("APP-1")
    assert begins(play(docs)) == {"APP-1": 0, "APP-2": 40}
    found = play(docs, "freeze app --until +1h")
    assert begins(found) == {"APP-1": 60, "APP-2": 100}


def test_a_cancelled_task_keeps_the_repo_until_its_agent_has_stopped(docs: Rig) -> None:
    docs.started("APP-1")
    docs.order("cancel", "APP-1")
    found = play(docs)
    assert begins(found) == {"APP-2": 0.25}
    docs.store.write(lambda conn: conn.execute(jobs.update().values(stop_requested=None)))
    assert schedule(play(docs))[:2] == [("APP-1", "analysis", 0, 10), ("APP-2", "analysis", 10, 20)]


def test_rows_nobody_can_work_with_are_parked_as_a_worker_would(docs: Rig) -> None:
    docs.move("APP-1", "mystery")
    docs.task("LIB-1", repo="lib", track="gone")
    docs.task("WEB-1", repo="web", turns=7)
    docs.limits = Limits(task_max_turns=5)
    found = play(docs)
    why = {each["work_item_id"]: each["detail"] for each in found["never"]}
    assert why == {
        "APP-1": "parked: “mystery” is not a stage",
        "LIB-1": "parked: it is on the track gone, which nobody declares",
        "WEB-1": "parked: the task's turns are spent: 7 of 5",
    }
    assert begins(found)["APP-2"] == 0


def test_a_persons_word_can_be_tried_as_well(docs: Rig) -> None:
    docs.task("LIB-1", repo="lib", job="succeeded", track="docs")
    docs.asked("LIB-1")
    assert begins(play(docs))["LIB-1"] is None
    assert begins(play(docs, "answer LIB-1 --reason blue"))["LIB-1"] == 0
    docs.task("WEB-1", "review", repo="web", job="succeeded", track="docs")
    which = docs.row_id("WEB-1")
    docs.store.write(lambda conn: answers.ask_approval(conn, which, docs.clock(), "review"))
    assert schedule(play(docs, "approve WEB-1"), "web") == [("WEB-1", "deploy", 0, 5)]
    assert schedule(play(docs, "reject WEB-1 --reason no"), "web")[0][1] == "development"
