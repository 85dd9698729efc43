"""Every command of the README does what the README says it does."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from orch.cli.root import MODULES
from tests.services import wait_until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
UP = "orch up"

pytestmark = pytest.mark.acceptance


def commands() -> list[str]:
    """Every line of every shell block, without its comment."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = (line.partition("  #")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line]


def spoken() -> list[str]:
    """Every command named in the text."""
    return re.findall(r"`(orch [^`]+)`", README)


def environment(folder: Path) -> dict[str, str]:
    """A newcomer's: nothing but a path on which `orch` is found."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", "ORCH_WEB_PORT": "0"}


def run(line: str, folder: Path) -> str:
    done = subprocess.run(
        ["/bin/sh", "-ec", line],
        cwd=folder,
        env=environment(folder) | {"ORCH_BROKER_URL": f"redis+socket://{folder}/nobody"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_incident_reads_as_it_runs(tmp_path: Path) -> None:
    said = {}
    for line in commands():
        if line.startswith("orch ") and line not in (UP, "orch check"):
            said[line] = [*said.get(line, []), run(line, tmp_path)]
    before, after = said["orch why ORCH-123"]
    assert "ORCH-116 holds the repo" in before
    assert "ORCH-116 holds the repo" not in after
    assert "ORCH-116" in said["orch queue"][0]


def test_a_newcomer_can_copy_the_examples_and_bring_the_line_up(tmp_path: Path) -> None:
    lines = commands()
    copy, check = lines[lines.index("orch check") - 1], lines[lines.index("orch check")]
    left_over = shutil.ignore_patterns("remotes", "live", "__pycache__")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=left_over)
    assert "lease_seconds" in run(f"{copy} && {check}", tmp_path)
    up = subprocess.Popen(
        shlex.split(UP),
        cwd=tmp_path / "my-line",
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert up.stdout is not None
    try:
        said: list[str] = []
        url = next(filter(None, (_address(line, said) for line in up.stdout)), None)
        assert url is not None, "".join(said)
        wait_until(lambda: _answers(url), 30, "the web app never answered")
    finally:
        up.send_signal(signal.SIGINT)
        rest, _ = up.communicate(timeout=60)
    assert up.returncode in (0, 130), "".join(said) + rest


def test_every_make_target_and_every_verb_named_is_there() -> None:
    for line in commands():
        if line.startswith("make "):
            assert re.search(rf"^{line.split()[1]}:", MAKEFILE, re.MULTILINE), line
    for words in spoken():
        assert words.split()[1].strip() in MODULES, words


def _address(line: str, said: list[str]) -> str | None:
    said.append(line)
    found = re.search(r"http://127\.0\.0\.1:[1-9]\d*", line)
    return found[0] if found else None


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=5) as answer:  # noqa: S310 - our own
            return bool(answer.status == 200)
    except OSError:
        return False
