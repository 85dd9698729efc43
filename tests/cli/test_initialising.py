"""`orch init` writes settings that orch can use, or nothing."""

from __future__ import annotations

import stat
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orch import first_settings
from orch.cli import initialising
from orch.cli.root import root
from orch.config import Settings, load_settings
from orch.errors import BadInput, OrchError
from orch.first_settings import FirstSettings
from orch.stages import AGENTS
from orch.store import fleet
from orch.store.moments import DATABASE_TIME
from tests.cli.conftest import CommandLine
from tests.contracts.gitea_stub import TOKEN, gitea
from tests.contracts.plane_stub import KEY, WORKSPACE
from tests.contracts.tracker_worlds import PlaneWorld
from tests.git_bench import make_template

SHOP = "--repo=acme/shop=https://git.example.org/acme/shop.git"
PLAIN = (SHOP, "--agent=claude")
PLANE = ("--tracker=plane", "--plane-url=https://plane.example.org", "--plane-workspace=acme")


def _loaded(folder: Path) -> Settings:
    return load_settings({}, folder)


def _refused(done: Result, folder: Path, code: int = 2) -> str:
    """What it said; nothing is left behind."""
    assert done.exit_code == code, done.output
    assert list(folder.iterdir()) == []
    return done.stderr


# --- the shapes -------------------------------------------------------------------------------


def test_the_least_is_a_repo_and_who_works(bare_orch: CommandLine, folder: Path) -> None:
    assert bare_orch.fact("init", *PLAIN)["written"] == ["orch.toml", ".env"]
    found = _loaded(folder)
    assert found.repos["acme/shop"].url == "https://git.example.org/acme/shop.git"
    assert found.repos["acme/shop"].forge == "git"
    assert {name: each.adapter for name, each in found.agents.items()} == dict.fromkeys(
        AGENTS, "claude"
    )
    assert (found.trackers, found.broker_is_given) == ({}, False)
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600


