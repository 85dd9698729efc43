"""Settings: where they come from, which wins, what is refused, what is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from orch import bootstrap, config
from orch.config import Settings, load_settings
from orch.errors import ConfigError
from orch.serial_gate import Layers
from tests.architecture import tree

PASSWORD = "hunter2"
DEFAULTS = Settings.model_validate({})


def problems(folder: Path, **environ: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load_settings(environ, folder)
    return refused.value.message


def test_nothing_given_is_all_defaults_with_a_store_in_the_data_folder(tmp_path: Path) -> None:
    settings = load_settings({}, tmp_path)
    assert settings == DEFAULTS
    assert settings.store_url.startswith("sqlite:////")
    assert settings.store_url.endswith(".orch/orch.db")


def test_the_environment_wins_over_dotenv_and_that_over_toml(tmp_path: Path) -> None:
    (tmp_path / "orch.toml").write_text("tick_seconds = 3\nmax_attempts = 4\nmax_reworks = 7\n")
    (tmp_path / ".env").write_text("# comment\nORCH_TICK_SECONDS='5'\nORCH_MAX_ATTEMPTS=6\n")
    settings = load_settings({"ORCH_TICK_SECONDS": "8"}, tmp_path)
    assert (settings.tick_seconds, settings.max_attempts, settings.max_reworks) == (8, 6, 7)


def test_every_problem_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "orch.toml").write_text(
        'max_attempts = 0\n\ncolour = "blue"\n[agents.developer]\ncommand = []\n[agents.poet]\n'
        'command = ["x"]\n'
    )
    (tmp_path / ".env").write_text("ORCH_LOG_LEVEL=LOUD\n")
    told = problems(tmp_path, ORCH_TICK_SECONDS="soon")
    for expected in (
        "max_attempts (orch.toml, line 1)",
        "colour (orch.toml, line 3)",
        "agents.developer.command (orch.toml, line 5)",
        "log_level (.env, ORCH_LOG_LEVEL)",
        "tick_seconds (environment, ORCH_TICK_SECONDS)",
    ):
        assert expected in told


def test_an_agent_nobody_knows_is_told_with_those_known(tmp_path: Path) -> None:
    (tmp_path / "orch.toml").write_text('[agents.poet]\ncommand = ["x"]\n')
    told = problems(tmp_path)
    assert "unknown agent poet" in told
    assert "developer" in told


BAD = {
    "tick_seconds": ["0", "-1", "nan", "inf", "x", "1e99"],
    "max_attempts": ["0", "1.5", "101", ""],
    "max_reworks": ["-1"],
    "web_port": ["-1", "65536"],
    "serial_gate_enabled": ["maybe"],
    "log_format": ["xml"],
    "broker_prefix": ["a b", "x" * 41],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values]
)
def test_values_that_cannot_be_used_are_refused(tmp_path: Path, name: str, value: str) -> None:
    assert name in problems(tmp_path, **{f"ORCH_{name.upper()}": value})


def test_a_lease_shorter_than_the_heartbeat_would_lose_every_job(tmp_path: Path) -> None:
    told = problems(tmp_path, ORCH_LEASE_SECONDS="10", ORCH_HEARTBEAT_SECONDS="10")
    assert "heartbeat_seconds must be shorter than lease_seconds" in told


@pytest.mark.parametrize("content", ["= 3", "a = [", "\x00"])
def test_a_file_that_is_no_toml_is_told_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "orch.toml").write_text(content)
    assert problems(tmp_path).startswith("orch.toml is not valid TOML")


@pytest.mark.parametrize("name", ["orch.toml", ".env"])
def test_a_file_that_is_no_text_is_told_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xfe\x00")
    assert problems(tmp_path).startswith(f"{name} cannot be read")


def test_another_file_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("max_reworks = 9\n")
    assert load_settings({"ORCH_CONFIG": "other.toml"}, tmp_path).max_reworks == 9


# --- secrets


def test_a_password_in_toml_is_refused_and_not_repeated(tmp_path: Path) -> None:
    url = f"postgresql://u:{PASSWORD}@h/d"
    (tmp_path / "orch.toml").write_text(f'database_url = "{url}"\n')
    told = problems(tmp_path)
    assert "holds a password in database_url" in told
    assert PASSWORD not in told


def test_a_url_without_a_password_may_stand_in_toml(tmp_path: Path) -> None:
    (tmp_path / "orch.toml").write_text('broker_url = "redis://127.0.0.1:6379/1"\n')
    assert load_settings({}, tmp_path).broker_url.get_secret_value().endswith("/1")


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    url = f"postgresql://u:{PASSWORD}@h/d"
    settings = load_settings({"ORCH_DATABASE_URL": url, "ORCH_BROKER_URL": url}, tmp_path)
    for told in (repr(settings), str(settings), str(config.shown(settings))):
        assert PASSWORD not in told
    assert config.shown(settings)["database_url"] == "***"
    assert settings.store_url == url


def test_a_bad_value_beside_a_secret_does_not_show_it(tmp_path: Path) -> None:
    url = f"redis://:{PASSWORD}@h"
    assert PASSWORD not in problems(tmp_path, ORCH_BROKER_URL=url, ORCH_WEB_PORT="x")


def test_agents_start_without_anything_of_orchs_own() -> None:
    found = config.agent_base_environment({"PATH": "/bin", "ORCH_DATABASE_URL": "x", "HOME": "/h"})
    assert found == {"PATH": "/bin", "HOME": "/h"}


# --- the gate's switches


def test_every_switch_of_the_gate_is_a_setting_of_the_same_default() -> None:
    assert bootstrap.build_gate(DEFAULTS).layers == Layers()


@pytest.mark.parametrize(
    "name", [name for name in Layers.__dataclass_fields__ if "repos" not in name]
)
def test_a_switch_reaches_the_gate(tmp_path: Path, name: str) -> None:
    turned = not getattr(Layers(), name)
    settings = load_settings({f"ORCH_{name.upper()}": str(turned).lower()}, tmp_path)
    assert getattr(bootstrap.build_gate(settings).layers, name) is turned


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("", ()), ("app", ("app",)), (" app , lib/* ,", ("app", "lib/*"))],
)
def test_repos_to_serialise_are_separated_by_commas(
    tmp_path: Path, given: str, wanted: tuple[str, ...]
) -> None:
    settings = load_settings({"ORCH_SERIAL_GATE_REPOS": given}, tmp_path)
    assert bootstrap.build_gate(settings).layers.serial_gate_repos == wanted


def test_every_limit_reaches_the_line() -> None:
    given = {"lease_seconds": 61, "heartbeat_seconds": 16, "start_deadline_seconds": 62}
    limits = bootstrap.build_limits(Settings.model_validate(given))
    assert (limits.lease, limits.heartbeat, limits.start_deadline) == (61, 16, 62)


# --- .env.example


def test_the_example_lists_every_setting_with_its_default() -> None:
    assert tree.text(".env.example").strip() == config.env_example().strip()
    for name in set(Settings.model_fields) - set(config.TABLES):
        assert f"#ORCH_{name.upper()}=" in config.env_example()


def test_the_example_read_back_is_all_defaults(tmp_path: Path) -> None:
    lines = [line.removeprefix("#") for line in config.env_example().splitlines()]
    given = [line for line in lines if line.startswith("ORCH_") and not line.endswith("=")]
    (tmp_path / ".env").write_text("\n".join(given))
    read = load_settings({}, tmp_path)
    assert config.shown(read) == config.shown(DEFAULTS)
