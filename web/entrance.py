"""Who comes in: one function for every call, denying unless it finds a reason not to."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Request

from orch import names, people, sessions, tokens
from orch.config import Settings
from orch.errors import Forbidden
from orch.line import Line
from orch.tokens import Holder, Role
from web.proxies import BELIEVED, FORWARDED
from web.visits import SAFE, Visit, cookie_name


def admit(line: Line, settings: Settings, request: Request, needed: Role) -> Holder:
    """Who sent this call of the API. Raises Unauthorised, Forbidden.

    Without a single token or person in the store everybody on this machine is an admin, if the
    server is bound to loopback; the first one made ends that for good. Cookies mean nothing here.
    """
    refuse_foreign_pages(request)
    header = request.headers.get("Authorization")
    holder = tokens.admit(line, header, _is_near(settings, request))
    require_role(holder, needed)
    return holder


def visit(line: Line, settings: Settings, request: Request) -> Visit:
    """Who came to a page: by a proxy's word, by a session, or as everybody on this machine.

    Tokens mean nothing here. Raises Forbidden for somebody a proxy names who was disabled.
    """
    refuse_foreign_pages(request)
    sent = request.cookies.get(cookie_name(request), "")
    is_known = sessions.is_secret(sent)
    secret = sent if is_known else sessions.new_secret(line)
    named = _named_by_proxy(settings, request)
    if named is not None:
        return Visit(secret, _behind_proxy(line, settings, named), is_new=not is_known)
    found = sessions.check(line, sent, settings.web_session_idle_seconds)
    if found is not None:
        return Visit(secret, found.holder, found.id)
    is_open = _is_near(settings, request) and tokens.nobody_yet(line)
    holder = tokens.LOCAL if is_open else None
    return Visit(secret, holder, is_new=not is_known)


def require_role(holder: Holder, needed: Role) -> None:
    """Raise Forbidden for a role that does not include the needed one."""
    if not holder.may(needed):
        raise Forbidden(
            f"{holder.name} is {holder.role}; this needs {needed}.", role=holder.role, needs=needed
        )


def _named_by_proxy(settings: Settings, request: Request) -> str | None:
    name = settings.web_proxy_user_header
    sent = request.headers.get(name) if name and request.environ.get(BELIEVED) else None
    return sent or None


def _behind_proxy(line: Line, settings: Settings, name: str) -> Holder:
    holder = people.behind_proxy(line, name, settings.web_proxy_role)
    if holder is None or holder.role == "none":
        raise Forbidden(
            f"{names.shown(name)} may not come in here.",
            suggested_fix="Ask an admin: `orch user add NAME` lets somebody in.",
        )
    return holder


def _is_near(settings: Settings, request: Request) -> bool:
    """Whether it comes from this machine, and nobody passed it on from elsewhere."""
    passed_on = request.environ.get(FORWARDED) or request.environ.get(BELIEVED)
    if passed_on or settings.web_proxy_user_header:
        return False
    return tokens.is_near(settings.web_host, request.remote_addr or "")


def refuse_foreign_pages(request: Request) -> None:
    """Raise Forbidden for a change that a page of another site asks the browser to make."""
    if request.method in SAFE:
        return
    origin = request.headers.get("Origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.host
    if foreign or request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise Forbidden(
            "A page of another site may not change anything here.",
            suggested_fix="Send it from a program, or from a page of this server.",
        )
