"""People: who may sign in with a browser, as what, and in which repos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from orch import names, tokens
from orch.errors import AlreadyThere, BadInput, Forbidden, NotFound
from orch.line import Line
from orch.passwords import Passwords
from orch.store import ledger, persons, visits
from orch.store.session import Connection, Row
from orch.tokens import Holder


@dataclass(frozen=True)
class NewPerson:
    """Somebody who is to come in."""

    name: str
    role: str = "viewer"
    repos: Sequence[str] = ()
    """Globs of the repos an operator may steer; none is all of them."""
    password: str | None = field(default=None, repr=False)
    """None for who comes by a reverse proxy, or gets a one-time link."""


def add(line: Line, passwords: Passwords, new: NewPerson, actor: str) -> dict[str, Any]:
    """Let somebody come in, also somebody who was disabled. Raises BadInput, AlreadyThere."""
    fields = stored(passwords, new)
    line.store.write(lambda conn: insert(conn, line, fields, actor))
    return one(line, fields["name"])


def stored(passwords: Passwords, new: NewPerson) -> dict[str, Any]:
    """A new person's row. The slow part, so not to be done in a transaction. Raises BadInput."""
    name, repos = names.person(new.name), tokens.check_reach(new.role, new.repos)
    hashed = None if new.password is None else passwords.hash(new.password)
    return {"name": name, "role": new.role, "repos": repos, "password_hash": hashed}


def insert(conn: Connection, line: Line, fields: dict[str, Any], actor: str) -> None:
    """Write a person's row. Raises AlreadyThere."""
    now = line.now()
    if not persons.add(conn, now, **fields):
        known = persons.named(conn, fields["name"])
        if known is None or known["disabled_at"] is None:
            raise AlreadyThere(f"Somebody is called {fields['name']} already.")
        persons.change(conn, known["id"], **fields, disabled_at=None)
    told = {name: fields[name] for name in ("name", "role", "repos")}
    ledger.record(conn, now, "person.added", actor=actor, data=told)


def listed(line: Line) -> list[dict[str, Any]]:
    """Everybody who ever was here, without anything that could be used to come in."""
    return [dict(row) for row in line.store.read(persons.listed)]


def one(line: Line, name: str) -> dict[str, Any]:
    """One person. Raises NotFound."""
    return dict(line.store.read(lambda conn: known(conn, name)))


def known(conn: Connection, name: str) -> Row:
    """The row of a person. Raises NotFound."""
    try:
        found = persons.named(conn, names.person(name))
    except BadInput:
        found = None
    if found is None:
        raise NotFound(
            f"Nobody is called {names.shown(name)}.",
            suggested_fix="`orch user list` shows everybody.",
        )
    return found


def disable(line: Line, name: str, actor: str) -> dict[str, Any]:
    """Let somebody not come in any more, from this moment on; the ledger keeps the name.

    Raises NotFound.
    """

    def write(conn: Connection) -> bool:
        person, now = known(conn, name), line.now()
        changed = persons.disable(conn, person["id"], now)
        visits.end_all(conn, now, person["id"])
        persons.void_invitations(conn, person["id"], now)
        if changed:
            ledger.record(conn, now, "person.disabled", actor=actor, data={"name": person["name"]})
        return changed

    changed = line.store.write(write)
    return {"changed": changed, **one(line, name)}


def set_password(
    line: Line, passwords: Passwords, name: str, password: str, actor: str
) -> dict[str, Any]:
    """Give somebody another password, and end all their sessions. Raises BadInput, NotFound."""
    hashed = passwords.hash(password)
    line.store.write(lambda conn: new_password(conn, line, known(conn, name), hashed, actor))
    return {"changed": True, **one(line, name)}


def new_password(conn: Connection, line: Line, person: Row, hashed: str, actor: str) -> None:
    """Write another password's hash. Raises Forbidden for somebody who was disabled."""
    require_enabled(person)
    now = line.now()
    persons.change(conn, person["id"], password_hash=hashed)
    visits.end_all(conn, now, person["id"])
    persons.void_invitations(conn, person["id"], now)
    ledger.record(conn, now, "person.password_set", actor=actor, data={"name": person["name"]})


def require_enabled(person: Row) -> None:
    """Raise Forbidden for somebody who was disabled."""
    if person["disabled_at"] is not None:
        raise Forbidden(
            f"{person['name']} may not come in any more.",
            suggested_fix=f"Run `orch user add {person['name']}` first.",
        )


def behind_proxy(line: Line, name: str, otherwise: str) -> Holder | None:
    """Who a reverse proxy says this is: as an admin made them here, else of the role `otherwise`.

    None for somebody who was disabled. Raises BadInput for what is no name.
    """
    name = names.person(name)
    found = line.store.read(lambda conn: persons.named(conn, name))
    if found is None:
        return Holder(name, otherwise)
    if found["disabled_at"] is not None:
        return None
    return Holder(name, found["role"], tuple(found["repos"]))
