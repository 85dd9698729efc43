"""Freezes: rows that say "nothing starts or lands in this repo", and when one covers a repo."""

from __future__ import annotations

from typing import Any, Final

import structlog
from sqlalchemy import Connection, String, and_, exists, func, insert, literal, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import ColumnElement

from orch.store import ledger, moments
from orch.store.moments import Moment, at
from orch.store.schema import repo_freeze, repos, tasks
from orch.store.session import apart, is_broken_query, lock_repos

log = structlog.get_logger(__name__)
ESCAPE = "\\"
_OPENED: Final = {"from_state": "frozen", "to_state": "open"}


def matches(name: ColumnElement[Any], pattern: ColumnElement[Any]) -> ColumnElement[bool]:
    """`name` fits the glob `pattern`, in which * is any text and ? any one character."""
    like = pattern
    for plain, meant in (("\\", "\\\\"), ("%", "\\%"), ("_", "\\_"), ("*", "%"), ("?", "_")):
        like = func.replace(like, plain, meant)
    return name.like(like, escape=ESCAPE)


def in_force(freeze: Any, now: Moment) -> ColumnElement[bool]:
    """The freeze has been neither lifted nor outlived."""
    return and_(
        freeze.c.cleared_at.is_(None),
        or_(freeze.c.expires_at.is_(None), freeze.c.expires_at > at(now)),
    )


def covers(freeze: Any, repo: ColumnElement[Any]) -> ColumnElement[bool]:
    """The freeze names this repo, or names it by a glob."""
    return or_(freeze.c.repo == repo, and_(freeze.c.is_glob, matches(repo, freeze.c.repo)))


def frozen(
    repo: ColumnElement[Any], now: Moment, task_id: ColumnElement[Any] | None = None
) -> ColumnElement[bool]:
    """A freeze in force covers the repo and does not let this task through."""
    exact, wide = repo_freeze.alias(), repo_freeze.alias()

    def stops(freeze: Any) -> ColumnElement[bool]:
        held = in_force(freeze, now)
        if task_id is None:
            return held
        return and_(held, or_(freeze.c.allow_task_id.is_(None), freeze.c.allow_task_id != task_id))

    def found(freeze: Any, *where: ColumnElement[bool]) -> ColumnElement[bool]:
        # Left to itself SQLAlchemy looks for `repo` one level up only, and two levels deep it would
        # ask about every repo there is.
        probe = select(freeze.c.id).where(*where, stops(freeze)).correlate_except(freeze)
        return exists(probe)

    # Two probes and not one OR: the first is an index seek, and globs are few.
    return or_(
        found(exact, exact.c.repo == repo),
        found(wide, wide.c.is_glob, matches(repo, wide.c.repo)),
    )


def matching_repos(conn: Connection, pattern: str) -> list[str]:
    """The known repos that a freeze of this name or glob covers."""
    if "*" not in pattern and "?" not in pattern:
        return list(conn.scalars(select(repos.c.name).where(repos.c.name == pattern)))
    return list(conn.scalars(select(repos.c.name).where(matches(repos.c.name, literal(pattern)))))


def set_repo_freeze(  # noqa: PLR0913 - names kept from the first generation
    conn: Connection,
    repo: str | None,
    reason: str,
    source: str,
    now: Moment,
    *,
    until: Moment | None = None,
    allow_task_id: int | None = None,
) -> bool:
    """Freeze a repo or a glob of repos. False if None was given or it is frozen already.

    The first freeze keeps its time, reason and source; asked again it only lets another task
    through, for the fix is rarely known when a repo is frozen. A repo need not be known.
    """
    if repo is None:
        return False
    if "*" not in repo and "?" not in repo:
        ledger.know_repos(conn, [repo])
    names = matching_repos(conn, repo)
    lock_repos(conn, names)
    clear_expired(conn, now, repo)
    standing = conn.scalar(select(repo_freeze.c.id).where(_active(repo)))
    if standing is not None:
        let = _let_through(conn, standing, allow_task_id)
        if let:
            told = {"repo": repo, "task_id": allow_task_id, "actor": source, "reason": reason}
            step = {"from_state": "frozen", "to_state": "frozen"}
            data = {"allow": _name_of(conn, allow_task_id)}
            ledger.record(conn, now, "repo.let_through", **told, **step, data=data)
            ledger.wake(conn, now, names)
        return let
    conn.execute(
        insert(repo_freeze).values(
            repo=repo,
            frozen_at=at(now),
            reason=reason,
            source=source,
            expires_at=None if until is None else at(until),
            allow_task_id=allow_task_id,
        )
    )
    told = {"repo": repo, "actor": source, "reason": reason}
    step = {"from_state": "open", "to_state": "frozen"}
    data = {"until": moments.written(until), "allow": _name_of(conn, allow_task_id)}
    ledger.record(conn, now, "repo.frozen", **told, **step, data=data)
    ledger.wake(conn, now, names)
    return True


