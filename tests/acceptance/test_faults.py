"""One fault at a time, on real processes: what becomes of the job, its agent and its attempts.

The dispatcher and the beat serve all tests of this file; each has a worker and a task of its own.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest
from sqlalchemy import Connection, func, select

from orch import dispatcher
from orch.store.schema import events, jobs
from tests.acceptance.stack import Running, Stack
from tests.services import wait_until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.slow,
    pytest.mark.postgres,
    pytest.mark.redis,
    pytest.mark.xdist_group("faults"),
]

AGENT = "analyst"
PATIENCE = 30.0
_numbers = itertools.count(1)


@dataclass
class Scene:
    """One task for one worker, on a line where nothing else happens."""

    stack: Stack
    worker: Running
    item: str

    def add(self) -> None:
        self.stack.inside.add(self.item, f"repo-of-{self.item}")

    def held(self) -> AbstractContextManager[None]:
        """The task's agents wait inside the block."""
        return self.stack.desk.held(self.item)

    def until(self, status: str, attempt: int = 1) -> None:
        """Wait until the task's job is in this state, in this attempt."""

        def so() -> bool:
            job = self.stack.inside.job(self.item)
            return (job["status"], job["attempt"]) == (status, attempt)

        wait_until(so, PATIENCE, f"attempt {attempt} never was {status}")

    def until_started(self, times: int = 1) -> None:
        """Wait until the agent has been started so many times."""
        wait_until(lambda: self.starts >= times, PATIENCE, f"there was no start {times}")

    def until_nobody_works(self) -> None:
        wait_until(lambda: not self.stack.desk.agents_alive(), 5, "an agent outlived its worker")

    def until_passed(self) -> None:
        """Wait until the analyst's job is over and its task has gone on."""
        task = self.stack.inside.task
        wait_until(lambda: task(self.item)["stage"] == "development", PATIENCE, "it never passed")

    @property
    def attempt(self) -> int:
        """The attempt that the analyst's job came to."""
        found = self.stack.inside.sql(
            "SELECT attempt FROM jobs JOIN tasks ON tasks.id = task_id "
            "WHERE work_item_id = :item AND agent = :agent",
            item=self.item,
            agent=AGENT,
        )
        return int(found[0]["attempt"])

    @property
    def starts(self) -> int:
        return self.words.count("start")

    @property
    def words(self) -> list[str]:
        """What the task's agents wrote."""
        return [mark.word for mark in self.stack.desk.trace(self.item)]


@pytest.fixture(scope="module")
def served_stack(make_stack: Callable[..., Stack]) -> Stack:
    """A dispatcher and a beat for all tests of this file."""
    stack = make_stack()
    stack.dispatcher()
    stack.beat()
    return stack


@pytest.fixture
def stack(served_stack: Stack) -> Stack:
    return served_stack


@pytest.fixture
def scene(stack: Stack) -> Iterator[Scene]:
    """A worker that is ready; it is gone after the test, as are those started in its place."""
    number, before = next(_numbers), len(stack.running)
    worker = stack.worker(AGENT, name=f"{AGENT}-{number}")
    stack.ready()
    yield Scene(stack, worker, f"ACME-{number}")
    for each in stack.running[before:]:
        each.kill()


def test_a_lost_message_is_found_by_age_and_costs_no_attempt(stack: Stack, scene: Scene) -> None:
    scene.worker.kill()  # for some seconds it still counts as alive, so work is sent to it
    scene.add()
    scene.until("claimed")
    wait_until(lambda: stack.redis.client().llen(f"orch:agent.{AGENT}"), 5, "nothing was sent")
    stack.redis.client().flushall()
    stack.again(scene.worker)
    scene.until_passed()
    assert (scene.attempt, scene.starts) == (1, 1)
    assert "job.reaped" in stack.inside.kinds(scene.item)


@pytest.mark.parametrize("killed", ["worker", "main process", "pool child"])
def test_a_killed_worker_takes_its_agent_along_and_costs_an_attempt(
    stack: Stack, scene: Scene, killed: str
) -> None:
    worker = scene.worker
    kill = {"main process": worker.kill_main, "pool child": worker.kill_children}
    with scene.held():
        scene.add()
        scene.until_started()
        kill.get(killed, worker.kill)()
        scene.until_nobody_works()
        if killed != "pool child":  # which the worker replaces
            wait_until(lambda: not worker.members(), 5, "a pool child stayed behind")
            stack.again(worker)
        scene.until_started(2)
    scene.until_passed()
    assert scene.attempt == 2
    assert scene.words.count("stop") == 1


def how_many_ended(conn: Connection) -> int:
    """Jobs that have come to an end so far."""
    ended = select(func.count()).where(jobs.c.finished_at.is_not(None))
    return int(conn.scalar(ended) or 0)


def how_many_unsent(conn: Connection) -> int:
    """Claims given back because the broker did not take their message."""
    words = "the broker did not take the message"
    return int(conn.scalar(select(func.count()).where(events.c.reason == words)) or 0)


