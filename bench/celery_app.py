"""The app of the workers under measurement: orch's own, with agents that do nothing, and raw tasks.

Only the agents' commands are left out. Claim, message, start, end and all writes are orch's.
"""

from __future__ import annotations

import os
import tempfile
import time
from functools import cache
from pathlib import Path

import redis

import orch.tasks
from bench.moves import bench_at
from orch import worker
from orch.config import load_settings

app = orch.tasks.app


@cache
def _idle_bench() -> worker.Bench:
    return bench_at(Path(tempfile.gettempdir()) / f"orch-bench-{os.getppid()}")


orch.tasks.bench = _idle_bench


@cache
def broker() -> redis.Redis:
    return redis.Redis.from_url(load_settings().broker_url.get_secret_value())


def key(name: str) -> str:
    return load_settings().broker_prefix + name


@app.task(name="bench.noop")  # type: ignore[untyped-decorator]
def noop() -> None:
    """What raw Celery is measured with."""


@app.task(name="bench.stamp")  # type: ignore[untyped-decorator]
def stamp() -> None:
    """A raw hop: leaves the time at which it began."""
    began = time.time()
    broker().rpush(key("stamps"), repr(began))
