"""The real line for the state machine: a store emptied between examples, a clock that stands still
until it is set, counted tokens, and workers whose turns wait to be told how they end."""

from __future__ import annotations

import threading
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, text

from orch import stages, worker
from orch.adapters.memory_queue import MemoryQueue
from orch.line import Limits, Line
from orch.ports import AgentCommand, AgentResult, AgentWork, Claim, Watch
from orch.serial_gate import Gate, Layers, failing, snapshot
from orch.store import claims, fleet, ledger
from orch.store.moments import DATABASE_TIME, SQLITE_FORMAT, UtcDateTime
from orch.store.schema import jobs, metadata
from orch.store.session import Store

START = datetime(2100, 1, 1, tzinfo=UTC)
"""Later than any real clock: defaults made before the clock was ours are in the past."""
CLOCK_OF_POSTGRES = (
    "CREATE TABLE public.clock (at timestamptz NOT NULL)",
    "INSERT INTO public.clock VALUES (now())",
    "CREATE FUNCTION public.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE "
    "AS 'SELECT at FROM public.clock'",
)
"""With `public` before `pg_catalog` in the search path, the clock that orch asks is this one."""
REPOS = ("team/alpha", "team/beta", "solo")
UNTOLD = {"beats", "counters"}
"""Tables that say when something last ran, or how often; no rule reads them."""
TABLES = [table.name for table in metadata.sorted_tables]
DUMP = "SELECT '{0}' AS of_table, {0}.* FROM {0} ORDER BY 2, 3"
DUMPS = [DUMP.format(name) for name in TABLES if name not in UNTOLD]
_LOST = "lost"


class CrashedError(BaseException):
    """The worker is gone in the middle of its turn."""


class Turn:
    """One delivery of a message: `work_on` in a thread that runs only while we wait for it."""

    def __init__(self, line: Line, root: Path, claim: Claim) -> None:
        self.claim = claim
        self.outcome: str | None = None
        self._error: BaseException | None = None
        self._go, self._held = threading.Semaphore(0), threading.Semaphore(0)
        self._word: Any = None
        commands = {agent: AgentCommand(agent, ("true",)) for agent in stages.AGENTS}
        self._bench = worker.Bench(f"w-{claim.agent}", self, commands, root)
        self._thread = threading.Thread(target=self._work, args=(line,), daemon=True)
        self._thread.start()
        self._wait()

    def run(self, work: AgentWork, watch: Watch, beat: float) -> AgentResult:
        """The agent runner of this turn: does what it is told, one word at a time."""
        while True:
            self._held.release()
            self._go.acquire()
            if self._word == _LOST:
                raise CrashedError
            if isinstance(self._word, AgentResult):
                return self._word
            asked = watch()
            if asked is not None:
                return AgentResult("stopped", stop_reason=asked)

    def tell(self, word: AgentResult | str) -> str | None:
        """Let it go on until it is held again or over; the outcome if it is over."""
        self._word = word
        self._go.release()
        return self._wait()

    def crash(self) -> None:
        if self.outcome is None:
            self.tell(_LOST)

    def _work(self, line: Line) -> None:
        try:
            self.outcome = worker.work_on(line, self._bench, self.claim)
        except CrashedError:
            self.outcome = _LOST
        except BaseException as error:  # noqa: BLE001 - handed to the test, which raises it
            self._error = error
        finally:
            self._held.release()

    def _wait(self) -> str | None:
        if not self._held.acquire(timeout=60):
            raise AssertionError("the worker's turn does not come back")
        if self._error is not None:
            raise self._error
        return self.outcome


@dataclass
class Rows:
    """What the store says at one moment."""

    tasks: dict[int, Any]
    jobs: dict[int, Any]
    deps: set[tuple[int, int]]
    freezes: list[Any]
    woken: set[str]
    events: list[Any]
    claimable: set[int]
    failing: dict[int, list[str]] = field(default_factory=dict)

    def open_job(self, task_id: int) -> Any:
        found = [
            each
            for each in self.jobs.values()
            if each.task_id == task_id and each.status in ("queued", "claimed", "running")
        ]
        assert len(found) <= 1
        return found[0] if found else None


@cache
def _row_of(columns: tuple[str, ...]) -> Any:
    return namedtuple("Row", columns)


def _ask(conn: Any, sql: str) -> list[Any]:
    """All rows, by the driver alone: asked after every step, so it must be quick."""
    cursor = conn.connection.cursor()
    cursor.execute(sql)
    row_of = _row_of(tuple(column[0] for column in cursor.description))
    found = [row_of(*row) for row in cursor.fetchall()]
    cursor.close()
    return found


