"""The Celery app and its tasks: thin shells around the use cases, and the worker's own signals."""

from __future__ import annotations

import os
import signal
import threading
from functools import cache
from multiprocessing.sharedctypes import RawValue
from types import FrameType
from typing import Any

import structlog
from celery import Celery, signals
from celery.worker import state as worker_state

import orch
from orch import (
    alarms,
    bootstrap,
    clock,
    dispatcher,
    head_watch,
    logs,
    notices,
    strays,
    tally,
    tracing,
    waits,
    worker,
)
from orch.adapters.celery_queue import CeleryQueue
from orch.config import Settings
from orch.counts import HERE
from orch.errands import Errands
from orch.errors import OrchError
from orch.line import Line
from orch.outside import inbox, mirrors, rounds
from orch.ports import Claim
from orch.stages import CONTROL_QUEUE
from orch.store import fleet, ledger
from orch.store.moments import DATABASE_TIME
from orch.store.session import Connection

log = structlog.get_logger(__name__)
app = Celery("orch", config_source="celeryconfig", set_as_current=False)

JOBS_A_MESSAGE = 500
"""How many jobs one message may lead to before the slot is given back to Celery."""

UPKEEP_SECONDS = 3600.0
"""How often a host's workspaces are looked through. Beat rings more often, as it forgets when it
last rang whenever it is started anew."""
TRACES_SECONDS = 60.0
"""How often spans are sent."""
EARLY = 0.9
"""The part of a period after which a ring counts: two beats ring, and never to the second."""

WATCH_SECONDS = 60.0
"""How often heads and the line itself are looked at."""
NOTICE_SECONDS = 10.0
"""How often the ledger is read on for notices."""

CLOSING, STOPPING = 1, 2
# Shared with the pool's children, who are forked before anybody asks this worker to go.
_leaving = RawValue("b", 0)


@cache
def queue() -> CeleryQueue:
    """This process's doorbell."""
    return CeleryQueue(app)


@cache
def line() -> Line:
    """This process's line; a pool child builds its own, sockets are not shared over a fork."""
    return bootstrap.build_line(bootstrap.load(), queue())


@cache
def bench() -> worker.Bench:
    """What this process works with; its name is the host's and its own number."""
    name = f"{os.uname().nodename}/{os.getpid()}"
    return bootstrap.build_bench(
        bootstrap.load(),
        name,
        stopping=lambda: _leaving.value >= STOPPING,
        closing=lambda: _leaving.value >= CLOSING,
        turned=lambda: tally.flush(line()),
    )


@app.task(name="orch.dispatch")
def dispatch(by: str = "kick") -> None:
    """One tick. Running twice, or two at once, is harmless."""
    queue().clear_kick()
    if by == "beat":
        _note_beat()
    elapsed = clock.stopwatch()
    done = dispatcher.tick(line())
    HERE.observe("tick_duration_seconds", elapsed())
    if done.claimed or done.reaped or done.expired:
        log.info(
            "tick.done",
            claimed=len(done.claimed),
            unsent=done.unsent,
            reaped=done.reaped,
            expired=done.expired,
        )


def _note_beat() -> None:
    """Beat has rung; what this process has counted since goes with the same write."""
    counted = HERE.take()

    def note(conn: Connection) -> None:
        fleet.note_beat(conn, "beat", line().now())
        ledger.count_all(conn, counted)

    try:
        line().store.write(note)
    except OrchError:
        HERE.put_back(counted)
        raise


@app.task(name="orch.tally")
def count() -> None:
    """Count what the ledger says."""
    tally.count_ledger(line())


@app.task(name="orch.traces")
def traces() -> None:
    """Let spans be sent, in a process beside us; by one host at a time."""
    if bootstrap.load().otel_endpoint and _our_turn(line(), "traces-round", TRACES_SECONDS):
        errands().start("traces", "--errand")


@app.task(name="orch.sweep")
def sweep() -> None:
    """Look at every repo, in case a mark was missed."""
    mended = dispatcher.sweep(line())
    if mended:
        log.warning("sweep.mended", repos=mended)
        dispatcher.tick(line())


