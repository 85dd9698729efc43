"""Real processes for the measurements that need them: workers, beat, Redis, a database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import text

from bench.databases import database, line_on
from bench.measuring import progress
from orch.adapters.celery_queue import CeleryQueue
from orch.clock import new_id
from orch.line import Line
from orch.processes import beat_argv, worker_argv
from orch.store.session import Store

APP = "bench.celery_app"
BROKER = os.environ.get("ORCH_BENCH_BROKER_URL", "redis://127.0.0.1:6379/0")
SLOTS = 2


@dataclass(frozen=True)
class Stack:
    """A running system: its line, with a real doorbell, and Celery's app."""

    line: Line
    app: Any
    broker: redis.Redis
    prefix: str

    def waiting(self, queue: str) -> int:
        """Messages that lie in a queue."""
        return int(self.broker.llen(self.prefix + queue))


@contextmanager
def running(agent: str) -> Iterator[Stack]:
    """Beat, one control worker and one worker of this agent, on PostgreSQL and real Redis."""
    with ExitStack() as stack:
        url = stack.enter_context(database("postgres"))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="orch-bench-"))
        prefix = f"bench-{new_id()[:8]}:"
        environment = {
            "ORCH_DATABASE_URL": url,
            "ORCH_BROKER_URL": BROKER,
            "ORCH_BROKER_PREFIX": prefix,
            "ORCH_DATA_DIR": folder,
            "ORCH_LOG_LEVEL": "WARNING",
        }
        commands = [
            worker_argv(["orch.control"], 1, "control", app=APP),
            worker_argv([f"agent.{agent}"], SLOTS, "agent", app=APP),
            beat_argv(app=APP),
        ]
        os.environ.update(environment)
        from bench.celery_app import app  # only now: Celery's settings are read on import

        app.conf.broker_url = BROKER
        app.conf.broker_transport_options["global_keyprefix"] = prefix
        store = Store(url)
        stack.callback(store.dispose)
        broker = redis.Redis.from_url(BROKER)
        stack.callback(_empty, broker, prefix)
        log = stack.enter_context((Path(folder) / "log").open("wb"))
        for command in commands:
            stack.enter_context(_process(command, log))
        found = Stack(replace(line_on(store), queue=CeleryQueue(app)), app, broker, prefix)
        with progress(f"workers for {agent}, control worker, beat"):
            wait(lambda: count(store, "SELECT count(*) FROM workers") == 2, 60)
        yield found


@contextmanager
def raw_worker(stack: Stack) -> Iterator[Any]:
    """A worker of Celery as it comes, with as many slots; its app, whose queue it empties."""
    from bench.celery_raw import QUEUE, app  # only now: its settings are read on import

    command = [sys.executable, "-m", "celery", "-A", "bench.celery_raw", "worker"]
    command += ["--concurrency", str(SLOTS), "--loglevel", "ERROR", "--hostname", "raw@%h"]
    with _process(command, subprocess.DEVNULL):
        with progress("a worker of Celery as it comes"):
            app.send_task("raw.noop")
            wait(lambda: stack.waiting(QUEUE) == 0, 60)
        yield app


@contextmanager
def _process(command: list[str], log: Any) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _empty(broker: redis.Redis, prefix: str) -> None:
    keys = list(broker.scan_iter(match=f"{prefix}*", count=1000))
    if keys:
        broker.delete(*keys)
    broker.close()


def count(store: Store, statement: str, **bound: Any) -> int:
    with store.reader.connect() as conn:
        return int(conn.execute(text(statement), bound).scalar_one())


def wait(condition: Callable[[], bool], timeout: float, pause: float = 0.02) -> None:
    """Return as soon as it is so. Raises TimeoutError."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {timeout:g} s")
        time.sleep(pause)
