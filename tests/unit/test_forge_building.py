"""Which forge a repo has, and how git comes to its remote, as the settings say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orch import bootstrap, forge_building
from orch.adapters.forges import Forges
from orch.adapters.git.command import GitCommand
from orch.adapters.git.forge import PlainForge
from orch.adapters.hosted import HostedForge
from orch.config import Settings, agent_base_environment
from orch.errors import ConfigError, GitRefused
from orch.ports import Remote

TOKEN = "0123456789abcdef0123456789abcdef01234567"
URL = "https://git.example.org/acme/shop.git"


def settings(tmp_path: Path, **repo: Any) -> Settings:
    known = {"acme/shop": {"url": URL, **repo}, "plain": {"url": "/srv/plain.git"}}
    return Settings(data_dir=tmp_path, repos=known, gitea_token=TOKEN)  # type: ignore[arg-type]


def forge_of(known: Settings, tmp_path: Path, repo: str) -> object:
    forges = forge_building.build_forges(known, PlainForge(GitCommand(), tmp_path))
    assert isinstance(forges, Forges)
    return forges._of(Remote(repo, URL))


def test_each_repo_has_its_own_forge_and_plain_git_without_one(tmp_path: Path) -> None:
    known = settings(tmp_path, forge="gitea")
    assert isinstance(forge_of(known, tmp_path, "acme/shop"), HostedForge)
    assert isinstance(forge_of(known, tmp_path, "plain"), PlainForge)


def test_a_repo_whose_name_at_the_service_nobody_can_tell_is_refused(tmp_path: Path) -> None:
    known = settings(tmp_path, url="/srv/shop.git", forge="gitea", forge_repo="acme/shop")
    with pytest.raises(ConfigError, match="where its Gitea is"):
        forge_of(known, tmp_path, "acme/shop")
    known = settings(tmp_path, url="https://git.example.org/shop.git", forge="gitea")
    with pytest.raises(ConfigError, match="what this repo is called"):
        forge_of(known, tmp_path, "acme/shop")


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        (URL, "https://git.example.org", "acme/shop"),
        ("ssh://git@git.example.org:2222/acme/shop.git", "https://git.example.org", "acme/shop"),
        ("git@git.example.org:acme/shop.git", "https://git.example.org", "acme/shop"),
        ("http://127.0.0.1:3000/acme/shop", "http://127.0.0.1:3000", "acme/shop"),
        ("/srv/shop.git", "", "srv/shop"),
    ],
)
def test_host_and_name_are_read_from_the_address(url: str, host: str, path: str) -> None:
    assert (forge_building.host_of(url), forge_building.path_of(url)) == (host, path)


def test_a_repos_own_token_goes_before_everybodys_and_is_read_each_time(tmp_path: Path) -> None:
    own = tmp_path / "token"
    own.write_text("first\n")
    known = settings(tmp_path, forge="gitea", token_file=own)
    token = forge_building.token_of(known, known.repos["acme/shop"])
    assert token() == "first"
    own.write_text("second\n")
    assert token() == "second"
    own.unlink()
    with pytest.raises(GitRefused, match="cannot be read"):
        token()
    known = settings(tmp_path, forge="gitea")
    assert forge_building.token_of(known, known.repos["acme/shop"])() == TOKEN


def test_a_token_is_gits_alone_for_one_address_and_never_for_a_repo_without(tmp_path: Path) -> None:
    command = forge_building.build_command(settings(tmp_path, forge="gitea"))
    own, plain = command.to("acme/shop"), command.to("plain")
    assert own._access.credential is not None
    assert set(own._access.credential()) == {
        f"http.{URL}.extraHeader",
        f"http.{URL}.followRedirects",
    }
    assert plain._access.credential is None
    shown = f"{own!r}{own._access!r}{own._env}{agent_base_environment()}"
    assert not {form for form in forge_building.secrets_of(settings(tmp_path)) if form in shown}


def test_no_log_shows_a_token_in_any_form(tmp_path: Path) -> None:
    own = tmp_path / "token"
    own.write_text("a-token-of-its-own\n")
    hidden = bootstrap._secrets(settings(tmp_path, forge="gitea", token_file=own))
    sent = forge_building.basic("a-token-of-its-own").split()[1]
    assert {TOKEN, "a-token-of-its-own", sent} <= set(hidden)


def test_a_repos_own_key_is_the_only_one_ssh_offers(tmp_path: Path) -> None:
    key = tmp_path / "it's a key"
    known = settings(tmp_path, url="git@git.example.org:acme/shop.git", ssh_key=key)
    env = forge_building.build_command(known).to("acme/shop")._env
    assert "-o IdentitiesOnly=yes" in env["GIT_SSH_COMMAND"]
    assert env["GIT_SSH_COMMAND"].endswith("-i '" + str(key).replace("'", "'\\''") + "'")
    assert "SSH_AUTH_SOCK" not in env
