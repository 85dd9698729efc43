"""The line played forward: what ends, what opens by itself, and what the gate lets start then.

Nothing here says what may start. Every moment asks the dispatcher's own parts on the copy; a turn
begins by the claim, and ends by what a worker writes.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from orch import dispatcher, names, reaper, stages, turns
from orch.errors import BadInput
from orch.line import Line
from orch.outcomes import Decision, decide, over_budget
from orch.ports import AgentResult, Claim, StopReason
from orch.simulation.durations import Basis, Durations
from orch.store import claims, copying, fleet, looks, queries, work
from orch.store.copying import Copy
from orch.store.session import Connection
from orch.turns import Outcome, Turn

WORKER: Final = "simulation"
PASSED: Final = AgentResult("exited", 0, "pass")
ALL_MARKS: Final = 1_000_000


@dataclass(frozen=True)
class Played:
    """One turn of an agent as it was played: a bar of the Gantt."""

    task_id: int
    work_item: str
    repo: str
    stage: str
    agent: str
    attempt: int
    since: datetime
    """From when on it waited: the beginning of the simulation, or the end of the turn before."""
    starts_at: datetime
    ends_at: datetime
    basis: Basis
    running: bool
    """Whether it ran already when the simulation began."""


@dataclass(order=True)
class _Ending:
    at: datetime
    number: int
    turn: Turn = field(compare=False)
    outcome: Outcome = field(compare=False)


@dataclass
class Course:
    """One simulation under way."""

    line: Line
    """On the copy, by the copy's clock, under the gate that is tried."""
    copy: Copy
    durations: Durations
    stop: Callable[[Course], bool] = lambda _: False
    """Asked after each moment whether enough has been seen."""
    played: list[Played] = field(default_factory=list)
    ended: int = 0
    """Turns that have ended so far."""
    last: datetime | None = None
    """When the last of them did."""
    just_ended: list[int] = field(default_factory=list)
    """The tasks whose turns ended at this moment."""
    _since: dict[int, datetime] = field(default_factory=dict)
    _ends: list[_Ending] = field(default_factory=list)
    _numbers: Any = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        """Remember when it began."""
        self.begins = self.copy.now

    def play(self) -> None:
        """Play until nothing moves any more by itself, or enough has been seen."""
        while reaper.reap(self.line):
            pass  # each time as many as a tick takes
        self._expire()
        self._take_over()
        ahead = self.line.store.read(lambda conn: copying.moments_ahead(conn, self.copy.now))
        self._look()
        while (self._ends or ahead) and not self.stop(self):
            self.copy.now = min([*ahead[:1], *(each.at for each in self._ends[:1])])
            if ahead and ahead[0] == self.copy.now:
                ahead.pop(0)
                self._expire()
            self.just_ended.clear()
            while self._ends and self._ends[0].at == self.copy.now:
                self._end(heapq.heappop(self._ends))
            self._look()

    def _expire(self) -> None:
        while dispatcher.expire(self.line):
            pass

    def _take_over(self) -> None:
        """What is live already goes on, or stops where somebody asked it to."""
        for job in self.line.store.read(copying.live_jobs):
            claim = Claim(job["id"], job["claim_token"], job["agent"])
            if job["status"] == "claimed":
                self._take_up(claim)
                continue
            task = self.line.store.read(partial(work.task_at_work, task_id=job["task_id"]))
            turn = Turn(claim, job, dict(task))
            if job["stop_requested"] is not None:
                self._stop(turn, job)
            else:
                begun = job["started_at"] or job["claimed_at"] or self.copy.now
                self._begin(turn, min(begun, self.copy.now))

    def _take_up(self, claim: Claim) -> None:
        turn = turns.begin(self.line, claim, WORKER)
        if turn is None:
            self.line.store.write(lambda conn: claims.hand_back(conn, claim, self.line.now()))
        else:
            self._begin(turn, self.copy.now)

    def _stop(self, turn: Turn, job: dict[str, Any]) -> None:
        """Its worker hears of it at the next heartbeat."""
        asked: StopReason = "cancelled" if job["stop_requested"] == "cancelled" else "paused"
        stopped = AgentResult("stopped", stop_reason=asked)
        decision = decide(stopped, turn.task["stage"], job["attempt"], 0, self.line.limits)
        self._ends_in(turn, Outcome(stopped, decision), self.line.limits.heartbeat)

    def _look(self) -> None:
        for turn in self.line.store.write(self._claim):
            self._begin(turn, self.copy.now)

    def _claim(self, conn: Connection) -> list[Turn]:
        """What a tick does at this moment: of marked repos and of those that lacked a slot, what
        the gate lets start, begun at once."""
        line, now = self.line, self.line.now()
        slots = fleet.capacity(conn, now, line.limits.worker_stale)
        woken = queries.woken_repos(conn, now, ALL_MARKS).repos
        wanted = list(dict.fromkeys([*woken, *queries.repos_of_ready_jobs(conn, slots)]))
        if not wanted:
            return []
        token = line.new_id()
        look = looks.take(conn, line.gate, wanted, slots, now, token=token, worker=WORKER)
        queries.clear_wakes(conn, wanted, now)
        return [
            turns.taken_up(conn, line, each.claim, each.started)
            for each in look.claimed
            if each.started is not None
        ]

    def _begin(self, turn: Turn, since: datetime) -> None:
        task, job = turn.task, turn.job
        outcome = _outcome(self.line, turn)
        if outcome.decision.event != "succeed":  # no agent is called
            self._ends_in(turn, outcome, 0)
            return
        stage = task["stage"] if task["stage"] not in stages.TERMINAL else job["stage"]
        basis = self.durations.basis(task["repo"], stage or stages.ENTRY, job["agent"])
        elapsed = max(0.0, (self.copy.now - since).total_seconds())
        seconds = self.durations.turn(basis, task["work_item_id"], elapsed)
        ends_at = self._ends_in(turn, outcome, seconds)
        waited_from = min(since, self._since.get(task["id"], self.begins))
        shown = (task["id"], task["work_item_id"], task["repo"], basis.stage, job["agent"])
        times = (waited_from, since, ends_at, basis, since < self.begins)
        self.played.append(Played(*shown, job["attempt"], *times))

    def _ends_in(self, turn: Turn, outcome: Outcome, seconds: float) -> datetime:
        at = self.copy.now + timedelta(seconds=seconds)
        heapq.heappush(self._ends, _Ending(at, next(self._numbers), turn, outcome))
        return at

    def _end(self, ending: _Ending) -> None:
        turns.settle(self.line, ending.turn, ending.outcome, None)
        self._since[ending.turn.task["id"]] = self.copy.now
        self.just_ended.append(ending.turn.task["id"])
        self.ended, self.last = self.ended + 1, self.copy.now


