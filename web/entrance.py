"""Who comes in: one function for every call, denying unless it finds a reason not to."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from flask import Request

from orch import tokens
from orch.errors import Forbidden, Unauthorised
from orch.line import Line
from orch.tokens import Holder, Role

_BEARER: Final = re.compile(r"Bearer ([!-~]{1,256})")
LOCAL: Final = Holder("local", "admin")
"""Who everybody on this machine is, as long as no token was ever made."""
_READING: Final = frozenset({"GET", "HEAD"})


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def admit(line: Line, request: Request, bound_to: str, needed: Role) -> Holder:
    """Who sent this. Raises Unauthorised, Forbidden.

    Without a single token in the store everybody on this machine is an admin, if the server is
    bound to loopback; the first token ends that for good. Cookies mean nothing here.
    """
    refuse_foreign_pages(request)
    header = request.headers.get("Authorization")
    if header is not None:
        found = _BEARER.fullmatch(header)
        if found is None:
            raise Unauthorised("The Authorization header is not `Bearer <token>`.")
        holder = tokens.check(line, found[1])
    elif _is_open(line, request, bound_to):
        holder = LOCAL
    else:
        raise Unauthorised("This needs a token.")
    if not holder.may(needed):
        raise Forbidden(
            f"{holder.name} is {holder.role}; this needs {needed}.", role=holder.role, needs=needed
        )
    return holder


def _is_open(line: Line, request: Request, bound_to: str) -> bool:
    near = is_loopback(bound_to) and is_loopback(request.remote_addr or "")
    return near and not tokens.ever_made(line)


def refuse_foreign_pages(request: Request) -> None:
    """Raise Forbidden for a change that a page of another site asks the browser to make."""
    if request.method in _READING:
        return
    origin = request.headers.get("Origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.host
    if foreign or request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise Forbidden(
            "A page of another site may not change anything here.",
            suggested_fix="Send it from a program, or from a page of this server.",
        )
