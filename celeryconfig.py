"""Celery's settings, derived from the stages and from orch's own settings.

The store is the ledger and the broker a doorbell: a message is delivered at most once, and a lost
one is found by its age in the store. Most choices below follow from that.
"""

from __future__ import annotations

from typing import Any

from orch.config import load_settings
from orch.stages import CONTROL_QUEUE, QUEUES

_settings = load_settings()
_patience = _settings.broker_socket_timeout

# --- the broker
broker_url: str = _settings.doorbell_url
broker_transport_options: dict[str, Any] = {
    # Without a time-out, worker and beat wait for ever on a connection whose other end is gone.
    # It must be longer than the one second for which a worker's BRPOP blocks.
    "socket_timeout": _patience,
    "socket_connect_timeout": min(5.0, _patience),
    "socket_keepalive": True,
    # Finds the half-open connection on which nothing is being sent.
    "health_check_interval": max(1, int(_patience)),
    # No copy of what was taken is kept in Redis until it is acknowledged. The store knows better
    # what became of it; and an acknowledgement that fails while Redis restarts leaves a worker
    # with one slot connected, but deaf for good: it believes that the slot is taken.
    "ack_emulation": False,
    # Redis may be shared; every client of these queues must use the same prefix.
    "global_keyprefix": _settings.broker_prefix,
}
broker_connection_timeout = min(5.0, _patience)
broker_connection_retry_on_startup = True  # a worker may be started before its broker
broker_connection_max_retries = None  # never give up: somebody will bring the broker back
broker_pool_acquire_timeout = 10  # a caller never waits for ever for a connection
task_publish_retry = True
task_publish_retry_policy = {  # about a second in all; the next tick rings again anyway
    "max_retries": 3,
    "interval_start": 0.2,
    "interval_step": 0.3,
    "interval_max": 1,
}

# --- what travels
task_serializer = "json"
result_serializer = "json"
accept_content = ["json"]  # reading a pickle runs it
event_serializer = "json"
result_backend = None  # results are rows; a backend only adds connections that can hang
task_ignore_result = True
task_store_eager_result = False

# --- delivery: at most once
# Late acknowledgement runs a long job twice when the connection drops, and stops the worker when
# Redis goes away while a task runs.
task_acks_late = False
task_reject_on_worker_lost = False  # what becomes of a lost worker's job, the reaper decides
worker_cancel_long_running_tasks_on_connection_loss = False  # stated, as its default will turn
# Prefetch would let a message wait behind an hour-long job while another worker idles. Redis only.
worker_prefetch_multiplier = 1
worker_disable_prefetch = True

# --- queues
task_default_queue = CONTROL_QUEUE
task_queues = {name: {"exchange": name, "routing_key": name} for name in QUEUES}
task_create_missing_queues = False  # a misspelt queue is an error, not a place to wait for ever

# --- workers
worker_soft_shutdown_timeout = 20.0  # on SIGQUIT: time for a job to be handed back
worker_send_task_events = False  # liveness and history are in the store
task_send_sent_event = False
worker_hijack_root_logger = False  # orch sets up logging
worker_redirect_stdouts = False

# --- beat: two of them are the normal set-up, a tick may come twice
beat_scheduler = "celery.beat:Scheduler"  # in memory: no file that could be corrupt or stale
beat_max_loop_interval = min(5.0, _settings.tick_seconds)
beat_enable_remote_control = True  # so that a frozen beat can be told from a quiet one


def _every(task: str, seconds: float, *args: str) -> dict[str, Any]:
    # Expiry: ticks that nobody took for a while are thrown away instead of run in a burst.
    options = {"queue": CONTROL_QUEUE, "expires": 2.5 * seconds}
    return {"task": task, "schedule": seconds, "args": args, "options": options}


beat_schedule = {
    "dispatch": _every("orch.dispatch", _settings.tick_seconds, "beat"),
    "sweep": _every("orch.sweep", _settings.sweep_seconds),
    "waits": _every("orch.waits", _settings.waits_seconds),
    "tally": _every("orch.tally", 10),
    # These only set off a process of its own: a control task must be over in a moment.
    "upkeep": _every("orch.upkeep", 600),  # an hourly round; see `orch.tasks`
    "monitor": _every("orch.monitor", _settings.monitor_seconds),
}
if _settings.otel_endpoint:
    beat_schedule["traces"] = _every("orch.traces", 30)
timezone = "UTC"
enable_utc = True
