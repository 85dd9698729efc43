"""Trackers and forges

Revision 0008, after 0007: what orch knows of trackers and forges, what it has to tell them, and the
webhooks that came in.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from orch.store.moments import DATABASE_TIME, UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make five tables that no other refers to."""
    op.create_table(
        "feeds",
        sa.Column("name", sa.String(240), nullable=False),
        sa.Column("due_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
        sa.Column("taken_until", UtcDateTime),
        sa.Column("asked_at", UtcDateTime),
        sa.Column("answered_at", UtcDateTime),
        sa.Column("failing_since", UtcDateTime),
        sa.Column("fault", sa.Text, nullable=False, server_default=""),
        sa.Column("stopped", sa.Text, nullable=False, server_default=""),
        sa.Column("hinted_at", UtcDateTime),
        sa.Column("notes", sa.JSON, nullable=False, server_default="{}"),
        sa.PrimaryKeyConstraint("name", name="pk_feeds"),
    )
    op.create_table(
        "tracked",
        sa.Column("tracker", sa.String(32), nullable=False),
        sa.Column("item_id", sa.String(64), nullable=False),
        sa.Column("work_item_id", sa.String(64), nullable=False),
        sa.Column("task_id", Id),
        sa.Column("facts", sa.JSON, nullable=False, server_default="{}"),
        sa.Column("listed_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
        sa.Column("read_at", UtcDateTime),
        sa.Column("missing_since", UtcDateTime),
        sa.Column("remarks_until", sa.Text, nullable=False, server_default=""),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_tracked_task_id"),
        sa.PrimaryKeyConstraint("tracker", "item_id", name="pk_tracked"),
    )
    op.create_index("ix_tracked_work_item_id", "tracked", ["work_item_id"])
    op.create_index("ix_tracked_task_id", "tracked", ["task_id"])
    op.create_table(
        "tellings",
        sa.Column("id", Id, primary_key=True),
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("tracker", sa.String(32), nullable=False),
        sa.Column("item_id", sa.String(64), nullable=False),
        sa.Column("task_id", Id, nullable=False),
        sa.Column("event_id", Id, nullable=False),
        sa.Column("phase", sa.String(16)),
        sa.Column("text", sa.Text, nullable=False, server_default=""),
        sa.Column("created_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
        sa.Column("next_try_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
        sa.Column("tries", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("told_at", UtcDateTime),
        sa.Column("failed_at", UtcDateTime),
        sa.Column("last_error", sa.Text, nullable=False, server_default=""),
        sa.UniqueConstraint("uid", name="uq_tellings_uid"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_tellings_task_id"),
        sa.PrimaryKeyConstraint("id", name="pk_tellings"),
        sa.UniqueConstraint(
            "tracker", "event_id", "item_id", name="uq_tellings_tracker_event_id_item_id"
        ),
    )
    untold = sa.text("told_at IS NULL AND failed_at IS NULL")
    op.create_index(
        "ix_tellings_untold",
        "tellings",
        ["tracker", "id"],
        postgresql_where=untold,
        sqlite_where=untold,
    )
    op.create_table(
        "inbox",
        sa.Column("id", Id, primary_key=True),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("event", sa.String(80), nullable=False, server_default=""),
        sa.Column("delivery", sa.String(80), nullable=False, server_default=""),
        sa.Column("subject", sa.String(240), nullable=False, server_default=""),
        sa.Column("received_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
        sa.Column("taken_at", UtcDateTime),
        sa.Column("outcome", sa.String(32), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name="pk_inbox"),
        sa.UniqueConstraint("source", "digest", name="uq_inbox_source_digest"),
    )
    untaken = sa.text("taken_at IS NULL")
    op.create_index(
        "ix_inbox_untaken",
        "inbox",
        ["source", "subject", "event"],
        unique=True,
        postgresql_where=untaken,
        sqlite_where=untaken,
    )
    op.create_index("ix_inbox_received_at", "inbox", ["received_at"])
    op.create_table(
        "pulls",
        sa.Column("task_id", Id, nullable=False),
        sa.Column("repo", sa.String(200), nullable=False),
        sa.Column("branch", sa.String(200), nullable=False),
        sa.Column("number", sa.Integer),
        sa.Column("url", sa.Text, nullable=False, server_default=""),
        sa.Column("state", sa.String(16), nullable=False, server_default="none"),
        sa.Column("head_sha", sa.String(64), nullable=False, server_default=""),
        sa.Column("merge_sha", sa.String(64), nullable=False, server_default=""),
        sa.Column("seen_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_pulls_task_id"),
        sa.PrimaryKeyConstraint("task_id", name="pk_pulls"),
    )
    op.create_index("ix_pulls_repo", "pulls", ["repo"])
