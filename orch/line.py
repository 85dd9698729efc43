"""The parts every use case works with, built once by `bootstrap`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from orch import stages
from orch.ports import JobQueue
from orch.repo_settings import RepoSettings
from orch.serial_gate import Gate
from orch.store.moments import Moment
from orch.store.session import Store


@dataclass(frozen=True)
class Limits:
    """The numbers the line runs by: seconds, and at the end counts."""

    tick: float = 2
    """How often beat rings the dispatcher."""
    sweep: float = 60
    """How often every repo is looked at."""
    lease: float = 60
    heartbeat: float = 15
    start_deadline: float = 60
    worker_stale: float = 45
    retry_delay: float = 30
    publish_retry: float = 5
    held_landing: float = 3600
    """How long a forge may hold a task up, or not answer, before it is parked."""
    max_attempts: int = 3
    max_reworks: int = 5
    task_budget_usd: float = 0
    """What a task's turns may cost; 0 is no limit."""
    task_max_turns: int = 0
    """How many turns agents may take for a task; 0 is no limit."""
    head_watch: float = 0
    """Seconds after which a head that blocks others is told of; 0 is never."""
    head_watch_park: bool = False
    """Whether such a head is parked."""


@dataclass(frozen=True)
class Line:
    """One line: its store, its rule, its doorbell, its clock and its numbers.

    `now` hands out the moment for the next unit of work: the database's own clock at the edges, a
    fixed time in tests.
    """

    store: Store
    queue: JobQueue
    now: Callable[[], Moment]
    new_id: Callable[[], str]
    gate: Gate = field(default_factory=Gate)
    limits: Limits = field(default_factory=Limits)
    repos: Mapping[str, RepoSettings] = field(default_factory=dict)
    """What the settings say of single repos."""
    opened: Callable[[Line], object] = lambda line: line.queue.kick()
    """What a process does when it has opened a gate: ring for a dispatcher, or look itself."""

    def own_tracks(self, repo: str) -> stages.Tracks:
        """The tracks that this repo has beside those of every repo."""
        known = self.repos.get(repo)
        return stages.NONE if known is None else known.tracks
