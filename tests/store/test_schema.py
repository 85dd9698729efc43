"""The schema: how it comes about, what fills itself in, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError, StatementError

from orch.errors import LostRace, SchemaMismatch
from orch.store import indexes, revisions
from orch.store.moments import DATABASE_TIME, at, later
from orch.store.schema import (
    HAND_WRITTEN,
    LAW,
    job_deps,
    jobs,
    metadata,
    repo_freeze,
    repos,
    tasks,
    wakes,
)
from orch.store.session import Store
from tests import services
from tests.factories import Rig

A, B = "A-1", "B-2"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store on a database in which there is nothing."""
    if request.param == "sqlite":
        opened = Store(f"sqlite:///{tmp_path / 'empty.db'}")
        yield opened
        opened.dispose()
        return
    server = request.getfixturevalue("postgres_url")
    url = services.create_database(server)
    opened = Store(url)
    yield opened
    opened.dispose()
    services.drop_database(server, url)


# --- revisions


# SQLAlchemy cannot read an index on an expression back from SQLite; PostgreSQL tells.
UNREAD = pytest.mark.filterwarnings(
    "ignore:Skipped unsupported reflection", "ignore:autogenerate skipping"
)


@UNREAD
@pytest.mark.parametrize("first", [None, *revisions.all_revisions()])
def test_a_database_comes_up_to_date_from_nothing_and_from_every_revision(
    empty_store: Store, first: str | None
) -> None:
    if first is not None:
        assert revisions.upgrade(empty_store, first) == first
    assert revisions.upgrade(empty_store) == revisions.newest()
    revisions.require_current(empty_store)
    with empty_store.reader.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn), metadata) == []


def test_upgrading_again_changes_nothing(rig: Rig) -> None:
    rig.task(A)
    before = rig.row(A)
    assert revisions.upgrade(rig.store) == revisions.newest()
    assert rig.row(A) == before


@UNREAD
def test_indexes_of_the_database_are_those_of_the_tables(rig: Rig) -> None:
    known = inspect(rig.store.reader)
    for table in metadata.tables.values():
        found = known.get_indexes(table.name)
        given = {each["name"] for each in found if not each.get("duplicates_constraint")}
        unread = {"ix_tasks_started"} if rig.store.is_sqlite else set()
        assert given | unread >= {index.name for index in table.indexes}, table.name
        assert given <= {index.name for index in table.indexes}, table.name


def test_migrations_and_tables_define_the_same_indexes_with_the_same_words(
    empty_store: Store,
) -> None:
    empty_store.write(metadata.create_all)
    from_tables = index_definitions(empty_store)
    empty_store.write(metadata.drop_all)
    revisions.upgrade(empty_store)
    assert index_definitions(empty_store) == from_tables


def index_definitions(store: Store) -> dict[str, str]:
    ask = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        if store.is_sqlite
        else "SELECT indexname, indexdef FROM pg_indexes WHERE tablename <> 'alembic_version' "
        "AND schemaname = 'public'"
    )
    rows = store.read(lambda conn: conn.execute(text(ask)).tuples().all())
    # Parentheses make no difference, words do: by them SQLite knows its partial indexes.
    return {name: re.sub(r"[()\s]+", " ", told).strip() for name, told in rows}


def test_the_doctor_finds_an_index_that_is_gone_or_made_over_other_rows(
    empty_store: Store,
) -> None:
    revisions.upgrade(empty_store)
    assert indexes.faults(empty_store) == []

    def spoil(conn: Connection) -> None:
        conn.execute(text("DROP INDEX ix_jobs_queued"))
        conn.execute(text(f"DROP INDEX {LAW}"))
        law = f"CREATE UNIQUE INDEX {LAW} ON jobs (repo) WHERE status = 'running'"
        conn.execute(text(law))

    empty_store.write(spoil)
    gone, other = indexes.faults(empty_store)
    assert gone == "the index ix_jobs_queued is missing"
    assert other.startswith(f"the index {LAW} is not as this orch makes it: CREATE UNIQUE INDEX")


def test_checks_of_the_database_are_those_of_the_tables(rig: Rig) -> None:
    for table in metadata.tables.values():
        found = inspect(rig.store.reader).get_check_constraints(table.name)
        wanted = [each for each in table.constraints if isinstance(each, CheckConstraint)]
        assert len(found) == len(wanted), table.name


