"""Browser sessions: opened with a password, kept as a hash, ended by time, by a person, at once."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from orch import names
from orch.errors import BadInput, NotFound, Unauthorised
from orch.limits import Limit, neighbourhood
from orch.line import Line
from orch.passwords import Passwords
from orch.store import ledger, persons, visits
from orch.store.session import Connection
from orch.tokens import Holder, hashed

log = structlog.get_logger(__name__)
_SECRET: Final = re.compile(r"[0-9a-f]{64}\Z")
BY_NAME: Final = Limit("sign-in by name", 10, 900.0)
"""How often a name may be tried from one neighbourhood. Whoever is refused is not counted."""
BY_NAME_ANYWHERE: Final = Limit("sign-in by name, anywhere", 100, 900.0)
BY_DEVICE: Final = Limit("sign-in by device", 10, 900.0)
"""Instead of all others for a browser in which the person signed in before: strangers who try the
name keep nobody out there."""
BY_ADDRESS: Final = Limit("sign-in by address", 30, 900.0)


@dataclass(frozen=True)
class Lasting:
    """Seconds after which a session ends whatever happens, and after which it ends unused."""

    longest: float
    idle: float


@dataclass(frozen=True)
class Browser:
    """Where somebody signs in from, for those who look at the list of sessions."""

    address: str
    said: str
    """What it calls itself."""
    device: str = field(default="", repr=False)
    """What signing in left there before, see `device`."""


@dataclass(frozen=True)
class Session:
    """A living session."""

    id: int
    holder: Holder


@dataclass(frozen=True)
class SignIn:
    """What somebody typed."""

    name: str
    password: str = field(repr=False)


def new_secret(line: Line) -> str:
    """256 random bits."""
    return f"{line.new_id()}{line.new_id()}"


def is_secret(text: str) -> bool:
    """Whether a text has the form of a secret of ours."""
    return bool(_SECRET.match(text))


def sign_in(
    line: Line, passwords: Passwords, typed: SignIn, browser: Browser, lasting: Lasting
) -> tuple[str, Session]:
    """Open a session under a new secret. Raises Unauthorised, and TooManyTries.

    A name nobody has costs the same work as a wrong password, and is refused in the same words.
    """
    row = _by_password(line, typed.name)
    rations = _rations(row, typed.name, browser)
    for limit, key in rations:
        limit.take(line, key)
    nobodys = passwords.nobodys
    stored = nobodys if row is None else row["password_hash"]
    fits = passwords.verify(stored, typed.password)
    if row is None or not fits:
        log.info("sign_in.refused", address=browser.address, known=row is not None)
        raise Unauthorised(
            "The name or the password is wrong.",
            suggested_fix="An admin can make a link to choose a new one: `orch user link NAME`.",
        )
    fresh = passwords.renewed(stored, typed.password)
    for limit, key in rations:
        limit.forget(line, key)
    return open_one(line, row["name"], browser, lasting, fresh)


def _rations(row: Any, name: str, browser: Browser) -> list[tuple[Limit, str]]:
    """By what this try is counted. The wider count is last: who is refused before is not in it."""
    if _is_device_of(row, browser.device):
        return [(BY_DEVICE, str(row["id"]))]
    name = name.strip().lower()[:200]
    return [(BY_NAME, f"{name}|{neighbourhood(browser.address)}"), (BY_NAME_ANYWHERE, name)]


def device(line: Line, name: str) -> str:
    """What a browser keeps in which this person has signed in; another password ends it."""
    row = _by_password(line, name)
    return "" if row is None else _device(row)


def knows_device(line: Line, name: str, sent: str) -> bool:
    """Whether a browser carries what signing in under this name has left there."""
    return _is_device_of(_by_password(line, name), sent)


def _device(row: Any) -> str:
    # The hash is what nobody but the store knows, and what another password changes.
    told = f"device|{row['id']}".encode()
    return hmac.new(row["password_hash"].encode(), told, hashlib.sha256).hexdigest()


def _is_device_of(row: Any, sent: str) -> bool:
    return row is not None and is_secret(sent) and hmac.compare_digest(sent, _device(row))


def _by_password(line: Line, name: str) -> Any:
    try:
        known = names.person(name)
    except BadInput:  # a name nobody can have is refused like one that nobody has
        return None
    return line.store.read(lambda conn: persons.password_hash(conn, known))


def open_one(
    line: Line, name: str, browser: Browser, lasting: Lasting, fresh: str | None = None
) -> tuple[str, Session]:
    """Open a session for somebody who has proved who it is; `fresh` is a better hash to keep."""
    secret = new_secret(line)
    shown = {"address": browser.address, "browser": browser.said}
    shown = {name: names.cleaned(text, 120) for name, text in shown.items()}

    def write(conn: Connection) -> Session:
        person, now = persons.named(conn, name), line.now()
        if person is None or person["disabled_at"] is not None:
            raise Unauthorised(f"{name} may not come in any more.")
        if fresh is not None:
            persons.change(conn, person["id"], password_hash=fresh)
        known = {"person_id": person["id"], "secret_hash": hashed(secret)}
        begun = visits.begin(conn, now, lasting.longest, **known, **shown)
        ledger.record(conn, now, "session.opened", actor=name, data={"session": begun})
        return Session(begun, Holder(name, person["role"], tuple(person["repos"])))

    return secret, line.store.write(write)


def check(line: Line, secret: str, idle: float) -> Session | None:
    """The living session of this secret, its person as he or she is now."""
    if not is_secret(secret):
        return None
    sent = hashed(secret)
    row = line.store.read(lambda conn: visits.of_secret(conn, sent, line.now(), idle))
    if row is None:
        return None
    if row["is_stale"]:
        line.store.write(lambda conn: visits.see(conn, row["id"], line.now()))
    return Session(row["id"], Holder(row["name"], row["role"], tuple(row["repos"])))


def listed(line: Line, idle: float, *, ended: bool = False) -> list[dict[str, Any]]:
    """Everybody's living sessions, the newest first, without anything that opens one.

    With `ended` also those that are over; of many, the newest.
    """
    found = line.store.read(lambda conn: visits.listed(conn, line.now(), idle, None, ended))
    return [dict(row) for row in found]


def listed_of(line: Line, idle: float, person: str) -> list[dict[str, Any]]:
    """A person's own living sessions, the newest first."""
    found = line.store.read(lambda conn: visits.listed(conn, line.now(), idle, person, False))
    return [dict(row) for row in found]


def revoke(line: Line, session_id: int, actor: str) -> dict[str, Any]:
    """End a session at once, for good. Raises NotFound."""

    def write(conn: Connection) -> dict[str, Any]:
        now, person = line.now(), visits.owner(conn, session_id)
        if person is None:
            raise NotFound(
                f"There is no session {session_id}.",
                suggested_fix="`orch session list` shows all of them.",
            )
        changed = visits.end_one(conn, now, session_id)
        if changed:
            told = {"session": session_id, "name": person}
            ledger.record(conn, now, "session.ended", actor=actor, data=told)
        return {"changed": changed, "session": session_id, "person": person}

    return line.store.write(write)
