"""The tables of people, their sessions and one-time links, and of what is rationed.

Secrets are stored as hashes only; a password's is a slow one. No rule of the gate reads them.
"""

from __future__ import annotations

from sqlalchemy import JSON, Column, ForeignKey, Index, String, Table, Text

from orch.store.moments import DATABASE_TIME, UtcDateTime
from orch.store.schema import Id, metadata

people = Table(
    "people",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("repos", JSON, nullable=False, server_default="[]"),
    Column("password_hash", Text),
    Column("created_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("disabled_at", UtcDateTime),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("secret_hash", String(64), nullable=False, unique=True),
    Column("person_id", Id, ForeignKey("people.id"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("seen_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("ends_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Column("address", Text, nullable=False, server_default=""),
    Column("browser", Text, nullable=False, server_default=""),
    Index("ix_sessions_person_id", "person_id"),
)

invitations = Table(
    "invitations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("secret_hash", String(64), nullable=False, unique=True),
    # Nobody: whoever follows it becomes the first admin, under a name of their choice.
    Column("person_id", Id, ForeignKey("people.id")),
    Column("created_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("ends_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime),
    Index("ix_invitations_person_id", "person_id"),
)

tries = Table(
    "tries",
    metadata,
    Column("id", Id, primary_key=True),
    # A hash: what is typed as a name may be a password, typed into the wrong field.
    Column("bucket", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Index("ix_tries_bucket", "bucket", "at"),
    Index("ix_tries_at", "at"),
)
