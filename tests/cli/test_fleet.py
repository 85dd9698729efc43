"""Agents on the command line: listed, suspended, resumed, and shown where somebody waits."""

from __future__ import annotations

from orch.store import fleet
from orch.store.moments import DATABASE_TIME
from tests.cli.conftest import CommandLine


def test_an_agent_is_suspended_and_resumed_once_each(orch: CommandLine) -> None:
    orch.staff()
    asked = ("agent", "suspend", "analyst", "--until", "+2h", "--reason", "quota")
    assert orch.fact(*asked)["changed"]
    assert orch.fact("agent", "suspend", "analyst", "--reason", "quota")["changed"] is False
    (told,) = orch.facts("events", "--kind", "agent.suspended")
    assert (told["reason"], told["actor"][:4]) == ("quota", "cli:")
    assert "agent.suspended  analyst  by cli:" in orch.told("events")
    assert orch.fact("agent", "resume", "analyst")["changed"]
    assert "it is so already" in orch.told("agent", "resume", "analyst")


def test_whoever_waits_for_it_reads_until_when_and_why(orch: CommandLine) -> None:
    orch.staff()
    orch.fact("add", "ORCH-1", "--repo", "shop")
    line = orch.line()
    said_by_a_provider = ("analyst", None, "quota \x1b[31mspent", DATABASE_TIME)
    line.store.write(lambda conn: fleet.suspend(conn, *said_by_a_provider))
    line.store.dispose()
    assert orch.fact("why", "ORCH-1")["hold"] == "suspended"
    (lane,) = orch.facts("queue")
    assert lane["suspended"]["analyst"]["reason"].startswith("quota")
    for verb in (("why", "ORCH-1"), ("queue",), ("agent", "list")):
        said = orch.told(*verb)
        assert "quota" in said
        assert "\x1b" not in said
    assert "orch agent resume analyst" in orch.told("queue")
    assert "orch agent resume analyst" in orch.told("why", "ORCH-1")


def test_an_agent_nobody_knows_is_not_found(orch: CommandLine) -> None:
    done = orch("agent", "resume", "analist")
    assert done.exit_code == 3
    assert "Did you mean analyst?" in done.stderr
    assert orch("agent", "suspend", "analyst").exit_code == 2
