"""Who comes in: one function for every call, denying unless it finds a reason not to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from flask import Request

from orch import names, people, sessions, tokens
from orch.config import Settings
from orch.errors import Forbidden, StoreUnavailable, Unauthorised
from orch.line import Line
from orch.tokens import Holder, Role
from web.proxies import BELIEVED, FORWARDED
from web.visits import SAFE, May, Visit, cookie_name

PORTS: Final = {"http": 80, "https": 443}


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


def may_read(line: Line, settings: Settings, request: Request) -> bool:
    """Whether `admit` would let a viewer in, where anybody may come; False while the store is away.

    A token that is not known any more is no reason to refuse what is told to everybody.
    """
    try:
        return lasting(line, settings, request, "viewer")()
    except StoreUnavailable:
        return False


def lasting(line: Line, settings: Settings, request: Request, needed: Role) -> May:
    """Asks again, later and without the request, whether `admit` would let it in."""
    header, near = request.headers.get("Authorization"), _is_near(settings, request)

    def may() -> bool:
        try:
            return tokens.admit(line, header, near).may(needed)
        except Unauthorised:
            return False

    return may


@dataclass(frozen=True)
class Knock:
    """What somebody came with to a page, apart from the request, so that it can be asked again."""

    secret: str
    named: str | None
    near: bool

    def holder(self, line: Line, settings: Settings) -> tuple[Holder | None, int | None]:
        """Who that is now, and by which session. Raises Forbidden like `visit`."""
        if self.named is not None:
            return _behind_proxy(line, settings, self.named), None
        found = sessions.check(line, self.secret, settings.web_session_idle_seconds)
        if found is not None:
            return found.holder, found.id
        return (tokens.LOCAL if self.near and tokens.nobody_yet(line) else None), None


def _knock(settings: Settings, request: Request) -> Knock:
    sent = request.cookies.get(cookie_name(request), "")
    return Knock(sent, _named_by_proxy(settings, request), _is_near(settings, request))


def visiting(line: Line, settings: Settings, request: Request, needed: Role) -> May:
    """Asks again, later and without the request, whether `visit` would find the same person."""
    knock = _knock(settings, request)

    def may() -> bool:
        try:
            holder, _ = knock.holder(line, settings)
        except Forbidden:
            return False
        return holder is not None and holder.may(needed)

    return may


def visit(line: Line, settings: Settings, request: Request) -> Visit:
    """Who came to a page: by a proxy's word, by a session, or as everybody on this machine.

    Tokens mean nothing here. Raises Forbidden for somebody a proxy names who was disabled.
    """
    refuse_foreign_pages(request)
    knock = _knock(settings, request)
    is_known = sessions.is_secret(knock.secret)
    secret = knock.secret if is_known else sessions.new_secret(line)
    holder, session_id = knock.holder(line, settings)
    return Visit(secret, holder, session_id, is_new=not is_known)


def require_role(holder: Holder, needed: Role, fix: str = "") -> None:
    """Raise Forbidden for a role that does not include the needed one."""
    if not holder.may(needed):
        raise Forbidden(
            f"{holder.name} is {holder.role}; this needs {needed}.",
            suggested_fix=fix,
            role=holder.role,
            needs=needed,
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
    if request.environ.get(BELIEVED) or settings.web_proxy_user_header:
        return False
    passed_on = bool(request.environ.get(FORWARDED))
    return tokens.is_near(settings.web_host, request.remote_addr or "", passed_on=passed_on)


def _site(address: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port of an address; None for what is none."""
    try:
        parts = urlsplit(address)
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def refuse_foreign_pages(request: Request) -> None:
    """Raise Forbidden for a change that a page of another site asks the browser to make."""
    if request.method in SAFE:
        return
    origin = request.headers.get("Origin")
    foreign = origin is not None and _site(origin) != _site(request.host_url)
    if foreign or request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise Forbidden(
            "A page of another site may not change anything here.",
            suggested_fix="Send it from a program, or from a page of this server.",
        )
