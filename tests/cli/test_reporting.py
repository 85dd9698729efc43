"""`orch report`: a table for a person, lines for a program, sentences for what cannot be."""

from __future__ import annotations

import pytest

from orch import waits
from tests.cli.conftest import CommandLine


@pytest.fixture
def watched(orch: CommandLine) -> CommandLine:
    """Two tasks of one repo, at which somebody has looked."""
    line = orch.line()
    waits.watch(line)
    for item in ("ORCH-1", "ORCH-2"):
        orch.fact("add", item, "--repo", "shop")
    orch.fact("pause", "ORCH-2", "--reason", "later")
    waits.watch(line)
    line.store.dispose()
    return orch


def test_lines_for_a_program_tables_for_a_person(watched: CommandLine) -> None:
    reasons = {row["reason"]: row["kind"] for row in watched.facts("report")}
    assert reasons.items() >= {"no-worker": "waited", "paused": "parked"}.items()
    (repo,) = watched.facts("report", "--by", "repo", "--repo", "shop", "--since", "-1h")
    assert (repo["repo"], repo["worked"]) == ("shop", 0)
    said = watched.told("report")
    assert "Of the tasks' time:" in said
    assert "no worker served its agent" in said
    for by in ("repo", "stage", "week", "task"):
        assert "mostly for" in watched.told("report", "--by", by)
    assert "ORCH-2" in watched.told("report", "--by", "task")


def test_what_is_not_known_is_said(orch: CommandLine) -> None:
    assert orch.facts("report") == []
    assert "nobody has looked yet" in orch.told("report")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--since", "+2h"), 2, "is not a time for --since"),
        (("--since", "2099-01-01T00:00:00Z"), 2, "is not in the past"),
        (("--by", "colour"), 2, "colour"),
        (("--repo", "nobody"), 3, "No repo is known as nobody"),
        (("--repo", "a b"), 2, "a b"),
    ],
)
def test_bad_input_gets_a_sentence(
    watched: CommandLine, words: tuple[str, str], code: int, said: str
) -> None:
    done = watched("report", *words)
    assert done.exit_code == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
