"""The tables of the waiting ledger: the spells, and how far the observer has read.

No foreign keys, as in `events`: what is written down here never stands in the way of anything.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    String,
    Table,
    Text,
    text,
)

from orch.store.moments import UtcDateTime
from orch.store.schema import Id, metadata

waits = Table(
    "waits",
    metadata,
    Column("id", Id, primary_key=True),
    Column("task_id", Id, nullable=False),
    Column("job_id", Id),
    Column("repo", String(200), nullable=False),
    Column("stage", String(32), nullable=False),
    Column("agent", String(64)),
    Column("reason", String(16), nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("until", UtcDateTime),
    # When it ends by itself; of those that wait for a time of theirs.
    Column("due_at", UtcDateTime),
    # What blocked when the spell began: the id of a freeze or a task, and the task's work item.
    Column("blocker_id", Id),
    Column("blocker", Text),
    CheckConstraint("until IS NULL OR until >= since", name="forwards"),
)
"""Spells: of each task one stretch of time after the other, with what the task waited for then, or
that an agent was at work on it. The one without an end goes on."""

GOES_ON: Final = waits.c.until.is_(None)


def _of_open(name: str, *columns: Any, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, postgresql_where=GOES_ON, sqlite_where=GOES_ON)


# The law of the ledger: however many look at once, a task is in one spell at a time.
_of_open("uq_waits_open_per_task", waits.c.task_id, unique=True)
_of_open("ix_waits_open_repo", waits.c.repo, waits.c.reason)
_of_open("ix_waits_open_agent", waits.c.agent, waits.c.reason)
_DUE = GOES_ON & waits.c.due_at.is_not(None)
Index("ix_waits_due", waits.c.due_at, postgresql_where=_DUE, sqlite_where=_DUE)
Index("ix_waits_task", waits.c.task_id, waits.c.until)
Index("ix_waits_until", waits.c.until)
Index("ix_waits_repo", waits.c.repo, waits.c.until)

waits_cursor = Table(
    "waits_cursor",
    metadata,
    Column("name", String(16), primary_key=True),
    # Grows with every write of the ledger: of two who looked at once, only one finds it as it was.
    Column("turn", BigInteger, nullable=False, server_default=text("0")),
    Column("event_id", Id, nullable=False, server_default=text("0")),
    Column("began_at", UtcDateTime),
    Column("looked_at", UtcDateTime),
    Column("detail", JSON, nullable=False, server_default="{}"),
)
"""One row: up to which event the ledger is written, and when somebody last looked."""
