"""`orch mcp`: its options, what it says when it cannot, and that its page tells the truth."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from orch import mcp_server as serving
from orch import mcp_tools as tools
from orch.cli import for_agents
from orch.cli.root import root
from orch.cli.session import Session
from orch.mcp_server import Address, Answering
from tests.cli.conftest import CommandLine

PAGE = (Path(__file__).parents[2] / "docs" / "mcp.md").read_text(encoding="utf-8")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Answering, Address | None]]:
    """What was to be served, instead of serving it."""
    seen: list[tuple[Answering, Address | None]] = []
    monkeypatch.setattr(serving, "over_streams", lambda answering: seen.append((answering, None)))
    monkeypatch.setattr(
        serving, "over_http", lambda answering, where, tell: seen.append((answering, where))
    )
    return seen


def test_it_reads_unless_it_is_told_to_control(
    orch: CommandLine, served: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_MCP_TOKEN", "orch_abc")
    monkeypatch.setenv("ORCH_WEB_NAMES", "orch.example.org")
    assert orch("mcp").stdout == ""
    assert orch("mcp", "--http", "--port", "0", "--host", "::1", "--controls").exit_code == 0
    (reading, nowhere), (controlling, somewhere) = served
    assert (reading.controls, nowhere) == (False, None)
    assert (controlling.controls, controlling.own_token) == (True, "orch_abc")
    assert somewhere == Address("::1", 0, ("orch.example.org",))
    assert controlling.desk.line.queue is orch.bell


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--port", "1"), 2, "only with --http"),
        (("--host", "::"), 2, "only with --http"),
        (("--http", "--host", "::"), 2, "there is no token"),
        (("--http", "--port", "70000"), 2, "70000"),
    ],
)
def test_what_cannot_be_served_is_a_sentence(
    orch: CommandLine, words: tuple[str, ...], code: int, said: str
) -> None:
    done = orch("mcp", *words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr


def test_without_the_package_it_says_what_to_install(
    orch: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(for_agents, "find_spec", lambda name: None)
    done = orch("mcp")
    assert done.exit_code == 1
    assert "pip install 'orch[mcp]'" in done.stderr


def test_its_token_is_a_secret(orch: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_MCP_TOKEN", "orch_abc")
    assert "orch_abc" not in orch("check").output
    (orch.folder / "orch.toml").write_text('mcp_token = "orch_abc"', encoding="utf-8")
    done = orch("check")
    assert done.exit_code == 2
    assert "holds a password in mcp_token" in done.stderr
    assert "orch_abc" not in done.stderr


def test_the_command_line_does_not_load_the_package() -> None:
    look = "import sys, orch.cli.for_agents; sys.exit('mcp' in sys.modules)"
    folder = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", look], cwd=folder, check=False).returncode == 0


def test_the_page_names_every_tool_and_control() -> None:
    table = re.findall(r"^\| `(\w+)` \|", PAGE, re.M)
    assert table == [tool.name for tool in tools.READING]
    added = PAGE.partition("This adds ")[2].partition(". ")[0]
    assert set(re.findall(r"`(\w+)`", added)) == {tool.name for tool in tools.CONTROLS}


def test_every_command_of_the_page_is_one() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
    commands = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    (config,) = re.findall(r"```json\n(.*?)```", PAGE, re.S)
    server = json.loads(config)["mcpServers"]["orch"]
    commands.append([server["command"], *server["args"]])
    assert len(commands) > 5
    assert [program for program, *_ in commands] == ["orch"] * len(commands)
    for _, name, *words in commands:
        verb = root.get_command(click.Context(root), name)
        assert verb is not None
        while isinstance(verb, click.Group):
            verb, words = verb.commands[words[0]], words[1:]
        verb.make_context(name, words, obj=Session())
