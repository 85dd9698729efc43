"""One look at some repos: claim what may start, note what only lacks a slot, take the marks away.

The claim asks the whole rule in the statement that writes. Everything else of a look hangs on what
it found, and goes with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    Boolean,
    Connection,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    null,
    select,
    union_all,
    update,
)
from sqlalchemy.engine import RowMapping

from orch import serial_gate, stages
from orch.ports import Claim
from orch.serial_gate import Gate
from orch.store import ledger
from orch.store.claims import OF_JOB
from orch.store.joined import Joined, Part, Rows
from orch.store.lists import is_any_of
from orch.store.moments import Moment, at, later
from orch.store.schema import QUEUED, events, jobs, repos, tasks, wakes
from orch.store.session import lock_repos
from orch.store.work import AT_WORK


class Claimed(NamedTuple):
    """A claim with the facts the dispatcher reports. A tuple, because a tick makes a thousand."""

    claim: Claim
    repo: str
    task_id: int
    started: RowMapping | None = None
    """Job and task as `claims.start` answers them, when the look was to start what it claimed."""


@dataclass(frozen=True)
class Look:
    """What one look found: the claims, oldest task first, and how many notes it changed."""

    claimed: list[Claimed]
    noted: frozenset[str]
    """Agents whose jobs may start since, and only lack a slot."""
    changed: int
    """Notes written or taken back."""


@dataclass(frozen=True)
class Terms:
    """How a claim is held: until somebody starts it, or at once by a worker with a free slot."""

    start_deadline: float = 60
    """Seconds until a claim that nobody started counts as lost."""
    lease: float = 60
    """Seconds for which a worker holds what it starts."""
    worker: bool = False
    """Whether the claims are started with the same write, by the worker that looks."""
    by_mark: bool = False
    """Whether the marks to take away are told one by one."""


def candidates(gate: Gate, now: Moment, *columns: Any) -> Any:
    """Queued jobs of the repos bound as `repos` that every clause lets through.

    In a serialised repo only the head can pass, so the walk goes from repo to head by index; the
    clauses then decide.
    """
    only_heads = serial_gate.everything_is_serialised(gate)
    head_only = and_(
        serial_gate.is_serialised(gate, jobs),
        tasks.c.id != serial_gate.head(gate, repos.c.name),
    )
    source = repos.join(jobs, and_(jobs.c.repo == repos.c.name, QUEUED)).join(
        tasks, tasks.c.id == jobs.c.task_id
    )
    if only_heads:
        first = serial_gate.head(gate, repos.c.name)
        source = repos.join(jobs, and_(jobs.c.task_id == first, QUEUED))
        head_only = literal(False, Boolean)
    return (
        select(*columns)
        .select_from(source)
        .where(
            is_any_of(repos.c.name, "repos"),
            ~head_only,
            serial_gate.build_claim_clause(gate, now, of_head=only_heads),
        )
    )


def take(  # noqa: PLR0913 - a claim's terms, told by name
    conn: Connection,
    gate: Gate,
    names: Sequence[str],
    slots: Mapping[str, int],
    now: Moment,
    *,
    token: str,
    marks: Sequence[int] | None = None,
    worker: str | None = None,
    start_deadline: float = 60,
    lease: float = 60,
) -> Look:
    """Look at these repos, whose locks the caller holds.

    No more jobs of an agent are claimed than `slots` says, oldest task first; what is left over, or
    of an agent missing there, is noted. With a `worker` the claims are started as well: the clauses
    that a start asks again are among those just asked. The `marks` are taken away, or when they are
    not told all that are due of these repos. Raises IntegrityError when the law refuses:
    somebody wrote a live job without the lock.
    """
    agents = tuple(sorted(agent for agent, count in slots.items() if count > 0))
    bound: dict[str, Any] = {"repos": list(names), "token": token, "by": worker}
    bound |= {f"slots_{agent}": slots[agent] for agent in agents}
    bound["marks"] = list(marks or ())
    terms = Terms(start_deadline, lease, worker is not None, marks is not None)
    claimed, noted, changed = [], set(), 0
    for row in _look(gate, now, agents, terms).result(conn, bound).all():
        what, job_id, agent, repo, task_id, *_ = row
        if what == "claimed":
            started = row._mapping if terms.worker else None
            claimed.append(Claimed(Claim(job_id, token, agent), repo, task_id, started))
            continue
        changed += 1
        if what == "noted":
            noted.add(agent)
    claimed.sort(key=lambda each: each.task_id)
    return Look(claimed, frozenset(noted), changed)


def claim(conn: Connection, *terms: Any, **more: Any) -> list[Claimed]:
    """The claims of one look; the terms are those of `take`."""
    return take(conn, *terms, **more).claimed


def claim_next_job(
    conn: Connection, agent: str, now: Moment, token: str, gate: Gate = serial_gate.DEFAULT
) -> Claimed | None:
    """Claim the oldest job of one agent that the gate lets start anywhere, or None."""
    names = list(conn.scalars(select(jobs.c.repo).where(QUEUED, jobs.c.agent == agent).distinct()))
    lock_repos(conn, names)
    return next(iter(claim(conn, gate, names, {agent: 1}, now, token=token)), None)


# Building an expression of this size takes longer than running it, so each is built once.


@lru_cache(maxsize=64)
def _look(gate: Gate, now: Moment, agents: tuple[str, ...], terms: Terms) -> Joined:
    parts: dict[str, Part] = {
        "found": lambda _: _finding(gate, now),
        "claimed": lambda rows: _claiming(rows, gate, now, agents, terms),
        "told": lambda rows: _telling(rows, now, terms),
        "noted": lambda rows: _noting(rows, now, agents),
        "unnoted": _unnoting,
    }
    if stages.ENTRY_AGENT in agents:
        parts["admitted"] = lambda rows: _admitting(rows, now)
    if not terms.worker:  # who looks for itself leaves the marks to a dispatcher, who asks more
        parts["unmarked"] = lambda _: _unmarking(now, terms)
    return Joined(lambda rows: _all(rows, terms), **parts)


def _finding(gate: Gate, now: Moment) -> Any:
    # Oldest first: the order of task ids, whichever repo they are of.
    turn = func.row_number().over(partition_by=jobs.c.agent, order_by=(jobs.c.task_id, jobs.c.id))
    is_noted = jobs.c.ready_at.is_not(None).label("is_noted")
    own = (jobs.c.id, jobs.c.agent, jobs.c.task_id, turn.label("turn"), is_noted)
    return candidates(gate, now, *own)


def _claiming(rows: Rows, gate: Gate, now: Moment, agents: tuple[str, ...], terms: Terms) -> Any:
    found = rows["found"].c
    held: dict[str, Any] = {"started_at": None, "worker": None}
    if terms.worker:
        held = {"started_at": at(now), "worker": bindparam("by")}
    moving = ledger.moving_job(
        "claim",
        jobs.c.id == found.id,
        found.turn <= _slots(rows, agents),
        then="start" if terms.worker else None,
        claim_token=bindparam("token"),
        claimed_at=at(now),
        lease_until=later(now, terms.lease if terms.worker else terms.start_deadline),
        ready_at=None,
        stop_requested=None,
        serialised=serial_gate.is_serialised(gate, jobs),
        **held,
    )
    return moving.returning(*(jobs.c[name] for name in OF_JOB))


def _slots(rows: Rows, agents: tuple[str, ...]) -> Any:
    if not agents:
        return literal(0, Integer)
    free = {agent: bindparam(f"slots_{agent}", type_=Integer) for agent in agents}
    return case(free, value=rows["found"].c.agent, else_=0)


def _admitting(rows: Rows, now: Moment) -> Any:
    """Whoever starts its entry job takes its place in the line now."""
    its = rows["claimed"].c
    entering = and_(tasks.c.id == its.task_id, its.agent == stages.ENTRY_AGENT)
    return update(tasks).where(entering).values(admitted_at=at(now))


def _telling(rows: Rows, now: Moment, terms: Terms) -> Any:
    told = [_event(rows, now, "job.claimed", "queued", "claimed", literal("orch"))]
    if terms.worker:
        by = bindparam("by", type_=Text)
        told.append(_event(rows, now, "job.started", "claimed", "running", by))
    columns = ["at", "kind", "task_id", "job_id", "repo", "actor", "from_state", "to_state"]
    return insert(events).from_select(columns, union_all(*told) if terms.worker else told[0])


def _event(rows: Rows, now: Moment, kind: str, before: str, after: str, actor: Any) -> Any:
    its = rows["claimed"].c
    about = (its.task_id, its.id, its.repo, actor)
    return select(at(now), literal(kind), *about, literal(before), literal(after))


def _noting(rows: Rows, now: Moment, agents: tuple[str, ...]) -> Any:
    """Note what may start and found no slot: a hint about where to look when one comes free."""
    its = rows["found"].c
    left = select(its.id).where(its.turn > _slots(rows, agents), ~its.is_noted)
    noting = update(jobs).where(jobs.c.id.in_(left), QUEUED).values(ready_at=at(now))
    return noting.returning(jobs.c.id, jobs.c.agent)


def _unnoting(rows: Rows) -> Any:
    """Take back the notes of what may not start any more."""
    stale = and_(
        QUEUED,
        jobs.c.ready_at.is_not(None),
        is_any_of(jobs.c.repo, "repos"),
        jobs.c.id.not_in(select(rows["found"].c.id)),
    )
    return update(jobs).where(stale).values(ready_at=null()).returning(jobs.c.id)


def _unmarking(now: Moment, terms: Terms) -> Any:
    if terms.by_mark:
        return delete(wakes).where(is_any_of(wakes.c.id, "marks"))
    # From the repos to their marks: the other way each mark would be held against the whole list.
    looked_at = select(repos.c.name).where(is_any_of(repos.c.name, "repos"))
    return delete(wakes).where(wakes.c.repo.in_(looked_at), wakes.c.wake_at <= at(now))


def _all(rows: Rows, terms: Terms) -> Any:
    claimed, noted, unnoted = (rows[name] for name in ("claimed", "noted", "unnoted"))
    named = OF_JOB if terms.worker else ("repo", "task_id")
    own = [claimed.c[name] for name in named if name not in ("id", "agent")]
    of_task = [tasks.c[name].label(f"task:{name}") for name in AT_WORK] if terms.worker else []
    nothing = [null().label(column.name) for column in (*own, *of_task)]
    found = select(literal("claimed").label("what"), claimed.c.id, claimed.c.agent, *own, *of_task)
    if terms.worker:
        found = found.join_from(claimed, tasks, tasks.c.id == claimed.c.task_id)
    return union_all(
        found,
        select(literal("noted"), noted.c.id, noted.c.agent, *nothing),
        select(literal("unnoted"), unnoted.c.id, null().label("agent"), *nothing),
    )
