"""A plan read from a person's words: what is understood, and the sentence for what is not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orch.controls import Order
from orch.errors import BadInput
from orch.serial_gate import Layers
from orch.simulation import plan as plans
from orch.simulation.durations import Basis, Durations, lasting
from tests.factories import START


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("pause ORCH-1", Order("pause", "ORCH-1", "simulation", "what if")),
        ("pause ORCH-1 --now", Order("pause", "ORCH-1", "simulation", "what if", now=True)),
        ("depend A-2 on B-1", Order("depend", "A-2", "simulation", "what if", on="B-1")),
        ("promote A-1 --reason 'a; b'", Order("promote", "A-1", "simulation", "a; b")),
        (
            "freeze 'team/*' --until +2h --allow A-1",
            Order(
                "freeze",
                "team/*",
                "simulation",
                "what if",
                until=START + timedelta(hours=2),
                allow="A-1",
            ),
        ),
    ],
)
def test_a_control_is_written_as_to_orch(text: str, order: Order) -> None:
    assert plans.order(text, START) == order


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pause",
        "jump A-1",
        "pause A-1 B-2",
        "pause A-1 --until",
        "pause A-1 --until yesterday",
        "pause A-1 --now --now",
        "pause A-1 --force yes",
        "pause $(touch x)",
        "pause A-1; cancel A-2",
        "pause 'A-1",
        "pause ../x",
        "pause --now",
        "freeze a --allow -x",
        "depend A-1",
        "pause A-1\nresume A-1",
        "pause " + "A" * 2000,
    ],
)
def test_a_control_that_is_not_understood_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        plans.order(text, START)
    assert refused.value.message.endswith(".")
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    "words",
    [
        plans.Words(slots=["developer"]),
        plans.Words(slots=["nobody=1"]),
        plans.Words(slots=["developer=-1"]),
        plans.Words(slots=["developer=99999"]),
        plans.Words(slots=["developer=٣"]),
        plans.Words(slots=["developer=1", "developer=2"]),
        plans.Words(durations=["development=fast"]),
        plans.Words(durations=["development=0s"]),
        plans.Words(durations=["development=31d"]),
        plans.Words(durations=["done=1m"]),
        plans.Words(switches=["yield=maybe"]),
        plans.Words(switches=["nothing=on"]),
        plans.Words(switches=["repos=a b"]),
        plans.Words(repos=["a b"]),
        plans.Words(orders=["pause A-1"] * 101),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(words: plans.Words) -> None:
    with pytest.raises(BadInput):
        plans.read(words, START)


def test_slots_switches_and_durations_are_understood() -> None:
    words = plans.Words(
        slots=["tester=2", "developer=0"],
        switches=["yield=off", "serial_gate_entry_only=ON", "repos=app, lib-*"],
        durations=["review=1.5h", "testing=45s"],
    )
    plan = plans.read(words, START)
    assert dict(plan.slots) == {"tester": 2, "developer": 0}
    assert dict(plan.durations) == {"review": 5400, "testing": 45}
    assert plan.layers(Layers()) == Layers(
        serial_gate_yield_enabled=False,
        serial_gate_entry_only=True,
        serial_gate_repos=("app", "lib-*"),
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.6, "1 min"), (270, "4 min 30 s"), (12_001, "3 h 20 min"), (90_000, "1 d 1 h")],
)
def test_a_length_is_told_in_the_two_units_that_matter(seconds: float, said: str) -> None:
    assert lasting(seconds) == said


def test_a_turn_under_way_takes_as_long_as_those_that_took_longer() -> None:
    basis = Basis("review", "reviewer", "app", "repo", (60, 120, 600))
    known = Durations({}, {})
    assert known.turn(basis, "A-1") == 120
    assert known.turn(basis, "A-1", elapsed=60) == 300
    assert known.turn(basis, "A-1", elapsed=130) == 470
    assert known.turn(basis, "A-1", elapsed=600) == 60


def test_a_seed_draws_only_from_what_was_recorded() -> None:
    basis = Basis("review", "reviewer", "app", "repo", (60, 120, 600))
    drawn = [Durations({}, {}, seed).turn(basis, "A-1") for seed in range(60)]
    assert set(drawn) == {60, 120, 600}
    assert drawn == [Durations({}, {}, seed).turn(basis, "A-1") for seed in range(60)]
