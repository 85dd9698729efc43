"""Tokens: made once and shown once, kept as a hash, each with a role, an end, and a way to end it.

A viewer reads, an operator controls, an admin configures; each may do what the one before may.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args

from orch import names
from orch.errors import AlreadyThere, BadInput, NotFound, Unauthorised
from orch.line import Line
from orch.store import access, ledger
from orch.store.session import Connection

Role = Literal["viewer", "operator", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
PREFIX: Final = "orch_"
"""Lets people and secret scanners see what a leaked text is."""
_TOKEN: Final = re.compile(r"orch_[A-Za-z0-9]{1,128}\Z")


@dataclass(frozen=True)
class Holder:
    """Who sent a request, and what that person may do."""

    name: str
    role: str

    def may(self, needed: Role) -> bool:
        """Whether this role includes the needed one; an unknown role includes nothing."""
        return self.role in ROLES and ROLES.index(self.role) >= ROLES.index(needed)


def add(
    line: Line, name: str, role: str, actor: str, *, expires_at: datetime | None = None
) -> dict[str, Any]:
    """Make a token of 256 random bits; the answer is the only place where it is ever shown.

    Raises BadInput, and AlreadyThere while a token of this name can be used.
    """
    name = names.line(name, "name", 80)
    if not name:
        raise BadInput("A token needs a name: it stands beside everything done with it.")
    if role not in ROLES:
        raise BadInput(f"“{names.shown(role)}” is no role.", field="role", known=list(ROLES))
    secret = f"{PREFIX}{line.new_id()}{line.new_id()}"

    def write(conn: Connection) -> dict[str, Any]:
        now = line.now()
        if access.token_named(conn, name, now) is not None:
            raise AlreadyThere(f"A token is named {name} already.")
        row = access.insert_token(conn, now, name, role, _hash(secret), expires_at)
        told = {"name": name, "role": role}
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
    hashed = _hash(presented)
    row = line.store.read(lambda conn: access.token_of_hash(conn, hashed, line.now()))
    if row is None or not hmac.compare_digest(row["token_hash"], hashed):
        raise Unauthorised("The token is unknown, has expired or was revoked.")
    return Holder(row["name"], row["role"])


def ever_made(line: Line) -> bool:
    """Whether this line has ever had a token. From the first one on, nobody comes in without."""
    return line.store.read(access.any_token)


def any_usable(line: Line) -> bool:
    """Whether a token exists with which somebody could come in."""
    return line.store.read(lambda conn: access.any_usable_token(conn, line.now()))


def _hash(secret: str) -> str:
    # No slow hash: 256 random bits cannot be guessed, and this runs on every call.
    return hashlib.sha256(secret.encode()).hexdigest()