class World:
    """Two dispatchers and the workers of one store."""

    def __init__(self, store: Store, root: Path) -> None:
        self.store, self.root = store, root
        self.now = START
        self._take_the_clock()
        self._looks: dict[Gate, tuple[Any, Any]] = {}
        self.reset()

    def _take_the_clock(self) -> None:
        """Let the database's own clock stand where we set it: the line runs on DATABASE_TIME."""
        if not self.store.is_sqlite:
            return

        def strftime(_format: str, _now: str, after: str = "0 seconds") -> str:
            moment = self.now + timedelta(seconds=float(after.split()[0]))
            return moment.strftime(SQLITE_FORMAT)

        def override(conn: Any) -> None:
            conn.connection.create_function("strftime", -1, strftime, deterministic=True)

        self.store.read(override)

    def set_clock(self, now: datetime) -> None:
        self.now = now
        if not self.store.is_sqlite:
            self.hand("UPDATE public.clock SET at = :now", now=now)

    def reset(self) -> None:
        """Empty tables, first ids, the clock back at its start."""
        self.store.write(self._empty)
        self.set_clock(START)
        self.queue = MemoryQueue()
        self.turns: list[Turn] = []
        self.last_event = 0
        self.tokens = [count(1), count(1)]
        self.gate = Gate()
        self.store.write(self._prepare)

    def _empty(self, conn: Any) -> None:
        for name in reversed(TABLES):
            conn.exec_driver_sql(f"DELETE FROM {name}")  # noqa: S608
        if conn.dialect.name == "postgresql":
            conn.exec_driver_sql(
                "SELECT setval(quote_ident(sequencename)::regclass, 1, false) "
                "FROM pg_sequences WHERE last_value IS NOT NULL"
            )

    def _prepare(self, conn: Any) -> None:
        ledger.know_repos(conn, REPOS)
        for agent in stages.AGENTS:
            fleet.register(conn, f"w-{agent}", stages.queue_of(agent), 2, "1", self.now)

    @property
    def gate(self) -> Gate:
        return self._gate

    @gate.setter
    def gate(self, gate: Gate) -> None:
        self._gate = gate
        limits = Limits(heartbeat=1)
        self.lines = [
            Line(self.store, self.queue, lambda: DATABASE_TIME, self._new_id(which), gate, limits)
            for which in (0, 1)
        ]

    def _new_id(self, which: int) -> Callable[[], str]:
        return lambda: f"{'ab'[which]}{next(self.tokens[which])}"

    def switch(self, layers: Layers) -> None:
        """All processes start again with other switches."""
        self.gate = Gate(layers)

    def pass_time(self, seconds: float) -> None:
        self.set_clock(self.now + timedelta(seconds=seconds))

    def hand(self, sql: str, **values: Any) -> Any:
        """Another program writes a row."""
        moments = [name for name, value in values.items() if isinstance(value, datetime)]
        typed = text(sql).bindparams(*(bindparam(name, type_=UtcDateTime()) for name in moments))

        def run(conn: Any) -> Any:
            answer = conn.execute(typed, values)
            return answer.scalar() if answer.returns_rows else None

        return self.store.write(run)

    def dump(self) -> list[Any]:
        """Every row of every table a rule reads."""
        return self.store.read(lambda conn: [row for each in DUMPS for row in _ask(conn, each)])

    def rows(self) -> Rows:
        return self.store.read(self._rows)

    def _rows(self, conn: Any) -> Rows:
        shown, open_jobs = self._statements()
        found = Rows(
            tasks={row.id: row for row in _ask(conn, "SELECT * FROM tasks ORDER BY id")},
            jobs={row.id: row for row in _ask(conn, "SELECT * FROM jobs ORDER BY id")},
            deps={
                tuple(row) for row in _ask(conn, "SELECT task_id, depends_on_task_id FROM job_deps")
            },
            freezes=_ask(conn, "SELECT * FROM repo_freeze WHERE cleared_at IS NULL"),
            woken={row.repo for row in _ask(conn, "SELECT repo FROM wakes")},
            events=_ask(conn, f"SELECT * FROM events WHERE id > {self.last_event} ORDER BY id"),  # noqa: S608
            claimable=set(conn.scalars(open_jobs, {"repos": REPOS})),
        )
        for row in conn.execute(shown).mappings():
            found.failing[row["id"]] = failing(row)
        self.last_event = max([self.last_event, *(row.id for row in found.events)])
        return found

    def _statements(self) -> tuple[Any, Any]:
        """The snapshot's and the claim's own statements, built once per gate."""
        if self.gate not in self._looks:
            open_jobs = claims.candidates(self.gate, DATABASE_TIME, jobs.c.id)
            self._looks[self.gate] = (snapshot(self.gate, DATABASE_TIME, jobs.c.id), open_jobs)
        return self._looks[self.gate]

    def stored(self, moment: datetime | None) -> Any:
        """A time as this database hands it out."""
        dialect = self.store.writer.dialect
        return UtcDateTime().process_bind_param(moment, dialect)

    def end_turns(self) -> None:
        for turn in self.turns:
            turn.crash()
