"""As whom orch comes to GitHub: by a token of its user, or by an App's tokens of an hour each."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from orch.adapters.github.answers import as_known, understood
from orch.clock import Clock
from orch.errors import ConfigError, GitRefused, GitUnreachable
from orch.rest import NoAnswer, Service, part

EARLY: Final = timedelta(minutes=5)
"""A token is not used so shortly before its end: a push that begins with it must end with it."""
SKEW: Final = timedelta(seconds=60)
"""GitHub refuses what was signed in its future, so a clock may be ahead of GitHub's by this."""
SIGNED_FOR: Final = timedelta(minutes=9)
"""GitHub takes at most ten minutes."""
HEADERS: Final = {
    "Accept": "application/vnd.github+json",
    "X-GitHub-Api-Version": "2022-11-28",
}


class Credentials(Protocol):
    """Hands out the token for one repository."""

    @property
    def app_id(self) -> int | None:
        """The App orch is, or None: it is a user."""
        ...

    def token(self, repository: str) -> str:
        """The token for `owner/name`. Raises GitUnreachable, GitRefused, ConfigError."""
        ...

    def forget(self, repository: str) -> bool:
        """GitHub refused the token; whether there may be a better one."""
        ...


class UserToken:
    """The token of orch's user; it is asked for each time, so that it may be changed any time."""

    app_id: None = None

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read

    def token(self, repository: str) -> str:
        """The token as it is now. Raises GitRefused when there is none."""
        value = self._read()
        if not value:
            raise GitRefused(
                f"orch has no token for {repository} at GitHub.",
                suggested_fix="Set ORCH_GITHUB_TOKEN, the repo's token_file, or a GitHub App.",
            )
        return value

    def forget(self, repository: str) -> bool:
        """There is no other."""
        return False


class AppTokens:
    """Tokens of the App's installation, each good for one repository and kept until shortly before
    its end. They are written nowhere."""

    def __init__(self, url: str, app_id: int, key: Path, now: Clock) -> None:
        """`url` is GitHub's API, `key` the file with the private key. Raises ConfigError."""
        self._service = Service(url, HEADERS)
        self.app_id = app_id
        self._sign = signing(key)
        self._now = now
        self._kept: dict[str, tuple[str, datetime]] = {}

    def __repr__(self) -> str:
        return f"AppTokens({self.app_id})"

    def token(self, repository: str) -> str:
        """The token for `owner/name`. Raises GitUnreachable, GitRefused, ConfigError."""
        now = self._now()
        value, until = self._kept.get(repository, ("", now))
        if not value or now >= until - EARLY:
            value, until = self._new(repository, now)
            self._kept[repository] = value, until
        return value

    def forget(self, repository: str) -> bool:
        """The kept token was refused; whether there was one, and so a new one may do."""
        return self._kept.pop(repository, None) is not None

    @as_known()
    def _new(self, repository: str, now: datetime) -> tuple[str, datetime]:
        owner, _, name = repository.partition("/")
        headers = {"Authorization": f"Bearer {self._sign(claims(self.app_id, now))}"}
        try:
            where = f"/repos/{part(owner)}/{part(name)}/installation"
            found = self._service.ask("GET", where, headers=headers)
            installation = understood(found, f"the App's installation on {repository}", now)["id"]
            made = self._service.ask(
                "POST",
                f"/app/installations/{part(installation)}/access_tokens",
                body={"repositories": [name]},
                headers=headers,
            )
        except NoAnswer as error:
            raise GitUnreachable(error.message) from error
        body = understood(made, f"a token for {repository}", now)
        return str(body["token"]), datetime.fromisoformat(body["expires_at"]).astimezone(UTC)


def claims(app_id: int, now: datetime) -> dict[str, object]:
    """What the App says of itself."""
    return {
        "iat": int((now - SKEW).timestamp()),
        "exp": int((now + SIGNED_FOR).timestamp()),
        "iss": str(app_id),
    }


def signing(key: Path) -> Callable[[Mapping[str, object]], str]:
    """What makes a JSON web token of claims, signed by this RSA key. Raises ConfigError."""
    try:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise ConfigError(
            "To come to GitHub as an App, orch needs the extra github-app.",
            suggested_fix="Install it: pip install 'orch[github-app]'.",
        ) from error
    try:
        loaded = load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, TypeError, ValueError) as error:
        why = type(error).__name__
        raise ConfigError(f"The private key of the GitHub App, {key}, is no use: {why}.") from error
    if not isinstance(loaded, RSAPrivateKey):
        raise ConfigError(f"The private key of the GitHub App, {key}, is no RSA key.")

    def sign(said: Mapping[str, object]) -> str:
        parts = ({"alg": "RS256", "typ": "JWT"}, said)
        text = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
        return f"{text}.{_encoded(loaded.sign(text.encode(), PKCS1v15(), SHA256()))}"

    return sign


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