def test_plane_and_gitea_with_everything(
    bare_orch: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_PLANE_TOKEN", "a key # of $HOME")
    (folder / "token").write_text(f"{TOKEN}\n")
    hosts = ("--web-names=orch.example.org,orch", "--web-url=https://orch.example.org")
    stores = ("--database-url=postgresql://u:p'%23@db/orch", "--broker-url=redis://:p@kv/0")
    more = (
        "--repo=lib=git@git.example.org:acme/lib",
        "--agent=tester=./t.sh 'a b' $X",
        "--forge=gitea",
    )
    projects = ("--plane-project=acme/shop=p-1", "--plane-project=lib=p-2")
    token = "--gitea-token=@token"
    done = bare_orch("init", *PLAIN, *PLANE, *hosts, *stores, *more, *projects, token)
    assert done.exit_code == 0, done.stderr
    found, public = _loaded(folder), (folder / "orch.toml").read_text()
    assert found.web_names == ("orch.example.org", "orch")
    assert found.agents["tester"].command == ("./t.sh", "a b", "$X")
    assert {name: (each.repo, each.project) for name, each in found.trackers.items()} == {
        "main": ("acme/shop", "p-1"),
        "main2": ("lib", "p-2"),
    }
    assert found.repos["lib"].forge == "gitea"
    secrets = {
        "plane_token": "a key # of $HOME",
        "gitea_token": TOKEN,
        "database_url": "postgresql://u:p'%23@db/orch",
        "broker_url": "redis://:p@kv/0",
        "gitea_webhook_secret": found.gitea_webhook_secret.get_secret_value(),
    }
    for name, text in secrets.items():
        assert getattr(found, name).get_secret_value() == text
        assert text not in public
        assert text not in done.output
    assert len(secrets["gitea_webhook_secret"]) == 32


def test_a_folder_and_github(bare_orch: CommandLine, folder: Path) -> None:
    (folder / "work").mkdir()
    folder_of = ("--tracker=folder", "--work-folder=work")
    there = "--repo=acme/shop=git@github.com:acme/shop.git"
    token = ("--forge=github", "--github-token=ghp_1")
    done = bare_orch("init", there, "--agent=./work.sh", *folder_of, *token, "--table")
    assert "/webhooks/github of orch" in done.stdout
    found = _loaded(folder)
    assert found.trackers["main"].path == folder / "work"
    assert found.repos["acme/shop"].forge == "github"
    assert found.github_webhook_secret.get_secret_value()


def test_what_it_writes_the_doctor_accepts(orch: CommandLine, tmp_path: Path) -> None:
    with ExitStack() as stack:
        bare = make_template(tmp_path) / "remote.git"
        world, forge = PlaneWorld(stack), stack.enter_context(gitea(bare))
        world.tracker.prepare(make=True)
        plane = ("--tracker=plane", f"--plane-url={world.stub.url}", f"--plane-token={KEY}")
        project = (f"--plane-workspace={WORKSPACE}", f"--plane-project={world.plane.project}")
        repo = (f"--repo=acme/shop={forge.url}/acme/shop.git", "--agent=true")
        orch.fact("init", *repo, *plane, *project, "--forge=gitea", f"--gitea-token={TOKEN}")
        orch.staff()
        orch.line().store.write(lambda conn: fleet.note_beat(conn, "beat", DATABASE_TIME))
        told = orch.facts("doctor")
    assert {row["about"] for row in told} >= {"tracker main", "forge of acme/shop", "agent tester"}


# --- what breaks quoting ----------------------------------------------------------------------

NASTY = (
    '"',
    "'",
    "'x'",
    '"x',
    "a\\b",
    "$HOME",
    "${X}",
    "a # b",
    "#",
    "=",
    "`id`",
    "]",
    "é😀",
    "'\"'",
)


@pytest.mark.parametrize("text", NASTY)
def test_no_text_breaks_out_of_its_place(tmp_path: Path, text: str) -> None:
    values = {"plane_token": text, "notify_mail_from": ""}
    agent = {"command": ["./x", text, f"{text}\n[agents.tester]\x7f\t{text}"]}
    made = FirstSettings(values, {"agents": {"analyst": agent}})
    first_settings.write(tmp_path, made.texts(), lambda folder: None, force=False)
    found = _loaded(tmp_path)
    assert found.plane_token.get_secret_value() == text
    assert list(found.agents["analyst"].command) == agent["command"]
    assert list(found.agents) == ["analyst"]


@pytest.mark.parametrize("text", ["a\nORCH_MCP_TOKEN=x", "a\rb", "a\u2028b", "a\x00b"])
def test_a_secret_of_two_lines_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(BadInput, match="gitea_token holds a line break") as caught:
        FirstSettings({"gitea_token": text}).texts()
    assert text not in caught.value.message


# --- refusals ---------------------------------------------------------------------------------

PLANE_PROJECT = (*PLANE, "--plane-project=p-1")
MISSING = {
    (): "--repo",
    (SHOP,): "--agent",
    (*PLAIN, "--tracker=folder"): "--work-folder",
    (*PLAIN, *PLANE, "--plane-token=k"): "--plane-project",
    (*PLAIN, *PLANE_PROJECT): "--plane-token",
    (*PLAIN, "--forge=gitea"): "--gitea-token",
    (*PLAIN, "--forge=github"): "--github-token",
}


@pytest.mark.parametrize("given", MISSING)
def test_without_a_terminal_nobody_is_asked(
    bare_orch: CommandLine, folder: Path, given: tuple[str, ...]
) -> None:
    assert f"{MISSING[given]} is missing" in _refused(bare_orch("init", *given), folder)


BAD = {
    ("--repo=shop", "--agent=x"): "names no repo",
    ("--repo=a b=/srv/x.git", "--agent=x"): "not a repo name",
    ("--repo=shop=http://u:sesame@h/x", "--agent=x"): "not the address",
    (SHOP, "--agent='x"): "taken apart",
    (*PLAIN, "--broker-url=redis://x", "--web-url=ftp://x"): "web_url",
    (*PLAIN, "--tracker=folder", "--work-folder=nowhere"): "There is no folder nowhere",
    (*PLAIN, *PLANE_PROJECT, "--plane-token=k", "--repo=b=/srv/b.git"): "which repo",
    (*PLAIN, "--forge=github", "--github-token=t"): "that is another GitHub",
    (*PLAIN, "--forge=gitea", "--gitea-token=a\nb"): "line break",
    (*PLAIN, "--gitea-token=@nowhere"): "nowhere cannot be read",
    (*PLAIN, "--repo=b\udcff=/srv/b\udcff.git"): "",
}


@pytest.mark.parametrize("given", BAD)
def test_what_cannot_be_used_leaves_nothing_behind(
    bare_orch: CommandLine, folder: Path, given: tuple[str, ...]
) -> None:
    said = _refused(bare_orch("init", *given), folder)
    assert BAD[given] in said
    assert "sesame" not in said


@pytest.mark.parametrize("name", ["orch.toml", ".env"])
def test_what_is_there_is_not_written_over(bare_orch: CommandLine, folder: Path, name: str) -> None:
    (folder / name).write_text("# mine\n")
    done = bare_orch("init", *PLAIN)
    assert done.exit_code == 1
    assert f"{name} stands in" in done.stderr
    assert [path.name for path in folder.iterdir()] == [name]
    assert (folder / name).read_text() == "# mine\n"


def test_force_keeps_what_was_there_for_this_user_alone(
    bare_orch: CommandLine, folder: Path
) -> None:
    (folder / ".env").write_text("ORCH_PLANE_TOKEN=old\n")
    kept = [bare_orch.fact("init", *PLAIN, "--force")["kept"] for _ in range(2)]
    assert kept == [
        [".orch/replaced/.env.1"],
        [".orch/replaced/.env.2", ".orch/replaced/orch.toml.1"],
    ]
    assert (folder / kept[0][0]).read_text() == "ORCH_PLANE_TOKEN=old\n"
    assert stat.S_IMODE((folder / kept[0][0]).stat().st_mode) == 0o600


@pytest.mark.parametrize("force", [False, True])
def test_a_fault_between_the_two_files_undoes_the_first(tmp_path: Path, force: bool) -> None:
    if force:
        (tmp_path / ".env").write_text("before")

    def somebody_is_faster(staged: Path) -> None:
        (tmp_path / "orch.toml").mkdir()

    with pytest.raises(OrchError):
        first_settings.write(tmp_path, FirstSettings({}).texts(), somebody_is_faster, force=force)
    assert (tmp_path / ".env").exists() == force
    assert not force or (tmp_path / ".env").read_text() == "before"
    assert not list(tmp_path.glob(".orch-init-*"))


def test_at_a_terminal_it_asks_and_asks_again(
    folder: Path, bare_orch: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initialising, "at_terminal", lambda: True)
    repos = ("shop", "shop=/srv/git/shop.git", "")
    agents = ("claude", "tester=./t.sh", "")
    chosen = ("none", "gitea")
    rest = ("", "", "orch.example.org", "ftp://x", "", "https://git.example.org", "", "a token")
    said = "\n".join((*repos, *agents, *chosen, *rest)) + "\n"
    done = CliRunner().invoke(root, ["init"], input=said, prog_name="orch")
    assert done.exit_code == 0, done.output
    found = _loaded(folder)
    assert list(found.repos) == ["shop"]
    assert found.agents["tester"].command == ("./t.sh",)
    assert found.web_names == ("orch.example.org",)
    assert found.gitea_token.get_secret_value() == "a token"
    assert "a token" not in done.output
