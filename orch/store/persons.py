"""The rows of people and of the one-time links by which they choose their password."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, exists, insert, select, update

from orch.store.moments import Moment, at, later
from orch.store.session import Row, insert_unless_there
from orch.store.tables_people import invitations, people

_SHOWN = (
    people.c.id,
    people.c.name,
    people.c.role,
    people.c.repos,
    people.c.created_at,
    people.c.disabled_at,
    people.c.password_hash.is_not(None).label("has_password"),
)
KEPT_SECONDS = 30 * 24 * 3600.0
"""How long what has ended is still shown."""


def named(conn: Connection, name: str) -> Row | None:
    """The person of this name, disabled or not, without the password's hash."""
    return conn.execute(select(*_SHOWN).where(people.c.name == name)).mappings().one_or_none()


def password_hash(conn: Connection, name: str) -> Row | None:
    """Id and password hash of a person who may sign in with one."""
    statement = select(people.c.id, people.c.name, people.c.password_hash).where(
        people.c.name == name,
        people.c.disabled_at.is_(None),
        people.c.password_hash.is_not(None),
    )
    return conn.execute(statement).mappings().one_or_none()


def listed(conn: Connection) -> list[Row]:
    """Everybody who ever was here, by name."""
    return list(conn.execute(select(*_SHOWN).order_by(people.c.name)).mappings())


def add(conn: Connection, now: Moment, **values: Any) -> bool:
    """Write one person: name, role, repos, password_hash. False if the name is taken."""
    if not insert_unless_there(conn, people, [values]):
        return False
    made = update(people).where(people.c.name == values["name"])
    conn.execute(made.values(created_at=at(now)))
    return True


def change(conn: Connection, person_id: int, **values: Any) -> None:
    """Write some columns of one person anew."""
    conn.execute(update(people).where(people.c.id == person_id).values(**values))


def disable(conn: Connection, person_id: int, now: Moment) -> bool:
    """Let a person not come in any more. False if that is so already."""
    ended = update(people).where(people.c.id == person_id, people.c.disabled_at.is_(None))
    return bool(conn.execute(ended.values(disabled_at=at(now))).rowcount)


def any_person(conn: Connection) -> bool:
    """Whether there ever was a person."""
    return bool(conn.scalar(select(exists(select(people.c.id)))))


def any_who_may_come(conn: Connection) -> bool:
    """Whether there is a person who has not been disabled."""
    return bool(conn.scalar(select(exists(select(people.c.id).where(_enabled())))))


def _enabled() -> Any:
    return people.c.disabled_at.is_(None)


# --- one-time links ---------------------------------------------------------------------------


def invite(
    conn: Connection, now: Moment, person_id: int | None, secret_hash: str, seconds: float
) -> None:
    """Write a link that works once and for so long; forget those that ended long ago."""
    conn.execute(delete(invitations).where(invitations.c.ends_at < later(now, -KEPT_SECONDS)))
    values = {"person_id": person_id, "secret_hash": secret_hash}
    conn.execute(
        insert(invitations).values(created_at=at(now), ends_at=later(now, seconds), **values)
    )


def invited(conn: Connection, secret_hash: str, now: Moment) -> Row | None:
    """Whom a link is for, while it works; `person` is None for the first admin's."""
    statement = (
        select(invitations.c.id, invitations.c.person_id, people.c.name.label("person"))
        .outerjoin(people, people.c.id == invitations.c.person_id)
        .where(
            invitations.c.secret_hash == secret_hash,
            invitations.c.used_at.is_(None),
            invitations.c.ends_at > at(now),
            people.c.disabled_at.is_(None),
        )
    )
    return conn.execute(statement).mappings().one_or_none()


def void_invitations(conn: Connection, person_id: int | None, now: Moment) -> list[int]:
    """End every link of a person, or of whoever would be the first; the ids of those that were."""
    whose = invitations.c.person_id
    used = (
        update(invitations)
        .where(whose.is_(None) if person_id is None else whose == person_id)
        .where(invitations.c.used_at.is_(None))
        .values(used_at=at(now))
        .returning(invitations.c.id)
    )
    return list(conn.scalars(used))


def use_up(conn: Connection, invitation: Row, now: Moment) -> bool:
    """Use a link, and with it every other one that leads to the same. False if it was used."""
    return invitation["id"] in void_invitations(conn, invitation["person_id"], now)
