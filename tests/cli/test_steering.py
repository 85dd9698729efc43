"""The verbs that steer: done once, answered with the state after, written down, rehearsed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.cli.conftest import CommandLine

ONCE: list[tuple[Sequence[str], Sequence[str], str]] = [
    ((), ("pause", "ORCH-116"), "task.paused"),
    ((), ("pause", "ORCH-116", "--until", "+2h", "--now"), "task.paused"),
    (("pause", "ORCH-116"), ("resume", "ORCH-116"), "task.resumed"),
    (("pause", "ORCH-116"), ("retry", "ORCH-116"), "task.resumed"),
    ((), ("promote", "ORCH-123"), "task.promoted"),
    ((), ("cancel", "ORCH-116"), "task.cancelled"),
    ((), ("freeze", "shop"), "repo.frozen"),
    ((), ("freeze", "sh*", "--allow", "ORCH-123"), "repo.frozen"),
    (("freeze", "shop", "--reason", "x"), ("unfreeze", "shop"), "repo.unfrozen"),
]


@pytest.mark.parametrize(("before", "verb", "kind"), ONCE, ids=lambda value: "-".join(value)[:40])
def test_a_control_is_done_once_written_down_and_rung_for(
    incident: CommandLine, before: Sequence[str], verb: Sequence[str], kind: str
) -> None:
    if before:
        incident.fact(*before)
    incident.bell.clear_kick()
    rung = incident.bell.kicked
    assert incident.fact(*verb, "--reason", "because")["changed"]
    assert incident.bell.kicked == rung + 1
    assert incident.fact(*verb, "--reason", "again")["changed"] is False
    (told,) = incident.facts("events", "--kind", kind)
    assert told["actor"].startswith("cli:")
    assert told["reason"] == "because"


def test_a_dependency_is_added_and_taken_back(incident: CommandLine) -> None:
    found = incident.fact("depend", "ORCH-116", "--on", "ORCH-123")
    assert found["changed"]
    assert found["reason"] == "dependency"
    assert incident.fact("depend", "ORCH-116", "--on", "ORCH-123")["changed"] is False
    assert incident.fact("depend", "ORCH-116", "--on", "ORCH-123", "--remove")["changed"]


PREVIEWS = [
    ("pause", "ORCH-116"),
    ("cancel", "ORCH-116"),
    ("promote", "ORCH-123"),
    ("depend", "ORCH-116", "--on", "ORCH-123"),
]


@pytest.mark.parametrize("verb", PREVIEWS, ids=lambda verb: verb[0])
def test_a_preview_names_who_would_start_and_changes_nothing(
    incident: CommandLine, verb: Sequence[str]
) -> None:
    incident.staff()
    before = _rows(incident)
    seen = incident.fact(*verb, "--preview")
    assert seen["preview"]
    assert seen["starts"] == ["ORCH-123"]
    assert _rows(incident) == before


def _rows(orch: CommandLine) -> list[Any]:
    lanes = orch.facts("queue")
    return [lanes[0]["waiting"], lanes[0]["paused"], orch.facts("events")]


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (("freeze", "shop", "-m", "deploy day"), "begins_waiting"),
        (("pause", "ORCH-116"), "starts"),
    ],
)
def test_a_preview_is_a_sentence_for_a_person(
    incident: CommandLine, verb: Sequence[str], words: str
) -> None:
    assert incident.fact(*verb, "--preview")[words]
    assert "ORCH-1" in incident.told(*verb, "--preview")


def test_a_person_reads_what_changed_and_what_still_holds(incident: CommandLine) -> None:
    incident.fact("freeze", "shop", "--reason", "deploy day")
    said = incident.told("promote", "ORCH-123")
    assert "ORCH-123 waits: shop is frozen by" in said
    assert "it is so already" in incident.told("promote", "ORCH-123")
    assert "shop: not frozen." in incident.told("unfreeze", "shop")


def test_a_frozen_glob_says_which_repos_it_covers(incident: CommandLine) -> None:
    assert "sh* is frozen (now: shop)" in incident.told("freeze", "sh*", "-m", "deploy day")
    still = incident("unfreeze", "shop")
    assert still.exit_code == 1
    assert "orch unfreeze 'sh*'" in still.stderr


def test_a_repo_not_seen_before_can_be_frozen(orch: CommandLine) -> None:
    assert orch.fact("freeze", "new", "--reason", "not yet")["changed"]
    orch.staff()
    assert orch.fact("add", "N-1", "--repo", "new")["reason"] == "freeze"
