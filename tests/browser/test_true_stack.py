"""The pages over everything there is: `orch up` as a newcomer runs it, its workers, a browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(http://127\.0\.0\.1:[1-9]\d*)/ui/welcome\S+")
WORDS = "a few words in a row"

pytestmark = pytest.mark.acceptance


class Up:
    """`orch up` in a copy of the examples, with nothing set but a free port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {"PATH": path, "HOME": str(folder), "ORCH_WEB_PORT": "0"}
        left_over = shutil.ignore_patterns("remotes", "live", "__pycache__")
        shutil.copytree(ROOT / "examples", folder, ignore=left_over, dirs_exist_ok=True)
        self.run("./setup")
        self.process = subprocess.Popen(
            ["orch", "up"],
            cwd=folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str) -> str:
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    def link(self) -> str:
        """The link that makes the first admin, as it is told on the terminal."""
        assert self.process.stdout is not None
        found = next(filter(None, map(LINK.search, self.process.stdout)))
        return found[0]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    made = Up(tmp_path / "my-line")
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.communicate()


def test_a_first_admin_sees_a_task_run_to_its_end_and_parks_the_next(
    up: Up, chromium: Browser
) -> None:
    page: Page = chromium.new_page()
    page.goto(up.link())
    page.get_by_label("Name").fill("ann")
    page.get_by_label("Password").fill(WORDS)
    page.get_by_label("Once more").fill(WORDS)
    page.get_by_role("button", name="Choose this password").click()
    # So that LIB-1 holds the repo for as long as somebody looks.
    up.run("orch", "agent", "suspend", "developer", "--reason", "one thing at a time")
    for item in ("LIB-1", "LIB-2"):
        up.run("orch", "add", item, "--repo", "lib", "--track", "docs", "--title", "A small change")
    page.get_by_role("link", name="Line", exact=True).click()
    page.locator("#w-LIB-2").get_by_role("link", name="LIB-2").first.click()
    expect(page.get_by_role("main")).to_contain_text("LIB-1 holds the repo", timeout=20_000)
    page.get_by_role("link", name="Pause", exact=True).click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("Why").fill("not before the release")
    dialog.get_by_role("button", name="Preview").click()
    dialog.get_by_role("button", name=re.compile("^Pause")).click()
    expect(page.get_by_role("main")).to_contain_text("not before the release")
    up.run("orch", "agent", "resume", "developer")
    page.get_by_role("link", name="Line", exact=True).click()
    expect(page.locator("#p-LIB-2")).to_contain_text("not before the release by ann")
    expect(page.locator("[data-row='LIB-1']")).to_have_count(0, timeout=60_000)
    page.close()
    assert '"stage":"done"' in up.run("orch", "show", "LIB-1", "--json").replace(" ", "")
    assert up.stop() in (0, 130)
