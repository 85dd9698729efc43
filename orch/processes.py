"""The command lines of Celery's workers and beat, in one place for CLI, compose file and tests."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final, Literal

from orch.errors import BadInput
from orch.stages import CONTROL_QUEUE, QUEUES

Pool = Literal["prefork", "solo"]
POOLS: Final[tuple[Pool, ...]] = ("prefork", "solo")

TASKS_PER_CHILD: Final = 500
"""A pool child is renewed after so many tasks. One task a child would cost seconds a hop, as spent
children are replaced on a five-second timer; and a new one has to get warm."""
CONTROL_TIME_LIMIT: Final = 60
"""Seconds after which a control task is stuck, and its pool child is replaced."""


def worker_argv(
    queues: Sequence[str],
    concurrency: int,
    name: str,
    pool: Pool = "prefork",
    *,
    app: str = "orch.tasks",
    time_limit: int | None = None,
) -> list[str]:
    """The command that runs one worker on these queues; BadInput when they may not share one.

    `name` is the part of the node name before the host. `time_limit` (seconds) is the backstop
    behind the agent's own deadline; control workers have theirs.
    """
    _refuse(queues, concurrency, pool)
    argv = _celery(app, "worker")
    argv += ["--hostname", f"{name}@%h", "--queues", ",".join(queues)]
    argv += ["--pool", pool, "--concurrency", str(concurrency), "--loglevel", "INFO"]
    # Neighbours are none of a worker's business: asking them delays start and every reconnect by
    # seconds, and liveness is read from the store.
    argv += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    if pool == "prefork":
        argv += ["--max-tasks-per-child", str(TASKS_PER_CHILD)]
        limit = CONTROL_TIME_LIMIT if CONTROL_QUEUE in queues else time_limit
        if limit is not None:
            argv += ["--time-limit", str(limit)]
    return argv


def beat_argv(*, app: str = "orch.tasks") -> list[str]:
    """The command that runs one beat; any number of them may run at once."""
    return [*_celery(app, "beat"), "--loglevel", "INFO"]


def web_argv() -> list[str]:
    """The command that runs the web app under its own server."""
    return [sys.executable, "-m", "web"]


def _celery(app: str, command: str) -> list[str]:
    return [sys.executable, "-m", "celery", "--app", app, "--quiet", command]


def _refuse(queues: Sequence[str], concurrency: int, pool: Pool) -> None:
    unknown = [queue for queue in queues if queue not in QUEUES]
    if not queues or unknown:
        named = ", ".join(unknown) or "none"
        raise BadInput(f"A worker needs queues out of {', '.join(QUEUES)}; given: {named}.")
    if CONTROL_QUEUE in queues and len(queues) > 1:
        raise BadInput(
            f"{CONTROL_QUEUE} never shares a worker with agents: "
            "one hour-long agent would stop the dispatcher.",
            suggested_fix="Start one worker for the control queue and others for the agents.",
        )
    if pool not in POOLS:
        raise BadInput(f"The pool is one of {', '.join(POOLS)}, not {pool}.")
    if concurrency < 1 or (pool == "solo" and concurrency != 1):
        raise BadInput(f"A {pool} worker cannot run {concurrency} tasks at a time.")
