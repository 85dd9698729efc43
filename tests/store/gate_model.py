"""The gate and the life of a job in plain Python, written from the specification and not from orch.

Everything is kept in dictionaries and asked anew each time. Nothing here is fast, and nothing here
is imported from orch: two readings of one page, to be compared after every step.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

TERMINAL = ("done", "cancelled")
ENTRY = ("created", "analysis")
LIVE = ("claimed", "running")
AGENT_OF = {
    "created": "analyst",
    "analysis": "analyst",
    "architecture": "architect",
    "development": "developer",
    "review": "reviewer",
    "testing": "tester",
    "deploy-staging": "deployer",
    "deploy": "deployer",
}
TRACKS = {
    "full": [
        "analysis",
        "architecture",
        "development",
        "review",
        "testing",
        "deploy-staging",
        "deploy",
        "done",
    ],
    "docs": ["analysis", "development", "review", "deploy", "done"],
}
REWORK_TO = {
    "architecture": "analysis",
    "review": "development",
    "testing": "development",
    "deploy-staging": "development",
    "deploy": "development",
}
LEASE, START_DEADLINE, WORKER_STALE, PUBLISH_RETRY = 60, 60, 45, 5
RETRY_DELAY, MAX_ATTEMPTS, MAX_REWORKS = 30, 3, 5


class RefusedError(Exception):
    """The control cannot be carried out in this state: the caller gets an error."""


@dataclass
class Job:
    agent: str
    available: datetime
    attempt: int = 1
    status: str = "queued"
    id: int = 0
    token: str | None = None
    lease: datetime | None = None
    started: datetime | None = None
    stop: str | None = None
    serialised: bool = True
    stage: str = ""
    """The task's stage when the agent started."""

    def requeue(self, available: datetime | None = None) -> None:
        self.status, self.token, self.lease, self.started, self.stop = "queued", *4 * (None,)
        self.available = available or self.available


@dataclass
class Task:
    id: int
    item: str
    repo: str
    created: datetime
    stage: str = "analysis"
    track: str = "full"
    rank: int = 0
    admitted: datetime | None = None
    paused: datetime | None = None
    until: datetime | None = None
    reworks: int = 0
    before: set[int] = field(default_factory=set)
    job: Job | None = None
    ended: list[str] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return self.stage in TERMINAL

    @property
    def live(self) -> bool:
        return self.job is not None and self.job.status in LIVE

    @property
    def queued(self) -> bool:
        return self.job is not None and self.job.status == "queued"

    def end_job(self, status: str) -> None:
        self.ended.append(status)
        self.job = None


@dataclass
class Freeze:
    pattern: str
    allow: int | None = None
    expires: datetime | None = None

    def covers(self, repo: str) -> bool:
        signs = {"*": ".*", "?": "."}
        return re.fullmatch("".join(signs.get(c, re.escape(c)) for c in self.pattern), repo, re.S)  # type: ignore[return-value]


@dataclass(frozen=True)
class Switches:
    gate: bool = True
    repos: tuple[str, ...] = ()
    pause: bool = True
    freeze: bool = True
    yields: bool = True
    entry_only: bool = False
    deps: bool = True


class Gate:
    """The rule: which queued job may be claimed, and if not, every reason why."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.switches = Switches()
        self.tasks: dict[int, Task] = {}
        self.freezes: dict[str, Freeze] = {}
        self.slots: dict[str, int] = {}
        self.heard: dict[str, datetime] = {}

    def after(self, seconds: float) -> datetime:
        return self.now + timedelta(seconds=seconds)

    def in_force(self, freeze: Freeze) -> bool:
        return freeze.expires is None or freeze.expires > self.now

    def is_frozen(self, task: Task) -> bool:
        return self.switches.freeze and any(
            self.in_force(each) and each.covers(task.repo) and each.allow != task.id
            for each in self.freezes.values()
        )

    def is_paused(self, task: Task) -> bool:
        return self.switches.pause and task.paused is not None

    def waits(self, task: Task) -> bool:
        return self.switches.deps and any(not self.tasks[each].over for each in task.before)

    def contends(self, task: Task) -> bool:
        if task.over or self.is_paused(task):
            return False
        return not (self.switches.yields and self.waits(task))

    def order(self, task: Task) -> tuple[object, ...]:
        if task.stage not in ENTRY or task.live:
            return (0, task.admitted or task.created, task.id)
        return (1, task.rank, task.id)

    def head(self, repo: str) -> Task | None:
        line = [each for each in self.tasks.values() if each.repo == repo and self.contends(each)]
        return min(line, key=self.order, default=None)

    def is_serialised(self, task: Task) -> bool:
        if not self.switches.gate or task.job is None:
            return False
        in_scope = not self.switches.repos or any(
            Freeze(glob).covers(task.repo) for glob in self.switches.repos
        )
        return bool(in_scope and (not self.switches.entry_only or task.job.agent == "analyst"))

    def is_taken(self, task: Task) -> bool:
        others = (
            each for each in self.tasks.values() if each.repo == task.repo and each is not task
        )
        return any(each.live for each in others) or self.head(task.repo) is not task

    def failing(self, task: Task) -> list[str]:
        """Every clause that does not hold for the task's queued job, by precedence."""
        assert task.job is not None
        clauses = {
            "freeze": self.is_frozen(task),
            "paused": self.is_paused(task),
            "dependency": self.waits(task),
            "active-task": self.is_serialised(task) and self.is_taken(task),
            "backoff": task.job.available > self.now,
        }
        return [name for name, fails in clauses.items() if fails]

    def startable(self) -> list[Task]:
        """Tasks whose gate is open, oldest first."""
        return [
            each for _, each in sorted(self.tasks.items()) if each.queued and not self.failing(each)
        ]

    def workers_live(self, agent: str) -> bool:
        return self.slots.get(agent, 0) > 0 and self.heard[agent] > self.after(-WORKER_STALE)

    def free_slots(self, agent: str) -> int:
        if not self.workers_live(agent):
            return 0
        busy = [each for each in self.tasks.values() if each.live and each.job.agent == agent]
        return max(0, self.slots[agent] - len(busy))

    def next_claims(self) -> list[Task]:
        """What one tick starts: of each agent's open jobs the oldest, as many as slots are free."""
        chosen: list[Task] = []
        for agent in sorted(set(AGENT_OF.values())):
            wanted = [each for each in self.startable() if each.job.agent == agent]
            chosen += wanted[: self.free_slots(agent)]
        return chosen
