"""Celery as it comes, with a task that does nothing: what a drain is measured against."""

from __future__ import annotations

import os

from celery import Celery

QUEUE = "raw"

app = Celery("raw", broker=os.environ.get("ORCH_BROKER_URL"))
app.conf.task_default_queue = QUEUE
app.conf.task_ignore_result = True
app.conf.broker_transport_options = {
    "global_keyprefix": os.environ.get("ORCH_BROKER_PREFIX", ""),
}


@app.task(name="raw.noop")  # type: ignore[untyped-decorator]
def noop() -> None:
    """Nothing."""
