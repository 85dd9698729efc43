"""The broker goes away, drops its clients and goes deaf; nothing runs twice and all recover.

Real workers and beats run the real celeryconfig. Later versions of Celery are held to this file
before the lock is moved.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from celery import Celery

from orch.adapters.celery_queue import CeleryQueue
from orch.ports import Claim
from orch.processes import beat_argv, worker_argv
from orch.stages import CONTROL_QUEUE, queue_of
from tests.services import PrivateRedis, Proxy, wait_until

pytestmark = [pytest.mark.redis, pytest.mark.slow]

AGENT = "analyst"
APP = "tests.transport_app"
ROOT = Path(__file__).parents[2]
PREFIX = "orch:"
RECOVERY_SECONDS = 30.0


class Line:
    """The processes of one test: how to start them, what they left behind, how to ring for them."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        app = Celery("publisher", set_as_current=False)
        app.config_from_object("celeryconfig")
        app.conf.broker_url = url
        self.queue = CeleryQueue(app)
        self.started: list[subprocess.Popen[bytes]] = []

    def spawn(self, argv: Sequence[str]) -> tuple[subprocess.Popen[bytes], Path]:
        """Start a process; answers it and its log."""
        log = self.folder / f"log-{len(self.started)}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                argv, cwd=self.folder, stdout=output, stderr=output, start_new_session=True
            )
        self.started.append(process)
        return process, log

    def worker(
        self, queue: str = queue_of(AGENT), concurrency: int = 2
    ) -> tuple[subprocess.Popen[bytes], Path]:
        """Start a worker and wait until it consumes."""
        name = f"w{len(self.started)}"
        process, log = self.spawn(worker_argv([queue], concurrency, name, app=APP))
        wait_until(lambda: "ready." in log.read_text(), 30, "the worker did not start")
        return process, log

    def beat(self) -> subprocess.Popen[bytes]:
        return self.spawn(beat_argv(app=APP))[0]

    def ring(self, job_id: int) -> bool:
        return not self.queue.publish([Claim(job_id, "token", AGENT)])

    def hold(self, job_id: int) -> Path:
        """Ring for a job that runs until the file answered here is gone."""
        held = self.folder / f"hold-{job_id}"
        held.touch()
        assert self.ring(job_id)
        wait_until(lambda: f"start {job_id}" in self.trace(), 10, "the job did not start")
        return held

    def trace(self) -> list[str]:
        path = self.folder / "trace"
        return path.read_text().splitlines() if path.exists() else []

    def ends(self, job_id: int) -> None:
        wait_until(lambda: f"end {job_id}" in self.trace(), RECOVERY_SECONDS, f"no end of {job_id}")

    def close(self) -> None:
        for process in self.started:
            with suppress(ProcessLookupError):  # ended before, with all its children
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Line]]:
    """Makes the line on a broker; its processes take their settings from the environment."""
    made: list[Line] = []

    def make(url: str) -> Line:
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setenv("ORCH_BROKER_URL", url)
        monkeypatch.setenv("ORCH_BROKER_PREFIX", PREFIX)
        monkeypatch.setenv("ORCH_BROKER_SOCKET_TIMEOUT", "3")
        monkeypatch.setenv("ORCH_TICK_SECONDS", "0.2")
        folder = tmp_path / "line"
        folder.mkdir()
        made.append(Line(folder, url))
        return made[0]

    yield make
    for each in made:
        each.close()


def test_a_broker_restart_leaves_the_worker_alive_and_the_job_running_once(
    line: Callable[[str], Line], private_redis: PrivateRedis
) -> None:
    """E4: with late acknowledgement this very scene ends the worker."""
    running = line(private_redis.url)
    worker, log = running.worker()
    held = running.hold(1)
    private_redis.stop()
    wait_until(lambda: "onnection to broker lost" in log.read_text(), 10, "the loss went unseen")
    private_redis.start()
    wait_until(lambda: running.ring(2), 5, "the publisher did not come back")
    running.ends(2)
    assert "end 1" not in running.trace(), "the first job was to be running all the while"
    held.unlink()
    running.ends(1)
    assert worker.poll() is None
    assert sorted(running.trace()) == ["end 1", "end 2", "start 1", "start 2"]


