"""Steps of the state machine: tasks come in, dispatchers tick, workers work, time passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from orch import dispatcher
from orch.ports import AgentResult, Claim
from orch.store import work
from orch.store.moments import DATABASE_TIME
from orch.task_deps import add_dependency
from tests.store import gate_checks as check
from tests.store.gate_life import Model
from tests.store.gate_model import AGENT_OF, Task
from tests.store.gate_world import REPOS, START, Rows, Turn, World

T = TypeVar("T")
MOST = 8
RESULTS = {
    "pass": AgentResult("exited", 0, "pass"),
    "rework": AgentResult("exited", 0, "rework"),
    "needs_input": AgentResult("exited", 0, "needs_input", question="which one?"),
    "fail": AgentResult("exited", 1, "fail"),
    "timeout": AgentResult("timeout"),
    "silence": AgentResult("exited", 0),
    "stopped:shutdown": AgentResult("stopped", stop_reason="shutdown"),
}
any_of = st.integers(0, MOST - 1)
repo_names = st.sampled_from(REPOS)
endings = st.sampled_from(["pass"] * 6 + list(RESULTS))
jumps = st.sampled_from([0.001, 1, 5, 30, 61, 700])


@dataclass(frozen=True)
class Arrival:
    """A task that comes in, at the beginning or as if it had got further some seconds ago."""

    repo: str
    track: str
    stage: str
    ago: int
    after: int | None
    parked: bool


arrivals = st.builds(
    Arrival,
    repo=repo_names,
    track=st.sampled_from(["full", "docs"]),
    stage=st.sampled_from(["created", "created", "development", "deploy"]),
    ago=st.sampled_from([0, 5, 10]),
    after=st.none() | any_of,
    parked=st.sampled_from([False, False, True]),
)


def _unnoted(row: Any) -> str:
    return str(row._replace(ready_at=None) if row.of_table == "jobs" else row)


class Base(RuleBasedStateMachine):
    """The real line beside its model, compared after every step."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world, self.model = world, Model(START)
        world.reset()
        for agent in AGENT_OF.values():
            self.model.slots[agent], self.model.heard[agent] = 2, START
        self.rings: list[Claim] = []
        self.old: list[Claim] = []
        self.exact = True
        """No other program wrote, and no switch was moved, since the last full sweep."""
        self.by_hand = False
        self.before: Rows = world.rows()

    @property
    def line(self) -> Any:
        return self.world.lines[0]

    def write(self, do: Callable[..., T]) -> T:
        return self.world.store.write(do)

    def pick(self, which: int, wanted: Callable[[Task], Any] = lambda task: True) -> Task | None:
        found = [task for task in self.model.tasks.values() if wanted(task)]
        return found[which % len(found)] if found else None

    @invariant()
    def everything_holds(self) -> None:
        before, after = self.before, self.world.rows()
        check.same_state(self.world, self.model, after)
        check.same_rule(self.model, after)
        check.law(after)
        check.over_is_for_ever(before, after)
        check.no_job_lost(after)
        if self.exact:
            check.marks_lead_there(self.world, after)
        if not self.by_hand:
            check.events_tell(before, after)
            check.nothing_starts_shut(self.world, self.model, before, after)
        self.before, self.by_hand = after, False

    def teardown(self) -> None:
        self.world.end_turns()


