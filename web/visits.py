"""One visit of a person: the secret in its cookie, whose it is, and the proof its forms carry.

Before anybody signs in the cookie holds a secret that opens nothing; a form proves by it that it
came from a page of ours. Signing in always brings a new one.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from flask import Request
from werkzeug.wrappers import Response

from orch.tokens import Holder
from web.given import CSRF

COOKIE = "orch"
SAFE = frozenset({"GET", "HEAD"})
CSRF_HEADER = "X-CSRF-Token"


@dataclass(frozen=True)
class Visit:
    """Who came with a request for a page; `holder` is None for whoever has to sign in first."""

    secret: str = field(repr=False)
    holder: Holder | None = None
    session_id: int | None = None
    is_new: bool = False
    """The browser does not have this secret yet."""

    @property
    def csrf(self) -> str:
        """What every form of this visit carries; from it nobody can find the secret."""
        who = "" if self.holder is None else self.holder.name
        return hmac.new(self.secret.encode(), f"{CSRF}|{who}".encode(), hashlib.sha256).hexdigest()


def cookie_name(request: Request) -> str:
    """Where browsers see to it: a cookie that no neighbouring host and no plain HTTP can set."""
    return f"__Host-{COOKIE}" if request.is_secure else COOKIE


def give(response: Response, request: Request, secret: str, seconds: float) -> None:
    """Let the browser keep this secret, and show it to this server only."""
    response.set_cookie(
        cookie_name(request),
        secret,
        max_age=int(seconds),
        path="/",
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
    )


def take_back(response: Response, request: Request) -> None:
    """Let the browser forget it."""
    secure = request.is_secure
    name = cookie_name(request)
    response.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="Lax")


def is_proved(visit: Visit, request: Request) -> bool:
    """Whether a change was asked for by a form of this visit."""
    if request.method in SAFE:
        return True
    sent = request.headers.get(CSRF_HEADER) or request.form.get(CSRF, "")
    return hmac.compare_digest(sent.encode(), visit.csrf.encode())
