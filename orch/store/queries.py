"""What a tick asks before it does anything: is there work of any kind, and where."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import structlog
from sqlalchemy import (
    Boolean,
    Connection,
    Integer,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import DBAPIError

from orch.serial_gate import Gate
from orch.store import ledger
from orch.store.claims import overdue
from orch.store.joined import Joined, Rows
from orch.store.lists import is_any_of
from orch.store.looks import candidates
from orch.store.moments import Moment, at, later
from orch.store.schema import LIVE, QUEUED, agents, jobs, repo_freeze, repos, tasks, wakes
from orch.store.session import is_broken_query

log = structlog.get_logger(__name__)

PASSED_OVER: Final = 32
"""How many of the oldest noted jobs a worker passes over at most, because others look there, on its
way to the one it looks at: as many as may look at the same time."""


@dataclass(frozen=True)
class Due:
    """Which kinds of work wait at this moment. All false: the tick changes nothing."""

    woken: bool
    overdue: bool
    ready: bool
    pauses: bool
    freezes: bool
    suspensions: bool

    @property
    def expired(self) -> bool:
        """Whether something has run out that was given an end."""
        return self.pauses or self.freezes or self.suspensions

    def __bool__(self) -> bool:
        return self.woken or self.overdue or self.ready or self.expired


def due(conn: Connection, now: Moment) -> Due:
    """Ask for everything in one round trip; each part is one probe of a small index.

    When that cannot be read, whatever does not end a pause, freeze or suspension counts as waiting.
    """
    try:
        return Due(*map(bool, conn.execute(_due(now)).one()))
    except DBAPIError as error:
        if not is_broken_query(error):
            raise
        log.warning("tick.blind", error=str(error.orig))
        unread = {"pauses": False, "freezes": False, "suspensions": False}
        return Due(woken=True, overdue=True, ready=True, **unread)


@lru_cache(maxsize=16)
def _due(now: Moment) -> Any:
    moment = at(now)
    return select(
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
        exists(select(agents.c.name).where(agents.c.suspended_until <= moment)),
    )


@dataclass(frozen=True)
class Woken:
    """Marked repos, and whether there may be more of them than were read."""

    marks: dict[int, str]
    """Id and repo of each mark that was read."""
    more: bool

    @property
    def repos(self) -> list[str]:
        """The repos, longest marked first."""
        return list(dict.fromkeys(self.marks.values()))


def woken_repos(conn: Connection, now: Moment, most: int) -> Woken:
    """Repos marked to be looked at by now, longest marked first; at most `most` marks are read."""
    marks = conn.execute(_woken(now), {"most": most + 1}).tuples().all()
    return Woken(dict(marks[:most]), len(marks) > most)


@lru_cache(maxsize=16)
def _woken(now: Moment) -> Any:
    marked = select(wakes.c.id, wakes.c.repo).where(wakes.c.wake_at <= at(now))
    return marked.order_by(wakes.c.wake_at).limit(bindparam("most", type_=Integer))


def count_due_marks(conn: Connection, now: Moment) -> int:
    """How many marks are due in all."""
    counted = select(func.count()).select_from(wakes).where(wakes.c.wake_at <= at(now))
    return conn.execute(counted).scalar_one()


def clear_wakes(conn: Connection, names: list[str], now: Moment) -> None:
    """Take away the marks that are due of repos whose locks the caller holds."""
    conn.execute(_clearing(now), {"names": names})


@lru_cache(maxsize=16)
def _clearing(now: Moment) -> Any:
    return delete(wakes).where(is_any_of(wakes.c.repo, "names"), wakes.c.wake_at <= at(now))


def repos_of_ready_jobs(conn: Connection, slots: dict[str, int]) -> list[str]:
    """Repos of the oldest jobs that only lacked a slot: as many per agent as slots are free now."""
    free = sorted((agent, count) for agent, count in slots.items() if count > 0)
    if not free:
        return []
    oldest = _oldest_ready(tuple(agent for agent, _ in free))
    found = conn.scalars(oldest, {f"slots_{agent}": count for agent, count in free})
    return list(dict.fromkeys(found))


def lock_next_repos(conn: Connection, agent: str, own: str, now: Moment) -> list[str]:
    """Lock the repo of a job that ends, waiting for it, and where its agent may go on: the repo of
    its oldest noted job that nobody else looks at, which is the second one, if there is one.

    None at all when the agent is suspended. The caller must hold no lock: who waits here holds
    nothing that others wait for.
    """
    rows = _next_repos(now).run(conn, {"its_agent": agent, "its_repo": own})
    return [row["name"] for row in rows] if all(row["usable"] for row in rows) else []


@lru_cache(maxsize=16)
def _next_repos(now: Moment) -> Joined:
    suspended = exists(
        select(agents.c.name).where(
            agents.c.name == bindparam("its_agent"), agents.c.suspended_until > at(now)
        )
    )
    oldest = (
        select(jobs.c.repo, jobs.c.task_id)
        .where(QUEUED, jobs.c.ready_at.is_not(None), jobs.c.agent == bindparam("its_agent"))
        .order_by(jobs.c.task_id)
        .limit(PASSED_OVER)
        .subquery()
    )

    def own(_: Rows) -> Any:
        mine = select(repos.c.name, (~suspended).label("usable"))
        return mine.where(repos.c.name == bindparam("its_repo")).with_for_update(key_share=True)

    def other(_: Rows) -> Any:
        elsewhere = select(repos.c.name, literal(True, Boolean).label("usable"))
        elsewhere = elsewhere.join_from(oldest, repos, repos.c.name == oldest.c.repo)
        elsewhere = elsewhere.where(oldest.c.repo != bindparam("its_repo"))
        elsewhere = elsewhere.order_by(oldest.c.task_id).limit(1)
        return elsewhere.with_for_update(key_share=True, skip_locked=True, of=repos)

    return Joined(
        # In this order: the own one is waited for while nothing is held.
        lambda rows: union_all(select(*rows["own"].c), select(*rows["other"].c)),
        own=own,
        other=other,
    )


@lru_cache(maxsize=64)
def _oldest_ready(agents: tuple[str, ...]) -> Any:
    noted = select(jobs.c.repo).where(QUEUED, jobs.c.ready_at.is_not(None))
    each = [
        noted.where(jobs.c.agent == agent)
        .order_by(jobs.c.task_id)
        .limit(bindparam(f"slots_{agent}", type_=Integer))
        .subquery()
        for agent in agents
    ]
    return union_all(*(select(first.c.repo) for first in each))


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


def repos_with_open_jobs(conn: Connection, names: list[str]) -> list[str]:
    """Those of these repos in which something waits or runs, by name."""
    return list(conn.scalars(_BUSY, {"names": names}))


_BUSY: Final = (
    select(repos.c.name)
    .where(
        is_any_of(repos.c.name, "names"),
        exists(select(jobs.c.id).where(jobs.c.repo == repos.c.name, QUEUED))
        | exists(select(jobs.c.id).where(jobs.c.repo == repos.c.name, LIVE)),
    )
    .order_by(repos.c.name)
)


def work_items(conn: Connection, task_ids: list[int]) -> dict[int, str]:
    """The work items of these tasks."""
    named = select(tasks.c.id, tasks.c.work_item_id).where(is_any_of(tasks.c.id, "ids"))
    return dict(conn.execute(named, {"ids": task_ids}).tuples().all())


def unmarked_openings(
    conn: Connection, gate: Gate, names: list[str], now: Moment, grace: float = 0
) -> list[str]:
    """Repos among these with a job that may start and no mark or note that would lead to it.

    `grace` seconds are left to marks that were only just taken away.
    """
    return list(conn.scalars(_unmarked(gate, now, grace), {"repos": names}))


@lru_cache(maxsize=16)
def _unmarked(gate: Gate, now: Moment, grace: float) -> Any:
    # A mark for later leads nobody here now.
    marked = exists(
        select(literal(1)).where(wakes.c.repo == repos.c.name, wakes.c.wake_at <= at(now))
    )
    unmarked = and_(jobs.c.ready_at.is_(None), jobs.c.available_at <= later(now, -grace), ~marked)
    return candidates(gate, now, repos.c.name).where(unmarked).distinct()


def mend(conn: Connection, names: list[str], now: Moment) -> None:
    """Mark repos that a full sweep found unmarked, and count them."""
    if names:
        ledger.wake(conn, now, names)
        ledger.count(conn, "sweep_mended", amount=len(names))
