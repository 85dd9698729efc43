"""A line to work with: a clock the test sets, a doorbell that remembers, tasks at any stage."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, insert, select, update

from orch import controls, dispatcher, mirror, snapshot, stages, worker
from orch.adapters.memory_queue import MemoryQueue
from orch.controls import Order
from orch.dispatcher import Tick
from orch.line import Limits, Line
from orch.ports import AgentCommand, AgentResult, AgentWork, Claim, Watch
from orch.repo_settings import RepoSettings
from orch.serial_gate import Gate, Layers
from orch.store import claims, fleet, looks, work
from orch.store.schema import counters, events, jobs, metadata, repo_freeze, repos, tasks
from orch.store.session import Store

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MANY = dict.fromkeys(stages.AGENTS, 1000)
"""Free slots enough for everything."""
PASSED = AgentResult("exited", 0, "pass", summary="done")


@dataclass
class SetClock:
    """A clock that stands still until it is moved."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


@dataclass
class ScriptedRunner:
    """Agents that end as the script says, and do something on the way if they are told to."""

    result: AgentResult = PASSED
    meanwhile: Callable[[], object] = lambda: None
    seen: list[AgentWork] = field(default_factory=list)

    def run(self, work: AgentWork, watch: Watch, beat: float) -> AgentResult:
        self.seen.append(work)
        self.meanwhile()
        stop = watch()
        return replace(self.result, ending="stopped", stop_reason=stop) if stop else self.result


def add_task(
    conn: Connection, item: str, repo: str, now: datetime, stage: str = "analysis", **more: Any
) -> int:
    """A task as it would be after getting to `stage`; its id."""
    if conn.scalar(select(repos.c.name).where(repos.c.name == repo)) is None:
        conn.execute(insert(repos).values(name=repo))
    given = {"work_item_id": item, "repo": repo, "stage": stage, "created_at": now}
    if stage not in stages.NOT_STARTED_OR_OVER:
        given["admitted_at"] = now
    task_id: int = conn.execute(
        insert(tasks).values(**(given | more)).returning(tasks.c.id)
    ).scalar_one()
    return task_id


def add_job(conn: Connection, task_id: int, now: datetime, **more: Any) -> int:
    """A queued job of the task's stage, or one in the state given; its id."""
    task = conn.execute(select(tasks).where(tasks.c.id == task_id)).mappings().one()
    known = stages.BY_NAME.get(task["stage"])
    given = {
        "agent": (known and known.agent) or stages.ENTRY_AGENT,
        "repo": task["repo"],
        "task_id": task_id,
        "stage": task["stage"],
        "created_at": now,
        "available_at": now,
    }
    if more.get("status") in ("claimed", "running"):
        given |= {"claim_token": f"held-{task_id}", "claimed_at": now}
        given |= {"lease_until": now + timedelta(hours=1)}
    if more.get("status") == "running":
        given["started_at"] = now
    job_id: int = conn.execute(
        insert(jobs).values(**(given | more)).returning(jobs.c.id)
    ).scalar_one()
    return job_id


