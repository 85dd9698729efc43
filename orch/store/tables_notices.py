"""The tables of notices and alarms. No rule of the gate reads them."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    text,
)

from orch.store.moments import DATABASE_TIME, UtcDateTime
from orch.store.schema import Id, metadata

notices = Table(
    "notices",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uid", String(64), nullable=False, unique=True),
    Column("source", String(80), nullable=False),
    Column("channel", String(32), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("repo", String(200)),
    Column("work_item_id", String(64)),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("link", Text, nullable=False, server_default=""),
    Column("data", JSON, nullable=False, server_default="{}"),
    Column("happened_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("next_try_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("sent_at", UtcDateTime),
    Column("failed_at", UtcDateTime),
    Column("last_error", Text, nullable=False, server_default=""),
    UniqueConstraint("source", "channel"),
)
"""The outbox: one row for each thing that is told, and each channel it goes out by."""
OPEN = and_(notices.c.sent_at.is_(None), notices.c.failed_at.is_(None))
"""Neither sent nor given up."""
Index(
    "ix_notices_open",
    notices.c.channel,
    notices.c.id,
    sqlite_where=OPEN,
    postgresql_where=OPEN,
)

bookmarks = Table(
    "bookmarks",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("event_id", Id, nullable=False),
)
"""How far somebody has read the ledger."""

alarms = Table(
    "alarms",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("subject", String(200), primary_key=True),
    Column("since", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("told_at", UtcDateTime),
    Column("clear_since", UtcDateTime),
    Column("detail", JSON, nullable=False, server_default="{}"),
)
"""What is wrong at this moment: since when, and whether somebody was told."""
