"""orch tracker: list, ask one now, let one go on; for a person and for a program."""

from __future__ import annotations

import pytest

from orch import bootstrap
from orch.adapters.memory_tracker import MemoryTracker
from orch.config import Settings
from tests.cli.conftest import CommandLine

TOML = """
[trackers.plan]
kind = "plane"
project = "p"
repo = "app"
"""


@pytest.fixture
def tracker(orch: CommandLine, monkeypatch: pytest.MonkeyPatch) -> MemoryTracker:
    """The only tracker of these settings."""
    made = MemoryTracker()
    path = orch.folder / "orch.toml"
    path.write_text((path.read_text() if path.exists() else "") + TOML)
    monkeypatch.setattr(bootstrap, "build_trackers", lambda settings: _known(settings, made))
    return made


def _known(settings: Settings, made: MemoryTracker) -> dict[str, MemoryTracker]:
    return dict.fromkeys(settings.trackers, made)


def test_sync_says_what_it_did_and_why_how_it_stands_there(
    orch: CommandLine, tracker: MemoryTracker
) -> None:
    tracker.add("a-1")
    assert orch.fact("tracker", "list")["state"] == "new"
    assert "A-1 was taken in" in orch.told("tracker", "sync", "plan")
    row = orch.fact("tracker", "list")
    assert (row["state"], row["items"]["open"]) == ("ok", 1)
    assert "In plan it is Todo, as of " in orch.told("why", "A-1")
    assert orch.fact("tracker", "sync", "plan")["fault"] == ""


def test_an_item_that_is_no_task_says_why_wherever_it_is_asked_for(
    orch: CommandLine, tracker: MemoryTracker
) -> None:
    tracker.add("a-1", state="Backlog")
    tracker.add("a-2")
    orch.told("tracker", "sync", "plan")
    rows = {row["work_item_id"]: row for row in orch.facts("tracker", "items", "plan")}
    why = "not taken up: it is in Backlog, and an unstarted state starts it"
    assert {name: row["reason"] for name, row in rows.items()} == {"A-1": why, "A-2": ""}
    assert rows["A-2"]["task_stage"] == "analysis"
    listed = orch.told("tracker", "items", "plan")
    assert "2 items." in listed
    assert why in " ".join(listed.split())
    for verb in ("why", "show", "pause"):
        done = orch(verb, "A-1")
        assert (done.exit_code, why in done.stderr) == (3, True)
        assert "orch add A-1" in done.stderr
    assert orch("tracker", "items", "other").exit_code == 3


def test_one_that_refuses_is_told_and_goes_on_when_a_person_says_so(
    orch: CommandLine, tracker: MemoryTracker
) -> None:
    tracker.faults.refused = "The key is not valid."
    done = orch("tracker", "sync", "plan")
    assert (done.exit_code, "The key is not valid." in done.stderr) == (1, True)
    assert orch.fact("tracker", "list")["state"] == "stopped"
    assert "The key is not valid." in orch.told("tracker", "list").replace("\n", " ")
    tracker.faults.refused = ""
    assert orch("tracker", "sync", "plan").exit_code == 1
    assert "asked and told again" in orch.told("tracker", "resume", "plan")
    assert orch("tracker", "sync", "plan").exit_code == 0
    assert orch("tracker", "resume", "other").exit_code == 3
