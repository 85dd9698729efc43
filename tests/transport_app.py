"""A Celery app with orch's real settings whose tasks only leave a trace in the current folder."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery

from tests.services import wait_until

app = Celery("transport")
app.config_from_object("celeryconfig")

HELD_SECONDS = 100.0


def note(line: str) -> None:
    """Append a line; short appends of several processes do not mix."""
    trace = os.open("trace", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(trace, f"{line}\n".encode())
    finally:
        os.close(trace)


@app.task(name="orch.work")  # type: ignore[untyped-decorator]
def work(job_id: int, token: str) -> None:
    """Run until nobody holds this job any more."""
    note(f"start {job_id}")
    held = Path(f"hold-{job_id}")
    wait_until(lambda: not held.exists(), HELD_SECONDS)
    note(f"end {job_id}")


@app.task(name="orch.dispatch")  # type: ignore[untyped-decorator]
def dispatch(by: str = "kick") -> None:
    note("tick")


@app.task(name="orch.sweep")  # type: ignore[untyped-decorator]
def sweep() -> None:
    note("sweep")