def mismatch(store: Store) -> SchemaMismatch:
    with pytest.raises(SchemaMismatch) as refused:
        revisions.require_current(store)
    return refused.value


def test_an_empty_database_is_refused_with_the_way_out(empty_store: Store) -> None:
    error = mismatch(empty_store)
    assert revisions.newest() in error.message
    assert error.suggested_fix == "Run `orch db upgrade`."


def test_a_database_behind_is_refused_naming_both(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = revisions.newest()
    monkeypatch.setattr(revisions, "newest", lambda: "9999")
    error = mismatch(rig.store)
    assert error.facts == {"found": found, "needed": "9999"}
    assert f"revision {found}, behind this orch, which needs 9999" in error.message


def test_a_database_ahead_is_refused_naming_both_and_not_downgraded(breakable: Rig) -> None:
    ahead = text("UPDATE alembic_version SET version_num = '9999'")
    breakable.store.write(lambda conn: conn.execute(ahead))
    error = mismatch(breakable.store)
    assert f"9999, ahead of this orch, which needs {revisions.newest()}" in error.message
    with pytest.raises(SchemaMismatch):
        revisions.upgrade(breakable.store)


# --- what other programs write


def by_hand(rig: Rig) -> None:
    """One row of each table, with the columns promised and nothing else."""
    now = rig.clock()
    task = {"plane_id": "p-1", "repo": "app", "branch": "b", "stage": "analysis", "title": "t"}
    rows: list[tuple[Any, dict[str, Any]]] = [
        (tasks, {**task, "work_item_id": A}),
        (tasks, {**task, "work_item_id": B, "plane_id": "p-2", "repo": "lib"}),
        (jobs, {"agent": "analyst", "repo": "app", "status": "queued", "task_id": 1}),
        (jobs, {"agent": "analyst", "repo": "lib", "status": "running", "task_id": 2}),
        (job_deps, {"task_id": 1, "depends_on_task_id": 2}),
        (repo_freeze, {"repo": "app", "frozen_at": now, "cleared_at": now}),
    ]
    for table, row in rows:
        assert set(row) <= set(HAND_WRITTEN[table.name])
        columns = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        statement = text(f"INSERT INTO {table.name} ({columns}) VALUES ({marks})")  # noqa: S608
        bound = {key: text_of(rig, value) for key, value in row.items()}
        execute(rig, statement, bound)


def execute(rig: Rig, statement: Any, bound: dict[str, object]) -> None:
    rig.store.write(lambda conn: conn.execute(statement, bound))


def text_of(rig: Rig, value: object) -> object:
    if isinstance(value, datetime) and rig.store.is_sqlite:
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return value


def test_rows_written_by_hand_take_part(rig: Rig) -> None:
    by_hand(rig)
    rig.clock.now = datetime(2100, 1, 1, tzinfo=UTC)
    assert rig.reasons() == {A: "dependency"}
    assert rig.why(B)["state"] == "running"
    rig.workers()
    assert rig.tick().reaped == 1
    assert rig.job(B)["status"] == "claimed"
    rig.order("undepend", A, on=B)
    assert rig.claimable() == {A}


@pytest.mark.parametrize("name", HAND_WRITTEN)
def test_every_other_column_fills_itself_in(name: str) -> None:
    table = metadata.tables[name]
    silent = [
        column.name
        for column in table.columns
        if column.name not in HAND_WRITTEN[name]
        and not (column.nullable or column.server_default or column.primary_key)
    ]
    assert silent == []
    assert set(HAND_WRITTEN[name]) <= set(table.columns.keys())


def test_a_repo_never_heard_of_gets_its_row_from_a_task_and_from_a_job(rig: Rig) -> None:
    by_hand(rig)
    names = rig.store.read(lambda conn: list(conn.scalars(select(repos.c.name))))
    assert sorted(names) == ["app", "lib"]
    other = insert(jobs).values(agent="analyst", repo="third", task_id=1, status="failed")
    rig.store.write(lambda conn: conn.execute(other))
    assert "third" in rig.store.read(lambda conn: list(conn.scalars(select(repos.c.name))))


# --- what it refuses


def second_live(rig: Rig, **more: Any) -> Any:
    rig.task(A, job="running")
    other = rig.task(B, job=None)
    row = {"agent": "analyst", "repo": "app", "task_id": other, "status": "claimed"} | more
    added = insert(jobs).values(**row).returning(jobs.c.id)
    return rig.store.write(lambda conn: conn.scalar(added))


def test_the_law_refuses_a_second_live_serialised_job_of_a_repo(rig: Rig) -> None:
    assert LAW in {index.name for index in jobs.indexes}
    with pytest.raises(LostRace):
        second_live(rig)


@pytest.mark.parametrize(
    "more", [{"serialised": False}, {"status": "queued"}, {"status": "succeeded"}]
)
def test_the_law_says_nothing_of_other_jobs(rig: Rig, more: dict[str, Any]) -> None:
    assert second_live(rig, **more) > 0


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("jobs", {"agent": "a", "repo": "app", "task_id": 1, "status": "asleep"}),
        ("jobs", {"agent": "a", "repo": "app", "task_id": 1, "status": "claimed"}),
        ("jobs", {"agent": "a", "repo": "app", "task_id": 99}),
        ("tasks", {"work_item_id": A, "repo": "app"}),
        ("job_deps", {"task_id": 1, "depends_on_task_id": 1}),
        ("job_deps", {"task_id": 1, "depends_on_task_id": 99}),
        ("wakes", {"repo": "nowhere"}),
    ],
)
def test_rows_that_mean_nothing_are_refused(rig: Rig, table: str, row: dict[str, Any]) -> None:
    rig.task(A)
    statement = insert(metadata.tables[table]).values(**row)
    with pytest.raises(IntegrityError):
        rig.store.write(lambda conn: conn.execute(statement))


