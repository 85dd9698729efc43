"""`orch up`: everything one machine needs, as one group of processes that ends together."""

from __future__ import annotations

import math
import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

from orch import bootstrap, processes, stages
from orch.config import BROKER_NOTE, Settings
from orch.embedded import EmbeddedBroker
from orch.errands import alone
from orch.errors import OrchError
from orch.process_group import ProcessGroup, Tell
from orch.store import revisions, vitals
from orch.store.moments import DATABASE_TIME
from orch.store.session import Store

DISPATCHERS: Final = 2
BEATS: Final = 2
"""Two of each, so that one may fall; any number of them may run at once."""
LOOK_SECONDS: Final = 0.2
AGENTS_PATIENCE: Final = 30.0
"""Longer than a worker takes to stop its agent and to hand the job back."""
OTHERS_PATIENCE: Final = 10.0


@dataclass(frozen=True)
class Plan:
    """What is to run."""

    concurrency: int = 1
    web: bool = True


@dataclass
class Wish:
    """How often somebody has asked the group to end."""

    asked: int = 0

    def ask(self, _number: int, _frame: FrameType | None) -> None:
        """A signal's handler."""
        self.asked += 1


@dataclass
class _Up:
    settings: Settings
    plan: Plan
    tell: Tell
    store: Store
    group: ProcessGroup
    broker: EmbeddedBroker | None
    wish: Wish
    agents: list[str] = field(default_factory=list)


def run(settings: Settings, plan: Plan, tell: Tell) -> None:
    """Run everything until SIGINT or SIGTERM; a second one ends it at once.

    Raises AlreadyThere when it runs in this data folder already, BrokerUnavailable,
    StoreUnavailable.
    """
    wish = Wish()
    with ExitStack() as stack:
        stack.enter_context(_heeded(wish, signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        # Only one group in a data folder: two would fight over its broker.
        taken = f"`orch up` runs in {settings.data_dir} already."
        fix = "Stop it first, or give this one its own ORCH_DATA_DIR."
        stack.enter_context(alone(settings.data_dir / "up.lock", taken, fix))
        store = bootstrap.build_store(settings)
        stack.callback(store.dispose)
        tell("", f"the database is at revision {revisions.upgrade(store)}")
        broker = stack.enter_context(_own_broker(settings, tell))
        group = ProcessGroup(tell)
        whole = _Up(settings, plan, tell, store, group, broker, wish)
        stack.callback(_stop, whole)
        _start(whole)
        _keep(whole)


def run_workers(agents: Sequence[str], concurrency: int, tell: Tell) -> None:
    """Run one worker for each of these agents. SIGTERM lets their jobs end; SIGINT and SIGQUIT
    hand them back, uncounted; a second signal ends everything at once."""
    drain, leave = Wish(), Wish()
    with _heeded(leave, signal.SIGINT, signal.SIGQUIT), _heeded(drain, signal.SIGTERM):
        group = ProcessGroup(tell)
        for agent in agents:
            name = f"{agent}-{os.getpid()}"
            argv = processes.worker_argv([stages.queue_of(agent)], concurrency, name)
            group.start(agent, argv, signal.SIGQUIT)
        while not drain.asked + leave.asked:
            group.turn(LOOK_SECONDS)
        if drain.asked:
            group.stop(agents, math.inf, lambda: drain.asked + leave.asked > 1, signal.SIGTERM)
        group.stop(agents, AGENTS_PATIENCE, lambda: drain.asked + leave.asked > 2)


def _start(whole: _Up) -> None:
    group = whole.group
    for number in range(1, DISPATCHERS + 1):
        name = f"control{number}"
        group.start(name, processes.worker_argv([stages.CONTROL_QUEUE], 1, name, "solo"))
    for agent in stages.AGENTS:
        if agent in whole.settings.agents:
            whole.agents.append(agent)
            argv = processes.worker_argv([stages.queue_of(agent)], whole.plan.concurrency, agent)
            # SIGQUIT: the running agent is stopped and its job handed back, uncounted.
            group.start(agent, argv, signal.SIGQUIT)
    for number in range(1, BEATS + 1):
        group.start(f"beat{number}", processes.beat_argv())
    if whole.plan.web:
        group.start("web", processes.web_argv())
    if not whole.agents:
        whole.tell("", "no agent has a command in orch.toml, so nothing will be worked on")


def _keep(whole: _Up) -> None:
    """Keep everything running until somebody asks for the end."""
    greeted, next_look = False, 0.0
    while not whole.wish.asked:
        whole.group.turn(LOOK_SECONDS)
        _keep_broker(whole)
        if not greeted and time.monotonic() > next_look:
            greeted, next_look = _greet(whole), time.monotonic() + LOOK_SECONDS


def _keep_broker(whole: _Up) -> None:
    """Start our own broker again if it has ended; its data is still in its folder."""
    broker = whole.broker
    if broker is not None and broker.process is not None and broker.process.poll() is not None:
        whole.tell("", f"the broker ended with code {broker.process.returncode}; it starts again")
        broker.start()


def _greet(whole: _Up) -> bool:
    """Say so once, when everything serves."""
    stale = whole.settings.worker_stale_seconds
    with suppress(OrchError):
        alive = whole.store.read(lambda conn: vitals.live_workers(conn, DATABASE_TIME, stale))
        serving = {row["queue"] for row in alive}
        wanted = {stages.CONTROL_QUEUE, *(stages.queue_of(agent) for agent in whole.agents)}
        if wanted <= serving and (not _has_address(whole) or _answers(whole.settings)):
            where = f" at {_address(whole.settings)}" if _has_address(whole) else ""
            whole.tell("", f"orch is up{where}; Ctrl-C ends it")
            return True
    return False


def _has_address(whole: _Up) -> bool:
    """Port 0 lets the web app choose; it says itself what it took."""
    return whole.plan.web and whole.settings.web_port != 0


def _address(settings: Settings) -> str:
    return f"http://{settings.web_host}:{settings.web_port}"


def _answers(settings: Settings) -> bool:
    with suppress(OSError):
        socket.create_connection((settings.web_host, settings.web_port), timeout=1).close()
        return True
    return False


def _stop(whole: _Up) -> None:
    """First those that bring new work, then the agents, then the dispatchers."""
    asked = whole.wish.asked
    whole.tell("", "stopping; agents are stopped and their jobs handed back")

    def hurry() -> bool:
        return whole.wish.asked > max(asked, 1)

    beats = [f"beat{number}" for number in range(1, BEATS + 1)]
    controls = [f"control{number}" for number in range(1, DISPATCHERS + 1)]
    whole.group.stop([*beats, *whole.agents, "web"], AGENTS_PATIENCE, hurry)
    whole.group.stop(controls, OTHERS_PATIENCE, hurry)
    whole.tell("", "everything has stopped")


@contextmanager
def _own_broker(settings: Settings, tell: Tell) -> Iterator[EmbeddedBroker | None]:
    """A broker of our own unless one was named, and a note of where it is for all others."""
    if settings.broker_is_given:
        yield None
        return
    note = settings.data_dir / BROKER_NOTE
    with EmbeddedBroker(settings.data_dir / "broker") as broker:
        note.write_text(f"{broker.url}\n", encoding="utf-8")
        tell("", f"the broker listens on {broker.socket_path}")
        try:
            yield broker
        finally:
            note.unlink(missing_ok=True)


@contextmanager
def _heeded(wish: Wish, *numbers: signal.Signals) -> Iterator[None]:
    """Signals that end a program become a wish, so that the end is an orderly one."""
    before = {number: signal.signal(number, wish.ask) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
