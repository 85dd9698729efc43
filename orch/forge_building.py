"""Builds from the settings how git comes to each remote, and the forge that shows its work."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from orch.adapters.forges import Forges
from orch.adapters.git.command import SSH, Access, GitCommand
from orch.adapters.git.credentials import basic, by_token
from orch.adapters.git.forge import PlainForge
from orch.adapters.hosted import HostedForge
from orch.config import Settings, agent_base_environment
from orch.errors import ConfigError, GitRefused
from orch.github_building import github_app, github_pulls
from orch.outside_settings import OutsideSettings
from orch.ports import Forge, PullRequests
from orch.repo_settings import RepoSettings
from orch.rest import Service

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
"""Where plain http carries a token past nobody."""
_SCP: Final = re.compile(r"(?:[\w.-]+@)?([A-Za-z0-9.-]+):(?!//)(.*)\Z")


def build_command(settings: Settings) -> GitCommand:
    """Git with the credentials of each repo."""
    environment = agent_base_environment()
    ssh = {name: environment[name] for name in ("SSH_AUTH_SOCK",) if name in environment}
    path = environment.get("PATH", os.defpath)
    own = {name: _access(settings, known, ssh, path) for name, known in settings.repos.items()}
    return GitCommand(Access(env=ssh, path=path)).also(own)


def build_forges(settings: Settings, plain: PlainForge) -> Forge:
    """The forge of all repos: a service where one is configured, and plain git everywhere else.

    Raises ConfigError for a service whose address nobody can tell.
    """
    hosted = {
        name: HostedForge(plain, build_pulls(settings, name, known))
        for name, known in settings.repos.items()
        if known.forge != "git"
    }
    return Forges(plain, hosted)


def build_pulls(settings: Settings, name: str, known: RepoSettings) -> PullRequests:
    """The pull requests of one repo at its service. Raises ConfigError."""
    repo = known.forge_repo or path_of(known.url)
    if not repo:
        raise ConfigError(
            f"{name}: nobody can tell what this repo is called at {known.forge}.",
            suggested_fix=f'Set `forge_repo = "owner/name"` in [repos."{name}"] of orch.toml.',
        )
    if known.forge == "gitea":
        return _gitea(settings, name, known, repo)
    return github_pulls(settings, known, repo, token_of(settings, known), host_of(known.url))


def _gitea(settings: Settings, name: str, known: RepoSettings, repo: str) -> PullRequests:
    from orch.adapters.gitea import GiteaPulls, Way

    address = settings.gitea_url or host_of(known.url)
    if not address:
        raise ConfigError(
            f"{name}: nobody can tell where its Gitea is.",
            suggested_fix="Set ORCH_GITEA_URL to its address, https://git.example.org.",
        )
    service = Service(f"{address.rstrip('/')}/api/v1")
    way = Way(repo, known.merge_style, known.reviewers)
    return GiteaPulls(service, way, token_of(settings, known), threading.Event().wait)


def token_of(settings: OutsideSettings, known: RepoSettings) -> Callable[[], str]:
    """What says the token of a repo at this moment: its own file's, its App's, or everybody's; ""
    is none. Raises ConfigError."""
    app = github_app(settings, known)
    if app is not None:
        return partial(app.token, known.forge_repo or path_of(known.url))
    everybodys = {"gitea": settings.gitea_token, "github": settings.github_token}

    def now() -> str:
        if known.token_file is not None:
            return _read(known.token_file)
        secret = everybodys.get(known.forge)
        return "" if secret is None else secret.get_secret_value()

    return now


def secrets_of(settings: Settings) -> list[str]:
    """The tokens that repos have in files of their own, as they are and as git sends them, for
    whoever keeps them out of logs. A file that cannot be read holds none that could be shown."""
    tokens = [settings.gitea_token.get_secret_value(), settings.github_token.get_secret_value()]
    for known in settings.repos.values():
        if known.token_file is not None:
            with suppress(GitRefused):
                tokens.append(_read(known.token_file))
    return [form for token in tokens if token for form in (token, basic(token).split()[1])]


def host_of(url: str) -> str:
    """The web address of the host that a remote is at; empty where it is at none."""
    scp = _SCP.match(url)
    if scp is not None and "://" not in url:
        return f"https://{scp[1]}"
    parts = urlsplit(url)
    if parts.scheme == "ssh":
        return f"https://{parts.hostname}"
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else ""


def path_of(url: str) -> str:
    """What a remote is called at its host, `owner/name`; empty where that cannot be told."""
    scp = _SCP.match(url)
    path = scp[2] if scp is not None and "://" not in url else urlsplit(url).path
    parts = path.strip("/").removesuffix(".git").split("/")
    return "/".join(parts[-2:]) if len(parts) > 1 else ""


def _access(settings: Settings, known: RepoSettings, ssh: dict[str, str], path: str) -> Access:
    env, protocols = dict(ssh), Access().protocols
    if known.ssh_key is not None:
        # IdentitiesOnly: a key of another repo must not open this one.
        key = str(known.ssh_key.resolve()).replace("'", "'\\''")
        env["GIT_SSH_COMMAND"] = f"{SSH} -o IdentitiesOnly=yes -o IdentityAgent=none -i '{key}'"
        env.pop("SSH_AUTH_SOCK", None)
    web = urlsplit(known.url)
    if web.scheme == "http" and web.hostname in LOOPBACK:
        protocols = (*protocols, "http")
    credential = None
    if web.scheme in ("http", "https"):
        credential = by_token(known.url, token_of(settings, known))
    return Access(protocols, env=env, path=path, credential=credential)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise GitRefused(
            f"The token file {path} cannot be read: {type(error).__name__}.",
            suggested_fix="Put the token into it, readable by orch's user alone.",
        ) from error
