"""The tables of what orch knows of trackers and forges. No rule of the gate reads them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    Column,
    ForeignKey,
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

feeds = Table(
    "feeds",
    metadata,
    Column("name", String(240), primary_key=True),
    Column("due_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("taken_until", UtcDateTime),
    Column("asked_at", UtcDateTime),
    Column("answered_at", UtcDateTime),
    Column("failing_since", UtcDateTime),
    Column("fault", Text, nullable=False, server_default=""),
    Column("stopped", Text, nullable=False, server_default=""),
    Column("hinted_at", UtcDateTime),
    Column("notes", JSON, nullable=False, server_default="{}"),
)
"""What is asked regularly, `tracker:NAME` or `forge:REPO`: when next, when it last answered, since
when it does not. `stopped` says why it is not asked again before a person has acted."""

tracked = Table(
    "tracked",
    metadata,
    Column("tracker", String(32), primary_key=True),
    Column("item_id", String(64), primary_key=True),
    Column("work_item_id", String(64), nullable=False),
    Column("task_id", Id, ForeignKey("tasks.id")),
    Column("facts", JSON, nullable=False, server_default="{}"),
    Column("listed_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("read_at", UtcDateTime),
    Column("missing_since", UtcDateTime),
    Column("remarks_until", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Index("ix_tracked_work_item_id", "work_item_id"),
    Index("ix_tracked_task_id", "task_id"),
)
"""The mirror of a tracker's items: what was last read of each, when, and why it is no task yet."""

TELLER: Final = "tellings"
"""The reader of the ledger whose bookmark says what is in the outbox to trackers."""
tellings = Table(
    "tellings",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uid", String(64), nullable=False, unique=True),
    Column("tracker", String(32), nullable=False),
    Column("item_id", String(64), nullable=False),
    Column("task_id", Id, ForeignKey("tasks.id"), nullable=False),
    Column("event_id", Id, nullable=False),
    Column("phase", String(16)),
    Column("text", Text, nullable=False, server_default=""),
    Column("created_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("next_try_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("told_at", UtcDateTime),
    Column("failed_at", UtcDateTime),
    Column("last_error", Text, nullable=False, server_default=""),
    UniqueConstraint("tracker", "event_id", "item_id"),
)
"""The outbox to trackers: one row for each event and item that it is told on, in the ledger's
order."""
UNTOLD = and_(tellings.c.told_at.is_(None), tellings.c.failed_at.is_(None))
Index(
    "ix_tellings_untold",
    tellings.c.tracker,
    tellings.c.id,
    sqlite_where=UNTOLD,
    postgresql_where=UNTOLD,
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source", String(16), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("event", String(80), nullable=False, server_default=""),
    Column("delivery", String(80), nullable=False, server_default=""),
    Column("subject", String(240), nullable=False, server_default=""),
    Column("received_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("taken_at", UtcDateTime),
    Column("outcome", String(32), nullable=False, server_default=""),
    UniqueConstraint("source", "digest"),
)
"""Webhooks that came in: hints to go and look. Bodies are not kept: people's addresses are in
them, and whatever they say is asked of the sender's own API."""
UNTAKEN = inbox.c.taken_at.is_(None)
Index(
    "ix_inbox_untaken",
    inbox.c.source,
    inbox.c.subject,
    inbox.c.event,
    unique=True,
    sqlite_where=UNTAKEN,
    postgresql_where=UNTAKEN,
)
"""The law: however often somebody says so, a thing to look at waits once."""
Index("ix_inbox_received_at", inbox.c.received_at)

pulls = Table(
    "pulls",
    metadata,
    Column("task_id", Id, ForeignKey("tasks.id"), primary_key=True),
    Column("repo", String(200), nullable=False),
    Column("branch", String(200), nullable=False),
    Column("number", Integer),
    Column("url", Text, nullable=False, server_default=""),
    Column("state", String(16), nullable=False, server_default="none"),
    Column("head_sha", String(64), nullable=False, server_default=""),
    Column("merge_sha", String(64), nullable=False, server_default=""),
    Column("seen_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Index("ix_pulls_repo", "repo"),
)
"""The mirror of a forge's pull requests: what was last seen of each task's, and when."""
