"""The waiting ledger

Revision 0005, after 0004: what each task waited for, one spell after the other.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from orch.store.moments import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Two tables of their own; nothing that is there is touched."""
    op.create_table(
        "waits",
        sa.Column("id", Id, nullable=False),
        sa.Column("task_id", Id, nullable=False),
        sa.Column("job_id", Id),
        sa.Column("repo", sa.String(200), nullable=False),
        sa.Column("stage", sa.String(32), nullable=False),
        sa.Column("agent", sa.String(64)),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("since", UtcDateTime, nullable=False),
        sa.Column("until", UtcDateTime),
        sa.Column("due_at", UtcDateTime),
        sa.Column("blocker_id", Id),
        sa.Column("blocker", sa.Text),
        sa.CheckConstraint("until IS NULL OR until >= since", name="forwards"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_waits")),
    )
    _index("uq_waits_open_per_task", "task_id", where="until IS NULL", unique=True)
    _index("ix_waits_open_repo", "repo", "reason", where="until IS NULL")
    _index("ix_waits_open_agent", "agent", "reason", where="until IS NULL")
    _index("ix_waits_due", "due_at", where="until IS NULL AND due_at IS NOT NULL")
    _index("ix_waits_task", "task_id", "until")
    _index("ix_waits_until", "until")
    _index("ix_waits_repo", "repo", "until")
    op.create_table(
        "waits_cursor",
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("event_id", Id, nullable=False, server_default=sa.text("0")),
        sa.Column("began_at", UtcDateTime),
        sa.Column("looked_at", UtcDateTime),
        sa.Column("detail", sa.JSON, nullable=False, server_default="{}"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_waits_cursor")),
    )


def _index(name: str, *columns: str, where: str = "", unique: bool = False) -> None:
    partial: dict[str, Any] = {}
    if where:
        partial = {"postgresql_where": sa.text(where), "sqlite_where": sa.text(where)}
    op.create_index(name, "waits", list(columns), unique=unique, **partial)
