"""Notes by agent

Revision 0002, after 0001: the index of noted jobs is for those who name an agent, and a task finds
room on its own page when its place in the line is written.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index anew, narrower, where the planner is led astray by the wider one."""
    if op.get_bind().dialect.name == "sqlite":
        return
    op.execute("ALTER TABLE tasks SET (fillfactor = 50)")
    op.drop_index("ix_jobs_ready", table_name="jobs")
    op.create_index(
        "ix_jobs_ready",
        "jobs",
        ["agent", "task_id"],
        postgresql_where=sa.text(
            "status = 'queued' AND ready_at IS NOT NULL AND agent IS NOT NULL"
        ),
    )
