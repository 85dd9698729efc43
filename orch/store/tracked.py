"""The mirror of trackers as rows: items, the tasks they became, and the hints that came in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, exists, func, select, update

from orch import stages
from orch.store import ledger
from orch.store.moments import Moment, at
from orch.store.schema import beyond, job_deps, tasks
from orch.store.session import Row, put
from orch.store.tables_outside import UNTAKEN, feeds, inbox, tracked
from orch.store.views import moment
from orch.store.work import locked_task

OF_TASK: Final = (
    "work_item_id", "stage", "repo", "title", "description", "rank", "admitted_at", "paused_at",
    "paused_by", "paused_reason", "approval", "merge_sha",
)  # fmt: skip
"""What of its task is read with an item."""
_OPEN: Final = beyond(tasks.c.stage, sorted(stages.TERMINAL))


def _rows() -> Select[Any]:
    of_task = (tasks.c[name].label(f"task_{name}") for name in OF_TASK)
    joined = tracked.outerjoin(tasks, tasks.c.id == tracked.c.task_id)
    return select(tracked, *of_task).select_from(joined)


def rows(conn: Connection, tracker: str) -> dict[str, Row]:
    """All items of a tracker that orch has seen, by id, with what is needed of their tasks."""
    found = conn.execute(_rows().where(tracked.c.tracker == tracker)).mappings()
    return {row["item_id"]: row for row in found}


def open_rows(conn: Connection, tracker: str) -> dict[str, Row]:
    """Those with a task that is not over."""
    found = conn.execute(_rows().where(tracked.c.tracker == tracker, _OPEN)).mappings()
    return {row["item_id"]: row for row in found}


def row(conn: Connection, tracker: str, item_id: str) -> Row | None:
    """One of them."""
    mine = _rows().where(tracked.c.tracker == tracker, tracked.c.item_id == item_id)
    return conn.execute(mine).mappings().one_or_none()


def of_tasks(conn: Connection, task_ids: Collection[int]) -> list[Row]:
    """The items of these tasks."""
    mine = _rows().where(tracked.c.task_id.in_(list(task_ids)))
    return list(conn.execute(mine.order_by(tracked.c.tracker, tracked.c.item_id)).mappings())


def of_task(conn: Connection, task_id: int) -> Row | None:
    """The item of a task with how its tracker answers, if it came from one."""
    feed = feeds.c.name == "tracker:" + tracked.c.tracker
    columns = (feeds.c.answered_at, feeds.c.failing_since, feeds.c.stopped)
    statement = select(tracked, *columns).select_from(tracked.outerjoin(feeds, feed))
    mine = statement.where(tracked.c.task_id == task_id).order_by(tracked.c.item_id).limit(1)
    return conn.execute(mine).mappings().one_or_none()


def waiting_outside(conn: Connection, work_item_id: str) -> Row | None:
    """An item of that name that is no task, and why; None where nobody knows one."""
    columns = (tracked.c.tracker, tracked.c.reason, tracked.c.facts)
    mine = select(*columns).where(tracked.c.work_item_id == work_item_id)
    mine = mine.where(tracked.c.task_id.is_(None), tracked.c.reason != "")
    return conn.execute(mine.order_by(tracked.c.tracker).limit(1)).mappings().one_or_none()


def started_in(conn: Connection, repos: Collection[str]) -> list[Row]:
    """The items whose tasks have started in these repos, and are neither over nor parked."""
    mine = _rows().where(
        tasks.c.repo.in_(list(repos)),
        beyond(tasks.c.stage, stages.NOT_STARTED_OR_OVER),
        tasks.c.paused_at.is_(None),
    )
    return list(conn.execute(mine.order_by(tasks.c.id)).mappings())


def elsewhere(conn: Connection, item_ids: Collection[str]) -> dict[str, Row]:
    """What is known of items by id, whichever tracker they are of."""
    found = conn.execute(_rows().where(tracked.c.item_id.in_(list(item_ids)))).mappings()
    return {row["item_id"]: row for row in found}


def tasks_of(conn: Connection, item_ids: Collection[str]) -> dict[str, Row]:
    """The tasks of items, by the item's id."""
    columns = (tasks.c.id, tasks.c.plane_id, tasks.c.work_item_id, tasks.c.stage)
    found = conn.execute(select(*columns).where(tasks.c.plane_id.in_(list(item_ids)))).mappings()
    return {row["plane_id"]: row for row in found}


