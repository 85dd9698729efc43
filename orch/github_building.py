"""Builds from the settings how orch comes to GitHub: by a token or as an App, at github.com or an
Enterprise server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from orch.clock import utc_now
from orch.errors import ConfigError
from orch.outside_settings import OutsideSettings
from orch.ports import PullRequests
from orch.repo_settings import RepoSettings

if TYPE_CHECKING:
    from orch.adapters.github.credentials import AppTokens

PUBLIC_API: Final = "api.github.com"
PUBLIC: Final = frozenset({"github.com", "ssh.github.com", "www.github.com"})


def github_app(settings: OutsideSettings, known: RepoSettings) -> AppTokens | None:
    """The App by which orch comes to this repo; None where a token does. Raises ConfigError."""
    is_asked = settings.github_app_id or settings.github_app_key is not None
    if known.forge != "github" or known.token_file is not None or not is_asked:
        return None
    if not settings.github_app_id or settings.github_app_key is None:
        raise ConfigError(
            "A GitHub App needs both its id and its private key.",
            suggested_fix="Set ORCH_GITHUB_APP_ID and ORCH_GITHUB_APP_KEY, or neither.",
        )
    return _app(settings.github_api, int(settings.github_app_id), settings.github_app_key)


def github_pulls(
    settings: OutsideSettings, known: RepoSettings, repo: str, token: Callable[[], str], host: str
) -> PullRequests:
    """The pull requests of one repo at GitHub; `host` is where its remote is.

    Raises ConfigError.
    """
    from orch.adapters.github.api import Gateway
    from orch.adapters.github.credentials import UserToken
    from orch.adapters.github.forge import GitHubPulls

    api, at = urlsplit(settings.github_api).hostname, urlsplit(host).hostname
    if at is not None and (api == PUBLIC_API) != (at in PUBLIC):
        raise ConfigError(
            f"{repo} is at {at}, but GitHub's API is asked at {api}: that is another GitHub.",
            suggested_fix="Set ORCH_GITHUB_API to https://HOST/api/v3 for GitHub Enterprise.",
        )
    credentials = github_app(settings, known) or UserToken(token)
    return GitHubPulls(
        Gateway(settings.github_api, credentials, utc_now),
        repo,
        wait=threading.Event().wait,
        reviewers=known.reviewers,
        merge_style=known.merge_style,
    )


@lru_cache(maxsize=8)
def _app(url: str, app_id: int, key: Path) -> AppTokens:
    """One for all repos of a process: it keeps each repo's token for as long as that is good."""
    from orch.adapters.github.credentials import AppTokens

    return AppTokens(url, app_id, key, utc_now)
