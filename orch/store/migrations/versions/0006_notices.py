"""Notices

Revision 0006, after 0005: the outbox of notices, how far the ledger was read, what is wrong.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from orch.store.moments import DATABASE_TIME, UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPEN = sa.text("sent_at IS NULL AND failed_at IS NULL")


def upgrade() -> None:
    """Make three tables that nothing else refers to."""
    op.create_table(
        "notices",
        sa.Column("id", Id, primary_key=True),
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("source", sa.String(80), nullable=False),
        sa.Column("channel", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("repo", sa.String(200)),
        sa.Column("work_item_id", sa.String(64)),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("link", sa.Text, nullable=False, server_default=""),
        sa.Column("data", sa.JSON, nullable=False, server_default="{}"),
        sa.Column("happened_at", UtcDateTime, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
        sa.Column("next_try_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
        sa.Column("tries", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("sent_at", UtcDateTime),
        sa.Column("failed_at", UtcDateTime),
        sa.Column("last_error", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name="pk_notices"),
        sa.UniqueConstraint("uid", name="uq_notices_uid"),
        sa.UniqueConstraint("source", "channel", name="uq_notices_source_channel"),
    )
    op.create_index(
        "ix_notices_open",
        "notices",
        ["channel", "id"],
        postgresql_where=OPEN,
        sqlite_where=OPEN,
    )
    op.create_table(
        "bookmarks",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("event_id", Id, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_bookmarks"),
    )
    op.create_table(
        "alarms",
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("since", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
        sa.Column("told_at", UtcDateTime),
        sa.Column("clear_since", UtcDateTime),
        sa.Column("detail", sa.JSON, nullable=False, server_default="{}"),
        sa.PrimaryKeyConstraint("kind", "subject", name="pk_alarms"),
    )
