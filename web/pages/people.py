"""The pages about who may come in: everybody for the admin, one's own sessions for oneself."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, redirect, request
from pydantic import BeforeValidator, Field
from werkzeug.wrappers import Response as Answer

from orch import invitations, names, sessions, tokens
from orch import people as everybody
from orch.door_settings import Role
from orch.errors import Forbidden, IllegalTransition
from orch.people import NewPerson
from web.given import LARGEST_NUMBER, Given
from web.pages import frame
from web.pages.frame import PAGES
from web.routes import Call

Name = Annotated[str, BeforeValidator(lambda value: names.line(value, "name", 80))]


class Named(Given):
    """One person, or one token."""

    name: Name


class New(Named):
    """Somebody who is to come in."""

    role: Role = "viewer"
    repos: Annotated[str, Field(max_length=2000)] = ""


class OneSession(Given):
    """One session."""

    session: Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]


@PAGES.add("GET", "/ui/people", "admin")
def people(call: Call[Given]) -> Response:
    """Everybody who may come in, the browsers they are signed in with, and the tokens."""
    return _people(call)


def _people(call: Call[Any], link: dict[str, str] | None = None) -> Response:
    line, idle = call.desk.line, call.desk.settings.web_session_idle_seconds
    return frame.show(
        call,
        "people.html",
        people=everybody.listed(line),
        tokens=tokens.listed(line),
        sessions=sessions.listed(line, idle),
        own=_own(call),
        roles=tokens.ROLES,
        link=link,
    )


@PAGES.add("POST", "/ui/people/add", "admin", New, "form")
def add(call: Call[New]) -> Response:
    """Let somebody in, and make the link by which they choose a password."""
    asked, line = call.given, call.desk.line
    new = NewPerson(asked.name, asked.role, asked.repos.replace(",", " ").split())
    made = everybody.add(line, call.desk.passwords, new, call.holder.name)
    return _linked(call, made["name"])


@PAGES.add("POST", "/ui/people/link", "admin", Named, "form")
def link(call: Call[Named]) -> Response:
    """Make a link by which somebody chooses another password."""
    return _linked(call, call.given.name)


def _linked(call: Call[Any], name: str) -> Response:
    secret = invitations.invite(call.desk.line, name, call.holder.name)
    site = call.desk.settings.web_url or request.host_url.rstrip("/")
    address = f"{site}{invitations.welcome_path(secret)}"
    return _people(call, {"person": name, "address": address})


@PAGES.add("POST", "/ui/people/disable", "admin", Named, "form")
def disable(call: Call[Named]) -> Answer:
    """Let somebody not come in any more, from this moment on."""
    if call.given.name.strip().lower() == call.holder.name:
        raise IllegalTransition(
            "You cannot disable yourself.", suggested_fix="Ask another admin to do it."
        )
    everybody.disable(call.desk.line, call.given.name, call.holder.name)
    return redirect("/ui/people", 303)


@PAGES.add("POST", "/ui/people/end-session", "admin", OneSession, "form")
def end_session(call: Call[OneSession]) -> Answer:
    """End anybody's session, at once and for good."""
    sessions.revoke(call.desk.line, call.given.session, call.holder.name)
    return redirect("/ui/people", 303)


@PAGES.add("POST", "/ui/people/revoke-token", "admin", Named, "form")
def revoke_token(call: Call[Named]) -> Answer:
    """End a program's token, at once and for good."""
    tokens.revoke(call.desk.line, call.given.name, call.holder.name)
    return redirect("/ui/people", 303)


@PAGES.add("GET", "/ui/me", "viewer")
def me(call: Call[Given]) -> Response:
    """One's own role, and the browsers in which one is signed in."""
    return frame.show(call, "my-sessions.html", sessions=_mine(call), own=_own(call))


@PAGES.add("POST", "/ui/me/end-session", "viewer", OneSession, "form")
def end_own_session(call: Call[OneSession]) -> Answer:
    """End one's own session in another browser."""
    if call.given.session not in [each["id"] for each in _mine(call)]:
        raise Forbidden("That session is not yours.", suggested_fix="An admin can end it.")
    sessions.revoke(call.desk.line, call.given.session, call.holder.name)
    return redirect("/ui/me", 303)


def _mine(call: Call[Any]) -> list[dict[str, Any]]:
    idle = call.desk.settings.web_session_idle_seconds
    return sessions.listed_of(call.desk.line, idle, call.holder.name)


def _own(call: Call[Any]) -> int | None:
    return None if call.visit is None else call.visit.session_id
