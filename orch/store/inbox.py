"""Rows of the inbox: one for each thing that a webhook says to look at, until somebody has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, delete, exists, func, literal, select, update

from orch.store import fleet
from orch.store.moments import Moment, at, later
from orch.store.schema import beats
from orch.store.session import Row as Mapped
from orch.store.session import insert_once
from orch.store.tables_outside import UNTAKEN, inbox

HEARD: Final = "hook:"
"""What the beat is called, before the source, that says when its last webhook came."""
HEARD_SECONDS: Final = 60.0
"""So exact that is: writing it down each time would be a write for each webhook of a storm."""


@dataclass(frozen=True)
class Hint:
    """What a webhook says to look at, and how it is known again."""

    source: str
    subject: str
    event: str
    digest: str
    delivery: str = ""


@dataclass(frozen=True)
class Standing:
    """How the inbox stands to a webhook that came in."""

    replayed: bool
    """The very same one is known."""
    waits: bool
    """What it says to look at waits to be looked at already."""
    untaken: int
    """So many wait from its source, counted up to a limit."""
    noted: bool
    """It is written down that its source was heard of lately."""


def standing(conn: Connection, hint: Hint, most: int, now: Moment) -> Standing:
    """All that has to be known before one is taken in, by one question."""
    mine = inbox.c.source == hint.source
    waiting = select(literal(1)).where(mine, UNTAKEN).limit(most).subquery()
    same = and_(mine, inbox.c.subject == hint.subject, inbox.c.event == hint.event)
    lately = later(now, -HEARD_SECONDS)
    row: Row[Any] = conn.execute(
        select(
            exists(select(inbox.c.id).where(mine, inbox.c.digest == hint.digest)),
            exists(select(inbox.c.id).where(same, UNTAKEN)),
            select(func.count()).select_from(waiting).scalar_subquery(),
            exists(select(beats.c.name).where(_beat(hint.source), beats.c.at > lately)),
        )
    ).one()
    return Standing(bool(row[0]), bool(row[1]), int(row[2]), bool(row[3]))


def _beat(source: str) -> Any:
    return beats.c.name == f"{HEARD}{source}"


def post(conn: Connection, hint: Hint, now: Moment) -> bool:
    """Take one in. False where another process was faster with the same one, or the same hint."""
    return insert_once(conn, inbox, **vars(hint), received_at=at(now))


def hear(conn: Connection, source: str, now: Moment) -> None:
    """Write down that a webhook came that its sender had signed."""
    fleet.note_beat(conn, f"{HEARD}{source}", now)


def last_seen(conn: Connection) -> dict[str, datetime]:
    """When the last signed webhook of each source came, whatever it said; exact to a minute."""
    statement = select(beats.c.name, beats.c.at).where(beats.c.name.startswith(HEARD))
    rows = conn.execute(statement.order_by(beats.c.name)).tuples()
    return {name.removeprefix(HEARD): moment for name, moment in rows}


def waiting(conn: Connection) -> dict[str, int]:
    """How many wait, by source; a source of which none waits is not named."""
    counted = select(inbox.c.source, func.count()).where(UNTAKEN).group_by(inbox.c.source)
    return dict(conn.execute(counted.order_by(inbox.c.source)).tuples().all())


def take(conn: Connection, source: str, most: int, now: Moment) -> list[Mapped]:
    """Take out the oldest of a source: `id`, `subject`, `event` and `received_at` of each.

    Taken first and looked at afterwards: what happens meanwhile at the sender's then waits anew.
    """
    oldest = select(inbox.c.id).where(inbox.c.source == source, UNTAKEN)
    oldest = oldest.order_by(inbox.c.id).limit(most).with_for_update(skip_locked=True)
    taken = update(inbox).where(inbox.c.id.in_(oldest), UNTAKEN).values(taken_at=at(now))
    columns = (inbox.c.id, inbox.c.subject, inbox.c.event, inbox.c.received_at)
    rows = conn.execute(taken.returning(*columns)).mappings().all()
    return sorted(rows, key=lambda row: int(row["id"]))


def prune(conn: Connection, now: Moment, seconds: float) -> int:
    """Forget what came longer ago, taken or not; how many that were."""
    old = inbox.c.received_at < later(now, -seconds)
    return int(conn.execute(delete(inbox).where(old)).rowcount)