def _outcome(line: Line, turn: Turn) -> Outcome:
    """Every turn passes, but for those that a worker would not begin."""
    task = turn.task
    if task["stage"] in stages.TERMINAL:
        # One that runs on ends for nobody; a new one is given up before an agent is called.
        runs = turn.job.get("status") == "running"
        over = (
            Decision("succeed", "nothing") if runs else Decision("cancel", "nothing", "cancelled")
        )
        return Outcome(PASSED, over)
    reason = _unworkable(line, turn)
    if reason:
        failed = AgentResult("spawn_failed", detail=reason)
        return Outcome(failed, Decision("fail", "park", "spawn_failed", reason=reason))
    decision = decide(PASSED, task["stage"], turn.job["attempt"], task["reworks"], line.limits)
    settings = line.repos.get(task["repo"])
    if settings is not None and task["stage"] in settings.approvals:
        reason = f"waits for approval of {task['stage']}"
        decision = replace(decision, next="approve", reason=reason)
    return turns.on_its_track(line, turn, Outcome(PASSED, decision))


def _unworkable(line: Line, turn: Turn) -> str:
    task = turn.task
    try:
        names.repo(turn.job["repo"])
        names.work_item(task["work_item_id"])
    except BadInput as error:
        return f"the job cannot be prepared: {error.message}"
    if task["stage"] not in stages.STAGES:
        return f"“{names.shown(task['stage'])}” is not a stage"
    return over_budget(task, line.limits)
