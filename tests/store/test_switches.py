"""Each of the seven switches off: exactly the behaviour without that layer, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from orch import serial_gate
from orch.serial_gate import Layers
from orch.store import claims
from tests.factories import Rig

A, B, C = "A-1", "B-2", "C-3"


def crossed(rig: Rig) -> None:
    """One of everything: a paused task, its successor, one behind them, and a frozen repo."""
    rig.task(A, "development")
    rig.task(B)
    rig.task(C)
    rig.task("F-1", repo="frozen")
    rig.order("pause", A)
    rig.order("depend", B, on=A)
    rig.order("freeze", "frozen")


ALL_ON = {A: "paused", B: "dependency", C: None, "F-1": "freeze"}
OFF: dict[str, tuple[Layers, dict[str, str | None]]] = {
    "nothing": (Layers(), ALL_ON),
    "gate": (Layers(serial_gate_enabled=False), ALL_ON),
    "pause": (
        Layers(serial_gate_pause_enabled=False),
        {A: None, B: "dependency", C: "active-task", "F-1": "freeze"},
    ),
    "freeze": (Layers(serial_gate_freeze_enabled=False), ALL_ON | {"F-1": None}),
    "yield": (Layers(serial_gate_yield_enabled=False), ALL_ON | {C: "active-task"}),
    "deps": (
        Layers(task_deps_enabled=False),
        {A: "paused", B: None, C: "active-task", "F-1": "freeze"},
    ),
    "deps and yield": (
        Layers(task_deps_enabled=False, serial_gate_yield_enabled=False),
        {A: "paused", B: None, C: "active-task", "F-1": "freeze"},
    ),
    "other repos only": (Layers(serial_gate_repos=("other",)), ALL_ON),
    "everything": (
        Layers(
            serial_gate_enabled=False,
            serial_gate_pause_enabled=False,
            serial_gate_freeze_enabled=False,
            task_deps_enabled=False,
        ),
        dict.fromkeys(ALL_ON),
    ),
}


@pytest.mark.parametrize("off", OFF)
def test_a_layer_that_is_off_takes_only_its_own_reasons_away(rig: Rig, off: str) -> None:
    crossed(rig)
    rig.layers, expected = OFF[off]
    assert rig.reasons() == expected
    assert rig.claimable() == {item for item, reason in expected.items() if reason is None}


def test_switches_are_no_ops_while_nothing_is_paused_frozen_or_declared(rig: Rig) -> None:
    rig.task(A, "review")
    rig.task(B)
    for layers in (
        Layers(serial_gate_pause_enabled=False),
        Layers(serial_gate_freeze_enabled=False),
        Layers(serial_gate_yield_enabled=False),
        Layers(task_deps_enabled=False),
    ):
        rig.layers = layers
        assert rig.reasons() == {A: None, B: "active-task"}


def test_without_the_gate_all_of_a_repo_run_beside_each_other(rig: Rig) -> None:
    rig.task(A, "review", job="running")
    rig.task(B)
    rig.task(C)
    rig.workers()
    rig.layers = Layers(serial_gate_enabled=False)
    assert {rig.row(B)["id"], rig.row(C)["id"]} == {each.task_id for each in rig.tick().claimed}


def test_what_runs_unserialised_keeps_the_gate_closed_once_it_is_switched_on(rig: Rig) -> None:
    rig.task(A)
    rig.task(B)
    rig.workers()
    rig.layers = Layers(serial_gate_enabled=False)
    rig.tick()
    rig.task(C)
    rig.layers = Layers()
    assert rig.reasons() == {C: "active-task"}


REPOS = ("app", "app-web", "App", "lib/core", "lib/x_y", "lib/xzy")


@pytest.mark.parametrize(
    ("globs", "serialised"),
    [
        ((), set(REPOS)),
        (("app",), {"app"}),
        (("app*",), {"app", "app-web"}),
        (("lib/*", "app"), {"app", "lib/core", "lib/x_y", "lib/xzy"}),
        (("lib/x_y",), {"lib/x_y"}),
        (("lib/x?y",), {"lib/x_y", "lib/xzy"}),
        (("*",), set(REPOS)),
        (("a%",), set()),
        (("none",), set()),
    ],
)
def test_only_the_repos_named_are_serialised(
    rig: Rig, globs: tuple[str, ...], serialised: set[str]
) -> None:
    for number, repo in enumerate(REPOS):
        rig.task(f"H-{number}", "review", repo, job=None)
        rig.task(f"T-{number}", repo=repo)
    rig.layers = Layers(serial_gate_repos=globs)
    blocked = {item for item, reason in rig.reasons().items() if reason == "active-task"}
    assert {REPOS[int(item[2:])] for item in blocked} == serialised
    assert len(rig.claimable()) == len(REPOS) - len(serialised)


def test_entry_only_serialises_the_entry_job_alone(rig: Rig) -> None:
    rig.layers = Layers(serial_gate_entry_only=True)
    rig.task(A, "development")
    rig.task(B, "review")
    rig.task(C)
    assert rig.reasons() == {A: None, B: None, C: "active-task"}
    assert rig.claimable() == {A, B}
    rig.workers()
    assert len(rig.tick().claimed) == 2


def test_entry_only_still_admits_one_analysis_at_a_time(rig: Rig) -> None:
    rig.layers = Layers(serial_gate_entry_only=True)
    rig.task(A)
    rig.task(B)
    assert rig.reasons() == {A: None, B: "active-task"}
    rig.claimed(A)
    assert rig.reasons() == {B: "active-task"}


@pytest.mark.parametrize(
    ("layers", "verb"),
    [
        (Layers(serial_gate_freeze_enabled=False), "freeze"),
        (Layers(serial_gate_pause_enabled=False), "pause"),
    ],
)
def test_the_start_asks_no_layer_that_is_off(
    rig: Rig, tmp_path: Path, layers: Layers, verb: str
) -> None:
    rig.layers = layers
    rig.task(A)
    claim = rig.claimed(A)
    rig.order(verb, "app" if verb == "freeze" else A)
    assert rig.work(claim, tmp_path) == "advance"


def test_a_repo_frozen_while_the_layer_is_off_shows_as_open(rig: Rig) -> None:
    rig.task(A)
    rig.order("freeze", "app")
    rig.layers = Layers(serial_gate_freeze_enabled=False)
    assert rig.lanes()["app"]["frozen"] is False


def test_with_the_pause_layer_off_a_paused_task_keeps_its_old_place(rig: Rig) -> None:
    rig.task(A, "development")
    rig.task(B, "development")
    rig.order("pause", A)
    rig.layers = Layers(serial_gate_pause_enabled=False)
    assert rig.reasons() == {A: None, B: "active-task"}
    active = rig.store.read(
        lambda conn: serial_gate.repo_has_active_task(conn, "app", rig.row(B)["id"], rig.gate)
    )
    assert active


def test_a_held_claim_survives_a_change_of_switches(rig: Rig) -> None:
    rig.task(A)
    claim = rig.started(A)
    rig.layers = Layers(serial_gate_enabled=False)
    ours, _ = rig.store.write(lambda conn: claims.heartbeat(conn, claim, rig.clock()))
    assert ours
