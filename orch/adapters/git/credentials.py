"""How a token reaches git: as a header for one address, in the environment of one command.

Never in an argument, an address, a file, or the environment of anything but git's own command to
that remote.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

USER = "x-access-token"
"""Gitea and GitHub take any name beside a token."""


def basic(token: str) -> str:
    """A token as the value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{USER}:{token}".encode()).decode("ascii")


def by_token(url: str, token: Callable[[], str]) -> Callable[[], Mapping[str, str]]:
    """Configuration that sends this token to this address and nowhere else; without a token, none.

    A redirect is not followed: it could lead the token elsewhere.
    """

    def credential() -> Mapping[str, str]:
        now = token()
        if not now:
            return {}
        return {
            f"http.{url}.extraHeader": f"Authorization: {basic(now)}",
            f"http.{url}.followRedirects": "false",
        }

    return credential