@app.task(name="orch.waits")
def look_at_waits() -> None:
    """Write down what each task waits for. Looking twice, or two at once, writes it once."""
    waits.watch(line())


@cache
def errands() -> Errands:
    """What this process has set off."""
    return Errands()


@app.task(name="orch.upkeep")
def upkeep() -> None:
    """Let the workspaces in this host's data folder be looked through, in a process beside us."""
    if bootstrap.load().repos and _our_turn(
        line(), f"upkeep@{os.uname().nodename}"[:64], UPKEEP_SECONDS
    ):
        errands().start("clean", "--errand")


@app.task(name="orch.monitor")
def monitor() -> None:
    """Let the repos' health commands be run, in a process beside us; by one host at a time."""
    settings = bootstrap.load()
    if not any(repo.health for repo in settings.repos.values()):
        return
    if _our_turn(line(), "monitor", settings.monitor_seconds):
        errands().start("monitor", "--once", "--errand")


def _our_turn(of: Line, name: str, every: float) -> bool:
    """Whether it is time, and nobody else was rung for it."""
    now, early = of.now(), EARLY * every
    return of.store.write(lambda conn: fleet.take_turn(conn, name, now, early))


def watch(of: Line, settings: Settings) -> None:
    """Look at heads and at the line itself once a minute, read the ledger on, and let what is to be
    told be sent in a process beside us."""
    if _our_turn(of, "watch", WATCH_SECONDS):
        head_watch.look(of)
        alarms.look(of)
        inbox.prune(of)
    wanted = bootstrap.build_subscription(settings)
    notices.collect(of, wanted)
    if notices.any_due(of, wanted) and _our_turn(of, "notices", NOTICE_SECONDS):
        errands().start("notify", "deliver", "--errand")


@app.task(name="orch.work")
def work(job_id: int, token: str) -> None:
    """Run one claimed job. The agent's name is not in the message: the store knows it."""
    worker.work_through(line(), bench(), Claim(job_id, token, ""), JOBS_A_MESSAGE)


# --- the worker's own life --------------------------------------------------------------------


@signals.setup_logging.connect(weak=False)
def _log(**_: Any) -> None:
    settings = bootstrap.load()
    logs.configure(settings.log_level, settings.log_format)


@signals.celeryd_after_setup.connect(weak=False)
def _fit_for_work(instance: Any, **_: Any) -> None:
    """Let no worker start that could take up no job: its claims would be reaped for ever."""
    if CONTROL_QUEUE in instance.app.amqp.queues.consume_from:
        return
    try:
        bench()
    except OrchError as error:
        raise SystemExit(str(error)) from error


@signals.worker_process_init.connect(weak=False)
def _in_child(**_: Any) -> None:
    for part in (line, queue, bench, errands):
        part.cache_clear()
    HERE.take()  # what was counted before the fork is the parent's
    _warm()


def _warm() -> None:
    """Open connections and build statements before the first message, not with it."""
    try:
        dispatcher.tick(line())
        queue().reachable()
    except OrchError as error:
        log.warning("worker.cold", error=str(error))


def _begin() -> None:
    """See that no task is stranded by a stage table or tracks that are other than before, and that
    spans are told of all that ends from now on."""
    try:
        strays.park(line())
        if bootstrap.load().otel_endpoint:
            tracing.begin(line())
    except OrchError as error:
        log.warning("worker.cold", error=str(error))


@signals.worker_ready.connect(weak=False)
def _register(sender: Any, **_: Any) -> None:
    """Say in the store which queue this worker serves, and keep saying that it is alive."""
    served = sorted(sender.app.amqp.queues.consume_from)
    if served[0] == CONTROL_QUEUE:
        _warm()
        _begin()
    concurrency = sender.controller.concurrency or 1
    _alive.append(
        threading.Thread(
            target=_keep_alive,
            args=(sender.hostname, served[0], concurrency),
            name="orch-heartbeat",
            daemon=True,
        )
    )
    if served[0] == CONTROL_QUEUE:
        _alive.append(threading.Thread(target=_keep_watch, name="orch-watch", daemon=True))
        known = bootstrap.load()
        if known.trackers:
            _alive.append(threading.Thread(target=_keep_outside, name="orch-outside", daemon=True))
        if any(repo.forge != "git" for repo in known.repos.values()):
            _alive.append(threading.Thread(target=_keep_mirrors, name="orch-mirrors", daemon=True))
    for thread in _alive:
        thread.start()
    _hand_back_on_quit()


