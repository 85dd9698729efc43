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
