"""tick, sweep, and the verbs that become another program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from orch import processes, stages, up
from orch.cli import output
from tests.cli.conftest import CommandLine


def test_a_tick_claims_and_rings(incident: CommandLine) -> None:
    incident.staff("analyst")
    rehearsed = incident.fact("tick", "--dry-run")
    assert [row["repo"] for row in rehearsed["claimed"]] == ["shop"]
    assert incident.bell.published == []
    done = incident.fact("tick")
    assert done["claimed"] == rehearsed["claimed"]
    assert [claim.agent for claim in incident.bell.published] == ["analyst"]
    assert incident.fact("tick")["claimed"] == []


def test_a_tick_tells_a_person_what_it_did(incident: CommandLine) -> None:
    incident.staff("analyst")
    assert "1 would be claimed" in incident.told("tick", "--dry-run")
    said = incident.told("tick")
    assert "1 claimed" in said
    assert "of analyst in shop" in said


def test_a_tick_without_a_broker_says_what_it_could_not_send(incident: CommandLine) -> None:
    incident.staff("analyst")
    incident.bell.down = True
    assert incident.fact("tick")["unsent"] == 1
    assert incident.fact("why", "ORCH-116")["state"] == "waiting"


def test_a_sweep_counts_what_it_mended(incident: CommandLine) -> None:
    incident.staff("analyst")
    incident.fact("tick", "--dry-run")
    incident.line().store.write(lambda conn: conn.exec_driver_sql("DELETE FROM wakes"))
    assert incident.fact("sweep") == {"mended": 1}
    assert incident.fact("tick")["claimed"]
    assert "0 had to be mended" in incident.told("sweep")


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """The commands this process would have become."""
    found: list[Sequence[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, argv: found.append(argv))
    return found


def test_parts_become_the_commands_of_the_one_place(
    orch: CommandLine, became: list[Sequence[str]]
) -> None:
    (orch.folder / "orch.toml").write_text('[agents.analyst]\ncommand = ["true"]\n')
    assert orch("worker", "analyst", "--concurrency", "3", "--name", "a").exit_code == 0
    assert orch("control", "--name", "c").exit_code == 0
    assert orch("beat").exit_code == 0
    assert orch("web").exit_code == 0
    queue = stages.queue_of("analyst")
    assert became == [
        processes.worker_argv([queue], 3, "a"),
        processes.worker_argv([stages.CONTROL_QUEUE], 1, "c", "solo"),
        processes.beat_argv(),
        processes.web_argv(),
    ]


def test_several_agents_get_a_worker_each(
    orch: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = '[agents.analyst]\ncommand = ["true"]\n[agents.tester]\ncommand = ["true"]\n'
    (orch.folder / "orch.toml").write_text(commands)
    asked: list[tuple[Sequence[str], int]] = []
    monkeypatch.setattr(up, "run_workers", lambda agents, each, tell: asked.append((agents, each)))
    assert orch("worker", "tester", "analyst", "--concurrency", "2").exit_code == 0
    assert orch("worker").exit_code == 0
    assert asked == [(("tester", "analyst"), 2), (("analyst", "tester"), 1)]


def test_a_worker_without_any_agent_is_refused(orch: CommandLine) -> None:
    done = orch("worker")
    assert (done.exit_code, "No command is configured for any agent" in done.stderr) == (2, True)


def test_a_terminal_without_room_gets_no_titles(
    incident: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "about ORCH-116" in incident.told("queue")
    monkeypatch.setenv("COLUMNS", "80")
    output.console.cache_clear()
    said = incident.told("queue")
    assert "about ORCH-116" not in said
    assert max(map(len, said.splitlines())) <= 80


def _really(*args: str, more: str = "") -> subprocess.CompletedProcess[str]:
    command = f'"$1" -m orch "${{@:2}}" {more}'
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command, "orch", sys.executable, *args],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_real_program_answers_and_fails_as_told(incident: CommandLine) -> None:
    done = _really("why", "ORCH-123")
    assert (done.returncode, done.stderr) == (0, "")
    assert '"reason": "active-task"' in done.stdout
    missing = _really("why", "NOPE")
    assert (missing.returncode, missing.stdout) == (3, "")
    assert missing.stderr.startswith("orch: No task is known as NOPE.")


def test_a_closed_pipe_is_no_error(incident: CommandLine) -> None:
    for number in range(40):
        incident.fact("repo", "add", f"repo-{number}")
    done = _really("repo", "list", more="| true")
    assert (done.returncode, done.stderr) == (0, "")


def test_looking_loads_neither_celery_nor_alembic(incident: CommandLine) -> None:
    heavy = ("celery", "kombu", "redis", "alembic", "flask", "orch.adapters.agent_command")
    code = (
        "import sys\nfrom orch.cli.root import root\n"
        "root(['why', 'ORCH-123'], prog_name='orch', standalone_mode=False)\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == "[]\n"
