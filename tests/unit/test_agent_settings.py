"""The settings of an agent: what each adapter can be told, and how it reaches the runner."""

from __future__ import annotations

from pathlib import Path

import pytest

from orch import bootstrap, config
from orch.config import Settings, load_settings
from orch.errors import ConfigError


def read(folder: Path, *lines: str) -> Settings:
    (folder / "orch.toml").write_text("\n".join(["[agents.developer]", *lines]))
    return load_settings({"ORCH_DATA_DIR": str(folder)}, folder)


@pytest.mark.parametrize("adapter", ["claude", "codex", "opencode"])
def test_program_of_an_adapter_need_not_be_named(tmp_path: Path, adapter: str) -> None:
    settings = read(tmp_path, f'adapter = "{adapter}"', 'model = "p/m-1"')
    command = bootstrap.build_bench(settings, "w").commands["developer"]
    assert (command.adapter, command.argv, command.model) == (adapter, (), "p/m-1")
    assert (command.sandbox, command.network) == ((), True)


def test_limits_and_sandbox_reach_the_command(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        *('adapter = "claude"', 'command = ["claude", "--debug"]', "max_turns = 9"),
        *("budget_usd = 1.5", 'sandbox = "bubblewrap"', "network = false"),
    )
    command = bootstrap.build_bench(settings, "w").commands["developer"]
    assert command.argv == ("claude", "--debug")
    assert (command.max_turns, command.budget_usd) == (9, 1.5)
    assert (command.sandbox, command.network) == ("bubblewrap", False)


def test_sandbox_may_be_a_command_of_ones_own(tmp_path: Path) -> None:
    settings = read(tmp_path, 'command = ["x"]', 'sandbox = ["podman", "{workdir}"]')
    command = bootstrap.build_bench(settings, "w").commands["developer"]
    assert command.sandbox == ("podman", "{workdir}")


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ((), "agents.developer.command"),
        (('command = [""]',), "the first word is empty"),
        (('adapter = "gemini"',), "agents.developer.adapter"),
        (('adapter = "claude"', 'model = "--evil"'), "agents.developer.model"),
        (('adapter = "claude"', 'model = "a b"'), "agents.developer.model"),
        (('adapter = "codex"', "max_turns = 3"), "max_turns is kept by the adapter claude only"),
        (('command = ["x"]', "budget_usd = 3"), "budget_usd is kept by"),
        (('adapter = "claude"', "budget_usd = nan"), "budget_usd"),
        (('command = ["x"]', 'model = "m"'), "model is not passed to a plain command"),
        (('command = ["x"]', "network = false"), 'needs sandbox = "bubblewrap"'),
        (('command = ["x"]', 'sandbox = "podman"'), "sandbox"),
        (('command = ["x"]', "colour = 3"), "agents.developer.colour"),
    ],
)
def test_what_an_adapter_cannot_do_is_refused(
    tmp_path: Path, lines: tuple[str, ...], why: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, *lines)
    assert why in refused.value.message


def test_keys_of_an_agent_are_masked_and_not_shown(tmp_path: Path) -> None:
    settings = read(tmp_path, 'command = ["x"]', "[agents.developer.env]", 'MODEL_KEY = "canary"')
    assert "canary" in bootstrap._secrets(settings)
    assert "canary" not in str(config.shown(settings))
