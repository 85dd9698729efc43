"""Two sides of a race on PostgreSQL, in an order the test decides: one is held just before its
commit until the other has ended, or waits for a lock the first one holds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, text

from orch import stages
from orch.adapters.memory_queue import MemoryQueue
from orch.line import Limits, Line
from orch.store import fleet, work
from orch.store.session import Store
from tests.services import wait_until

T = TypeVar("T")
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PATIENCE = 20.0
WAITING = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND wait_event_type = 'Lock' AND cardinality(pg_blocking_pids(pid)) > 0"
)


class HeldStore(Store):
    """A store that can be told to stop once between the work of a write and its commit."""

    hold: Hold[Any] | None = None

    def write(self, work: Callable[[Connection], T]) -> T:
        def run(conn: Connection) -> T:
            answer = work(conn)
            if self.hold is not None:
                self.hold.reached()
            return answer

        return super().write(run)


class Arena:
    """A database with any number of sides, each with connections and tokens of its own."""

    def __init__(self, url: str) -> None:
        self.url, self.now = url, START
        self.sides: list[Line] = []
        self.setup = self.side("s")
        self.store = self.setup.store

    def side(self, name: str) -> Line:
        tokens = count(1)
        line = Line(
            HeldStore(self.url),
            MemoryQueue(),
            now=lambda: self.now,
            new_id=lambda: f"{name}{next(tokens)}",
            limits=Limits(heartbeat=1),
        )
        self.sides.append(line)
        return line

    def close(self) -> None:
        for line in self.sides:
            line.store.dispose()

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def hire(self, slots: int = 5) -> None:
        for agent in stages.AGENTS:
            queue = stages.queue_of(agent)
            self.store.write(lambda c, q=queue: fleet.register(c, q, q, slots, "1", self.now))

    def add(self, item: str, repo: str = "alpha", stage: str = "") -> int:
        """A task with its job queued; at a later stage, as if it had got there."""

        def run(conn: Connection) -> int:
            moved = {"stage": stage, "admitted_at": self.now} if stage else {}
            task_id: int = work.create_task(conn, item, repo, self.now, **moved)["id"]
            agent = stages.agent_of(stage) if stage else stages.ENTRY_AGENT
            work.enqueue_job(conn, str(agent), repo, None, task_id, self.now)
            return task_id

        return self.store.write(run)

    def ask(self, sql: str, **values: Any) -> Any:
        return self.store.read(lambda c: c.execute(text(sql), values).scalar())

    def live(self) -> list[str]:
        sql = (
            "SELECT work_item_id FROM jobs JOIN tasks ON tasks.id = jobs.task_id "
            "WHERE status IN ('claimed', 'running') ORDER BY 1"
        )
        return list(self.store.read(lambda c: c.scalars(text(sql))))

    def job(self, item: str) -> Any:
        sql = (
            "SELECT jobs.* FROM jobs JOIN tasks ON tasks.id = jobs.task_id "
            "WHERE work_item_id = :item ORDER BY jobs.id DESC LIMIT 1"
        )
        return self.store.read(lambda c: c.execute(text(sql), {"item": item}).one())

    def hold(self, act: Callable[[Line], T], writes: int = 1) -> Hold[T]:
        """Begin `act` on a side of its own and stop it before the commit of its n-th write."""
        return Hold(self, self.side(f"h{len(self.sides)}-"), act, writes)

    def against(self, first: Hold[T], second: Callable[[Line], Any]) -> tuple[T, Any, bool]:
        """Let `second` run into what is held, then both end; their answers, whether it waited."""
        line = self.side(f"r{len(self.sides)}-")
        other = Background(lambda: second(line))
        waited = self.settle(other)
        return first.release(), other.join(), waited

    def settle(self, other: Background[Any]) -> bool:
        """Wait until the other side has ended or waits for a lock; whether it waits."""
        wait_until(lambda: other.over() or self.ask(WAITING.text), PATIENCE, "no lock, no end")
        return not other.over()


class Background(Generic[T]):
    """Something that runs in a thread of its own; its answer or its error comes with `join`."""

    def __init__(self, act: Callable[[], T]) -> None:
        self._act = act
        self._answer: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._answer.append(self._act())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._error = error

    def over(self) -> bool:
        return not self._thread.is_alive()

    def join(self) -> T:
        self._thread.join(PATIENCE)
        assert self.over(), "it does not end"
        if self._error is not None:
            raise self._error
        return self._answer[0]


class Hold(Generic[T]):
    """One side, stopped with its changes made and not committed."""

    def __init__(self, arena: Arena, line: Line, act: Callable[[Line], T], writes: int) -> None:
        self._left, self._go, self._here = writes, threading.Event(), threading.Event()
        assert isinstance(line.store, HeldStore)
        line.store.hold = self
        self._act: Background[T] = Background(lambda: act(line))
        wait_until(lambda: self._here.is_set() or self._act.over(), PATIENCE, "it never wrote")
        assert self._here.is_set(), self._act.join()

    def reached(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._here.set()
            assert self._go.wait(PATIENCE), "nobody let it go on"

    def release(self) -> T:
        self._go.set()
        return self._act.join()