class Work(Base):
    """Tasks come in, the dispatchers tick, the workers work, time passes."""

    @initialize(plan=st.lists(arrivals, min_size=2, max_size=5))
    def begin(self, plan: Sequence[Arrival]) -> None:
        for new in plan:
            self.add(new)
        self.everything_holds()
        self.let_tick(0)

    @precondition(lambda self: len(self.model.tasks) < MOST)
    @rule(new=arrivals)
    def add(self, new: Arrival) -> None:
        item, now = f"W-{len(self.model.tasks) + 1}", self.model.now
        before = None if new.after is None else self.pick(new.after)
        admitted = None if new.stage == "created" else now - timedelta(seconds=new.ago)
        facts = {"stage": new.stage, "track": new.track, "admitted_at": admitted}
        row = self.write(lambda c: work.create_task(c, item, new.repo, DATABASE_TIME, **facts))
        task = Task(row["id"], item, new.repo, now, new.stage, new.track, admitted=admitted)
        self.model.tasks[task.id] = task
        if before is not None:
            task.before = {before.id}
            self.write(lambda c: add_dependency(c, task.id, before.id, DATABASE_TIME))
        if new.parked:
            self.model.pause(task, False, None)
            self.write(lambda c: work.set_task_paused(c, task.id, DATABASE_TIME))
        self.queue_job(task)

    def queue_job(self, task: Task) -> None:
        agent, now = AGENT_OF.get(task.stage, "analyst"), DATABASE_TIME
        self.write(lambda c: work.enqueue_job(c, agent, task.repo, None, task.id, now))
        self.model.enqueue(task)

    @rule(which=st.integers(0, 1), what=st.sampled_from(["tick", "tick", "sweep", "down"]))
    def tick(self, which: int, what: str) -> None:
        if what == "sweep":
            self.sweep(which)
        self.let_tick(which, what == "down")
        if what != "down":
            self.tick_with_nothing_to_do(1 - which)

    def sweep(self, which: int) -> None:
        """After a full sweep, every idle repo with work that may start is found by a tick."""
        expired = any(not self.model.in_force(each) for each in self.model.freezes.values())
        mended = dispatcher.sweep(self.world.lines[1 - which])
        assert mended == 0 or expired or not self.exact
        self.exact = True

    def let_tick(self, which: int, down: bool = False) -> None:
        self.world.queue.down = down
        reaped, expired = self.model.reap(), self.model.expire()
        expected = [task.id for task in self.model.next_claims()]
        done = dispatcher.tick(self.world.lines[which])
        assert (done.reaped, done.expired, done.lost_races) == (reaped, expired, 0)
        claimed = [each.task_id for each in done.claimed]
        if self.exact:
            assert sorted(claimed) == sorted(expected)
        for each in done.claimed:
            task = self.model.tasks[each.task_id]
            assert not self.model.failing(task)
            assert self.model.free_slots(each.claim.agent) > 0
            self.model.claimed(task, each.claim.token)
        for task_id in claimed if down else ():
            self.model.unsent(self.model.tasks[task_id])
        rung = self.world.queue.take()
        assert len(rung) == (0 if down else len(claimed))
        self.rings += rung
        self.old += rung
        self.world.queue.down = False

    def tick_with_nothing_to_do(self, which: int) -> None:
        """It changes nothing; but it may take back a note of the tick before, once."""
        before, after = self.world.dump(), self.idle_tick(which)
        if after != before:
            assert sorted(map(_unnoted, after)) == sorted(map(_unnoted, before))
            assert self.idle_tick(which) == after

    def idle_tick(self, which: int) -> list[Any]:
        assert dispatcher.tick(self.world.lines[which]) == dispatcher.Tick()
        return self.world.dump()

    @precondition(lambda self: self.rings)
    @rule(which=any_of)
    def start(self, which: int) -> None:
        self.deliver(self.rings.pop(which % len(self.rings)))

    @rule(which=st.integers(0, 1), hows=st.lists(endings, min_size=1, max_size=4))
    def run(self, which: int, hows: Sequence[str]) -> None:
        """The line runs by itself for a while."""
        self.let_tick(which)
        for how in hows:
            if not self.rings:
                break
            self.everything_holds()
            turn = self.deliver(self.rings.pop(0))
            if turn is not None:
                self.everything_holds()
                self.finish(turn, how)
            self.let_tick(which)

    @precondition(lambda self: self.old)
    @rule(which=st.integers(0, 40), lost=st.booleans())
    def mistreat_message(self, which: int, lost: bool) -> None:
        """A message is lost, or comes once more, however old it is."""
        if not lost:
            self.deliver(self.old[which % len(self.old)])
        elif self.rings:
            self.rings.pop(which % len(self.rings))

    def deliver(self, claim: Claim) -> Turn | None:
        expected = self.model.start(claim.job_id, claim.token)
        turn = Turn(self.line, self.world.root, claim)
        if expected != "running":
            assert turn.outcome == expected
            return None
        assert turn.outcome is None, turn.outcome
        self.world.turns.append(turn)
        return turn

    @precondition(lambda self: self.world.turns)
    @rule(which=any_of)
    def heartbeat(self, which: int) -> None:
        turn = self.turn(which)
        expected = self.model.beat(turn.claim.job_id, turn.claim.token)
        assert turn.tell("beat") == expected
        if expected is not None:
            self.world.turns.remove(turn)

    @precondition(lambda self: self.world.turns)
    @rule(which=any_of, how=endings)
    def end(self, which: int, how: str) -> None:
        self.finish(self.turn(which), how)

    @precondition(lambda self: self.world.turns)
    @rule(which=any_of)
    def crash(self, which: int) -> None:
        turn = self.turn(which)
        self.world.turns.remove(turn)
        turn.crash()

    def turn(self, which: int) -> Turn:
        return self.world.turns[which % len(self.world.turns)]

    def finish(self, turn: Turn, how: str) -> None:
        self.world.turns.remove(turn)
        expected = self.model.end(turn.claim.job_id, turn.claim.token, how)
        assert turn.tell(RESULTS[how]) == expected

    @rule(seconds=jumps, workers_live=st.sampled_from([True, True, True, False]))
    def pass_time(self, seconds: float, workers_live: bool) -> None:
        self.world.pass_time(seconds)
        self.model.now = self.world.now
        for agent in self.model.slots if workers_live else ():
            if self.model.slots[agent]:
                self.model.heard[agent] = self.model.now
        if workers_live:
            self.world.hand("UPDATE workers SET heartbeat_at = :now", now=self.world.now)
