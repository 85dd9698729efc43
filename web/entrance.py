"""Who comes in: one function for every call, denying unless it finds a reason not to."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from flask import Request

from orch import tokens
from orch.errors import Forbidden
from orch.line import Line
from orch.tokens import Holder, Role

_READING: Final = frozenset({"GET", "HEAD"})


def admit(line: Line, request: Request, bound_to: str, needed: Role) -> Holder:
    """Who sent this. Raises Unauthorised, Forbidden.

    Without a single token in the store everybody on this machine is an admin, if the server is
    bound to loopback; the first token ends that for good. Cookies mean nothing here.
    """
    refuse_foreign_pages(request)
    near = tokens.is_near(bound_to, request.remote_addr or "")
    holder = tokens.admit(line, request.headers.get("Authorization"), near)
    if not holder.may(needed):
        raise Forbidden(
            f"{holder.name} is {holder.role}; this needs {needed}.", role=holder.role, needs=needed
        )
    return holder


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
