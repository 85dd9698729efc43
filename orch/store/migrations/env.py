"""How Alembic runs orch's migrations: on the connection handed over by `orch.store.revisions`."""

from __future__ import annotations

from alembic import context

from orch.store.schema import metadata


def run() -> None:
    """Run the wanted migrations in one transaction on the given connection."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",  # SQLite has hardly any ALTER
        transaction_per_migration=False,
    )
    context.run_migrations()


run()
