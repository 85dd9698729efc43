"""Tokens: made once and shown once, kept as a hash, each with a role, an end, and a way to end it.

A viewer reads, an operator controls, an admin configures; each may do what the one before may.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, get_args

from orch import names
from orch.door_settings import Role as Role
from orch.errors import (
    AlreadyThere,
    BadInput,
    ConfigError,
    Forbidden,
    NotFound,
    Unauthorised,
)
from orch.line import Line
from orch.store import access, ledger, persons
from orch.store.moments import Moment
from orch.store.session import Connection

ROLES: Final[tuple[Role, ...]] = get_args(Role)
MOST_REPOS: Final = 50
PREFIX: Final = "orch_"
"""Lets people and secret scanners see what a leaked text is."""
_TOKEN: Final = re.compile(r"orch_[A-Za-z0-9]{1,128}\Z")


EVERYWHERE: Final = "*"
"""The glob of those things that concern every repo."""


@dataclass(frozen=True)
class Holder:
    """Who sent a request, and what that person or program may do."""

    name: str
    role: str
    repos: tuple[str, ...] = ()
    """Globs of the repos that may be steered; none is all of them. Everybody may read all."""

    def may(self, needed: Role, repo: str | None = None) -> bool:
        """Whether this role includes the needed one, in this repo or glob where one is named.

        An unknown role includes nothing.
        """
        if self.role not in ROLES or ROLES.index(self.role) < ROLES.index(needed):
            return False
        return repo is None or needed == "viewer" or reaches(self.repos, repo)

    @property
    def signing(self) -> dict[str, Any]:
        """How an order is signed, and how far it goes: `Order(verb, target, **holder.signing)`."""
        return {"actor": self.name, "within": self.repos}


_BEARER: Final = re.compile(r"Bearer ([!-~]{1,256})")
LOCAL: Final = Holder("local", "admin")
"""Who everybody on this machine is, as long as no token and no person was ever made."""


def admit(line: Line, authorization: str | None, near: bool) -> Holder:
    """Who sent a request with this Authorization header. Raises Unauthorised.

    Without a single token or person in the store everybody who is `near` is an admin; the first one
    made ends that for good.
    """
    if authorization is not None:
        found = _BEARER.fullmatch(authorization)
        if found is None:
            raise Unauthorised("The Authorization header is not `Bearer <token>`.")
        return check(line, found[1])
    if near and nobody_yet(line):
        return LOCAL
    raise Unauthorised("This needs a token.")


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


PASSED_ON: Final = ("Forwarded", "X-Forwarded-For", "X-Real-IP")
"""Headers by which something on this machine says that it passes a request on from elsewhere."""


def is_near(bound_to: str, remote: str, *, passed_on: bool) -> bool:
    """Whether a request comes from this machine, to a server nobody else can reach.

    One that was `passed_on`, as one of PASSED_ON says, comes from somewhere else.
    """
    return not passed_on and is_loopback(bound_to) and is_loopback(remote)


def require_beyond_loopback(line: Line, host: str) -> None:
    """Raise ConfigError for an address others can reach while nobody could be told from another."""
    if not is_loopback(host) and not line.store.read(lambda conn: _anybody(conn, line.now())):
        raise ConfigError(
            f"{host} can be reached by others, and there is no token and no person.",
            suggested_fix="Run `orch user add NAME --role admin` or `orch token add NAME "
            "--role admin` first, or bind to 127.0.0.1.",
        )


def _anybody(conn: Connection, now: Moment) -> bool:
    return access.any_usable_token(conn, now) or persons.any_who_may_come(conn)


def nobody_yet(line: Line) -> bool:
    """Whether there never was a token nor a person: only then is this machine alone a way in."""
    return not line.store.read(lambda conn: access.any_token(conn) or persons.any_person(conn))


def reaches(within: tuple[str, ...], repo: str) -> bool:
    """Whether globs of repos, none of which is all of them, cover this repo or glob."""
    return not within or any(names.covers(glob, repo) for glob in within)


def require_reach(within: tuple[str, ...], actor: str, repo: str) -> None:
    """Raise Forbidden unless these globs cover this repo or glob."""
    if not reaches(within, repo):
        raise Forbidden(
            f"{actor} may steer {', '.join(within)}, which does not cover {repo}.",
            suggested_fix="Ask somebody who may steer it, or an admin for more repos.",
            repos=list(within),
        )


def check_reach(role: str, repos: Sequence[str]) -> list[str]:
    """A role with its globs of repos, as they are stored. Raises BadInput."""
    if role not in ROLES:
        raise BadInput(f"“{names.shown(role)}” is no role.", field="role", known=list(ROLES))
    found = list(dict.fromkeys(names.repo_or_glob(each) for each in repos))
    if found and role != "operator":
        raise BadInput(
            "Only an operator can be limited to some repos.",
            suggested_fix="A viewer reads everything, an admin configures everything.",
            field="repos",
        )
    if len(found) > MOST_REPOS:
        raise BadInput(f"At most {MOST_REPOS} globs of repos are taken.", field="repos")
    return found


def add(
    line: Line,
    name: str,
    role: str,
    actor: str,
    *,
    expires_at: datetime | None = None,
    repos: Sequence[str] = (),
) -> dict[str, Any]:
    """Make a token of 256 random bits; the answer is the only place where it is ever shown.

    Raises BadInput, and AlreadyThere while a token of this name can be used.
    """
    name = names.line(name, "name", 80)
    if not name:
        raise BadInput("A token needs a name: it stands beside everything done with it.")
    told = {"name": name, "role": role, "repos": check_reach(role, repos)}
    secret = f"{PREFIX}{line.new_id()}{line.new_id()}"

    def write(conn: Connection) -> dict[str, Any]:
        now = line.now()
        if access.token_named(conn, name, now) is not None:
            raise AlreadyThere(f"A token is named {name} already.")
        row = access.insert_token(
            conn, now, **told, token_hash=hashed(secret), expires_at=expires_at
        )
        ledger.record(conn, now, "token.added", actor=actor, data=told)
        return dict(row)

    return {**line.store.write(write), "token": secret}


def listed(line: Line) -> list[dict[str, Any]]:
    """Every token ever made, without anything that could be used as one."""
    return [dict(row) for row in line.store.read(lambda conn: access.all_tokens(conn, line.now()))]


def revoke(line: Line, name: str, actor: str) -> dict[str, Any]:
    """End a token at once. Raises NotFound for a name no token ever had."""

    def write(conn: Connection) -> dict[str, Any]:
        now = line.now()
        ended = access.revoke_tokens(conn, name, now)
        if not ended and not access.ever_named(conn, name):
            raise NotFound(
                f"No token is named {names.shown(name)}.",
                suggested_fix="`orch token list` shows all of them.",
            )
        for row in ended:
            told = {"name": name, "role": row["role"]}
            ledger.record(conn, now, "token.revoked", actor=actor, data=told)
        return {"changed": bool(ended), "name": name}

    return line.store.write(write)


def check(line: Line, presented: str) -> Holder:
    """Who holds this token. Raises Unauthorised unless it is known, alive and not revoked."""
    if not _TOKEN.match(presented):
        raise Unauthorised("The token has not the form of one.")
    sent = hashed(presented)
    row = line.store.read(lambda conn: access.token_of_hash(conn, sent, line.now()))
    if row is None or not hmac.compare_digest(row["token_hash"], sent):
        raise Unauthorised("The token is unknown, has expired or was revoked.")
    return Holder(row["name"], row["role"], tuple(row["repos"]))


def hashed(secret: str) -> str:
    """What is stored of a secret of ours."""
    # No slow hash: 256 random bits cannot be guessed, and this runs on every call.
    return hashlib.sha256(secret.encode()).hexdigest()
