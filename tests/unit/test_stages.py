"""The stage table: what is derived from it holds together."""

from __future__ import annotations

import itertools

import pytest

from orch import stages
from orch.stages import CANCELLED, DONE, STAGE_TRANSITIONS, STAGES, TERMINAL, TRACKS


def reached_from(start: str) -> set[str]:
    seen, edge = {start}, [start]
    while edge:
        moves = STAGE_TRANSITIONS[edge.pop()].values()
        new = set(itertools.chain(*moves)) - seen
        seen |= new
        edge += new
    return seen


def test_the_table_the_names_and_the_transitions_list_the_same_stages() -> None:
    assert tuple(stages.BY_NAME) == tuple(STAGE_TRANSITIONS) == STAGES
    assert len(STAGES) == 10


def test_every_stage_is_reached_from_the_first() -> None:
    assert reached_from(stages.FIRST) == set(STAGES)


@pytest.mark.parametrize("stage", sorted(set(STAGES) - TERMINAL))
def test_every_unfinished_stage_can_end_both_ways(stage: str) -> None:
    assert reached_from(stage) >= TERMINAL
    assert STAGE_TRANSITIONS[stage]["cancel"] == (CANCELLED,)


def test_the_terminal_stages_are_final_and_nothing_else_is() -> None:
    assert {name for name, moves in STAGE_TRANSITIONS.items() if not moves} == TERMINAL
    assert frozenset({"done", "cancelled"}) == TERMINAL


@pytest.mark.parametrize(("here", "there"), list(itertools.product(STAGES, STAGES)))
def test_may_move_is_exactly_the_table(here: str, there: str) -> None:
    edges = set(itertools.chain(*STAGE_TRANSITIONS[here].values()))
    assert stages.may_move(here, there) is (there in edges)


def test_rework_leads_back_and_never_forward() -> None:
    for stage in stages.TABLE:
        if stage.rework_to is not None:
            assert STAGES.index(stage.rework_to) < STAGES.index(stage.name)
            assert STAGE_TRANSITIONS[stage.name]["rework"] == (stage.rework_to,)
        else:
            assert "rework" not in STAGE_TRANSITIONS[stage.name]


def test_rework_leads_where_the_pipeline_says() -> None:
    back = {stage.name: stage.rework_to for stage in stages.TABLE if stage.rework_to}
    later = ("review", "testing", "deploy-staging", "deploy")
    assert back == {"architecture": "analysis", **dict.fromkeys(later, "development")}


def test_every_working_stage_has_the_agent_the_pipeline_names() -> None:
    assert {stage.name: stage.agent for stage in stages.TABLE if stage.agent} == {
        "analysis": "analyst",
        "architecture": "architect",
        "development": "developer",
        "review": "reviewer",
        "testing": "tester",
        "deploy-staging": "deployer",
        "deploy": "deployer",
    }
    assert stages.agent_of(stages.ENTRY) == stages.ENTRY_AGENT


@pytest.mark.parametrize("track", TRACKS)
def test_a_track_leads_from_the_first_stage_to_done(track: str) -> None:
    walked, stage = [], stages.FIRST
    while stage != DONE:
        following = stages.after(stage, track)
        assert stages.may_move(stage, following)
        walked.append(stage)
        stage = following
    assert tuple(walked) == (stages.FIRST, *TRACKS[track])


@pytest.mark.parametrize("track", TRACKS)
def test_every_track_passes_the_entry_and_where_rework_leads(track: str) -> None:
    assert TRACKS[track][0] == stages.ENTRY
    back = {stages.BY_NAME[name].rework_to for name in TRACKS[track]} - {None}
    assert back <= set(TRACKS[track])


def test_a_stage_the_track_leaves_out_goes_on_with_the_next_one_it_has() -> None:
    assert stages.after("architecture", "fast") == "development"
    assert stages.after("testing", "docs") == "deploy"


@pytest.mark.parametrize("stage", sorted(TERMINAL))
def test_nothing_comes_after_the_end(stage: str) -> None:
    with pytest.raises(ValueError, match="terminal"):
        stages.after(stage)


def test_a_track_nobody_declared_is_an_error() -> None:
    with pytest.raises(KeyError):
        stages.after("analysis", "scenic")


def test_the_line_knows_every_stage_as_waiting_started_or_over() -> None:
    waiting, over = set(stages.BEFORE_OR_AT_ENTRY), set(TERMINAL)
    assert waiting & over == set()
    assert set(stages.NOT_STARTED_OR_OVER) == waiting | over
    assert [name for name in STAGES if name not in waiting | over] == [
        name for name in STAGES if STAGES.index(name) > 1 and name not in over
    ]


def test_each_agent_has_its_own_queue_and_control_another() -> None:
    assert len(set(stages.QUEUES)) == len(stages.AGENTS) + 1
    assert stages.QUEUES[0] == stages.CONTROL_QUEUE == "orch.control"
    assert stages.queue_of("developer") == "agent.developer"


def test_a_stage_nobody_knows_can_only_be_cancelled() -> None:
    assert [name for name in STAGES if stages.may_move("mystery", name)] == [CANCELLED]