def keep(conn: Connection, tracker: str, item_id: str, values: Mapping[str, Any]) -> None:
    """Write down what is known of an item."""
    put(conn, tracked, {"tracker": tracker, "item_id": item_id}, dict(values))


def change(conn: Connection, tracker: str, item_id: str, **values: Any) -> None:
    """Write down what else is known of an item that has a row."""
    mine = update(tracked).where(tracked.c.tracker == tracker, tracked.c.item_id == item_id)
    conn.execute(mine.values(**values))


def declared(conn: Connection, source: str) -> dict[int, set[int]]:
    """The dependencies that this source has declared, per dependent task."""
    found: dict[int, set[int]] = {}
    mine = select(job_deps.c.task_id, job_deps.c.depends_on_task_id)
    for task_id, before in conn.execute(mine.where(job_deps.c.source == source)):
        found.setdefault(task_id, set()).add(before)
    return found


def rename(
    conn: Connection, task_id: int, now: Moment, actor: str, changes: dict[str, Any]
) -> bool:
    """Give a task that has not started other words, or another place among such. False if it has
    started meanwhile."""
    task = locked_task(conn, task_id)
    if task is None or task["stage"] not in stages.BEFORE_OR_AT_ENTRY or task["admitted_at"]:
        return False
    conn.execute(update(tasks).where(tasks.c.id == task_id).values(**changes))
    told = {"task_id": task_id, "repo": task["repo"], "actor": actor}
    short = {name: value for name, value in changes.items() if name != "description"}
    ledger.record(conn, now, "task.updated", **told, data={"changed": sorted(changes), **short})
    ledger.wake(conn, now, [task["repo"]])
    return True


def restate(conn: Connection, task: Row, now: Moment, actor: str, reason: str) -> None:
    """Say why a task is parked in other words: what holds it has changed."""
    conn.execute(update(tasks).where(tasks.c.id == task["task_id"]).values(paused_reason=reason))
    told = {"task_id": task["task_id"], "repo": task["task_repo"], "actor": actor}
    ledger.record(conn, now, "task.paused", **told, reason=reason)


def counts(conn: Connection, tracker: str) -> dict[str, int]:
    """How many items of a tracker there are, are tasks, and are tasks that are not over."""
    joined = tracked.outerjoin(tasks, tasks.c.id == tracked.c.task_id)
    count = select(func.count(), func.count(tasks.c.id), func.count().filter(_OPEN))
    here = and_(tracked.c.tracker == tracker, tracked.c.missing_since.is_(None))
    found = conn.execute(count.select_from(joined).where(here)).one()
    return dict(zip(("seen", "tasks", "open"), map(int, found), strict=True))


# --- hints ------------------------------------------------------------------------------------


def any_hint(conn: Connection, source: str) -> bool:
    """Whether a webhook of this source waits to be looked after."""
    return conn.scalar(_untaken(source).limit(1)) is not None


def hints(conn: Connection, source: str, most: int) -> list[Row]:
    """The oldest hints of a source that nobody has looked after: their ids and subjects."""
    statement = select(inbox.c.id, inbox.c.subject).where(inbox.c.source == source, UNTAKEN)
    return list(conn.execute(statement.order_by(inbox.c.id).limit(most)).mappings())


def give_back(conn: Connection, ids: Sequence[int]) -> None:
    """They could not be looked after: they wait again, but for those that came again meanwhile."""
    other = inbox.alias()
    same = and_(*(other.c[name] == inbox.c[name] for name in ("source", "subject", "event")))
    again = exists(select(other.c.id).where(same, other.c.taken_at.is_(None)))
    mine = update(inbox).where(inbox.c.id.in_(list(ids)), ~again)
    conn.execute(mine.values(taken_at=None, outcome=""))


def _untaken(source: str) -> Select[Any]:
    return select(inbox.c.id).where(inbox.c.source == source, UNTAKEN)


def take_hints(conn: Connection, ids: Sequence[int], now: Moment, outcome: str) -> None:
    """They are looked after."""
    if ids:
        mine = update(inbox).where(inbox.c.id.in_(list(ids)), UNTAKEN)
        conn.execute(mine.values(taken_at=at(now), outcome=outcome))


def now_of(conn: Connection, now: Moment) -> Any:
    """The moment itself, as the store's rows hold it."""
    return moment(conn, now)
