"""simulate, and the estimate in why: what they show to a person, and what to a pipe."""

from __future__ import annotations

import pytest

from orch.cli import simulating
from tests.cli.conftest import CommandLine


def test_a_pipe_gets_the_whole_then_turns_tasks_and_what_never_ends(incident: CommandLine) -> None:
    incident.staff()
    incident.fact("pause", "ORCH-116", "--reason", "in the backlog")
    whole, *rest = incident.facts("simulate", "--duration", "analysis=10m", "--seed", "1")
    assert (whole["kind"], whole["seed"], whole["drain_seconds"]) == (
        "simulation",
        1,
        6 * 1800 + 600,
    )
    assert "rows" not in whole
    kinds = [each["kind"] for each in rest]
    assert kinds == ["turn"] * 7 + ["task"] * 2 + ["never"]
    assert rest[0]["work_item_id"] == "ORCH-123"
    assert rest[-1]["clear_with"] == "orch resume ORCH-116"


def test_a_person_sees_tasks_bars_agents_and_what_it_rests_on(incident: CommandLine) -> None:
    incident.staff()
    said = incident.told("simulate", "--with", "pause ORCH-116", "--with", "pause ORCH-116")
    assert "2 tasks in 1 repo: the last turn ends at " in said
    assert "pause ORCH-116 changes nothing: it is so already." in said
    assert "orch resume ORCH-116" in said
    (bar,) = [line for line in said.splitlines() if line.startswith("ORCH-123  a")]
    assert "".join(dict.fromkeys(bar.split()[1])) == "acdrtsD"
    assert "analysis: no record, 30 min assumed" in said
    assert "Every attempt passes" in said


def test_without_workers_it_says_how_to_try_some(incident: CommandLine) -> None:
    said = incident.told("simulate")
    assert said.startswith("Nothing starts. 2 tasks will not end without somebody's help.")
    assert "--slots analyst=1" in said


def test_nothing_is_written_by_it(incident: CommandLine) -> None:
    incident.staff()
    before = (incident.folder / ".orch" / "orch.db").read_bytes()
    incident.facts("simulate", "--with", "cancel ORCH-116", "--slots", "developer=3")
    assert (incident.folder / ".orch" / "orch.db").read_bytes() == before
    assert [each["state"] for each in incident.facts("tasks")] == ["waiting", "waiting"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--with", "pause"), 2, "needs a verb and what it is about"),
        (("--with", "pause $(touch here)"), 2, "is not understood there"),
        (("--with", "pause ORCH-9"), 3, "No task is known as ORCH-9."),
        (("--slots", "developer"), 2, "Write it as developer=3."),
        (("--duration", "review=soon"), 2, "Use 45s, 20m, 3h or 1d"),
        (("--switch", "gate=perhaps"), 2, "on or off"),
        (("--repo", "shpo"), 3, "shpo"),
        (("--seed", "x"), 2, "--seed"),
    ],
)
def test_bad_input_is_a_sentence_and_an_exit_code(
    incident: CommandLine, words: tuple[str, ...], code: int, said: str
) -> None:
    done = incident("simulate", *words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr
    assert not (incident.folder / "here").exists()


def test_somebody_who_waits_is_told_how_far_it_is(
    incident: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident.staff()
    monkeypatch.setattr(simulating, "PATIENCE", -1.0)
    told: list[str] = []
    monkeypatch.setattr("rich.status.Status.update", lambda _self, words: told.append(words))
    incident.told("simulate")
    assert told[-1] == "13 turns of 2 tasks played"


def test_why_ends_with_an_estimate_and_its_basis(incident: CommandLine) -> None:
    incident.staff()
    found = incident.fact("why", "ORCH-123")["eta"]
    assert set(found) == {"starts_at", "done_at", "basis", "sentence"}
    said = incident.told("why", "ORCH-123")
    assert "ORCH-123 starts at about " in said
    assert "It rests on: analysis: no record, 30 min assumed; " in said
    incident.fact("pause", "ORCH-123")
    assert "ORCH-123 does not go on by itself: " in incident.told("why", "ORCH-123")
