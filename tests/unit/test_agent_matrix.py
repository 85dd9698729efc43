"""Every program's known misbehaviours, spoken by a stand-in below a real supervisor."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from orch.line import Limits
from orch.outcomes import decide
from orch.ports import Adapter, AgentResult
from tests.unit.agent_bench import AGENTS, COMMAND, AgentBench
from tests.unit.agent_matrix import ADAPTERS, MATRIX, table

PROGRAMS = ADAPTERS[1:]
SPEAKER = AGENTS / "speaker.py"
PAGE = Path(__file__).parents[2] / "docs" / "agents.md"
USAGE = {"input_tokens": 10, "cached_input_tokens": 3, "output_tokens": 2}


@pytest.fixture
def bench(tmp_path: Path) -> AgentBench:
    """Folders for one agent."""
    return AgentBench(tmp_path)


def spoken(
    bench: AgentBench, adapter: str, way: str, resume: str = "", **more: float
) -> AgentResult:
    command = replace(COMMAND, adapter=cast(Adapter, adapter), **more)
    work = bench.work(str(SPEAKER), adapter, way, command=command)
    return bench.run(replace(work, resume_session=resume))


@pytest.mark.parametrize("way", MATRIX)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_misbehaviour_has_its_outcome(bench: AgentBench, adapter: str, way: str) -> None:
    # A plain command says nothing orch could take for its end: only a stall is noticed.
    patience = {"stall_timeout": 0.4} if (adapter, way[:5]) == ("command", "stays") else {}
    result = spoken(bench, adapter, way, resume="old", **patience)
    decision = decide(result, "development", 1, 0, Limits())
    outcome = f"{decision.next}: {decision.failure}" if decision.failure else decision.next
    assert outcome == MATRIX[way][adapter], result
    assert bench.alive() == [] or sys.platform != "linux"


def test_page_of_the_agents_shows_this_matrix() -> None:
    assert "\n".join(table()) in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("adapter", "session", "more"),
    [
        ("claude", "s-1", {"cost_usd": 0.25, "turns": 4}),
        ("codex", "s-1", {"turns": 1}),
        ("opencode", "ses_1", {"cost_usd": 0.25, "turns": 1}),
    ],
)
def test_session_usage_and_closing_words_are_told(
    bench: AgentBench, adapter: str, session: str, more: dict[str, float]
) -> None:
    result = spoken(bench, adapter, "does as it should")
    assert (result.session_id, result.usage) == (session, USAGE | more)
    assert (result.verdict, result.summary) == ("pass", "All is done.")
    assert (result.failure, result.detail, result.exit_code) == (None, "", 0)


@pytest.mark.parametrize("adapter", PROGRAMS)
def test_program_that_stayed_ends_as_its_result_says(bench: AgentBench, adapter: str) -> None:
    result = spoken(bench, adapter, "stays alive after its result")
    assert (result.ending, result.exit_code, result.verdict) == ("exited", 0, "pass")
    assert "stayed alive" in result.detail


@pytest.mark.parametrize("adapter", PROGRAMS)
def test_grace_after_the_result_breaks_no_limit(bench: AgentBench, adapter: str) -> None:
    limits = {"timeout": 0.9, "stall_timeout": 0.8, "stop_grace": 1.0}
    result = spoken(bench, adapter, "stays alive after its result", **limits)
    assert (result.ending, result.verdict) == ("exited", "pass")


@pytest.mark.parametrize("adapter", PROGRAMS)
def test_limit_says_until_when(bench: AgentBench, adapter: str) -> None:
    result = spoken(bench, adapter, "the provider's limit is reached")
    assert result.limited_until == bench.now + timedelta(hours=2, minutes=30)
    assert "usage limit" in result.detail


@pytest.mark.parametrize("adapter", ["claude", "codex"])
def test_missing_end_line_is_told(bench: AgentBench, adapter: str) -> None:
    assert "It ended without" in spoken(bench, adapter, "exits 0 with nothing").detail


@pytest.mark.parametrize("adapter", PROGRAMS)
def test_lost_session_is_begun_anew_once(bench: AgentBench, adapter: str) -> None:
    result = spoken(bench, adapter, "its session is gone", resume="old")
    assert (result.verdict, "old" in result.argv) == ("pass", False)
    kept = spoken(bench, adapter, "does as it should", resume="old")
    assert "old" in kept.argv


@pytest.mark.parametrize("session", ["--yolo", "a b", "a\nb", "x" * 200])
def test_session_that_could_be_an_option_is_not_passed_on(bench: AgentBench, session: str) -> None:
    result = spoken(bench, "claude", "does as it should", resume=session)
    assert (result.verdict, session in result.argv) == ("pass", False)


def test_result_file_goes_before_the_closing_words(bench: AgentBench) -> None:
    script = 'echo \'{"verdict": "rework"}\' > $ORCH_RESULT_FILE; exec "$0" claude well'
    command = replace(COMMAND, adapter="claude")
    result = bench.run(bench.work("sh", "-c", script, str(SPEAKER), command=command))
    assert (result.verdict, result.summary) == ("rework", "All is done.")


def test_good_word_in_the_result_file_does_not_hide_a_failed_turn(bench: AgentBench) -> None:
    script = (
        'echo \'{"verdict": "pass"}\' > $ORCH_RESULT_FILE; exec "$0" codex "says that it failed"'
    )
    command = replace(COMMAND, adapter="codex")
    result = bench.run(bench.work("sh", "-c", script, str(SPEAKER), command=command))
    assert (result.verdict, result.failure) == ("pass", "agent_failed")


def test_command_and_the_names_of_its_environment_are_told(bench: AgentBench) -> None:
    bench.secrets = ("canary-1234",)
    command = replace(COMMAND, env={"MODEL_KEY": "canary-1234"})
    result = bench.run(bench.work("sh", "-c", "true", "canary-1234", command=command))
    assert result.argv == ("sh", "-c", "true", "[masked]")
    assert {"MODEL_KEY", "ORCH_JOB", "PATH"} <= set(result.env_names)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_agent_that_prints_all_it_can_read_shows_no_secret(bench: AgentBench) -> None:
    secret = "canary+of/orch"
    bench.secrets, bench.base_env = (secret,), {**bench.base_env, "PLANE_TOKEN": secret}
    own = "env; cat /proc/self/environ /proc/$$/environ | tr '\\0' '\\n'"
    script = f"{own}; echo now-others; cat /proc/[0-9]*/environ; ls -R . $(dirname $ORCH_JOB)"
    # A process of orch's own: the agent runs as the same user here, and so can look into it.
    neighbour = {"ORCH_DATABASE_URL": f"postgresql://u:{secret}@h/orch"}
    with subprocess.Popen(["sleep", "60"], env={**neighbour, "PATH": os.defpath}) as process:
        bench.sh(script)
        process.kill()
    mine, _, others = bench.log().partition("now-others")
    assert "ORCH_STAGE" in mine
    assert "[masked]" not in mine
    assert "u:[masked]@h" in others
    for name in ("log", "stdout", "stderr", "prompt.md"):
        assert secret.encode() not in (bench.rundir / name).read_bytes()


def test_unknown_adapter_is_a_sentence(bench: AgentBench) -> None:
    result = spoken(bench, "gemini", "does as it should")
    assert (result.ending, "`gemini`" in result.detail) == ("spawn_failed", True)


@pytest.mark.parametrize("name", ["opencode.json", ".opencode"])
def test_program_that_would_obey_the_repository_is_not_run(bench: AgentBench, name: str) -> None:
    (bench.workdir / name).symlink_to("nowhere")
    result = spoken(bench, "opencode", "does as it should")
    assert (result.ending, name in result.detail) == ("spawn_failed", True)
