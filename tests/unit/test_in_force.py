"""The settings in force: where each comes from, and that no secret is among the texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from orch import in_force, toml_lines
from orch.config import load_settings
from orch.errors import ConfigError

TOML = """\
max_attempts = 4
tick_seconds = 3
notes = '''
max_reworks = 1
'''
[repos."owner/name"]  # quoted, because of the slash
url = "/srv/git/x.git"
test = [
  "run = all",
]
[agents.developer]
command = ["x"]
env = { API_KEY = "canary" }
"""


def origins(folder: Path, **environ: str) -> dict[str, str]:
    (folder / "orch.toml").write_text(TOML.replace("notes = '''\nmax_reworks = 1\n'''\n", "\n\n\n"))
    (folder / ".env").write_text("ORCH_TICK_SECONDS=5\n")
    return {each.name: each.origin for each in in_force.every(load_settings(environ, folder))}


def test_every_setting_says_where_it_comes_from(tmp_path: Path) -> None:
    found = origins(tmp_path, ORCH_WEB_PORT="0")
    assert found["max_attempts"] == "orch.toml, line 1"
    assert found["tick_seconds"] == ".env, ORCH_TICK_SECONDS"
    assert found["web_port"] == "environment, ORCH_WEB_PORT"
    assert found["lease_seconds"] == "default"
    assert found["repos.owner/name.url"] == "orch.toml, line 7"
    assert found["repos.owner/name.track"] == "default"
    assert found["agents.developer.command"] == "orch.toml, line 12"


def test_what_only_looks_like_a_key_is_none() -> None:
    found = toml_lines.lines(TOML)
    assert found["repos.owner/name.test"] == 8
    assert {"max_reworks", "notes.max_reworks", "repos.owner/name.run"} & set(found) == set()


def test_no_secret_is_among_the_texts(tmp_path: Path) -> None:
    origins(tmp_path)
    given = {"ORCH_DATABASE_URL": "postgresql://u:canary@h/d"}
    texts = [each.value for each in in_force.every(load_settings(given, tmp_path))]
    assert "canary" not in str(texts)
    assert "API_KEY = ***" in texts


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "ftp://x/", "https://u:p@h/", "//h/x", "https://h/ x"]
)
def test_a_link_to_a_tracker_is_a_page_and_nothing_else(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="work_item_url"):
        load_settings({"ORCH_WORK_ITEM_URL": url}, tmp_path)
