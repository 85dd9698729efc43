"""People

Revision 0004: who signs in with a browser, and until when; one-time links; what is rationed; and
tokens that steer some repos only.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from alembic import op

from orch.store.moments import DATABASE_TIME, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _since(name: str) -> sa.Column[datetime]:
    return sa.Column(name, UtcDateTime, nullable=False, server_default=DATABASE_TIME)


def upgrade() -> None:
    """Add tables, and a column that fills itself in."""
    op.add_column("tokens", sa.Column("repos", sa.JSON, nullable=False, server_default="[]"))
    op.create_table(
        "people",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("repos", sa.JSON, nullable=False, server_default="[]"),
        sa.Column("password_hash", sa.Text),
        _since("created_at"),
        sa.Column("disabled_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_people"),
        sa.UniqueConstraint("name", name="uq_people_name"),
    )
    op.create_table(
        "sessions",
        sa.Column("id", Id, nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("person_id", Id, nullable=False),
        _since("created_at"),
        _since("seen_at"),
        sa.Column("ends_at", UtcDateTime, nullable=False),
        sa.Column("revoked_at", UtcDateTime),
        sa.Column("address", sa.Text, nullable=False, server_default=""),
        sa.Column("browser", sa.Text, nullable=False, server_default=""),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name="fk_sessions_person_id"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("secret_hash", name="uq_sessions_secret_hash"),
    )
    op.create_index("ix_sessions_person_id", "sessions", ["person_id"])
    op.create_table(
        "invitations",
        sa.Column("id", Id, nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("person_id", Id),
        _since("created_at"),
        sa.Column("ends_at", UtcDateTime, nullable=False),
        sa.Column("used_at", UtcDateTime),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name="fk_invitations_person_id"),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
        sa.UniqueConstraint("secret_hash", name="uq_invitations_secret_hash"),
    )
    op.create_index("ix_invitations_person_id", "invitations", ["person_id"])
    op.create_table(
        "tries",
        sa.Column("id", Id, nullable=False),
        sa.Column("bucket", sa.String(64), nullable=False),
        _since("at"),
        sa.PrimaryKeyConstraint("id", name="pk_tries"),
    )
    op.create_index("ix_tries_bucket", "tries", ["bucket", "at"])
    op.create_index("ix_tries_at", "tries", ["at"])
