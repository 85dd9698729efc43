"""docs/walk-through.md, walked: every command is run, and says what the page says."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/walk-through.md").read_text(encoding="utf-8")
COPY, UP = "cp -r examples my-line && cd my-line && ./setup", "orch up"
STEERS = ("add", "pause", "resume", "freeze", "unfreeze", "depend", "db")
PATIENCE = 60.0


def steps() -> list[tuple[str, list[str]]]:
    """Every command of the page, and the lines it is said to answer."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return found


def missing(lines: list[str], said: str) -> str:
    """The first of these lines that does not come in its turn; empty when all do."""
    plain, at = " ".join(said.split()), 0
    for line in lines:
        words = (re.escape(part.strip()) for part in " ".join(line.split()).split("…"))
        found = re.compile(".*?".join(words)).search(plain, at)
        if found is None:
            return line
        at = found.end()
    return ""


class Walker:
    """Somebody with one terminal in which `orch` is found, and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environ = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8"}
        self.environ |= {"ORCH_WEB_PORT": "0", "COLUMNS": "130"}

    def says(self, command: str) -> str:
        """What a command answers, as a terminal would show it."""
        wanted = f"{command} --table" if command.startswith("orch ") else command
        done = subprocess.run(
            ["/bin/sh", "-ec", wanted],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


def test_the_walk_through_goes_as_it_says(tmp_path: Path) -> None:
    left_over = shutil.ignore_patterns("remotes", "live", "__pycache__")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=left_over)
    walker, up, log = Walker(tmp_path), None, tmp_path / "up.log"
    try:
        for command, lines in steps():
            if command == UP:
                with log.open("wb") as output:
                    up = subprocess.Popen(
                        ["orch", "up"],
                        cwd=walker.folder,
                        env=walker.environ,
                        stdout=output,
                        stderr=output,
                    )
                wait_until(lambda lines=lines: not missing(lines, log.read_text()), PATIENCE)
                continue
            _walk(walker, command, lines, again=up is not None)
            if command == COPY:
                walker.folder = tmp_path / "my-line"
    finally:
        if up is not None:
            up.send_signal(signal.SIGINT)
            up.wait(60)
    assert up is not None
    assert up.returncode in (0, 130), log.read_text()


def _walk(walker: Walker, command: str, lines: list[str], *, again: bool) -> None:
    """Run it; while agents work, what only looks is asked again until it says so."""
    said = walker.says(command)
    if again and command.split()[1] not in STEERS:
        told = [said]

        def so() -> bool:
            if missing(lines, told[-1]):
                told.append(walker.says(command))
            return not missing(lines, told[-1])

        try:
            wait_until(so, PATIENCE)
        except AssertionError:
            said = told[-1]
        else:
            return
    assert not missing(lines, said), f"{command} does not say “{missing(lines, said)}”:\n{said}"