def test_two_active_freezes_of_one_name_are_refused(rig: Rig) -> None:
    rig.order("freeze", "app")
    with pytest.raises(IntegrityError):
        rig.store.write(lambda conn: conn.execute(insert(repo_freeze).values(repo="app")))


# --- times


@pytest.mark.parametrize("hours", [-12, 0, 5.5, 14])
def test_a_time_comes_back_as_the_same_moment_in_utc(rig: Rig, hours: float) -> None:
    zone = timezone(timedelta(hours=hours))
    rig.task(A, created_at=datetime(2026, 3, 1, 1, 2, 3, 456789, tzinfo=zone))
    found = rig.row(A)["created_at"]
    assert found == datetime(2026, 3, 1, 1, 2, 3, 456789, tzinfo=zone)
    assert found.tzinfo is UTC


def test_a_time_without_a_zone_is_refused(rig: Rig) -> None:
    with pytest.raises(StatementError, match="carries no time zone"):
        rig.task(A, created_at=datetime(2026, 3, 1))  # noqa: DTZ001 - that is the point


def test_times_are_compared_as_times_across_midnight_and_fractions(rig: Rig) -> None:
    edge = datetime(2026, 2, 28, 23, 59, 59, 999999, tzinfo=UTC)
    rig.task(A, created_at=edge)
    just_after = edge + timedelta(microseconds=1)
    before_edge, before_next = rig.store.read(
        lambda conn: conn.execute(
            select(tasks.c.created_at < at(edge), tasks.c.created_at < at(just_after))
        ).one()
    )
    assert (bool(before_edge), bool(before_next)) == (False, True)


def test_the_databases_own_clock_counts_like_any_other(rig: Rig) -> None:
    rig.task(A)
    rig.store.write(lambda conn: conn.execute(insert(wakes).values(repo="app")))
    sooner, now, after = rig.store.read(
        lambda conn: tuple(
            conn.execute(
                select(later(DATABASE_TIME, -30), at(DATABASE_TIME), later(DATABASE_TIME, 90.5))
            ).one()
        )
    )
    assert now.tzinfo is UTC
    assert timedelta(seconds=29) < now - sooner < timedelta(seconds=31)
    assert timedelta(seconds=90) < after - now < timedelta(seconds=91)
    marked = rig.store.read(lambda conn: conn.scalar(select(wakes.c.wake_at)))
    assert abs(now - marked) < timedelta(seconds=60)
