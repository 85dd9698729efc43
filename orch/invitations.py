"""One-time links: by one somebody chooses a password, or the first admin a name as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orch import names, people, sessions, tokens
from orch.errors import BadInput, NotFound
from orch.line import Line
from orch.passwords import Passwords
from orch.people import NewPerson
from orch.store import ledger, persons
from orch.store.session import Connection, Row

SECONDS: Final = 1800.0


@dataclass(frozen=True)
class Invitation:
    """Whom a link that works is for; nobody is whoever becomes the first admin."""

    person: str | None


def invite(line: Line, name: str | None, actor: str) -> str:
    """The secret of a new link for this person, or of one for the first admin.

    It works once, for half an hour, and ends those made for the person before; only its hash is
    kept. Raises NotFound, Forbidden for somebody who was disabled, and BadInput when somebody is
    here already, so that nobody could be the first.
    """
    secret = sessions.new_secret(line)

    def write(conn: Connection) -> None:
        now, person = line.now(), None if name is None else people.known(conn, name)
        if person is None and persons.any_person(conn):
            raise BadInput(
                "There are people already, so a link has to be somebody's.",
                suggested_fix="Run `orch user link NAME`; `orch user list` shows everybody.",
                field="name",
            )
        if person is not None:
            people.require_enabled(person)
        whose = None if person is None else person["id"]
        if whose is not None:
            persons.void_invitations(conn, whose, now)
        persons.invite(conn, now, whose, tokens.hashed(secret), SECONDS)
        told = {"name": "" if person is None else person["name"]}
        ledger.record(conn, now, "person.invited", actor=actor, data=told)

    line.store.write(write)
    return secret


def first(line: Line) -> str | None:
    """The secret of a link for the first admin, while there never was a person nor a token."""
    return invite(line, None, "orch") if tokens.nobody_yet(line) else None


def welcome_path(secret: str) -> str:
    """Where such a link leads, on the web app."""
    return f"/ui/welcome?key={secret}"


def address(web_url: str, host: str, port: int) -> str:
    """The web app's address as a person types it: the public one, else that of this machine."""
    if web_url:
        return web_url
    # What listens everywhere is reached here by the name of here.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def look(line: Line, secret: str) -> Invitation:
    """Whom a link is for; changes nothing. Raises NotFound for one that does not work any more."""
    return Invitation(line.store.read(lambda conn: _alive(conn, line, secret))["person"])


def accept(line: Line, passwords: Passwords, secret: str, name: str, password: str) -> str:
    """Use a link: its person gets this password, or `name` becomes the first admin. Who it is.

    Raises NotFound, BadInput; the link then still works, if it did.
    """
    invited = look(line, secret)
    new = NewPerson(invited.person or names.person(name), "admin", (), password)
    fields = people.stored(passwords, new)

    def write(conn: Connection) -> None:
        invitation = _alive(conn, line, secret)
        if not persons.use_up(conn, invitation, line.now()):
            raise _over()
        if invitation["person"] is None:
            people.insert(conn, line, fields, fields["name"])
            return
        person, hashed = people.known(conn, invitation["person"]), fields["password_hash"]
        people.new_password(conn, line, person, hashed, person["name"])

    line.store.write(write)
    return str(fields["name"])


def _alive(conn: Connection, line: Line, secret: str) -> Row:
    found = persons.invited(conn, tokens.hashed(secret), line.now())
    if found is None or (found["person"] is None and persons.any_person(conn)):
        raise _over()
    return found


def _over() -> NotFound:
    return NotFound(
        "This link does not work any more: it is too old, or it has been used.",
        suggested_fix="Ask an admin for a new one; on the machine itself: `orch user link`.",
    )