def _name_of(conn: Connection, task_id: int | None) -> str | None:
    """The work item of a task, as the ledger names it."""
    if task_id is None:
        return None
    return conn.scalar(select(tasks.c.work_item_id).where(tasks.c.id == task_id))


def _let_through(conn: Connection, freeze_id: int, task_id: int | None) -> bool:
    """Let a task through a freeze that is in force; False when there is none, or it may already."""
    if task_id is None:
        return False
    let = update(repo_freeze).where(
        repo_freeze.c.id == freeze_id, repo_freeze.c.allow_task_id.is_distinct_from(task_id)
    )
    return bool(conn.execute(let.values(allow_task_id=task_id)).rowcount)


def clear_repo_freeze(
    conn: Connection, repo: str | None, now: Moment, *, actor: str = "orch", reason: str = ""
) -> bool:
    """Lift the freeze of exactly this repo or glob. False if there was none."""
    if repo is None:
        return False
    names = matching_repos(conn, repo)
    lock_repos(conn, names)
    lifted = conn.execute(
        update(repo_freeze)
        .where(_active(repo))
        .values(cleared_at=at(now), cleared_by=actor, cleared_reason=reason)
    )
    if lifted.rowcount:
        told = {"repo": repo, "actor": actor, "reason": reason}
        ledger.record(conn, now, "repo.unfrozen", **told, **_OPENED)
        ledger.wake(conn, now, names)
    return bool(lifted.rowcount)


def restate(conn: Connection, repo: str, source: str, reason: str) -> bool:
    """Let the freeze that this source has set, and nobody has lifted, give another reason.

    False if there is none, or that is its reason already.
    """
    its_own = and_(_active(repo), repo_freeze.c.source == source, repo_freeze.c.reason != reason)
    return bool(conn.execute(update(repo_freeze).where(its_own).values(reason=reason)).rowcount)


def clear_expired(conn: Connection, now: Moment, repo: str | None = None) -> int:
    """Write down that freezes ran out, all of them or those of one name; how many did."""
    over = [repo_freeze.c.cleared_at.is_(None), repo_freeze.c.expires_at <= at(now)]
    if repo is not None:
        over.append(repo_freeze.c.repo == repo)
    ended = conn.execute(
        update(repo_freeze)
        .where(*over)
        .values(cleared_at=at(now), cleared_by="orch", cleared_reason="its time was over")
        .returning(repo_freeze.c.repo)
    ).scalars()
    names = list(ended)
    for name in names:
        told = {"repo": name, "reason": "its time was over"}
        ledger.record(conn, now, "repo.unfrozen", **told, **_OPENED)
        ledger.wake(conn, now, matching_repos(conn, name))
    return len(names)


def active_freeze(conn: Connection, repo: str) -> dict[str, Any] | None:
    """The freeze of exactly this repo or glob that nobody has lifted, if there is one."""
    shown = ("id", "repo", "frozen_at", "reason", "source", "expires_at", "allow_task_id")
    columns = [repo_freeze.c[name] for name in shown]
    row = conn.execute(select(*columns).where(_active(repo))).mappings().one_or_none()
    return None if row is None else dict(row)


def is_repo_frozen(conn: Connection, repo: str, now: Moment) -> bool:
    """Whether a freeze in force covers this repo; one whose freezes cannot be read is frozen."""
    try:
        with apart(conn):
            return bool(conn.scalar(select(frozen(literal(repo, String), now))))
    except DBAPIError as error:
        if not is_broken_query(error):
            raise
        log.warning("gate.fallback", clause="freeze", repo=repo)
        return True


def _active(repo: str) -> ColumnElement[bool]:
    return and_(repo_freeze.c.repo == repo, repo_freeze.c.cleared_at.is_(None))
