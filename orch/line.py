"""The parts every use case works with, built once by `bootstrap`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from orch.ports import JobQueue
from orch.serial_gate import Gate
from orch.store.moments import Moment
from orch.store.session import Store


@dataclass(frozen=True)
class Limits:
    """The numbers the line runs by: seconds, and at the end counts."""

    lease: float = 60
    heartbeat: float = 15
    start_deadline: float = 60
    worker_stale: float = 45
    retry_delay: float = 30
    publish_retry: float = 5
    max_attempts: int = 3
    max_reworks: int = 5


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
    opened: Callable[[Line], object] = lambda line: line.queue.kick()
    """What a process does when it has opened a gate: ring for a dispatcher, or look itself."""
