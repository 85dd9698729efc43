"""Databases of the measurements' own, filled by a few bulk statements and dropped afterwards."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import psycopg
from sqlalchemy import bindparam, make_url, text

from bench.measuring import progress
from orch.clock import new_id, utc_now
from orch.line import Limits, Line
from orch.ports import Claim
from orch.stages import AGENTS
from orch.store import fleet, freezes, revisions
from orch.store.moments import DATABASE_TIME, UtcDateTime
from orch.store.session import Store

Kind = Literal["postgres", "sqlite"]
SERVER = os.environ.get("ORCH_BENCH_POSTGRES_URL") or os.environ.get(
    "ORCH_TEST_POSTGRES_URL", "postgresql+psycopg://root@127.0.0.1:5432/postgres"
)
SERIES = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :last) "


@dataclass(frozen=True)
class Backlog:
    """How much waits, in how many repos. In the first `held` of them a job is running; or all but
    the first `free` of them are frozen."""

    waiting: int
    repos: int
    held: int = 0
    free: int = 0

    def name(self, index: str) -> str:
        """SQL for the name of a repo by its number."""
        return f"CASE WHEN {index} < {self.free} THEN 'free' ELSE 'r' END || ({index})"

    def __str__(self) -> str:
        return f"{self.waiting:,} waiting in {self.repos:,} repos"


class Doorbell:
    """Takes every message and keeps none."""

    def publish(self, claims: Sequence[Claim]) -> list[Claim]:
        return []

    def kick(self) -> bool:
        return True

    def reachable(self) -> bool:
        return True


def line_on(store: Store) -> Line:
    """A line as the processes build it, but for the doorbell."""
    return Line(
        store=store,
        queue=Doorbell(),
        now=lambda: DATABASE_TIME,
        new_id=new_id,
        limits=Limits(worker_stale=1e6),
    )


@contextmanager
def database(kind: Kind) -> Iterator[str]:
    """The URL of an empty, migrated database, gone after the block."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="orch-bench-") as folder:
            url = f"sqlite:///{Path(folder) / 'orch.db'}"
            revisions.upgrade_url(url)
            yield url
        return
    name = f"orch_bench_{new_id()}"
    with psycopg.connect(conninfo(SERVER), autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            url = make_url(SERVER).set(database=name).render_as_string(hide_password=False)
            revisions.upgrade_url(url)
            yield url
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def conninfo(url: str) -> str:
    """The same server as psycopg names it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def filled(kind: Kind, backlog: Backlog) -> Iterator[Line]:
    """A line on a database with this backlog, and workers with a hundred slots per agent."""
    with database(kind) as url:
        # Ours and the reference use the same store, so what one commit costs cancels out.
        store = Store(url)
        with progress(f"{kind}: {backlog}"):
            fill(store, backlog)
        yield line_on(store)
        store.dispose()


def fill(store: Store, backlog: Backlog) -> None:
    """Insert the backlog, every job at the entry stage, tasks of all repos in turns."""
    total = backlog.waiting + backlog.held
    with store.writer.begin() as conn:
        if store.is_sqlite:
            conn.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        else:
            conn.exec_driver_sql("SET LOCAL session_replication_role = replica")
        conn.execute(text(_into("repos", {"name": backlog.name("i")})), {"last": backlog.repos - 1})
        tasks = {"id": "i + 1", "work_item_id": "'W-' || i", "repo": _repo(backlog)}
        conn.execute(text(_into("tasks", tasks | {"stage": "'analysis'"})), {"last": total - 1})
        conn.execute(*_jobs(backlog, total))
        if backlog.free:
            freezes.set_repo_freeze(conn, "r*", "not measured", "bench", DATABASE_TIME)
        for agent in AGENTS:
            fleet.register(conn, f"bench-{agent}", f"agent.{agent}", 0, "bench", DATABASE_TIME)
        if not store.is_sqlite:  # the next ids come from counters the statements above went around
            for table in ("tasks", "jobs"):
                conn.exec_driver_sql(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {total})"
                )
    settle(store)


def _repo(backlog: Backlog) -> str:
    # A held repo's running task comes first; then the waiting ones of all repos in turns.
    held, repos = backlog.held, backlog.repos
    return backlog.name(f"(CASE WHEN i < {held} THEN i ELSE (i - {held}) % {repos} END)")


def _into(table: str, columns: dict[str, str]) -> str:
    head = f"INSERT INTO {table} ({', '.join(columns)}) "
    # Text first on SQLite and PostgreSQL alike: the CTE belongs to the SELECT.
    shown = ", ".join(columns.values())
    return head + SERIES + f"SELECT {shown} FROM n"  # noqa: S608 - all from this file


def _jobs(backlog: Backlog, total: int) -> tuple[Any, dict[str, Any]]:
    held = f"CASE WHEN i < {backlog.held} THEN "
    columns = {
        "id": "i + 1",
        "agent": "'analyst'",
        "repo": _repo(backlog),
        "task_id": "i + 1",
        "stage": "'analysis'",
        "status": f"{held}'running' ELSE 'queued' END",
        "claim_token": f"{held}'held' END",
        "lease_until": f"{held}:lease END",
    }
    lease = bindparam("lease", type_=UtcDateTime())
    statement = text(_into("jobs", columns)).bindparams(lease)
    return statement, {"last": total - 1, "lease": utc_now() + timedelta(days=1)}


def slots(line: Line, count: int) -> None:
    """Give every agent this many slots."""
    line.store.write(
        lambda conn: conn.execute(text("UPDATE workers SET concurrency = :c"), {"c": count})
    )


def settle(store: Store) -> None:
    """Statistics and no dead rows, as a database that is looked after would have."""
    if store.is_sqlite:
        with store.writer.begin() as conn:
            conn.exec_driver_sql("ANALYZE")
        return
    with store.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.exec_driver_sql("VACUUM ANALYZE")
