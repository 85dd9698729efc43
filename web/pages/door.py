"""The pages by which people come in and go: signing in, signing out, one-time links."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, redirect, request
from pydantic import Field, SecretStr
from werkzeug.wrappers import Response as Answer

from orch import invitations, passwords, sessions
from orch.errors import BadInput, OrchError, TooManyTries, Unauthorised
from orch.sessions import Browser, Lasting, SignIn
from web import limits, problems, turned_away, visits
from web.given import Given
from web.pages import frame
from web.pages.frame import PAGES
from web.routes import Call
from web.visits import Visit

Password = Annotated[SecretStr, Field(max_length=1000)]
SAID_LIMIT = 2 * turned_away.KEPT_LIMIT


class There(Given):
    """Where to go once one is in."""

    next: Annotated[str, Field(max_length=4000)] = turned_away.HOME


class Typed(There):
    """What was typed to sign in, and a form that waits to be sent again."""

    name: Annotated[str, Field(max_length=200)] = ""
    password: Password = SecretStr("")
    kept: Annotated[str, Field(max_length=SAID_LIMIT)] = ""


@PAGES.add("GET", "/ui/sign-in", None, There)
def sign_in_form(call: Call[There]) -> Response:
    """Ask for name and password."""
    return turned_away.sign_in_page(_visit(call), next=turned_away.local(call.given.next))


@PAGES.add("POST", "/ui/sign-in", None, Typed, "form")
def sign_in(call: Call[Typed]) -> Answer:
    """Open a session, under a new secret, and go on."""
    desk, typed = call.desk, call.given
    try:
        if not sessions.knows_device(desk.line, typed.name, visits.device_of(request)):
            limits.require_room(desk.line, sessions.BY_ADDRESS, request)
        secret, opened = sessions.sign_in(
            desk.line,
            desk.passwords,
            SignIn(typed.name, typed.password.get_secret_value()),
            _browser(),
            _lasting(call),
        )
    except (Unauthorised, TooManyTries) as error:
        return _asked_again(call, error)
    _end_present(call)
    visit = Visit(secret, opened.holder, opened.id)
    kept = turned_away.unpack(typed.kept) if typed.kept else None
    answer: Answer
    if kept is None:
        answer = redirect(turned_away.local(typed.next), 303)
    else:
        answer = turned_away.again_page(visit, 200, kept, "You are signed in.")
    return _let_in(call, answer, secret, opened.holder.name)


def _let_in(call: Call[Any], answer: Answer, secret: str, name: str) -> Answer:
    visits.give(answer, request, secret, call.desk.settings.web_session_seconds)
    visits.give_device(answer, request, sessions.device(call.desk.line, name))
    return answer


def _asked_again(call: Call[Typed], error: OrchError) -> Response:
    typed, status = call.given, problems.status_of(error)
    facts = {"next": turned_away.local(typed.next), "kept": typed.kept, "name": typed.name}
    response = turned_away.sign_in_page(_visit(call), status, said=error.message, **facts)
    if "retry_after" in error.facts:
        response.headers["Retry-After"] = str(error.facts["retry_after"])
    return response


@PAGES.add("POST", "/ui/sign-out", "viewer", Given, "form")
def sign_out(call: Call[Given]) -> Answer:
    """End this browser's session, at once and for good."""
    _end_present(call)
    answer = redirect("/ui/sign-in", 303)
    visits.take_back(answer, request)
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer


# --- one-time links ---------------------------------------------------------------------------


class Key(Given):
    """A one-time link's secret."""

    key: Annotated[str, Field(max_length=200)]


class Chosen(Key):
    """What the holder of a link chose."""

    name: Annotated[str, Field(max_length=200)] = ""
    password: Password
    password_again: Password


@PAGES.add("GET", "/ui/welcome", None, Key)
def welcome_form(call: Call[Key]) -> Response:
    """Ask for a password to choose; opening the link uses nothing up."""
    person = invitations.look(call.desk.line, call.given.key).person
    return _welcome(call, person=person)


@PAGES.add("POST", "/ui/welcome", None, Chosen, "form")
def welcome(call: Call[Chosen]) -> Answer:
    """Use the link up: its person gets this password and is signed in."""
    desk, chosen = call.desk, call.given
    limits.require_room(desk.line, sessions.BY_ADDRESS, request)
    person = invitations.look(desk.line, chosen.key).person
    password = chosen.password.get_secret_value()
    try:
        if password != chosen.password_again.get_secret_value():
            raise BadInput("The two passwords are not the same.", field="password_again")
        name = invitations.accept(desk.line, desk.passwords, chosen.key, chosen.name, password)
    except BadInput as error:
        return _welcome(call, 400, person=person, said=error.message, name=chosen.name)
    secret, _ = sessions.open_one(desk.line, name, _browser(), _lasting(call))
    answer = redirect(turned_away.HOME, 303)
    return _let_in(call, answer, secret, name)


def _welcome(call: Call[Any], status: int = 200, **facts: Any) -> Response:
    shown = {"said": "", "name": "", "key": call.given.key} | facts
    shown |= {"shortest": passwords.SHORTEST, "longest": passwords.LONGEST}
    return frame.show(call, "welcome.html", status=status, **shown)


# --- what they share --------------------------------------------------------------------------


def _visit(call: Call[Any]) -> Visit:
    if call.visit is None:
        raise Unauthorised("This page is for people.")
    return call.visit


def _end_present(call: Call[Any]) -> None:
    visit = _visit(call)
    if visit.session_id is not None and visit.holder is not None:
        sessions.revoke(call.desk.line, visit.session_id, visit.holder.name)


def _browser() -> Browser:
    said = request.headers.get("User-Agent", "")
    return Browser(request.remote_addr or "", said, visits.device_of(request))


def _lasting(call: Call[Any]) -> Lasting:
    settings = call.desk.settings
    return Lasting(settings.web_session_seconds, settings.web_session_idle_seconds)
