"""The first schema

Revision 0001, the first.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from orch.store.moments import DATABASE_TIME, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# Programs that write tasks and jobs by hand do not write `repos`; every repo needs its lock row.
BY_DIALECT = {
    "postgresql": (
        """CREATE FUNCTION orch_know_repo() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS (SELECT 1 FROM repos WHERE name = NEW.repo) THEN
                INSERT INTO repos (name) VALUES (NEW.repo) ON CONFLICT DO NOTHING;
            END IF;
            RETURN NEW;
        END $$""",
        """CREATE TRIGGER tasks_know_repo BEFORE INSERT ON tasks
        FOR EACH ROW EXECUTE FUNCTION orch_know_repo()""",
        """CREATE TRIGGER jobs_know_repo BEFORE INSERT ON jobs
        FOR EACH ROW EXECUTE FUNCTION orch_know_repo()""",
        # Rows of these change state often and are found by partial index: dead ones must go soon.
        "ALTER TABLE jobs SET (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 85)",
        "ALTER TABLE wakes SET (autovacuum_vacuum_scale_factor = 0, "
        "autovacuum_vacuum_threshold = 1000)",
    ),
    "sqlite": (
        """CREATE TRIGGER tasks_know_repo BEFORE INSERT ON tasks
        BEGIN INSERT OR IGNORE INTO repos (name) VALUES (NEW.repo); END""",
        """CREATE TRIGGER jobs_know_repo BEFORE INSERT ON jobs
        BEGIN INSERT OR IGNORE INTO repos (name) VALUES (NEW.repo); END""",
    ),
}


def where(predicate: str) -> dict[str, Any]:
    """The predicate of a partial index, for both databases."""
    # SQLite uses the index only where a query says the same words, and a query says `= 1`.
    on_sqlite = predicate.replace("is_glob", "is_glob = 1").replace("serialised", "serialised = 1")
    return {"postgresql_where": sa.text(predicate), "sqlite_where": sa.text(on_sqlite)}


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "agents",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=DATABASE_TIME, nullable=False),
        sa.Column("suspended_until", UtcDateTime(), nullable=True),
        sa.Column("suspended_reason", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_agents")),
    )
    op.create_table(
        "beats",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("at", UtcDateTime(), server_default=DATABASE_TIME, nullable=False),
        sa.Column("detail", sa.JSON(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_beats")),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("label", sa.String(length=80), server_default="", nullable=False),
        sa.Column("value", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("name", "label", name=op.f("pk_counters")),
    )
    op.create_table(
        "events",
        sa.Column("id", Id, nullable=False),
        sa.Column("at", UtcDateTime(), server_default=DATABASE_TIME, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("task_id", Id, nullable=True),
        sa.Column("job_id", Id, nullable=True),
        sa.Column("repo", sa.String(length=200), nullable=True),
        sa.Column("actor", sa.Text(), server_default="orch", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("from_state", sa.String(length=32), nullable=True),
        sa.Column("to_state", sa.String(length=32), nullable=True),
        sa.Column("data", sa.JSON(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_task_id", "events", ["task_id", "id"], unique=False)
    op.create_table(
        "repos",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=DATABASE_TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_repos")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=DATABASE_TIME, nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_tokens_token_hash")),
    )
    op.create_table(
        "workers",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("queue", sa.String(length=80), nullable=False),
        sa.Column("concurrency", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("version", sa.String(length=32), server_default="", nullable=False),
        sa.Column("started_at", UtcDateTime(), server_default=DATABASE_TIME, nullable=False),
        sa.Column("heartbeat_at", UtcDateTime(), server_default=DATABASE_TIME, nullable=False),
        sa.Column("stopped_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workers")),
    )
    op.create_table(
        "tasks",
        sa.Column("id", Id, nullable=False),
        sa.Column("plane_id", sa.String(length=64), nullable=True),
        sa.Column("work_item_id", sa.String(length=64), nullable=False),
        sa.Column("repo", sa.String(length=200), nullable=False),
        sa.Column("branch", sa.Text(), server_default="", nullable=False),
        sa.Column("stage", sa.String(length=32), server_default="created", nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("track", sa.String(length=32), server_default="full", nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=DATABASE_TIME, nullable=False),
        sa.Column("rank", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("admitted_at", UtcDateTime(), nullable=True),
        sa.Column("paused_at", UtcDateTime(), nullable=True),
        sa.Column("paused_by", sa.Text(), nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column("paused_until", UtcDateTime(), nullable=True),
        sa.Column("reworks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["repo"], ["repos.name"], name=op.f("fk_tasks_repo")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.UniqueConstraint("plane_id", name=op.f("uq_tasks_plane_id")),
        sa.UniqueConstraint("work_item_id", name=op.f("uq_tasks_work_item_id")),
    )
    if op.get_bind().dialect.name == "postgresql":
        # Room on each page for the next version of a row whose indexed columns stay.
        op.execute("ALTER TABLE tasks SET (fillfactor = 80)")
    op.create_index(
        "ix_tasks_line",
        "tasks",
        ["repo", "rank", "id"],
        unique=False,
        **where("stage IN ('created', 'analysis')"),
    )
    op.create_index(
        "ix_tasks_paused", "tasks", ["repo", "id"], unique=False, **where("paused_at IS NOT NULL")
    )
    op.create_index(
        "ix_tasks_paused_until",
        "tasks",
        ["paused_until"],
        unique=False,
        **where("paused_until IS NOT NULL"),
    )
    op.create_index(
        "ix_tasks_started",
        "tasks",
        ["repo", "id"],
        unique=False,
        **where("stage NOT IN ('created', 'analysis', 'done', 'cancelled')"),
    )
    op.create_table(
        "wakes",
        sa.Column("id", Id, nullable=False),
        sa.Column("repo", sa.String(length=200), nullable=False),
        sa.Column("wake_at", UtcDateTime(), server_default=DATABASE_TIME, nullable=False),
        sa.ForeignKeyConstraint(["repo"], ["repos.name"], name=op.f("fk_wakes_repo")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wakes")),
    )
    op.create_index("ix_wakes_repo", "wakes", ["repo"], unique=False)
    op.create_index("ix_wakes_wake_at", "wakes", ["wake_at"], unique=False)
    op.create_table(
        "job_deps",
        sa.Column("task_id", Id, nullable=False),
        sa.Column("depends_on_task_id", Id, nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=DATABASE_TIME, nullable=False),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("task_id <> depends_on_task_id", name=op.f("ck_job_deps_not_itself")),
        sa.ForeignKeyConstraint(
            ["depends_on_task_id"], ["tasks.id"], name=op.f("fk_job_deps_depends_on_task_id")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_job_deps_task_id")),
        sa.PrimaryKeyConstraint("task_id", "depends_on_task_id", name=op.f("pk_job_deps")),
    )
    op.create_index(
        "ix_job_deps_depends_on_task_id", "job_deps", ["depends_on_task_id"], unique=False
    )
    op.create_table(
        "jobs",
        sa.Column("id", Id, nullable=False),
        sa.Column("agent", sa.String(length=64), nullable=False),
        sa.Column("repo", sa.String(length=200), nullable=False),
        sa.Column("task_id", Id, nullable=False),
        sa.Column("stage", sa.String(length=32), nullable=True),
        sa.Column("status", sa.String(length=16), server_default="queued", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("payload", sa.JSON(), server_default="{}", nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=DATABASE_TIME, nullable=False),
        sa.Column("available_at", UtcDateTime(), server_default=DATABASE_TIME, nullable=False),
        sa.Column("ready_at", UtcDateTime(), nullable=True),
        sa.Column("serialised", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("claim_token", sa.String(length=64), nullable=True),
        sa.Column("claimed_at", UtcDateTime(), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("stop_requested", sa.String(length=16), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("failure", sa.String(length=32), nullable=True),
        sa.Column("verdict", sa.String(length=16), nullable=True),
        sa.Column("summary", sa.Text(), server_default="", nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("usage", sa.JSON(), server_default="{}", nullable=False),
        sa.Column("log_path", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status IN ('queued', 'claimed', 'running', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_jobs_status"),
        ),
        sa.ForeignKeyConstraint(["repo"], ["repos.name"], name=op.f("fk_jobs_repo")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_jobs_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(
        "ix_jobs_lease",
        "jobs",
        ["lease_until"],
        unique=False,
        **where("status IN ('claimed', 'running') AND lease_until IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_leaseless",
        "jobs",
        ["lease_until"],
        unique=False,
        **where("status IN ('claimed', 'running') AND lease_until IS NULL"),
    )
    op.create_index(
        "ix_jobs_live",
        "jobs",
        ["repo", "task_id", "agent"],
        unique=False,
        **where("status IN ('claimed', 'running')"),
    )
    op.create_index(
        "ix_jobs_queued",
        "jobs",
        ["repo", "task_id", "created_at"],
        unique=False,
        **where("status = 'queued'"),
    )
    op.create_index(
        "ix_jobs_ready",
        "jobs",
        ["agent", "task_id"],
        unique=False,
        **where("status = 'queued' AND ready_at IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_ready_repo",
        "jobs",
        ["repo", "id"],
        unique=False,
        **where("status = 'queued' AND ready_at IS NOT NULL"),
    )
    op.create_index("ix_jobs_task", "jobs", ["task_id", "id"], unique=False)
    op.create_index(
        "uq_jobs_live_per_repo",
        "jobs",
        ["repo"],
        unique=True,
        **where("status IN ('claimed', 'running') AND serialised"),
    )
    op.create_index(
        "uq_jobs_open_per_task",
        "jobs",
        ["task_id"],
        unique=True,
        **where("status IN ('queued', 'claimed', 'running')"),
    )
    op.create_table(
        "repo_freeze",
        sa.Column("id", Id, nullable=False),
        sa.Column("repo", sa.String(length=200), nullable=False),
        sa.Column("frozen_at", UtcDateTime(), server_default=DATABASE_TIME, nullable=False),
        sa.Column("cleared_at", UtcDateTime(), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("allow_task_id", Id, nullable=True),
        sa.Column("cleared_by", sa.Text(), nullable=True),
        sa.Column("cleared_reason", sa.Text(), nullable=True),
        sa.Column(
            "is_glob",
            sa.Boolean(),
            sa.Computed("replace(replace(repo, '*', ''), '?', '') <> repo", persisted=True),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(
            ["allow_task_id"], ["tasks.id"], name=op.f("fk_repo_freeze_allow_task_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repo_freeze")),
    )
    op.create_index(
        "ix_repo_freeze_expires",
        "repo_freeze",
        ["expires_at"],
        unique=False,
        **where("cleared_at IS NULL"),
    )
    op.create_index(
        "ix_repo_freeze_glob",
        "repo_freeze",
        ["is_glob"],
        unique=False,
        **where("cleared_at IS NULL AND is_glob"),
    )
    op.create_index(
        "uq_repo_freeze_active", "repo_freeze", ["repo"], unique=True, **where("cleared_at IS NULL")
    )
    for statement in BY_DIALECT[op.get_bind().dialect.name]:
        op.execute(sa.text(statement))
