"""Schema revisions: bringing a database up to date, and refusing one that is behind or ahead."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, column, func, inspect, select, table

from orch.errors import SchemaMismatch
from orch.store.session import Store

if TYPE_CHECKING:
    from alembic.config import Config

_FOLDER: Final = Path(__file__).parent / "migrations"
_UPGRADE_LOCK: Final = 0x6F726369
_VERSION: Final = table("alembic_version")


def _config() -> Config:
    # Alembic is loaded where it is used: most programs only ask which revision there is.
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def all_revisions() -> list[str]:
    """Every revision, oldest first: each is the number its file's name begins with."""
    return sorted(path.name.partition("_")[0] for path in _FOLDER.glob("versions/[0-9]*_*.py"))


def newest() -> str:
    """The revision this version of orch works with."""
    known = all_revisions()
    if not known:
        raise SchemaMismatch("This installation of orch holds no migrations.")
    return known[-1]


def current(store: Store) -> str | None:
    """The revision of the database; None for an empty one. Raises StoreUnavailable."""

    def look(conn: Connection) -> str | None:
        if not inspect(conn).has_table("alembic_version"):
            return None
        found: str | None = conn.scalar(select(column("version_num")).select_from(_VERSION))
        return found

    return store.read(look)


def upgrade(store: Store, revision: str = "head") -> str:
    """Bring the database to a revision, from empty or from any earlier one; the revision after.

    Raises SchemaMismatch for a database from a newer orch.
    """
    from alembic import command

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
