"""What a tick asks before it does anything: is there work of any kind, and where."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Select, and_, delete, exists, literal, select, union_all
from sqlalchemy.engine import RowMapping

from orch.serial_gate import Gate
from orch.store import ledger
from orch.store.claims import candidates, overdue
from orch.store.moments import Moment, at, later
from orch.store.schema import LIVE, QUEUED, jobs, repo_freeze, repos, tasks, wakes


@dataclass(frozen=True)
class Due:
    """Which kinds of work wait at this moment. All false: the tick changes nothing."""

    woken: bool
    overdue: bool
    ready: bool
    pauses: bool
    freezes: bool

    def __bool__(self) -> bool:
        return self.woken or self.overdue or self.ready or self.pauses or self.freezes


def due(conn: Connection, now: Moment) -> Due:
    """Ask for everything in one round trip; each part is one probe of a small index."""
    moment = at(now)
    row = conn.execute(
        select(
            exists(select(wakes.c.id).where(wakes.c.wake_at <= moment)),
            exists(select(jobs.c.id).where(LIVE, jobs.c.lease_until < moment))
            | exists(select(jobs.c.id).where(LIVE, jobs.c.lease_until.is_(None))),
            exists(select(jobs.c.id).where(QUEUED, jobs.c.ready_at.is_not(None))),
            exists(select(tasks.c.id).where(tasks.c.paused_until <= moment)),
            exists(
                select(repo_freeze.c.id).where(
                    repo_freeze.c.cleared_at.is_(None), repo_freeze.c.expires_at <= moment
                )
            ),
        )
    ).one()
    return Due(*map(bool, row))


def woken_repos(conn: Connection, now: Moment, most: int) -> list[str]:
    """Repos marked to be looked at by now, longest marked first; at most `most` marks are read."""
    marks = conn.scalars(
        select(wakes.c.repo).where(wakes.c.wake_at <= at(now)).order_by(wakes.c.wake_at).limit(most)
    )
    return list(dict.fromkeys(marks))


def clear_wakes(conn: Connection, names: list[str], now: Moment) -> None:
    """Take away the marks that are due of repos whose locks the caller holds."""
    conn.execute(delete(wakes).where(wakes.c.repo.in_(names), wakes.c.wake_at <= at(now)))


def repos_of_ready_jobs(conn: Connection, slots: dict[str, int]) -> list[str]:
    """Repos of the oldest jobs that only lacked a slot: as many per agent as slots are free now."""
    free = sorted((agent, count) for agent, count in slots.items() if count > 0)
    if not free:
        return []
    oldest = [_oldest_ready(agent, count) for agent, count in free]
    return list(dict.fromkeys(conn.scalars(union_all(*oldest))))


def _oldest_ready(agent: str, most: int) -> Select[tuple[str]]:
    inner = (
        select(jobs.c.repo)
        .where(QUEUED, jobs.c.ready_at.is_not(None), jobs.c.agent == agent)
        .order_by(jobs.c.task_id)
        .limit(most)
        .subquery()
    )
    return select(inner.c.repo)


def overdue_jobs(conn: Connection, now: Moment, lease: float, most: int = 100) -> list[RowMapping]:
    """Live jobs whose lease is over, oldest lease first, with their task's stage and pause."""
    columns = (*jobs.c, tasks.c.stage.label("task_stage"), tasks.c.work_item_id)
    statement = (
        select(*columns)
        .join(tasks, tasks.c.id == jobs.c.task_id)
        .where(overdue(now, lease))
        .order_by(jobs.c.lease_until)
        .limit(most)
    )
    return list(conn.execute(statement).mappings())


def expired_pauses(conn: Connection, now: Moment) -> list[int]:
    """Tasks whose pause was given an end that has come."""
    return list(conn.scalars(select(tasks.c.id).where(tasks.c.paused_until <= at(now)).limit(500)))


def repos_after(conn: Connection, name: str, most: int) -> list[str]:
    """The next repos by name: how the full sweep walks all of them in short transactions."""
    return list(
        conn.scalars(
            select(repos.c.name).where(repos.c.name > name).order_by(repos.c.name).limit(most)
        )
    )


def unmarked_openings(
    conn: Connection, gate: Gate, names: list[str], now: Moment, grace: float = 0
) -> list[str]:
    """Repos among these with a job that may start and no mark or note that would lead to it.

    `grace` seconds are left to marks that were only just taken away.
    """
    unmarked = and_(
        jobs.c.ready_at.is_(None),
        jobs.c.available_at <= later(now, -grace),
        ~exists(select(literal(1)).where(wakes.c.repo == repos.c.name)),
    )
    statement = candidates(gate, now, repos.c.name).where(unmarked).distinct()
    return list(conn.scalars(statement, {"repos": names}))


def mend(conn: Connection, names: list[str], now: Moment) -> None:
    """Mark repos that a full sweep found unmarked, and count them."""
    if names:
        ledger.wake(conn, now, names)
        ledger.count(conn, "sweep_mended", amount=len(names))
