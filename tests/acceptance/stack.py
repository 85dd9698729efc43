"""The whole of orch as separate processes, to be killed, frozen and started again at will."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from celery import Celery

from orch import bootstrap, tokens
from orch.adapters.celery_queue import CeleryQueue
from orch.config import load_settings
from orch.stages import AGENTS
from tests.acceptance.desk import AGENT, Desk, processes
from tests.acceptance.front import Front, found
from tests.acceptance.inside import Inside
from tests.services import PrivateRedis, create_database, drop_database, wait_until

ROOT = Path(__file__).parents[2]
ORCH = [sys.executable, "-m", "orch"]
START_SECONDS = 40.0

# Short enough that a test sees a lease run out, long enough for a machine with other things to do.
SETTINGS: Mapping[str, str] = {
    "tick_seconds": "0.5",
    "sweep_seconds": "5",
    "lease_seconds": "3",
    "heartbeat_seconds": "1",
    "start_deadline_seconds": "3",
    "worker_stale_seconds": "6",
    "retry_delay_seconds": "0.2",
    "broker_socket_timeout": "3",
    "web_port": "0",
}
AGENT_TABLE = """
[agents.{agent}]
command = ["/bin/sh", "{program}"]
stop_grace = 0.3
env = {{ DESK = "{desk}" }}
"""


@dataclass
class Running:
    """One process of the stack, in a session of its own, and the file it writes its log to."""

    name: str
    argv: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, number: int) -> None:
        """Signal the process itself, as a service manager does."""
        self.process.send_signal(number)

    def send_all(self, number: int) -> None:
        """Signal it and its pool children in one step."""
        with suppress(ProcessLookupError):  # all of them have ended
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """End it with all its pool children, as a power cut would."""
        self.send_all(signal.SIGKILL)
        self.process.wait()

    def kill_main(self) -> None:
        """End the process itself; its pool children see what becomes of them."""
        self.process.kill()
        self.process.wait()

    def kill_children(self) -> None:
        """End its pool children, as the system does that runs out of memory."""
        for child in set(self.members()) - {self.pid}:
            with suppress(ProcessLookupError):  # it ended between the look and the kill
                os.kill(child, signal.SIGKILL)

    def members(self) -> list[int]:
        """The living processes of its session. Agents begin sessions of their own."""
        return [pid for pid in processes() if _session_of(pid) == self.pid]

    def says(self, words: str, timeout: float = START_SECONDS) -> None:
        """Wait until the log contains these words."""
        wait_until(lambda: words in self.read(), timeout, f"{self.name} never said “{words}”")

    def read(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass
class Stack:
    """Processes on one database and one broker, and the ways a test reaches in."""

    folder: Path
    database_url: str
    redis: PrivateRedis
    settings: dict[str, str] = field(default_factory=dict)
    running: list[Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.desk = Desk(self.folder / "desk")
        self.desk.folder.mkdir(parents=True)
        facts = {"program": AGENT, "desk": self.desk.folder}
        self.configure("".join(AGENT_TABLE.format(agent=agent, **facts) for agent in AGENTS))

    def configure(self, tables: str) -> None:
        """Write orch.toml anew, for whatever starts from now on."""
        (self.folder / "orch.toml").write_text(tables)

    @property
    def environ(self) -> dict[str, str]:
        """What every process of the stack starts from: no setting of whoever runs the tests."""
        given = {name: value for name, value in os.environ.items() if not name.startswith("ORCH_")}
        settings = {
            **SETTINGS,
            "data_dir": str(self.folder / "data"),
            "database_url": self.database_url,
            "broker_url": self.redis.url,
            "config": str(self.folder / "orch.toml"),
            **self.settings,
        }
        named = {f"ORCH_{name.upper()}": value for name, value in settings.items()}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return given | named | {"PYTHONPATH": str(ROOT), "PATH": path}

    def start(self, name: str, argv: Sequence[str]) -> Running:
        """Start one process and return at once."""
        log = self.folder / f"{len(self.running):02}-{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                argv,
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_the_tests,
            )
        self.running.append(Running(name, argv, log, process))
        return self.running[-1]

    def again(self, ended: Running) -> Running:
        """Start a process like one that has ended, as a restart policy does."""
        return self.start(ended.name, ended.argv)

    def dispatcher(self, name: str = "control") -> Running:
        return self.start(name, [*ORCH, "control", "--name", name])

    def beat(self, name: str = "beat") -> Running:
        return self.start(name, [*ORCH, "beat"])

    def worker(self, agent: str, concurrency: int = 1, name: str = "") -> Running:
        name = name or agent
        options = ["--concurrency", str(concurrency), "--name", name]
        return self.start(name, [*ORCH, "worker", agent, *options])

    def web(self) -> Front:
        """Start the web app and wait until it listens; enter it as an operator."""
        told = tokens.add(self.inside.line, "acceptance", "operator", "test")
        running = self.start("web", [*ORCH, "web"])
        message = "the web app did not come up"
        front = wait_until(lambda: found(running.read(), told["token"]), START_SECONDS, message)
        assert front is not None
        return front

    def ready(self) -> None:
        """Wait until every worker that runs consumes and is known to the store."""
        workers = [each for each in self.running if {"control", "worker"} & set(each.argv)]
        workers = [each for each in workers if each.process.poll() is None]
        for worker in workers:
            worker.says("ready.")
        names = {each.name for each in workers}
        wait_until(
            lambda: names <= self.known_workers(), START_SECONDS, "a worker did not register"
        )

    def known_workers(self) -> set[str]:
        """The workers that said to the store that they are there, and did not say goodbye."""
        rows = self.inside.sql("SELECT name FROM workers WHERE stopped_at IS NULL")
        return {row["name"].partition("@")[0] for row in rows}

    @cached_property
    def inside(self) -> Inside:
        """The real line on this database and broker, for use cases called from the test."""
        app = Celery("acceptance", set_as_current=False)
        app.config_from_object("celeryconfig")
        app.conf.broker_url = self.redis.url
        settings = load_settings(self.environ, self.folder)
        return Inside(bootstrap.build_line(settings, CeleryQueue(app)))

    def close(self) -> None:
        """Kill whatever still runs."""
        for running in self.running:
            running.kill()
        if "inside" in self.__dict__:  # somebody looked
            self.inside.line.store.dispose()


@contextmanager
def opened(server: str, template: str, folder: Path, **settings: str) -> Iterator[Stack]:
    """A stack on a database and a Redis of its own, with nothing started yet."""
    url = create_database(server, template)
    try:
        with PrivateRedis(folder / "redis") as redis:
            stack = Stack(folder, url, redis, settings)
            try:
                yield stack
            finally:
                stack.close()
    finally:
        drop_database(server, url)


_libc = ctypes.CDLL(None)


def _die_with_the_tests() -> None:
    """Whoever kills the tests the hard way kills their processes, too; the signal survives exec."""
    _libc.prctl(1, signal.SIGKILL, 0, 0, 0)


def _session_of(pid: int) -> int | None:
    """The session of a living process; one that only awaits burial has none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[3])
