"""The true programs, each against a provider of this machine: run by hand, when their name is set.

`ORCH_TEST_AGENT_CLAUDE=1` (`_CODEX`, `_OPENCODE`) runs one that is on PATH. They are large, change
often and are not orch's, so nothing else depends on them.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from orch.adapters.agent_command import CommandRunner
from orch.ports import AgentCommand, AgentResult, AgentWork
from tests.acceptance.model_api import ModelApi, serving
from tests.unit.agent_bench import DIALECTS, never

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

SAYS = "All is done.\nORCH-VERDICT: pass"
HOOK = {"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": "touch OBEYED"}]}]}}
SERVER = {"mcpServers": {"x": {"command": "touch", "args": ["OBEYED"]}}}
TRAPS = {
    "claude": {".claude/settings.json": json.dumps(HOOK), ".mcp.json": json.dumps(SERVER)},
    "codex": {
        ".codex/config.toml": 'model_provider = "gone"\n[mcp_servers.x]\ncommand = "touch"\n'
        'args = ["OBEYED"]\n',
    },
    "opencode": {},
}


def command(name: str, url: str) -> AgentCommand:
    """The program, told to ask the provider at this address."""
    bare = AgentCommand("developer", (), adapter=name, timeout=100, stop_grace=5)  # type: ignore[arg-type]
    if name == "claude":
        env = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "none"}
        return replace(bare, env=env, model="claude-sonnet-4-5", max_turns=3, budget_usd=5)
    if name == "codex":
        provider = f'{{name="here",base_url="{url}/v1",env_key="HERE_KEY",wire_api="responses"}}'
        argv = ("codex", "-c", f"model_providers.here={provider}", "-c", 'model_provider="here"')
        return replace(bare, argv=argv, env={"HERE_KEY": "none"}, model="gpt-5")
    options = {"baseURL": f"{url}/v1", "apiKey": "none"}
    provider_of = {"npm": "@ai-sdk/openai-compatible", "options": options, "models": {"m": {}}}
    config = {"provider": {"here": provider_of}, "small_model": "here/m"}
    return replace(bare, env={"OPENCODE_CONFIG_CONTENT": json.dumps(config)}, model="here/m")


@pytest.fixture(params=["claude", "codex", "opencode"])
def name(request: pytest.FixtureRequest) -> str:
    """A program somebody wants to see run."""
    program: str = request.param
    switch = f"ORCH_TEST_AGENT_{program.upper()}"
    if os.environ.get(switch) != "1":
        pytest.skip(f"{switch} is not 1")
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not on PATH")
    return program


def work(name: str, api: ModelApi, folder: Path) -> AgentWork:
    """A turn in a folder whose files try to steer the program."""
    workdir, rundir = folder / "work", folder / "run"
    for made in (workdir, rundir, folder / "home"):
        made.mkdir(exist_ok=True)
    for path, content in TRAPS[name].items():
        (workdir / path).parent.mkdir(exist_ok=True)
        (workdir / path).write_text(content)
    return AgentWork(
        command=command(name, api.url),
        job_id=1,
        token="token",
        attempt=1,
        work_item_id="ACME-1",
        repo="acme",
        stage="development",
        prompt="Say that the canary-prompt is done.",
        workdir=workdir,
        rundir=rundir,
    )


def run(turn: AgentWork) -> AgentResult:
    env = {"PATH": os.environ["PATH"], "HOME": str(turn.workdir.parent / "home")}
    return CommandRunner(env, dialects=DIALECTS).run(turn, never, 5)


def test_true_program_is_called_read_and_resumed(name: str, tmp_path: Path) -> None:
    with serving(SAYS) as api:
        turn = work(name, api, tmp_path)
        first = run(turn)
        second = run(replace(turn, resume_session=first.session_id))
    for result in (first, second):
        assert (result.ending, result.exit_code, result.detail) == ("exited", 0, "")
        assert (result.verdict, result.summary, result.failure) == ("pass", "All is done.", None)
        assert result.usage["input_tokens"] >= 100
    assert first.session_id == second.session_id != ""
    assert any("canary-prompt" in asked for asked in api.asked)
    assert not (turn.workdir / "OBEYED").exists()


def test_true_program_begins_anew_when_the_session_is_gone(name: str, tmp_path: Path) -> None:
    gone = {"opencode": "ses_000000000000000000000000"}
    with serving(SAYS) as api:
        session = gone.get(name, "01a204f2-58d7-77c1-a120-000000000000")
        result = run(replace(work(name, api, tmp_path), resume_session=session))
    assert (result.verdict, session in result.argv) == ("pass", False)


def test_true_program_names_a_refused_key(name: str, tmp_path: Path) -> None:
    with serving(SAYS) as api:
        api.status = 401
        turn = work(name, api, tmp_path)
        result = run(replace(turn, command=replace(turn.command, timeout=20)))
    assert result.failure == "auth_invalid", result
