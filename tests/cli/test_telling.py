"""`orch show`: the story of a task, for a person and for a program."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from orch.store.schema import jobs, tasks
from tests.cli.conftest import CommandLine
from tests.factories import Rig

SHA = "0123456789abcdef" * 2 + "01234567"
EVIL = "\x1b]0;owned\x07[red]tax[/red]"
RED_RUN = {
    "name": "test", "argv": ["make", "test"], "exit_code": 2, "seconds": 75.0, "head_sha": SHA,
    "tail": "\n".join(f"line {number}" for number in range(20)) + f"\n{EVIL}", "timed_out": False,
}  # fmt: skip
REPORT: dict[str, Any] = {
    "checks": [
        {"name": "check_tests_pass", "passed": False, "reason": "2 tests fail", "details": [EVIL]},
        {"name": "check_landed", "passed": True, "reason": "", "details": []},
    ],
    "runs": [RED_RUN, {**RED_RUN, "name": "health", "exit_code": None, "timed_out": True}],
    "landing": {"rounds": 3},
}


@pytest.fixture
def worked(incident: CommandLine) -> CommandLine:
    """ORCH-116 with a failed attempt and its report, parked, in a frozen repo."""
    line = incident.line()
    rig = Rig(line.store)
    ended = {"status": "failed", "failure": "check_failed", "started_at": rig.clock()}
    kept = {"report": REPORT, "usage": {"turns": 7, "cost_usd": 1.25}, "summary": EVIL}
    of_task = jobs.c.task_id == rig.row_id("ORCH-116")
    change = update(jobs).where(of_task).values(**ended, **kept)
    line.store.write(lambda conn: conn.execute(change))
    landed = update(tasks).where(tasks.c.work_item_id == "ORCH-116").values(merge_sha=SHA)
    line.store.write(lambda conn: conn.execute(landed.values(title=EVIL)))
    line.store.dispose()
    incident.fact("pause", "ORCH-116", "-m", "waits for the vendor")
    incident.fact("freeze", "shop", "-m", "release")
    return incident


def test_a_person_reads_the_whole_story(worked: CommandLine) -> None:
    said = worked.told("show", "ORCH-116")
    for words in (
        "ORCH-116 is parked: waits for the vendor.",
        "to clear: orch resume ORCH-116",
        "analysis",
        "failed, check_failed",
        "7 turns, 1.25 USD",
        "check_tests_pass failed: 2 tests fail",
        "check_landed passed",
        "test ended with 2 after 1 min",
        "health ran out of time",
        "line 19",
        "shop: release",
        f"merge {SHA[:12]}",
        "Landed in 3 rounds.",
        "Not known:",
    ):
        assert words in said
    assert "line 5" not in said  # the log has the rest


def test_words_of_others_cannot_act_on_the_terminal(worked: CommandLine) -> None:
    said = worked.told("show", "ORCH-116")
    assert not {"\x1b", "\x07"} & set(said)
    assert said.count("[red]tax[/red]") >= 4  # title, summary, detail and tail, as they are


def test_a_program_reads_one_line_of_json(worked: CommandLine) -> None:
    found = worked.fact("show", "ORCH-116")
    assert found["jobs"][0]["report"] == REPORT
    assert (found["commits"]["merge_sha"], found["landing"]) == (SHA, {"rounds": 3})
    assert {each["why"] for each in found["held"]} == {"pause", "freeze"}
    assert found["usage"] == {"turns": 7, "cost_usd": 1.25}


def test_the_story_of_a_task_that_has_just_come_in_is_short(incident: CommandLine) -> None:
    said = incident.told("show", "ORCH-123")
    assert "What an agent makes of it: none has begun yet." in said
    assert "what it waited for" not in said


def test_the_story_of_nobody_is_not_found(incident: CommandLine) -> None:
    missing = incident("show", "ORCH-999")
    assert missing.exit_code == 3
    assert "Did you mean" in missing.stderr
