"""check, db, repo, token."""

from __future__ import annotations

import pytest
from alembic.script import ScriptDirectory

import orch.store.revisions as revisions
from tests.cli.conftest import CommandLine
from tests.factories import Rig


def test_a_new_folder_is_made_ready_by_one_command(bare_orch: CommandLine) -> None:
    newest = revisions.newest()
    done = bare_orch("db", "current")
    assert (done.exit_code, "no schema yet" in done.stderr) == (4, True)
    first = bare_orch.fact("db", "upgrade")
    assert first == {"changed": True, "before": None, "revision": newest}
    assert bare_orch.fact("db", "upgrade")["changed"] is False
    assert "as it was" in bare_orch.told("db", "upgrade")
    assert bare_orch.fact("db", "current")["current"]


def test_the_newest_revision_is_the_one_alembic_finds() -> None:
    script = ScriptDirectory(str(revisions._FOLDER))
    assert revisions.newest() == script.get_current_head()
    walked = [each.revision for each in script.walk_revisions()]
    assert revisions.all_revisions() == walked[::-1]


def test_check_shows_settings_and_masks_secrets(
    bare_orch: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_DATABASE_URL", "postgresql://me:hunter2@host/db")
    monkeypatch.setenv("ORCH_TICK_SECONDS", "7")
    said = bare_orch.told("check")
    assert "The settings can be used." in said
    assert "hunter2" not in said
    shown = bare_orch.fact("check")
    assert (shown["tick_seconds"], shown["database_url"]) == ("7.0", "***")
    assert shown["origins"]["tick_seconds"] == "environment, ORCH_TICK_SECONDS"
    assert "environment, ORCH_TICK_SECONDS" in " ".join(said.split())


def test_check_names_tasks_that_the_settings_would_strand(orch: CommandLine) -> None:
    assert orch.fact("check")["strays"] == []
    line = orch.line()
    Rig(line.store).task("ODD-1", track="scenic")
    line.store.dispose()
    (stray,) = orch.fact("check")["strays"]
    assert (stray["work_item_id"], stray["track"]) == ("ODD-1", "scenic")
    assert "ODD-1 cannot go on: “scenic” is no track of app" in orch.told("check")
    (orch.folder / "orch.toml").write_text(
        '[repos.app]\nurl = "/srv/git/app.git"\n'
        '[repos.app.tracks]\nscenic = ["analysis", "deploy"]\n'
    )
    assert orch.fact("check")["strays"] == []


def test_check_needs_no_database_and_makes_none(bare_orch: CommandLine) -> None:
    assert "not known: There is no database yet." in bare_orch.told("check")
    assert not (bare_orch.folder / ".orch").exists()


def test_repos_are_added_and_listed(orch: CommandLine) -> None:
    assert orch.fact("repo", "add", "shop") == {"changed": True, "repo": "shop"}
    assert orch.fact("repo", "add", "shop")["changed"] is False
    orch.fact("add", "A-1", "--repo", "lib")
    orch.fact("pause", "A-1")
    orch.fact("freeze", "lib", "--reason", "x")
    rows = orch.facts("repo", "list")
    shown = [(row["repo"], row["open_tasks"], row["paused_tasks"], row["frozen"]) for row in rows]
    assert [(name, *map(int, rest)) for name, *rest in shown] == [
        ("lib", 1, 1, 1),
        ("shop", 0, 0, 0),
    ]
    assert "2 repos." in orch.told("repo", "list")


def test_a_token_is_shown_once_listed_and_revoked(orch: CommandLine) -> None:
    made = orch.fact("token", "add", "anna", "--role", "operator", "--until", "+1d")
    assert made["token"].startswith("orch_")
    listed = orch("token", "list").stdout + orch.told("token", "list")
    assert "anna" in listed
    assert made["token"] not in listed
    assert orch("token", "add", "anna").exit_code == 1
    assert orch.fact("token", "revoke", "anna")["changed"]
    assert orch.fact("token", "revoke", "anna")["changed"] is False
    assert "is not shown again" in orch.told("token", "add", "anna")


def test_check_refuses_a_prompt_that_cannot_be_used(orch: CommandLine) -> None:
    (orch.folder / "prompts").mkdir()
    (orch.folder / "prompts" / "review.md").write_text("{{ nobody_knows_this }}\n")
    (orch.folder / "orch.toml").write_text(
        f'[repos.app]\nurl = "/srv/git/app.git"\nprompts = "{orch.folder}/prompts"\n'
    )
    done = orch("check")
    assert (done.exit_code, "nobody_knows_this" in done.output) == (2, True)