def dump(store: Store, without: Iterable[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""

    def read(conn: Connection) -> dict[str, list[dict[str, Any]]]:
        return {
            table.name: [dict(row) for row in conn.execute(_by_key(table)).mappings()]
            for table in metadata.sorted_tables
            if table.name not in set(without)
        }

    return store.read(read)


def _by_key(table: Table) -> Any:
    return select(table).order_by(*table.primary_key.columns)


@dataclass
class Rig:
    """One line on one database, and short words for what tests do with it."""

    store: Store
    clock: SetClock = field(default_factory=SetClock)
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    layers: Layers = field(default_factory=Layers)
    limits: Limits = field(default_factory=Limits)
    repos: dict[str, RepoSettings] = field(default_factory=dict)
    tokens: Iterator[int] = field(default_factory=itertools.count)

    @property
    def gate(self) -> Gate:
        return Gate(self.layers)

    @property
    def line(self) -> Line:
        known = (self.gate, self.limits, self.repos)
        return Line(self.store, self.queue, self.clock, self.token, *known)

    def token(self) -> str:
        return f"token-{next(self.tokens)}"

    # --- rows

    def task(self, item: str, stage: str = "analysis", repo: str = "app", **more: Any) -> int:
        """A task with a queued job (`job="running"`, or None for no job); a second passes."""
        status = more.pop("job", "queued")
        now = self.clock()

        def make(conn: Connection) -> int:
            task_id = add_task(conn, item, repo, now, stage, **more)
            if status is not None:
                add_job(conn, task_id, now, status=status)
            return task_id

        made = self.store.write(make)
        self.clock.advance(1)
        return made

    def move(self, item: str, stage: str) -> None:
        """Put a task at a stage, as a program writing by hand would."""
        statement = update(tasks).where(tasks.c.work_item_id == item).values(stage=stage)
        self.store.write(lambda conn: conn.execute(statement))

    def asked(self, item: str, question: str = "Which colour?") -> None:
        """Let the task's newest job have ended with a question, and park it for that."""
        ended = {"status": "succeeded", "verdict": "needs_input", "finished_at": self.clock()}
        said = update(jobs).where(jobs.c.id == self.job(item)["id"]).values(**ended)
        task_id, reason = self.row_id(item), f"needs input: {question}"

        def ask(conn: Connection) -> None:
            conn.execute(said)
            work.park(conn, task_id, self.clock(), reason=reason)

        self.store.write(ask)

    def row(self, item: str) -> RowMapping:
        """The task's row."""
        statement = select(tasks).where(tasks.c.work_item_id == item)
        return self.store.read(lambda conn: conn.execute(statement).mappings().one())

    def row_id(self, item: str) -> int:
        """The task's id, which can be read however broken the rest of the row is."""
        statement = select(tasks.c.id).where(tasks.c.work_item_id == item)
        found: int = self.store.read(lambda conn: conn.execute(statement).scalar_one())
        return found

    def job(self, item: str) -> RowMapping:
        """The newest job of the task."""
        statement = (
            select(jobs)
            .join(tasks, tasks.c.id == jobs.c.task_id)
            .where(tasks.c.work_item_id == item)
            .order_by(jobs.c.id.desc())
            .limit(1)
        )
        return self.store.read(lambda conn: conn.execute(statement).mappings().one())

    def last_job(self, item: str) -> RowMapping:
        """The job of the task that ended last."""
        ended = select(jobs).join(tasks, tasks.c.id == jobs.c.task_id)
        ended = ended.where(tasks.c.work_item_id == item, jobs.c.finished_at.is_not(None))
        newest = ended.order_by(jobs.c.id.desc()).limit(1)
        return self.store.read(lambda conn: conn.execute(newest).mappings().one())

    def freezes(self) -> list[RowMapping]:
        """The freezes in force."""
        active = select(repo_freeze).where(repo_freeze.c.cleared_at.is_(None))
        return self.store.read(lambda conn: list(conn.execute(active).mappings()))

    def events(self, kind: str) -> list[RowMapping]:
        """All events of a kind, oldest first."""
        statement = select(events).where(events.c.kind == kind).order_by(events.c.id)
        return self.store.read(lambda conn: list(conn.execute(statement).mappings()))

    def counted(self, name: str, label: str = "") -> float:
        """What a counter stands at."""
        statement = select(counters.c.value).where(
            counters.c.name == name, counters.c.label == label
        )
        return self.store.read(lambda conn: conn.scalar(statement)) or 0

    # --- acts

    def workers(self, slots: int = 50) -> None:
        """One worker with this many slots for every agent, alive from now on."""

        def sign_on(conn: Connection) -> None:
            for agent in stages.AGENTS:
                queue = stages.queue_of(agent)
                fleet.register(conn, f"w-{agent}", queue, slots, "1", self.clock())

        self.store.write(sign_on)

    def order(self, verb: str, target: str, reason: str = "because", **more: Any) -> dict[str, Any]:
        """Carry out a control for ann."""
        return controls.carry_out(self.line, Order(verb, target, "ann", reason, **more))

    def tick(self) -> Tick:
        """One tick over every repo, whether anything marked it or not."""
        dispatcher.sweep(self.line)
        return dispatcher.tick(self.line)

    def started(self, item: str) -> Claim:
        """Let the gate choose; the item's claim, started. Fails if it was not chosen."""
        claim = self.claimed(item)
        row = self.store.write(
            lambda conn: claims.start(conn, self.gate, claim, self.clock(), worker="w")
        )
        assert row is not None
        return claim

    def claimed(self, item: str) -> Claim:
        """Let the gate choose in the item's repo; its claim. Fails if it was not chosen."""
        repo = self.row(item)["repo"]
        found = self.store.write(
            lambda conn: looks.claim(
                conn, self.gate, [repo], MANY, self.clock(), token=self.token()
            )
        )
        (mine,) = [each.claim for each in found if each.claim.job_id == self.job(item)["id"]]
        return mine

    def work(self, claim: Claim, folder: Path, runner: ScriptedRunner | None = None) -> str:
        """What a worker makes of a message."""
        commands = {agent: AgentCommand(agent, ("true",)) for agent in stages.AGENTS}
        bench = worker.Bench("w", runner or ScriptedRunner(), commands, folder)
        return worker.work_on(self.line, bench, claim)

    def work_through(
        self,
        claim: Claim,
        folder: Path,
        runner: ScriptedRunner,
        most: int,
        closing: Callable[[], bool] = lambda: False,
    ) -> list[str]:
        """What a worker makes of a message and of the jobs that its end lets start."""
        commands = {agent: AgentCommand(agent, ("true",)) for agent in stages.AGENTS}
        bench = worker.Bench("w", runner, commands, folder, closing=closing)
        return worker.work_through(self.line, bench, claim, most)

    # --- the three consumers of the rule

    def claimable(self) -> set[str]:
        """Work items whose job would be claimed now, were there slots for all; changes nothing."""
        with self.store.rolled_back() as conn:
            return claimable(conn, self.gate, self.clock())

    def reasons(self) -> dict[str, str | None]:
        """Why each waiting job waits, as the snapshot says."""
        return {item: entry["reason"] for item, entry in self.waiting().items()}

    def waiting(self) -> dict[str, dict[str, Any]]:
        """Entries of the snapshot's waiting jobs, by work item, in the order shown."""
        lanes = self.lanes().values()
        return {entry["work_item_id"]: entry for lane in lanes for entry in lane["waiting"]}

    def lanes(self) -> dict[str, dict[str, Any]]:
        """What the snapshot shows per repo."""
        found: dict[str, dict[str, Any]] = self.shown()["serial_gate"]["per_repo"]
        return found

    def shown(self) -> dict[str, Any]:
        return snapshot.snapshot(self.line)

    def why(self, item: str) -> dict[str, Any]:
        return mirror.why(self.line, item)


def claimable(conn: Connection, gate: Gate, now: datetime) -> set[str]:
    """Work items that a claim over all repos takes; the caller rolls it back."""
    names = list(conn.scalars(select(repos.c.name)))
    taken = looks.claim(conn, gate, names, MANY, now, token="probe")
    ids = [each.task_id for each in taken]
    return set(conn.scalars(select(tasks.c.work_item_id).where(tasks.c.id.in_(ids))))
