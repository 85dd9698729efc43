"""The repos orch knows, with a few words about each."""

from __future__ import annotations

from sqlalchemy import Connection, and_, func, select

from orch import stages
from orch.store.freezes import frozen
from orch.store.ledger import know_repos
from orch.store.moments import Moment
from orch.store.schema import among, repos, tasks
from orch.store.session import Row


def add_repo(conn: Connection, name: str) -> bool:
    """Make a repo known. False if it was."""
    known = conn.scalar(select(repos.c.name).where(repos.c.name == name)) is not None
    know_repos(conn, [name])
    return not known


def repos_listed(conn: Connection, now: Moment) -> list[Row]:
    """Every known repo by name: its open and its parked tasks, and whether it is frozen."""
    is_open = ~among(tasks.c.stage, sorted(stages.TERMINAL))
    statement = (
        select(
            repos.c.name.label("repo"),
            func.count(tasks.c.id).label("open_tasks"),
            func.count(tasks.c.paused_at).label("paused_tasks"),
            frozen(repos.c.name, now).label("frozen"),
            repos.c.created_at,
        )
        .select_from(repos.outerjoin(tasks, and_(tasks.c.repo == repos.c.name, is_open)))
        .group_by(repos.c.name, repos.c.created_at)
        .order_by(repos.c.name)
    )
    return list(conn.execute(statement).mappings())
