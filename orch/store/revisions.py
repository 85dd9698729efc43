"""Schema revisions: bringing a database up to date, and refusing one that is behind or ahead."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import OperationalError

from orch.errors import SchemaMismatch, StoreUnavailable
from orch.store.session import Store

_FOLDER: Final = Path(__file__).parent / "migrations"
_UPGRADE_LOCK: Final = 0x6F726369


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def newest() -> str:
    """The revision this version of orch works with."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise SchemaMismatch("This installation of orch holds no migrations.")
    return head


def all_revisions() -> list[str]:
    """Every revision, oldest first."""
    script = ScriptDirectory.from_config(_config())
    return [each.revision for each in reversed(list(script.walk_revisions()))]


def current(store: Store) -> str | None:
    """The revision of the database; None for an empty one. Raises StoreUnavailable."""
    try:
        return store.read(lambda conn: MigrationContext.configure(conn).get_current_revision())
    except OperationalError as error:
        raise StoreUnavailable(f"The task store does not answer: {error.orig}") from error


def upgrade(store: Store, revision: str = "head") -> str:
    """Bring the database to a revision, from empty or from any earlier one; the revision after.

    Raises SchemaMismatch for a database from a newer orch.
    """
    found = current(store)
    if found is not None and found not in all_revisions():
        raise _mismatch(found, "ahead of")

    def run(conn: Connection) -> None:
        if conn.dialect.name == "postgresql":
            conn.execute(select(func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
        config = _config()
        config.attributes["connection"] = conn
        command.upgrade(config, revision)

    store.write(run)
    return current(store) or ""


def upgrade_url(url: str) -> None:
    """Bring the database at a URL up to date."""
    store = Store(url)
    try:
        upgrade(store)
    finally:
        store.dispose()


def require_current(store: Store) -> None:
    """Raise SchemaMismatch, naming both revisions, unless the schema is exactly this version's."""
    found = current(store)
    if found == newest():
        return
    if found is None:
        raise SchemaMismatch(
            f"The database has no schema yet; this orch needs revision {newest()}.",
            suggested_fix="Run `orch db upgrade`.",
        )
    raise _mismatch(found, "behind" if found in all_revisions() else "ahead of")


def _mismatch(found: str, how: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"The database is at revision {found}, {how} this orch, which needs {newest()}.",
        suggested_fix="Run `orch db upgrade`."
        if how == "behind"
        else "Start the newer orch that this database belongs to.",
        found=found,
        needed=newest(),
    )
