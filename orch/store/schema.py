"""The tables, and the constraints that have the last word over every program that writes here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    literal_column,
    text,
    true,
)
from sqlalchemy.sql.elements import ColumnElement

from orch import jobs as job_states
from orch import stages
from orch.store.moments import DATABASE_TIME, UtcDateTime

NAMING: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata: Final = MetaData(naming_convention=NAMING)

Id = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts upwards only in a column declared INTEGER."""


def among(column: ColumnElement[Any], values: Iterable[str]) -> ColumnElement[bool]:
    """`column IN (…)` with literals: SQLite proves a partial index only by its own words."""
    return column.in_([literal_column(f"'{value}'") for value in values])


def beyond(column: ColumnElement[Any], values: Iterable[str]) -> ColumnElement[bool]:
    """`column NOT IN (…)`, with literals for the same reason."""
    return column.not_in([literal_column(f"'{value}'") for value in values])


def _index(name: str, *columns: Any, where: ColumnElement[bool], unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, postgresql_where=where, sqlite_where=where)


def _created() -> Column[Any]:
    return Column("created_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME)


def _words(name: str, default: str = "") -> Column[Any]:
    return Column(name, Text, nullable=False, server_default=default)


repos = Table(
    "repos",
    metadata,
    Column("name", String(200), primary_key=True),
    _created(),
    # The landing lease. No foreign key: jobs refer to repos already.
    Column("landing_job_id", Id),
    Column("landing_until", UtcDateTime),
)

wakes = Table(
    "wakes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("repo", String(200), ForeignKey("repos.name"), nullable=False),
    Column("wake_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Index("ix_wakes_wake_at", "wake_at"),
    Index("ix_wakes_repo", "repo"),
)
"""Repos to look at, and when. Rows are only added and taken away, so marking never waits."""

tasks = Table(
    "tasks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("plane_id", String(64), unique=True),
    Column("work_item_id", String(64), nullable=False, unique=True),
    Column("repo", String(200), ForeignKey("repos.name"), nullable=False),
    _words("branch"),
    Column("stage", String(32), nullable=False, server_default=stages.FIRST),
    _words("title"),
    _words("description"),
    Column("track", String(32), nullable=False, server_default=stages.DEFAULT_TRACK),
    _created(),
    Column("rank", Integer, nullable=False, server_default=text("0")),
    Column("admitted_at", UtcDateTime),
    Column("paused_at", UtcDateTime),
    Column("paused_by", Text),
    Column("paused_reason", Text),
    Column("paused_until", UtcDateTime),
    Column("reworks", Integer, nullable=False, server_default=text("0")),
    Column("finished_at", UtcDateTime),
    Column("approval", String(32)),
    Column("base_sha", String(64)),
    Column("head_sha", String(64)),
    Column("tested_sha", String(64)),
    Column("merge_sha", String(64)),
    Column("cost_usd", Float, nullable=False, server_default=text("0")),
    Column("turns", Integer, nullable=False, server_default=text("0")),
)
_task = tasks.c
_index(
    "ix_tasks_line",
    _task.repo,
    _task.rank,
    _task.id,
    where=among(_task.stage, stages.BEFORE_OR_AT_ENTRY),
)
# Without the place they are ordered by: few have started, and a place that no index holds can be
# written without touching any index.
_index(
    "ix_tasks_started",
    _task.repo,
    _task.id,
    where=beyond(_task.stage, stages.NOT_STARTED_OR_OVER),
)
_index("ix_tasks_paused", _task.repo, _task.id, where=_task.paused_at.is_not(None))
_index("ix_tasks_paused_until", _task.paused_until, where=_task.paused_until.is_not(None))

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("agent", String(64), nullable=False),
    Column("repo", String(200), ForeignKey("repos.name"), nullable=False),
    Column("task_id", Id, ForeignKey("tasks.id"), nullable=False),
    Column("stage", String(32)),
    Column("status", String(16), nullable=False, server_default="queued"),
    Column("attempt", Integer, nullable=False, server_default=text("1")),
    Column("payload", JSON, nullable=False, server_default="{}"),
    _created(),
    Column("available_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("ready_at", UtcDateTime),
    Column("serialised", Boolean, nullable=False, server_default=true()),
    Column("claim_token", String(64)),
    Column("claimed_at", UtcDateTime),
    Column("started_at", UtcDateTime),
    Column("lease_until", UtcDateTime),
    Column("worker", Text),
    Column("stop_requested", String(16)),
    Column("finished_at", UtcDateTime),
    Column("failure", String(32)),
    Column("verdict", String(16)),
    _words("summary"),
    Column("exit_code", Integer),
    Column("usage", JSON, nullable=False, server_default="{}"),
    Column("log_path", Text),
    Column("report", JSON, nullable=False, server_default="{}"),
    CheckConstraint(
        "status IN (" + ", ".join(f"'{state}'" for state in job_states.STATES) + ")", name="status"
    ),
)
_job = jobs.c
LIVE: Final = among(_job.status, job_states.LIVE)
OPEN: Final = among(_job.status, job_states.OPEN)
QUEUED: Final = _job.status == literal_column("'queued'")
# The law beneath the gate: whatever a dispatcher believes, one live serialised job per repo.
LAW: Final = "uq_jobs_live_per_repo"
_index(LAW, _job.repo, where=LIVE & _job.serialised, unique=True)
_index("uq_jobs_open_per_task", _job.task_id, where=OPEN, unique=True)
# The only index that asks no more than LIVE. A second one tempts PostgreSQL, while its statistics
# say that nothing is live, to read all of it for each candidate.
_index("ix_jobs_live", _job.repo, _job.task_id, _job.agent, where=LIVE)
_index("ix_jobs_lease", _job.lease_until, where=LIVE & _job.lease_until.is_not(None))
_index("ix_jobs_leaseless", _job.lease_until, where=LIVE & _job.lease_until.is_(None))
_index("ix_jobs_queued", _job.repo, _job.task_id, _job.created_at, where=QUEUED)
_NOTED = QUEUED & _job.ready_at.is_not(None)
# An agent is always named. To say so keeps the index from those who ask for a repo: PostgreSQL,
# while its statistics say that nothing is noted, would read all of it for each of them.
Index(
    "ix_jobs_ready",
    _job.agent,
    _job.task_id,
    postgresql_where=_NOTED & _job.agent.is_not(None),
    sqlite_where=_NOTED,
)
_index("ix_jobs_ready_repo", _job.repo, _job.id, where=_NOTED)
Index("ix_jobs_task", _job.task_id, _job.id)
LANDED: Final = among(_job.stage, stages.LANDING) & _job.finished_at.is_not(None)
_index("ix_jobs_landed", _job.repo, _job.id, where=LANDED)

job_deps = Table(
    "job_deps",
    metadata,
    Column("task_id", Id, ForeignKey("tasks.id"), primary_key=True),
    Column("depends_on_task_id", Id, ForeignKey("tasks.id"), primary_key=True),
    _created(),
    _words("source"),
    Index("ix_job_deps_depends_on_task_id", "depends_on_task_id"),
    CheckConstraint("task_id <> depends_on_task_id", name="not_itself"),
)

repo_freeze = Table(
    "repo_freeze",
    metadata,
    Column("id", Id, primary_key=True),
    Column("repo", String(200), nullable=False),
    Column("frozen_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("cleared_at", UtcDateTime),
    _words("reason"),
    _words("source"),
    Column("expires_at", UtcDateTime),
    Column("allow_task_id", Id, ForeignKey("tasks.id")),
    Column("cleared_by", Text),
    Column("cleared_reason", Text),
    # Globs are few and must be tried one by one; exact names are found by index.
    Column(
        "is_glob",
        Boolean,
        Computed("replace(replace(repo, '*', ''), '?', '') <> repo", persisted=True),
    ),
)
_freeze = repo_freeze.c
_index("uq_repo_freeze_active", _freeze.repo, where=_freeze.cleared_at.is_(None), unique=True)
_index("ix_repo_freeze_glob", _freeze.is_glob, where=_freeze.cleared_at.is_(None) & _freeze.is_glob)
_index("ix_repo_freeze_expires", _freeze.expires_at, where=_freeze.cleared_at.is_(None))

events = Table(
    "events",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("kind", String(64), nullable=False),
    Column("task_id", Id),
    Column("job_id", Id),
    Column("repo", String(200)),
    _words("actor", "orch"),
    _words("reason"),
    Column("from_state", String(32)),
    Column("to_state", String(32)),
    Column("data", JSON, nullable=False, server_default="{}"),
    Index("ix_events_task_id", "task_id", "id"),
)
"""Append-only: one row for every change, with who, why, from and to. No foreign keys, so that a
row of the ledger never stands in the way of anything."""

agents = Table(
    "agents",
    metadata,
    Column("name", String(64), primary_key=True),
    _created(),
    Column("suspended_until", UtcDateTime),
    _words("suspended_reason"),
)

workers = Table(
    "workers",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("queue", String(80), nullable=False),
    Column("concurrency", Integer, nullable=False, server_default=text("1")),
    Column("version", String(32), nullable=False, server_default=""),
    Column("started_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("heartbeat_at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("stopped_at", UtcDateTime),
)

beats = Table(
    "beats",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("at", UtcDateTime, nullable=False, server_default=DATABASE_TIME),
    Column("detail", JSON, nullable=False, server_default="{}"),
)
"""When beat last rang and when the full sweep last ran; for healthz, read by no rule."""

counters = Table(
    "counters",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("label", String(80), primary_key=True, server_default=""),
    Column("value", Float, nullable=False, server_default=text("0")),
)
"""Rare happenings summed over all processes, for /metrics; no rule reads them."""

tokens = Table(
    "tokens",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(80), nullable=False),
    Column("role", String(16), nullable=False),
    Column("token_hash", String(64), nullable=False, unique=True),
    _created(),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("repos", JSON, nullable=False, server_default="[]"),
)

HAND_WRITTEN: Final[dict[str, Sequence[str]]] = {
    "tasks": ("plane_id", "work_item_id", "repo", "branch", "stage", "title"),
    "jobs": ("agent", "repo", "status", "task_id", "started_at"),
    "job_deps": ("task_id", "depends_on_task_id"),
    "repo_freeze": ("repo", "frozen_at", "cleared_at"),
}
"""Columns other programs may write; every other column of these tables fills itself in."""
