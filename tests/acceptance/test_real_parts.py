"""Two dispatchers, two beats, two workers an agent and web, as processes on PostgreSQL and Redis.

Three hundred tasks go through while workers and a dispatcher are killed and Redis is emptied; then
the lines the agents wrote, and the ledger, have to tell the same blameless story.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from orch.store import work
from orch.store.session import Connection
from tests.acceptance import proofs
from tests.acceptance.front import Front
from tests.acceptance.stack import Running, Stack
from tests.services import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.postgres, pytest.mark.redis]

REPOS = [f"repo-{number:02}" for number in range(20)]
TASKS = 300
CREW = {"analyst": 1, "developer": 1, "reviewer": 2, "deployer": 2}
"""Slots of each worker; there are two workers an agent."""
DRAIN_SECONDS = 240.0
LATE = ("deploy", "deployer")
"""Every second repo's tasks come in here, as work taken over from another system would."""


@pytest.fixture
def stack(make_stack: Callable[..., Stack]) -> Stack:
    return make_stack()


@pytest.mark.timeout(330)
def test_three_hundred_tasks_survive_kills_and_an_emptied_redis(stack: Stack) -> None:
    crew, front = start_everything(stack), stack.web()
    with feeding(stack, front):
        trouble(stack, crew)
    when_done(stack, TASKS)
    tasks = stack.inside.sql("SELECT * FROM tasks ORDER BY id")
    events = stack.inside.sql("SELECT * FROM events ORDER BY id")
    trace = stack.desk.trace()
    assert [task["stage"] for task in tasks] == ["done"] * TASKS
    assert {mark.item for mark in trace} == {task["work_item_id"] for task in tasks}
    assert proofs.one_at_a_time(trace) <= 2 * max(CREW.values())  # what a kill interrupted
    proofs.in_order(trace, tasks)
    proofs.as_often_as_told(trace, events)
    told = proofs.by(lambda event: event["task_id"], events)
    for task in tasks:
        proofs.told_in_full(task, told[task["id"]])
    assert [name for name, repo in repos(front).items() if repo["waiting"] or repo["live"]] == []
    assert stack.desk.agents_alive() == []
    assert crew["developer-2"].members() == []


def start_everything(stack: Stack) -> dict[str, Running]:
    """Two of each, as in a real deployment."""
    crew = {}
    for number in (1, 2):
        crew[f"control-{number}"] = stack.dispatcher(f"control-{number}")
        crew[f"beat-{number}"] = stack.beat(f"beat-{number}")
        for agent, slots in CREW.items():
            name = f"{agent}-{number}"
            crew[name] = stack.worker(agent, slots, name)
    stack.ready()
    return crew


def trouble(stack: Stack, crew: dict[str, Running]) -> None:
    """Kill workers and a dispatcher, and empty Redis twice, while tasks come and go."""
    when_done(stack, 30)
    crew["reviewer-1"].kill()
    stack.again(crew["reviewer-1"])
    when_done(stack, 70)
    crew["control-1"].kill()
    when_done(stack, 100)
    stack.redis.client().flushall()
    when_done(stack, 140)
    stack.again(crew["control-1"])
    crew["developer-2"].kill_main()  # and it stays away
    crew["deployer-1"].kill_main()
    stack.again(crew["deployer-1"])
    when_done(stack, 180)
    stack.redis.client().flushall()


def when_done(stack: Stack, count: int) -> None:
    """Wait until so many tasks are done."""
    statement = "SELECT count(*) AS done FROM tasks WHERE stage = 'done'"
    wait_until(
        lambda: stack.inside.sql(statement)[0]["done"] >= count,
        DRAIN_SECONDS,
        f"there were never {count} tasks done",
    )


@contextmanager
def feeding(stack: Stack, front: Front) -> Iterator[None]:
    """Bring in all tasks, from several sides at once, while the block runs."""
    failures: list[BaseException] = []

    def feed(bring: Callable[[int], None], numbers: range) -> None:
        try:
            for number in numbers:
                bring(number)
        except BaseException as error:  # noqa: BLE001 (told by the test's own thread)
            failures.append(error)

    ways = [
        (partial(by_http, front), range(0, TASKS, 4)),
        (partial(by_use_case, stack), range(2, TASKS, 4)),
        (partial(by_store, stack), range(1, TASKS, 2)),
    ]
    threads = [threading.Thread(target=feed, args=way) for way in ways]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(DRAIN_SECONDS)
    assert failures == []


def item_and_repo(number: int) -> tuple[str, str]:
    return f"ACME-{number}", REPOS[number % len(REPOS)]


def by_http(front: Front, number: int) -> None:
    item, repo = item_and_repo(number)
    front.post("/tasks", work_item=item, repo=repo, track="docs")


def by_use_case(stack: Stack, number: int) -> None:
    item, repo = item_and_repo(number)
    stack.inside.add(item, repo)


def by_store(stack: Stack, number: int) -> None:
    """A task that begins in the middle, with no kick to follow: the next tick finds it."""
    item, repo = item_and_repo(number)
    stage, agent = LATE
    line = stack.inside.line

    def bring(conn: Connection) -> None:
        task = work.create_task(conn, item, repo, line.now(), stage=stage, track="docs")
        work.enqueue_job(conn, agent, repo, None, task["id"], line.now())

    line.store.write(bring)


def repos(front: Front) -> dict[str, Any]:
    """What the web app shows of each repo."""
    shown: dict[str, Any] = front.get("/queue")["serial_gate"]["per_repo"]
    return shown
