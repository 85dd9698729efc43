"""The real line for the state machine: a store emptied between examples, a clock that stands still
until it is set, counted tokens, and workers whose turns wait to be told how they end."""

from __future__ import annotations

import threading
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, event, text

from orch import stages, worker
from orch.adapters.memory_queue import MemoryQueue
from orch.line import Limits, Line
from orch.ports import AgentCommand, AgentResult, AgentWork, Claim, Watch
from orch.serial_gate import Gate, Layers, failing, snapshot
from orch.store import fleet, ledger, looks
from orch.store.moments import DATABASE_TIME, SQLITE_FORMAT, UtcDateTime
from orch.store.schema import jobs, metadata
from orch.store.session import Store

START = datetime(2100, 1, 1, tzinfo=UTC)
"""Later than any real clock: defaults made before the clock was ours are in the past."""
CLOCK_OF_POSTGRES = (
    "CREATE FUNCTION public.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE "
    "AS $$SELECT current_setting('test.now')::timestamptz$$"
)
"""With `public` before `pg_catalog` in the search path, the clock that orch asks is this one."""
REPOS = ("team/alpha", "team/beta", "solo")
UNTOLD = {"beats", "counters"}
"""Tables that say when something last ran, or how often; no rule reads them."""
LASTING = {"repos", "agents", "workers"}
"""Tables that keep their rows from example to example."""
TABLES = [table.name for table in metadata.sorted_tables]
DUMP = "SELECT '{0}' AS of_table, {0}.* FROM {0} ORDER BY 2, 3"
DUMPS = [DUMP.format(name) for name in TABLES if name not in UNTOLD]
ROWS = (
    "SELECT * FROM tasks ORDER BY id",
    "SELECT * FROM jobs ORDER BY id",
    "SELECT task_id, depends_on_task_id FROM job_deps",
    "SELECT * FROM repo_freeze WHERE cleared_at IS NULL",
    "SELECT repo FROM wakes",
    "SELECT * FROM events ORDER BY id DESC LIMIT 60",
)
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
    failing: dict[int, list[str]]

    def open_job(self, task_id: int) -> Any:
        found = [
            each
            for each in self.jobs.values()
            if each.task_id == task_id and each.status in ("queued", "claimed", "running")
        ]
        assert len(found) <= 1
        return found[0] if found else None


_ROW_OF: dict[str, Any] = {}


def _rows_of(cursor: Any, question: str) -> list[Any]:
    """The rows of one answer, named by its columns, which are asked for once."""
    if question not in _ROW_OF:
        columns = [column[0] for column in cursor.description]
        _ROW_OF[question] = namedtuple("Row", columns)
    return list(map(_ROW_OF[question]._make, cursor.fetchall()))


def _ask(conn: Any, questions: Sequence[str]) -> list[list[Any]]:
    """The rows of each question, by the driver alone: asked after every step, it must be quick."""
    cursor = conn.connection.cursor()
    if conn.dialect.name == "sqlite":
        return [_rows_of(cursor.execute(question), question) for question in questions]
    cursor.execute(";".join(questions))
    answers = []
    for question in questions:
        answers.append(_rows_of(cursor, question))
        cursor.nextset()
    cursor.close()
    return answers


class World:
    """Two dispatchers and the workers of one store."""

    def __init__(self, store: Store, root: Path) -> None:
        self.store, self.root = store, root
        self.now = START
        self._take_the_clock()
        self.store.write(self._hire)
        self._looks: dict[Gate, tuple[Any, Any]] = {}
        self.reset()

    def _take_the_clock(self) -> None:
        """Let the database's own clock stand where we set it: the line runs on DATABASE_TIME."""

        def strftime(_format: str, _now: str, after: str = "0 seconds") -> str:
            moment = self.now + timedelta(seconds=float(after.split()[0]))
            return moment.strftime(SQLITE_FORMAT)

        def set_in_session(session: Any, record: Any, _proxy: Any) -> None:
            if record.info.get("now") != self.now:
                session.execute("SELECT set_config('test.now', %s, false)", [self.now.isoformat()])
                session.commit()
                record.info["now"] = self.now

        if self.store.is_sqlite:
            with self.store.writer.connect() as conn:
                create = conn.connection.create_function  # type: ignore[attr-defined]
                create("strftime", -1, strftime, deterministic=True)
        else:
            event.listen(self.store.writer, "checkout", set_in_session)

    def reset(self) -> None:
        """Empty tables, first ids, the clock back at its start."""
        self.store.write(self._empty)
        self.now = START
        self.queue = MemoryQueue()
        self.turns: list[Turn] = []
        self.last_event = 0
        self._asked_about: Any = None
        self.tokens = [count(1), count(1)]
        self.gate = Gate()

    def _empty(self, conn: Any) -> None:
        for name in reversed(TABLES):
            if name not in LASTING:
                conn.exec_driver_sql(f"DELETE FROM {name}")  # noqa: S608
        if not self.store.is_sqlite:
            conn.exec_driver_sql(
                "SELECT setval(quote_ident(sequencename)::regclass, 1, false) "
                "FROM pg_sequences WHERE last_value IS NOT NULL"
            )
        hired = text("UPDATE workers SET concurrency = 2, stopped_at = NULL, heartbeat_at = :now")
        conn.execute(hired.bindparams(bindparam("now", START, UtcDateTime())))

    def _hire(self, conn: Any) -> None:
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
        self.now += timedelta(seconds=seconds)

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
        return [row for answer in self.store.read(lambda c: _ask(c, DUMPS)) for row in answer]

    def rows(self) -> Rows:
        return self.store.read(self._rows)

    def _rows(self, conn: Any) -> Rows:
        tasks, all_jobs, deps, freezes, woken, events = _ask(conn, ROWS)
        told = [row for row in reversed(events) if row.id > self.last_event]
        self.last_event = told[-1].id if told else self.last_event
        claimable, names = self._rule(conn, (tasks, all_jobs, deps, freezes, self.now, self.gate))
        return Rows(
            tasks={row.id: row for row in tasks},
            jobs={row.id: row for row in all_jobs},
            deps={tuple(row) for row in deps},
            freezes=freezes,
            woken={row.repo for row in woken},
            events=told,
            claimable=claimable,
            failing=names,
        )

    def _rule(self, conn: Any, reads: Any) -> tuple[set[int], dict[int, list[str]]]:
        """What the claim would take and what the snapshot says, asked anew when rows changed."""
        if reads != self._asked_about:
            shown, open_jobs = self._statements()
            claimable = set(conn.scalars(open_jobs, {"repos": REPOS}))
            names = {row["id"]: failing(row) for row in conn.execute(shown).mappings()}
            self._asked_about, self._answer = reads, (claimable, names)
        return self._answer

    def _statements(self) -> tuple[Any, Any]:
        """The snapshot's and the claim's own statements, built once per gate."""
        if self.gate not in self._looks:
            open_jobs = looks.candidates(self.gate, DATABASE_TIME, jobs.c.id)
            self._looks[self.gate] = (snapshot(self.gate, DATABASE_TIME, jobs.c.id), open_jobs)
        return self._looks[self.gate]

    def stored(self, moment: datetime | None) -> Any:
        """A time as this database hands it out."""
        dialect = self.store.writer.dialect
        return UtcDateTime().process_bind_param(moment, dialect)

    def end_turns(self) -> None:
        for turn in self.turns:
            turn.crash()
