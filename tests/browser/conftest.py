"""Pages in a real browser: the app behind a real server, Chromium, and an eye on its complaints.

Every page that a test opens is watched. What a person would not see but an operator should not have
to bear fails the test at its end: an error on the console, a request to another host, anything the
content security policy had to stop.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from orch.adapters.memory_changes import MemoryChanges
from orch.agent_settings import AgentSettings
from orch.clock import new_id, utc_now
from orch.config import Settings
from orch.line import Line
from orch.store.session import Store
from tests.conftest import IN_CI
from tests.factories import Rig, SetClock
from tests.web.conftest import COMPILED
from web import create_app
from web.streams import Streams

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
AXED: list[tuple[str, str, int]] = []
"""What axe has looked at since the last test ended: page, theme, how much was wrong."""
EVERY = 5000
"""Milliseconds between two questions of a page."""
DEVELOPER = AgentSettings(command=("true",), timeout=3600)


class WalkingClock(SetClock):
    """Real time, moved by what the rig lets pass, and begun in the past."""

    def __init__(self, ago: float) -> None:
        self.offset = timedelta(seconds=-ago)

    def __call__(self) -> datetime:
        return utc_now() + self.offset

    def advance(self, seconds: float) -> datetime:
        self.offset += timedelta(seconds=seconds)
        return self()

    def catch_up(self) -> None:
        """From now on it is now."""
        self.offset = timedelta()


class _Quiet(WSGIRequestHandler):
    def log(self, *args: Any) -> None:
        """Say nothing."""


@dataclass
class Site:
    """The app on a port of its own, which can go away and come back."""

    rig: Rig
    folder: Path
    port: int = 0
    server: BaseWSGIServer | None = None
    changes: MemoryChanges = field(default_factory=MemoryChanges)

    def start(self) -> None:
        line = Line(self.rig.store, self.rig.queue, self.rig.clock, new_id, self.rig.gate)
        settings = Settings.model_validate(
            {"data_dir": self.folder, "agents": {"developer": DEVELOPER}}
        )
        parts: dict[str, Any] = {"streams": Streams(), "changes": self.changes}
        app = create_app(line, settings, clock=self.rig.clock, **parts)
        app.jinja_env.bytecode_cache = COMPILED
        made = make_server("127.0.0.1", self.port, app, threaded=True, request_handler=_Quiet)
        self.server, self.port = made, made.server_port
        threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Seat:
    """Where an operator sits: pages on one site, watched."""

    site: Site
    browser: Browser
    complaints: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    @property
    def rig(self) -> Rig:
        return self.site.rig

    def open(self, path: str = "/ui/", *, width: int = 1280, **more: Any) -> Page:
        """A page of a browser of its own; its timers can be moved with `later`."""
        context = self.browser.new_context(
            base_url=self.site.url,
            viewport={"width": width, "height": 900},
            reduced_motion="reduce",
            **more,
        )
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: said.type == "error" and self._complain(said.text))
        page.on("pageerror", lambda error: self._complain(f"script: {error}"))
        page.on("request", lambda asked: self._look(asked.url))
        if more.get("java_script_enabled", True):
            page.clock.install()
        page.goto(path)
        return page

    def later(self, page: Page, milliseconds: int = EVERY) -> None:
        """Let a page's timers run as if this much time had passed."""
        page.clock.fast_forward(milliseconds)

    def forgive(self, what: str) -> None:
        """Complaints that hold these words were meant to come."""
        self.complaints[:] = [said for said in self.complaints if what not in said]

    def _complain(self, said: str) -> None:
        self.complaints.append(said)

    def _look(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "data" and parts.netloc != urlsplit(self.site.url).netloc:
            self._complain(f"asked another host: {url}")


def violations(page: Page, rules: tuple[str, ...] = ()) -> list[str]:
    """What axe finds wrong with a page as it is, in short; it is counted for the run's summary.

    By all rules, or by these only.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))
    given = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found = page.evaluate("given => axe.run(document, given)", given)
    is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    AXED.append((urlsplit(page.url).path, "dark" if is_dark else "light", len(found["violations"])))
    return [
        f"{each['id']}: {json.dumps([node['html'][:120] for node in each['nodes'][:3]])}"
        for each in found["violations"]
    ]


def fits(page: Page) -> bool:
    """Whether nothing of a page lies beside it, to be scrolled to."""
    width: int = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return width <= 0


@pytest.fixture(autouse=True)
def axed(record_property: Callable[[str, object], None]) -> Iterator[None]:
    """Hand what axe looked at to the summary, also from another process."""
    yield
    for looked in AXED:
        record_property("axe", list(looked))
    AXED.clear()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of a file. While it lives nothing else in this process can use
    asyncio, so it must not outlive them: other tests may come in between."""
    binary = os.environ.get("ORCH_CHROMIUM") or shutil.which("chromium") or ""
    if not Path(binary).is_file():
        missing = "Chromium: no program is installed; name one in ORCH_CHROMIUM"
        if IN_CI:
            raise pytest.fail.Exception(missing, pytrace=False)
        raise pytest.skip.Exception(missing)
    flags = ["--disable-dev-shm-usage"] + (["--no-sandbox"] if os.geteuid() == 0 else [])
    expect.set_options(timeout=10_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def site(sqlite_database: str, tmp_path: Path) -> Iterator[Site]:
    """A line on SQLite whose tasks came in a quarter of an hour ago, not yet served."""
    store = Store(sqlite_database, synchronous="OFF")
    made = Site(Rig(store, clock=WalkingClock(ago=900)), tmp_path)
    yield made
    made.stop()
    store.dispose()


@pytest.fixture
def seat(site: Site, chromium: Browser) -> Iterator[Seat]:
    """An operator's seat; what the browser complained of fails the test."""
    site.start()
    taken = Seat(site, chromium)
    yield taken
    for context in taken.contexts:
        context.close()
    assert taken.complaints == []


@pytest.fixture
def busy(seat: Seat) -> Seat:
    """The incident: ORCH-116 holds `orch`, ORCH-123 waits behind it; `lib` waits for a worker."""
    rig = seat.rig
    rig.workers()
    rig.task("ORCH-116", "development", repo="orch", title="Rework the cache", job="running")
    rig.task("ORCH-123", repo="orch", title="Urgent: log in is down")
    rig.task("ORCH-130", repo="orch", title="Tidy up the footer")
    rig.task("LIB-1", repo="lib", title="Drop Python 3.10")
    rig.task("LIB-2", repo="lib", title="Name the release")
    clock = rig.clock
    assert isinstance(clock, WalkingClock)
    clock.catch_up()
    rig.workers()
    return seat
