"""The line against a small model of it, by random steps: whatever happens in whatever order, the
store is what the model says, and the gate is open exactly when the model calls it open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test
from sqlalchemy import create_engine, event, make_url, text

from orch import controls, mirror, snapshot
from orch.controls import Order
from orch.errors import OrchError
from orch.serial_gate import Layers
from orch.store import claims, endings, fleet, revisions
from orch.store.moments import DATABASE_TIME
from orch.store.session import Store
from tests.store.gate_model import AGENT_OF, Freeze, Job, RefusedError, Switches, Task
from tests.store.gate_steps import MOST, Work, any_of, repo_names
from tests.store.gate_world import CLOCK_OF_POSTGRES, REPOS, World

DAWN = datetime.fromisoformat("2000-01-01T00:00:00Z")
"""Stands for the real clock, which is earlier than every moment of the model."""
GLOBS = ("*", "team/*", "?olo")
patterns = st.sampled_from(REPOS + GLOBS)
freezings = st.sampled_from(["set", "allow", "lift"])
ends = st.sampled_from([None, None, 1, 30])
SWITCHES = (
    Switches(),
    Switches(),
    Switches(gate=False),
    Switches(repos=("solo",)),
    Switches(repos=("team/*", "other")),
    Switches(pause=False),
    Switches(freeze=False),
    Switches(yields=False),
    Switches(entry_only=True),
    Switches(entry_only=True, repos=("*a",), yields=False),
    Switches(deps=False),
    Switches(gate=False, pause=False, freeze=False, deps=False),
)
"""Few enough for the statements of each gate to be built once."""


class Controls(Work):
    """People pause, resume, freeze, promote, cancel, and declare what comes first."""

    def control(self, expected: Callable[[], bool], verb: str, target: str, **more: object) -> None:
        """Carry out one control: it changes what the model says, or both refuse."""
        wanted: bool | None
        try:
            wanted = expected()
        except RefusedError:
            wanted = None
        order = Order(verb, target, "me", "because", **more)
        controls.check(order)
        try:
            # Not `carry_out`: to show the state after each order costs more than all the rest.
            changed = self.write(lambda c: controls.VERBS[verb](c, self.line, order))
        except OrchError:
            changed = None
        assert changed is wanted, (changed, wanted)

    def until(self, seconds: float | None) -> datetime | None:
        return None if seconds is None else self.model.after(seconds)

    @rule(which=any_of, lift=st.booleans(), kill=st.booleans(), seconds=ends)
    def pause_or_resume(self, which: int, lift: bool, kill: bool, seconds: float | None) -> None:
        task = self.pick(which, lambda each: bool(each.paused) == lift) or self.pick(which)
        if which % 2 and not lift:
            task = self.pick(which, lambda each: each.live) or task
        if lift:
            self.control(lambda: self.model.resume(task), "resume", task.item)
            return
        until = self.until(seconds)
        self.control(
            lambda: self.model.pause(task, kill, until), "pause", task.item, now=kill, until=until
        )

    @rule(which=any_of, verb=st.sampled_from(["retry", "promote", "promote", "cancel", "enqueue"]))
    def order(self, which: int, verb: str) -> None:
        task = self.pick(which)
        if verb == "cancel" and which % 2:
            task = self.pick(which, self.is_waited_for) or task
        if verb == "enqueue":
            self.queue_job(task)
        else:
            self.control(lambda: getattr(self.model, verb)(task), verb, task.item)

    def is_waited_for(self, task: Task) -> bool:
        waiting = (each for each in self.model.tasks.values() if not each.over)
        return not task.over and any(task.id in each.before for each in waiting)

    @rule(which=any_of, other=any_of, lift=st.sampled_from([False, False, True]))
    def depend(self, which: int, other: int, lift: bool) -> None:
        task, on = self.pick(which), self.pick(other)
        if lift:
            task = self.pick(which, lambda each: each.before) or task
            on = self.pick(other, lambda each: each.id in task.before) or on
        act = self.model.undepend if lift else self.model.depend
        verb = "undepend" if lift else "depend"
        self.control(lambda: act(task, on), verb, task.item, on=on.item)

    @rule(
        pattern=patterns, which=any_of, how=st.sampled_from(["set", "allow", "lift"]), seconds=ends
    )
    def freeze(self, pattern: str, which: int, how: str, seconds: float | None) -> None:
        if how == "lift":
            pattern = [*self.model.freezes, pattern][which % (len(self.model.freezes) + 1)]
            pattern = pattern if pattern in self.model.freezes else REPOS[which % len(REPOS)]
            self.control(lambda: self.model.unfreeze(pattern), "unfreeze", pattern)
            return
        task = self.pick(which) if how == "allow" else None
        task_id, item = (task.id, task.item) if task else (None, None)
        until = self.until(seconds)
        self.control(
            lambda: self.model.freeze(pattern, task_id, until),
            "freeze", pattern, allow=item, until=until,
        )  # fmt: skip

    @rule(agent=st.sampled_from(sorted(set(AGENT_OF.values()))), slots=st.integers(0, 3))
    def capacity(self, agent: str, slots: int) -> None:
        now, name = DATABASE_TIME, f"w-{agent}"
        self.model.slots[agent], self.model.heard[agent] = slots, self.model.now
        if slots:
            self.write(lambda c: fleet.register(c, name, f"agent.{agent}", slots, "1", now))
        else:
            self.write(lambda c: fleet.leave(c, name, now))

    @rule(which=any_of, really=st.sampled_from([False, False, False, True]))
    def look(self, which: int, really: bool) -> None:
        """What people are shown is what the gate says."""
        if not really:
            return
        task = self.pick(which)
        shown = snapshot.snapshot(self.line)["serial_gate"]["per_repo"]
        waiting = {row["task_id"]: row for lane in shown.values() for row in lane["waiting"]}
        assert set(waiting) == {each.id for each in self.model.tasks.values() if each.queued}
        for task_id, row in waiting.items():
            each = self.model.tasks[task_id]
            failing = self.model.failing(each)
            assert row["reason"] == next(iter(failing), None)
            assert row["hold"] == (None if failing else self.hold(each.job.agent))
            named = list(dict.fromkeys(entry["clause"] for entry in row["blockers"]))
            assert named == failing or not self.model.contends(each)
        answer = mirror.why(self.line, task.item)
        parked = task.paused is not None and not (task.over or task.queued or task.live)
        assert (answer["state"] == "parked") == parked
        without = {"reason": "paused" if parked else None}
        assert answer["reason"] == waiting.get(task.id, without)["reason"]

    def hold(self, agent: str) -> str | None:
        if not self.model.workers_live(agent):
            return "no-worker"
        return None if self.model.free_slots(agent) else "capacity"


class GateMachine(Controls):
    """Beside all that, other programs write rows, switches move, and old messages come back."""

    @rule(chosen=st.sampled_from(SWITCHES))
    def switch(self, chosen: Switches) -> None:
        self.model.switches, self.exact = chosen, False
        self.world.switch(
            Layers(
                serial_gate_enabled=chosen.gate,
                serial_gate_repos=chosen.repos,
                serial_gate_pause_enabled=chosen.pause,
                serial_gate_freeze_enabled=chosen.freeze,
                serial_gate_yield_enabled=chosen.yields,
                serial_gate_entry_only=chosen.entry_only,
                task_deps_enabled=chosen.deps,
            )
        )

    @rule(
        what=st.sampled_from(["task", "job", "job", "running", "end", "freeze"]),
        which=any_of,
        repo=repo_names,
        pattern=patterns,
    )
    def write_by_hand(self, what: str, which: int, repo: str, pattern: str) -> None:
        """No mark, no event: another program writes the columns it may write."""
        self.exact, self.by_hand = False, True
        if what == "task" and len(self.model.tasks) < MOST + 2:
            self.hand_task(repo, ("created", "analysis", "development", "review")[which % 4])
        elif what in ("job", "running"):
            self.hand_job(which, what == "running")
        elif what == "end":
            self.hand_end(which)
        elif what == "freeze":
            self.hand_freeze(pattern)

    def hand_task(self, repo: str, stage: str) -> None:
        item = f"H-{len(self.model.tasks) + 1}"
        sql = "INSERT INTO tasks (work_item_id, repo, stage) VALUES (:item, :repo, :stage)"
        task_id = self.world.hand(f"{sql} RETURNING id", item=item, repo=repo, stage=stage)
        self.model.tasks[task_id] = Task(task_id, item, repo, self.default_time(), stage)

    def default_time(self) -> datetime:
        """What a column fills itself in with: PostgreSQL bound it to the real clock beforehand."""
        return self.model.now if self.world.store.is_sqlite else DAWN

    def hand_job(self, which: int, running: bool) -> None:
        task = self.pick(which, lambda each: each.job is None and not each.paused)
        if task is None:
            return
        busy = any(each.repo == task.repo and each.live for each in self.model.tasks.values())
        status = "running" if running and not busy else "queued"
        started = self.model.now if status == "running" else None
        agent, due = AGENT_OF.get(task.stage, "analyst"), self.default_time()
        task.job = Job(agent, due, status=status, started=started)
        sql = "INSERT INTO jobs (agent, repo, status, task_id, started_at) VALUES "
        values = {"agent": task.job.agent, "repo": task.repo, "status": status, "task": task.id}
        self.world.hand(
            f"{sql} (:agent, :repo, :status, :task, :at) RETURNING id", at=started, **values
        )

    def hand_end(self, which: int) -> None:
        task = self.pick(which, lambda each: not each.over and not each.paused)
        if task is not None:
            task.stage = "done"
            self.world.hand("UPDATE tasks SET stage = 'done' WHERE id = :id", id=task.id)

    def hand_freeze(self, pattern: str) -> None:
        if pattern in self.model.freezes:
            del self.model.freezes[pattern]
            sql = (
                "UPDATE repo_freeze SET cleared_at = :at WHERE repo = :repo AND cleared_at IS NULL"
            )
        else:
            self.model.freezes[pattern] = Freeze(pattern)
            sql = "INSERT INTO repo_freeze (repo, frozen_at) VALUES (:repo, :at)"
        self.world.hand(sql, repo=pattern, at=self.model.now)

    @precondition(lambda self: self.old)
    @rule(which=st.integers(0, 40), what=st.sampled_from(["heartbeat", "release", "finish"]))
    def stale_write(self, which: int, what: str) -> None:
        """A claim that no longer holds changes nothing and is counted."""
        claim, now = self.old[which % len(self.old)], DATABASE_TIME
        if self.model.holder(claim.job_id, claim.token) is not None:
            return
        before, counted = self.world.dump(), self.stale_writes(what)
        writes = {
            "heartbeat": lambda c: claims.heartbeat(c, claim, now)[0],
            "release": lambda c: claims.release(c, claim, now, reason="late"),
            "finish": lambda c: endings.finish(c, claim, now, "succeed"),
        }
        assert not self.write(writes[what])
        assert self.world.dump() == before
        assert self.stale_writes(what) == counted + 1

    def stale_writes(self, what: str) -> float:
        sql = "SELECT value FROM counters WHERE name = 'stale_writes' AND label = :what"
        return self.world.hand(sql, what=what) or 0


@pytest.fixture
def fast_url(request: pytest.FixtureRequest) -> str:
    """A database that loses everything in a power cut: nobody will miss these rows."""
    if request.param == "sqlite":
        return "sqlite://"
    url: str = request.getfixturevalue("pg_database")
    engine = create_engine(url)
    with engine.begin() as conn:
        name = make_url(url).database
        conn.execute(text(f'ALTER DATABASE "{name}" SET synchronous_commit = off'))
        conn.execute(text(f'ALTER DATABASE "{name}" SET search_path = public, pg_catalog'))
        conn.execute(text(CLOCK_OF_POSTGRES))
    engine.dispose()
    return url


def _keep_every_statement(connection: Any, _: object) -> None:
    connection.prepared_max, connection.prepare_threshold = 5000, 1


@pytest.fixture
def world(fast_url: str, tmp_path: Path) -> Iterator[World]:
    store = Store(fast_url)
    if not store.is_sqlite:
        # Each gate has statements of its own, more of them together than the driver keeps.
        for engine in (store.writer, store.reader):
            event.listen(engine, "connect", _keep_every_statement)
    revisions.upgrade(store)
    yield World(store, tmp_path)
    store.dispose()


databases = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fast_url", databases, indirect=True)
def test_the_line_does_what_the_model_says_whatever_happens(world: World) -> None:
    run_state_machine_as_test(lambda: GateMachine(world), settings=settings())