def test_dropping_every_connection_runs_the_job_once(
    line: Callable[[str], Line], private_redis: PrivateRedis
) -> None:
    """E5: with late acknowledgement the job is started again beside the first."""
    running = line(private_redis.url)
    worker, log = running.worker()
    held = running.hold(1)
    with private_redis.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)
    wait_until(lambda: "onnection to broker lost" in log.read_text(), 10, "the loss went unseen")
    wait_until(lambda: running.ring(2), 5, "the publisher did not come back")
    running.ends(2)
    held.unlink()
    running.ends(1)
    assert worker.poll() is None
    assert sorted(running.trace()) == ["end 1", "end 2", "start 1", "start 2"]


def test_worker_and_beat_leave_a_half_open_connection(
    line: Callable[[str], Line], private_redis: PrivateRedis
) -> None:
    """E6: without time-outs both wait for ever; a message or two may be lost on the way."""
    proxy = Proxy(private_redis.socket_path)
    running = line(proxy.url)
    running.worker()
    running.beat()
    client = private_redis.client()
    jobs = f"{PREFIX}{queue_of(AGENT)}"
    ticks = f"{PREFIX}{CONTROL_QUEUE}"
    assert running.ring(1)
    running.ends(1)
    wait_until(lambda: client.llen(ticks), 20, "beat never ticked")
    proxy.hang()
    seen, rung = client.llen(ticks), iter(range(2, 10_000))

    def runs_again() -> bool:
        if client.llen(jobs) == 0:
            running.ring(next(rung))
        return len([entry for entry in running.trace() if entry.startswith("end")]) > 1

    wait_until(runs_again, RECOVERY_SECONDS, "the worker stayed deaf")
    # One tick may have been on its way when the connection broke.
    wait_until(lambda: client.llen(ticks) > seen + 1, RECOVERY_SECONDS, "beat stayed stuck")
    starts = [entry for entry in running.trace() if entry.startswith("start")]
    assert len(starts) == len(set(starts)), "a job ran twice"
    client.close()
    proxy.close()


def test_ticks_nobody_took_in_time_are_thrown_away(
    line: Callable[[str], Line], private_redis: PrivateRedis
) -> None:
    running = line(private_redis.url)
    beat = running.beat()
    ticks = f"{PREFIX}{CONTROL_QUEUE}"
    with private_redis.client() as client:
        wait_until(lambda: client.llen(ticks) >= 5, 20, "beat never ticked")
        beat.kill()
        beat.wait()
        over = time.monotonic() + 1.0  # twice the time after which a tick expires here
        wait_until(lambda: time.monotonic() > over, 5)
        running.worker(CONTROL_QUEUE, 1)
        wait_until(lambda: client.llen(ticks) == 0, 10, "the old ticks were not taken")
    assert running.queue.kick()
    wait_until(lambda: "tick" in running.trace(), 10, "the fresh kick was not answered")
    assert running.trace() == ["tick"]


def test_two_beats_tick_together_and_either_may_die(
    line: Callable[[str], Line], private_redis: PrivateRedis
) -> None:
    running = line(private_redis.url)
    first, second = running.beat(), running.beat()
    running.worker(CONTROL_QUEUE, 1)
    wait_until(lambda: len(running.trace()) >= 10, 20, "no ticks from two beats")
    assert (first.poll(), second.poll()) == (None, None)
    first.kill()
    first.wait()
    ticked = len(running.trace())
    wait_until(lambda: len(running.trace()) >= ticked + 5, 20, "no ticks from the beat that lives")
    assert second.poll() is None
