"""The rows of tokens. Only a hash of a token is ever stored or compared."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, insert, or_, select, update

from orch.store.moments import Moment, at
from orch.store.schema import tokens
from orch.store.session import Row

_SHOWN = (
    tokens.c.id,
    tokens.c.name,
    tokens.c.role,
    tokens.c.repos,
    tokens.c.created_at,
    tokens.c.expires_at,
    tokens.c.revoked_at,
)


def _usable(now: Moment) -> ColumnElement[bool]:
    return and_(
        tokens.c.revoked_at.is_(None),
        or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > at(now)),
    )


def token_named(conn: Connection, name: str, now: Moment) -> Row | None:
    """The usable token of this name."""
    return (
        conn.execute(select(*_SHOWN).where(tokens.c.name == name, _usable(now)))
        .mappings()
        .one_or_none()
    )


def insert_token(conn: Connection, now: Moment, **values: Any) -> Row:
    """Write one token's row: name, role, repos, token_hash, expires_at."""
    statement = insert(tokens).values(created_at=at(now), **values)
    return conn.execute(statement.returning(*_SHOWN)).mappings().one()


def token_of_hash(conn: Connection, token_hash: str, now: Moment) -> Row | None:
    """The usable token with this hash, with the hash, so that the caller can compare it."""
    statement = select(*_SHOWN, tokens.c.token_hash).where(
        tokens.c.token_hash == token_hash, _usable(now)
    )
    return conn.execute(statement).mappings().one_or_none()


def all_tokens(conn: Connection, now: Moment) -> list[Row]:
    """Every token ever made, oldest first, with whether it can still be used."""
    statement = select(*_SHOWN, _usable(now).label("usable")).order_by(tokens.c.id)
    return list(conn.execute(statement).mappings())


def any_token(conn: Connection) -> bool:
    """Whether a token was ever made, usable or not."""
    return bool(conn.scalar(select(exists(select(tokens.c.id)))))


def any_usable_token(conn: Connection, now: Moment) -> bool:
    """Whether somebody could come in with a token."""
    return bool(conn.scalar(select(exists(select(tokens.c.id).where(_usable(now))))))


def revoke_tokens(conn: Connection, name: str, now: Moment) -> list[Row]:
    """Revoke every token of this name that was not revoked before; those rows."""
    statement = (
        update(tokens)
        .where(tokens.c.name == name, tokens.c.revoked_at.is_(None))
        .values(revoked_at=at(now))
        .returning(*_SHOWN)
    )
    return list(conn.execute(statement).mappings())


def ever_named(conn: Connection, name: str) -> bool:
    """Whether a token of this name was ever made."""
    return bool(conn.scalar(select(exists(select(tokens.c.id).where(tokens.c.name == name)))))