def test_a_frozen_worker_that_thaws_after_its_lease_writes_nothing_more(
    stack: Stack, scene: Scene
) -> None:
    with scene.held():
        scene.add()
        scene.until_started()
        scene.worker.send_all(signal.SIGSTOP)
        stack.worker(AGENT, name=f"{scene.worker.name}-second")
        scene.until_started(2)
        ended = stack.inside.line.store.read(how_many_ended)
        scene.worker.send_all(signal.SIGCONT)
        scene.worker.says("outcome=fenced", PATIENCE)
        assert stack.inside.line.store.read(how_many_ended) == ended
    scene.until_passed()
    assert scene.attempt == 2
    assert scene.words.count("stop") == 1


def test_nothing_stays_claimed_that_cannot_be_sent_and_work_goes_on_after(
    stack: Stack, scene: Scene
) -> None:
    unsent = stack.inside.line.store.read(how_many_unsent)
    stack.redis.stop()
    scene.add()
    # This tick takes it, or one that a dispatcher had begun before Redis was gone.
    dispatcher.tick(stack.inside.line)
    wait_until(lambda: stack.inside.line.store.read(how_many_unsent) > unsent, PATIENCE)
    scene.until("queued")
    stack.redis.start()
    scene.until_passed()
    assert (scene.attempt, scene.starts) == (1, 1)


def test_a_worker_told_to_quit_hands_its_job_back_uncounted(stack: Stack, scene: Scene) -> None:
    with scene.held():
        scene.add()
        scene.until_started()
        scene.worker.send(signal.SIGQUIT)
        scene.until("queued")
        scene.until_nobody_works()
        scene.worker.process.wait(PATIENCE)
        stack.again(scene.worker)
        scene.until_started(2)
    scene.until_passed()
    assert scene.attempt == 1
    assert "job.released" in stack.inside.kinds(scene.item)


def test_a_worker_told_to_end_finishes_its_job_first(stack: Stack, scene: Scene) -> None:
    with scene.held():
        scene.add()
        scene.until_started()
        scene.worker.send(signal.SIGTERM)
        scene.worker.says("Warm shutdown", PATIENCE)
        scene.until("running")
    scene.until_passed()
    assert scene.worker.process.wait(PATIENCE) == 0
    assert scene.starts == 1
    assert scene.worker.name not in stack.known_workers()


def test_a_job_that_kills_its_worker_each_time_is_parked_after_three_attempts(
    stack: Stack, scene: Scene
) -> None:
    stack.desk.poison(scene.item)
    scene.add()
    task = stack.inside.task
    wait_until(lambda: task(scene.item)["paused_at"], 2 * PATIENCE, "it was never parked")
    assert task(scene.item)["paused_reason"] == "analyst was lost 3 times at analysis"
    assert scene.words == ["start"] * 3
    scene.until("failed", 3)
    scene.until_nobody_works()


def test_pause_now_stops_the_agent_and_hands_its_job_back_uncounted(
    stack: Stack, scene: Scene
) -> None:
    with scene.held():
        scene.add()
        scene.until_started()
        stack.inside.control("pause", scene.item, reason="wrong branch", now=True)
        scene.until("queued")
        scene.until_nobody_works()
    stack.inside.control("resume", scene.item)
    scene.until_passed()
    assert (scene.attempt, scene.starts) == (1, 2)


def test_cancel_stops_the_agent(stack: Stack, scene: Scene) -> None:
    with scene.held():
        scene.add()
        scene.until_started()
        stack.inside.control("cancel", scene.item, reason="not wanted any more")
        scene.until("cancelled")
        scene.until_nobody_works()
    assert stack.inside.task(scene.item)["stage"] == "cancelled"


def test_an_idle_line_starts_by_the_kick_alone(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(tick_seconds="3600", sweep_seconds="3600")
    stack.dispatcher()
    stack.beat()
    scene = Scene(stack, stack.worker(AGENT), "ACME-0")
    stack.ready()
    scene.add()
    scene.until_passed()
    assert (scene.starts, scene.attempt) == (1, 1)


def test_a_busy_dispatcher_hears_again_after_each_restart_of_redis(
    make_stack: Callable[..., Stack],
) -> None:
    stack = make_stack(tick_seconds="0.05")
    stack.dispatcher()
    for number in range(3):
        stack.beat(f"beat-{number}")
    stack.ready()
    for _ in range(4):
        assert until_next_tick(stack)
        stack.redis.stop()
        stack.redis.start()
        assert until_next_tick(stack)


def until_next_tick(stack: Stack) -> bool:
    """Whether a dispatcher answers a beat a few more times."""
    seen = set()

    def often() -> bool:
        found = stack.inside.sql("SELECT max(at) AS at FROM beats WHERE name = 'beat'")
        seen.add(found[0]["at"])
        return len(seen) > 5

    return wait_until(often, PATIENCE, "the dispatcher is deaf")