_gone = threading.Event()
_alive: list[threading.Thread] = []
LAST_WORD_SECONDS = 5.0


def _hand_back_on_quit() -> None:
    """On SIGQUIT stop the agents, hand their jobs back, then end as after SIGTERM.

    Celery's own soft shutdown sleeps its full time before it tells anybody, so that an agent would
    run on, and be killed in the end. Asked twice, Celery has its way.
    """
    at_once = signal.getsignal(signal.SIGQUIT)

    def leave(number: int, frame: FrameType | None) -> None:
        if _leaving.value >= STOPPING and callable(at_once):
            at_once(number, frame)
            return
        _leaving.value = STOPPING
        _gone.set()
        worker_state.should_stop = 0  # the exit code, and what makes Celery end warmly

    signal.signal(signal.SIGQUIT, leave)


def _keep_alive(name: str, served: str, concurrency: int) -> None:
    settings = bootstrap.load()
    store = bootstrap.build_store(settings)
    every = min(settings.heartbeat_seconds, settings.worker_stale_seconds / 3)
    known = False
    while not _gone.is_set():
        try:
            if not known or not store.write(lambda conn: fleet.beat(conn, name, DATABASE_TIME)):
                store.write(
                    lambda conn: fleet.register(
                        conn, name, served, concurrency, orch.__version__, DATABASE_TIME
                    )
                )
                known = True
                if served != CONTROL_QUEUE:
                    queue().kick()  # slots came free: somebody may be waiting for them
        except OrchError as error:
            log.warning("worker.heartbeat_failed", error=str(error))
        _gone.wait(every)
    store.write(lambda conn: fleet.leave(conn, name, DATABASE_TIME))


def _keep_outside() -> None:
    """Ask and tell trackers until this worker goes, by its own clock for the same reason."""
    settings, parts = bootstrap.load(), None
    while not _gone.wait(rounds.LOOK_SECONDS):
        try:
            parts = parts or (
                bootstrap.build_line(settings, queue()),
                bootstrap.build_outside(settings, _gone.is_set),
            )
            rounds.look(*parts)
        except OrchError as error:
            log.warning("outside.failed", error=str(error))
        except Exception:
            log.exception("outside.crashed")


def _keep_mirrors() -> None:
    """Look at pull requests likewise, beside the trackers: neither waits for the other."""
    settings, parts = bootstrap.load(), None
    while not _gone.wait(rounds.LOOK_SECONDS):
        try:
            parts = parts or (
                bootstrap.build_line(settings, queue()),
                bootstrap.build_mirrors(settings, _gone.is_set),
            )
            mirrors.look(*parts)
        except OrchError as error:
            log.warning("outside.failed", error=str(error))
        except Exception:
            log.exception("outside.crashed")


def _keep_watch() -> None:
    """Watch over the line until this worker goes: by its own clock, because a ring of beat through
    the broker would not come when one of the two is what is wrong."""
    settings, of = bootstrap.load(), None
    while not _gone.wait(NOTICE_SECONDS):
        try:
            of = of or bootstrap.build_line(settings, queue())
            watch(of, settings)
        except OrchError as error:
            log.warning("watch.failed", error=str(error))
        except Exception:
            log.exception("watch.crashed")


@signals.worker_shutting_down.connect(weak=False)
def _shutting_down(how: str = "", **_: Any) -> None:
    """Warm: agents end in their own time. Anything harder: they are stopped, handed back.

    Either way the dispatcher must not count on this worker's slots any more.
    """
    _leaving.value = max(_leaving.value, CLOSING if how.lower() == "warm" else STOPPING)
    _gone.set()


@signals.worker_shutdown.connect(weak=False)
def _shutdown(**_: Any) -> None:
    _gone.set()
    for thread in _alive:
        thread.join(LAST_WORD_SECONDS)
