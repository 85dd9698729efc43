"""Whatever is wrong becomes a sentence, what to do, and an exit code; never a traceback."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest

from orch import mirror
from orch.cli import root as root_module
from tests.cli.conftest import CommandLine

BAD: list[tuple[Sequence[str], int, str]] = [
    (("why", "NOPE-1"), 3, "No task is known as NOPE-1."),
    (("why", "../etc"), 2, "is not a work item id"),
    (("why", "a\nb"), 2, "is not a work item id"),
    (("why", ""), 2, "is not a work item id"),
    (("why",), 2, "Missing argument"),
    (("nothing",), 2, "There is no verb"),
    (("quue",), 2, "Did you mean queue?"),
    (("queue", "--repo", "no repo"), 2, "is not a repo name"),
    (("queue", "--repo", "shp"), 3, "Did you mean shop?"),
    (("queue", "--limit", "0"), 2, "--limit"),
    (("tasks", "--stage", "nowhere"), 2, "--stage"),
    (("tasks", "--repo", "unheard"), 3, "No repo is known as unheard."),
    (("events", "--task", "NOPE"), 3, "No task is known"),
    (("logs", "99"), 3, "No job has the id 99."),
    (("logs", "9" * 30), 3, "No task is known"),
    (("pause", "ORCH-999"), 3, "Did you mean ORCH-"),
    (("pause", "ORCH-116", "--until", "yesterday"), 2, "is not a time for until"),
    (("pause", "ORCH-116", "--until", "2001-01-01T00:00Z"), 2, "is in the past"),
    (("pause", "ORCH-116", "--until", "2099-01-01T00:00"), 2, "is not a time for until"),
    (("pause", "ORCH-116", "--reason", "x" * 501), 2, "501 characters"),
    (("pause", "ORCH-116", "--reason", "a\x1b[2J"), 2, "control character"),
    (("freeze", "shop"), 2, "--reason"),
    (("freeze", "shop", "--reason", " "), 2, "A reason is required."),
    (("freeze", "shop", "--reason", "x", "--allow", "NOPE"), 3, "No task is known as NOPE."),
    (("freeze", "a b", "--reason", "x"), 2, "is not a repo name"),
    (("unfreeze", "unheard"), 3, "No repo and no freeze is known"),
    (("depend", "ORCH-116", "--on", "ORCH-116"), 1, "cannot depend on itself"),
    (("depend", "ORCH-116"), 2, "--on"),
    (("add",), 2, "Give either the ID"),
    (("add", "A-1"), 2, "--repo"),
    (("add", "A-1", "--repo", "a", "--file", "x"), 2, "does not exist"),
    (("add", "ORCH-116", "--repo", "shop"), 1, "is a task already"),
    (("add", "A-1", "--repo", "a", "--track", "x"), 2, "is not a track"),
    (("add", "A-1", "--repo", "a", "--on", "NOPE"), 3, "No task is known as NOPE."),
    (("add", "A-1", "--repo", "a", "--title", "x" * 256), 2, "256 characters"),
    (("token", "add", "x", "--role", "king"), 2, "--role"),
    (("token", "revoke", "nobody"), 3, "No token is named nobody."),
    (("repo", "add", ".git"), 2, "is not a repo name"),
    (("worker", "poet"), 2, "poet"),
    (("worker", "analyst"), 2, "No command is configured for analyst."),
]


@pytest.mark.parametrize(("args", "code", "words"), BAD, ids=lambda value: str(value)[:50])
def test_a_mistake_is_answered_with_a_sentence_and_its_code(
    incident: CommandLine, args: Sequence[str], code: int, words: str
) -> None:
    before = incident.facts("events")
    done = incident(*args)
    assert done.exit_code == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.output
    assert done.stdout == ""
    assert incident.facts("events") == before


def test_what_has_ended_cannot_be_changed(incident: CommandLine) -> None:
    incident.fact("cancel", "ORCH-116")
    for verb in ("pause", "resume", "retry", "promote"):
        done = incident(verb, "ORCH-116")
        assert (done.exit_code, "it cannot be changed" in done.stderr) == (1, True)


def test_a_cycle_is_refused_and_spelled_out(incident: CommandLine) -> None:
    incident.fact("depend", "ORCH-123", "--on", "ORCH-116")
    done = incident("depend", "ORCH-116", "--on", "ORCH-123")
    assert done.exit_code == 1
    assert "ORCH-116 → ORCH-123 → ORCH-116" in done.stderr


def test_a_database_without_schema_says_how_to_get_one(bare_orch: CommandLine) -> None:
    done = bare_orch("queue")
    assert done.exit_code == 4
    assert "Run `orch db upgrade`." in done.stderr


def test_a_database_that_is_away_is_a_service_that_is_down(
    bare_orch: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    done = bare_orch("queue")
    assert done.exit_code == 4
    assert "The task store does not answer" in done.stderr


def test_every_wrong_setting_is_named_at_once(bare_orch: CommandLine) -> None:
    (bare_orch.folder / "orch.toml").write_text("tick_seconds = -1\nsweeps = 3\n")
    done = bare_orch("check")
    assert done.exit_code == 2
    assert "tick_seconds" in done.stderr
    assert "sweeps" in done.stderr


def test_a_dead_broker_costs_one_line_and_no_failure(incident: CommandLine) -> None:
    incident.bell.down = True
    done = incident("pause", "ORCH-116")
    assert done.exit_code == 0
    assert done.stderr == "The broker does not answer; the next tick will see it.\n"


def test_something_unforeseen_is_one_sentence_and_how_to_see_more(
    incident: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a\nb")

    monkeypatch.setattr(mirror, "why", broken)
    done = incident("why", "ORCH-116")
    assert done.exit_code == 1
    assert "Something unforeseen happened: RuntimeError: a b" in done.stderr
    assert "orch --debug" in done.stderr
    assert isinstance(incident("--debug", "why", "ORCH-116").exception, RuntimeError)


def test_an_interruption_is_quiet(incident: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mirror, "why", interrupted)
    done = incident("why", "ORCH-116")
    assert (done.exit_code, done.output.strip()) == (130, "")


def test_a_reader_who_has_seen_enough_is_no_error(
    incident: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise BrokenPipeError

    forgotten: list[io.IOBase] = []
    monkeypatch.setattr(mirror, "why", gone)
    monkeypatch.setattr(root_module, "_forget_output", lambda: forgotten.append(io.BytesIO()))
    assert incident("why", "ORCH-116").exit_code == 0
    assert forgotten


def test_help_lists_every_verb_without_loading_any(orch: CommandLine) -> None:
    said = orch("--help").stdout
    for group, verbs in root_module.VERBS.items():
        assert f"{group}:" in said
        assert all(f"  {verb} " in said for verb in verbs)


@pytest.mark.parametrize("verb", root_module.MODULES)
def test_every_verb_has_help(orch: CommandLine, verb: str) -> None:
    done = orch(verb, "--help")
    assert (done.exit_code, f"Usage: orch {verb}" in done.stdout) == (0, True)
