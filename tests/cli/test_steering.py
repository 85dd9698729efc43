"""The verbs that steer: done once, answered with the state after, written down, rehearsed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import pytest
from sqlalchemy import update

from orch import controls
from orch.cli.root import root
from orch.store import answers
from orch.store.schema import jobs
from tests.cli.conftest import CommandLine
from tests.factories import Rig

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
    assert incident.fact("depend", "ORCH-116", "--on", "ORCH-123", "--remove", "-m", "x")["changed"]
    (told,) = incident.facts("events", "--kind", "dependency.removed")
    assert told["reason"] == "x"


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


@pytest.mark.parametrize("verb", sorted({*controls.VERBS} - {"undepend"}))
def test_every_control_can_be_previewed(orch: CommandLine, verb: str) -> None:
    known = root.get_command(click.Context(root), verb)
    assert known is not None
    assert "preview" in {each.name for each in known.params}


TAKEN_BACK = [
    (("pause", "ORCH-116"), ("resume", "ORCH-116"), "begins_waiting", ["ORCH-123"]),
    (("freeze", "sh*", "-m", "x"), ("unfreeze", "sh*"), "starts", ["ORCH-116"]),
    (
        ("depend", "ORCH-116", "--on", "ORCH-123"),
        ("depend", "ORCH-116", "--on", "ORCH-123", "--remove"),
        "starts",
        ["ORCH-116"],
    ),
]


@pytest.mark.parametrize(("first", "verb", "key", "whom"), TAKEN_BACK, ids=lambda each: str(each))
def test_taking_something_back_is_previewed_too(
    incident: CommandLine, first: Sequence[str], verb: Sequence[str], key: str, whom: list[str]
) -> None:
    incident.staff()
    incident.fact(*first)
    before = _rows(incident)
    seen = incident.fact(*verb, "--preview")
    assert (seen["changed"], seen[key]) == (True, whom)
    assert _rows(incident) == before


def _rows(orch: CommandLine) -> list[Any]:
    lanes = orch.facts("queue")
    return [lanes[0]["waiting"], lanes[0]["paused"], orch.facts("events")]


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (("freeze", "shop", "-m", "deploy day"), "begins_waiting"),
        (("pause", "ORCH-116"), "held"),
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


# --- a person's word


@pytest.fixture
def waiting(incident: CommandLine) -> CommandLine:
    """ORCH-116 passed its analysis and waits for approval; ORCH-123 asked something."""
    line = incident.line()
    rig = Rig(line.store)
    finish = update(jobs).values(status="succeeded", finished_at=rig.clock())
    line.store.write(lambda conn: conn.execute(finish))
    first = rig.row_id("ORCH-116")
    line.store.write(lambda conn: answers.ask_approval(conn, first, rig.clock(), "analysis"))
    rig.asked("ORCH-123")
    line.store.dispose()
    return incident


WORDS = [
    (("approve", "ORCH-116", "-m", "good"), "task.approved", "good"),
    (("reject", "ORCH-116", "--note", "-- the tax; is missing"), "task.rejected", "the tax"),
    (("answer", "ORCH-123", "Blue $(reboot)"), "task.answered", "Blue $(reboot)"),
]


@pytest.mark.parametrize(("verb", "kind", "said"), WORDS, ids=lambda value: value[0])
def test_a_persons_word_is_taken_down_once_and_rung_for(
    waiting: CommandLine, verb: Sequence[str], kind: str, said: str
) -> None:
    seen = waiting.fact(*verb, "--preview")
    assert seen["preview"]
    assert waiting.facts("events", "--kind", kind) == []
    waiting.bell.clear_kick()
    rung = waiting.bell.kicked
    assert waiting.fact(*verb)["changed"]
    assert waiting.bell.kicked == rung + 1
    assert waiting.fact(*verb)["changed"] is False
    (told,) = waiting.facts("events", "--kind", kind)
    assert told["actor"].startswith("cli:")
    assert said in told["reason"]


def test_what_waits_for_a_person_says_so_and_how_to_go_on(waiting: CommandLine) -> None:
    assert "orch approve ORCH-116, or orch reject ORCH-116 --note …" in waiting.told("queue")
    assert "orch answer ORCH-123 …" in waiting.told("why", "ORCH-123")
    refused = waiting("resume", "ORCH-116")
    assert refused.exit_code == 1
    assert "waits for approval of analysis" in refused.stderr
    assert "orch approve ORCH-116" in refused.stderr


@pytest.mark.parametrize(
    ("verb", "code"),
    [
        (("reject", "ORCH-116"), 2),
        (("reject", "ORCH-116", "--note", " "), 2),
        (("answer", "ORCH-123"), 2),
        (("answer", "ORCH-116", "Blue"), 1),
        (("approve", "ORCH-123"), 1),
        (("approve", "ORCH-999"), 3),
    ],
)
def test_a_word_that_cannot_be_taken_is_told_by_its_exit_code(
    waiting: CommandLine, verb: Sequence[str], code: int
) -> None:
    assert waiting(*verb).exit_code == code
