"""Where the demo plays: a folder of its own, a real `orch up` in it, and what the audience sees."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import orch
from orch import bootstrap, clock, config, mirror, snapshot
from orch.cli import output, tables
from orch.cli.demo_git import Shelf
from orch.config import Settings
from orch.errors import OrchError
from orch.line import Line
from orch.process_group import die_with_parent

Answer = TypeVar("Answer")
EXAMPLES: Final = Path(orch.__file__).resolve().parents[1] / "examples"
FIRST_COMMIT: Final = (
    *("--author", "Ada Example"),
    *("--email", "ada@example.org"),
    *("--date", "2024-01-01T09:00:00Z"),
)
CONCURRENCY: Final = 2
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 45.0
LOOK_SECONDS: Final = 0.1


class DemoError(OrchError):
    """The demo could not go on."""

    code = "demo_failed"
    fix = "Run `orch demo --keep --plain` and look at up.log in its folder."


@dataclass
class Screen:
    """What the audience sees: sentences, and below them the queue as it changes."""

    plain: bool
    last: list[str] = field(default_factory=list)

    @cached_property
    def live(self) -> Any:
        """The picture that is drawn again and again; rich keeps it below the sentences."""
        from rich.live import Live

        return Live(console=output.console(), auto_refresh=False, transient=True)

    def say(self, words: str, style: str = "") -> None:
        """A sentence."""
        output.say(words, style)
        sys.stdout.flush()

    def command(self, words: str) -> None:
        """What somebody would type now."""
        self.say(f"  $ orch {words}", "bold cyan")

    def show(self, picture: Any) -> None:
        """A table, indented below what was typed."""
        from rich.padding import Padding

        output.console().print(Padding(picture, (0, 0, 0, 4)))

    def queue(self, seen: dict[str, Any]) -> None:
        """The queue, when it has changed."""
        if not self.plain:
            self.live.update(tables.queue_view(seen, output.console().width), refresh=True)
            return
        lines = [_lane_line(*item) for item in seen["serial_gate"]["per_repo"].items()]
        for line in lines:
            if line not in self.last:
                self.say(f"    {clock.utc_now():%H:%M:%S} {line}", "dim")
        self.last = lines


def _lane_line(repo: str, lane: dict[str, Any]) -> str:
    """A repo on one line: who is at work, who waits for what."""
    live = [f"{job['work_item_id']} {job['stage']}" for job in lane["live"]]
    waiting = [
        f"{entry['work_item_id']} ({entry['reason'] or entry['hold'] or 'next'})"
        for entry in lane["waiting"]
    ]
    held = " FROZEN" if lane["frozen"] else ""
    return (
        f"{repo:<5}{held} at work: {', '.join(live) or '–'}; waiting: {', '.join(waiting) or '–'}"
    )


@dataclass
class Stage:
    """The folder, the processes and the line the scenes are played on."""

    screen: Screen
    keep: bool = False
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="orch-demo-")))
    process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    # --- setting up and clearing away

    @cached_property
    def port(self) -> int:
        """A port nobody listens on at this moment."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        return port

    @cached_property
    def environment(self) -> dict[str, str]:
        """None of the caller's settings but a broker: the demo must not touch a real line."""
        given = {"data_dir": str(self.folder / ".orch"), "web_port": str(self.port)}
        caller = bootstrap.load()
        if caller.broker_is_given:
            given["broker_url"] = caller.broker_url.get_secret_value()
            given["broker_prefix"] = f"orch-demo-{clock.new_id()[:8]}:"
        return config.child_environment(given)

    @cached_property
    def settings(self) -> Settings:
        """The settings of everything in the folder."""
        return config.load_settings(self.environment, self.folder)

    @cached_property
    def shelf(self) -> Shelf:
        """The shared repositories."""
        return Shelf(self.folder / "remotes")

    @cached_property
    def line(self) -> Line:
        """The same line as the processes', for the audience's own commands."""
        return bootstrap.build_line(self.settings, bootstrap.build_queue(self.settings))

    def start(self) -> None:
        """Copy the examples and start everything. Raises DemoError."""
        if not EXAMPLES.is_dir():
            raise DemoError(
                "The examples are not part of this installation.",
                suggested_fix="Run the demo in a checkout of orch.",
            )
        left_over = shutil.ignore_patterns("remotes", "live", "__pycache__")
        shutil.copytree(EXAMPLES, self.folder, dirs_exist_ok=True, ignore=left_over)
        self._make_remotes()
        argv = [sys.executable, "-m", "orch", "up", "--concurrency", str(CONCURRENCY)]
        with (self.folder / "up.log").open("wb") as log:
            self.process = subprocess.Popen(
                argv,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, signal.SIGTERM, os.getpid()),
            )
        self._wait(self._is_up, READY_SECONDS, "everything to come up")

    def _make_remotes(self) -> None:
        argv = [sys.executable, str(self.folder / "remotes.py"), *FIRST_COMMIT]
        done = subprocess.run(
            argv, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise DemoError(f"The repositories could not be made: {done.stderr.strip()}")

    def _is_up(self) -> bool:
        assert self.process is not None  # noqa: S101 - just started
        log = (self.folder / "up.log").read_text("utf-8", "replace")
        if self.process.poll() is not None:
            raise DemoError(f"`orch up` ended with code {self.process.returncode}:\n{log[-2000:]}")
        return "orch is up" in log

    def clear(self) -> None:
        """End every process, and take the folder away unless it is to be kept."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if "line" in self.__dict__:
            self.line.store.dispose()
        if "settings" in self.__dict__ and self.settings.broker_is_given:
            _forget_keys(self.settings)
        if self.keep:
            self.screen.say(f"Everything is kept in {self.folder}.")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- looking

    def until(self, what: str, holds: Callable[[], Answer], seconds: float = 60.0) -> Answer:
        """The first true answer, drawing the queue meanwhile. Raises DemoError when time is up."""

        def look() -> Answer:
            self.screen.queue(snapshot.snapshot(self.line))
            return holds()

        return self._wait(look, seconds, what)

    def watch(self, seconds: float) -> None:
        """Let the audience look for a while."""
        end = time.monotonic() + seconds
        self.until("the time to pass", lambda: time.monotonic() >= end, seconds + 30)

    def _wait(self, holds: Callable[[], Answer], seconds: float, what: str) -> Answer:
        deadline, pause = time.monotonic() + seconds, threading.Event()
        while not (answer := holds()):
            if time.monotonic() > deadline:
                raise DemoError(f"Waited {seconds:.0f} s in vain for {what}.")
            pause.wait(LOOK_SECONDS)
        return answer

    def why(self, work_item: str) -> dict[str, Any]:
        """Ask why, and show the answer."""
        found = mirror.why(self.line, work_item)
        self.screen.command(f"why {work_item}")
        self.screen.show(tables.why_view(found))
        return found

    def over_http(self, path: str) -> Any:
        """What the web app answers, without regard to any proxy."""
        web = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with suppress(OSError):
            web.request("GET", path)
            return json.loads(web.getresponse().read())
        return None


def _forget_keys(settings: Settings) -> None:
    """Leave nothing in a Redis that is not ours."""
    import redis

    with suppress(redis.RedisError), redis.Redis.from_url(settings.doorbell_url) as client:
        for key in client.scan_iter(match=f"{settings.broker_prefix}*", count=1000):
            client.delete(key)
