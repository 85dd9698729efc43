"""Landings by repo

Revision 0007, after 0006: what landed in a repo is found without reading all jobs.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add an index that only the jobs of a landing stage write to, when they end."""
    landed = sa.text("stage IN ('deploy') AND finished_at IS NOT NULL")
    op.create_index(
        "ix_jobs_landed",
        "jobs",
        ["repo", "id"],
        postgresql_where=landed,
        sqlite_where=landed,
    )
