"""The pipeline

Revision 0003, after 0002: what a task's change is made of, what a job leaves behind, who lands.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from orch.store.moments import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add columns: each is nullable or fills itself in."""
    op.add_column("repos", sa.Column("landing_job_id", Id))
    op.add_column("repos", sa.Column("landing_until", UtcDateTime))
    op.add_column("tasks", sa.Column("approval", sa.String(32)))
    for name in ("base_sha", "head_sha", "tested_sha", "merge_sha"):
        op.add_column("tasks", sa.Column(name, sa.String(64)))
    op.add_column(
        "tasks", sa.Column("cost_usd", sa.Float, nullable=False, server_default=sa.text("0"))
    )
    op.add_column(
        "tasks", sa.Column("turns", sa.Integer, nullable=False, server_default=sa.text("0"))
    )
    op.add_column("jobs", sa.Column("report", sa.JSON, nullable=False, server_default="{}"))
