"""One visit of a person: the secret in its cookie, whose it is, and the proof its forms carry.

Before anybody signs in the cookie holds a secret that opens nothing; a form proves by it that it
came from a page of ours. Signing in always brings a new one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from flask import Request
from werkzeug.wrappers import Response

from orch.tokens import Holder
from web.given import CSRF

COOKIE = "orch"
DEVICE_SECONDS = 180 * 24 * 3600
SAFE = frozenset({"GET", "HEAD"})
May = Callable[[], bool]
"""Whether whoever sent a request may still come in, as somebody who may do the same."""
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


def device_of(request: Request) -> str:
    """What signing in has left in this browser before."""
    return request.cookies.get(f"{cookie_name(request)}-device", "")


def give_device(response: Response, request: Request, device: str) -> None:
    """Let the browser keep that its person signed in there, whoever is signed in later on."""
    response.set_cookie(
        f"{cookie_name(request)}-device",
        device,
        max_age=DEVICE_SECONDS,
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
    """Whether a change was asked for by a form of this visit; read only where that is open."""
    if request.method in SAFE:
        return True
    if visit.is_new:  # nothing that is sent can prove a secret the browser never had
        return False
    sent = request.headers.get(CSRF_HEADER) or request.form.get(CSRF, "")
    return hmac.compare_digest(sent.encode(), visit.csrf.encode())
