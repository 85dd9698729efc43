"""Notes by agent only

Revision 0002, after 0001: the index of noted jobs is for those who name an agent.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NOTED = "status = 'queued' AND ready_at IS NOT NULL"


def upgrade() -> None:
    """Make the index anew, narrower."""
    where = sa.text(f"{NOTED} AND agent IS NOT NULL")
    op.drop_index("ix_jobs_ready", table_name="jobs")
    op.create_index(
        "ix_jobs_ready",
        "jobs",
        ["agent", "task_id"],
        postgresql_where=where,
        sqlite_where=where,
    )
