"""`orch demo` for real: every claim holds, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(240)]


def _environment(tmp_path: Path) -> dict[str, str]:
    """No settings of orch, and a temporary folder in which whatever is left can be seen."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ORCH_")}
    return clean | {"TMPDIR": str(tmp_path)}


def _left(tmp_path: Path) -> list[str]:
    """Files of the demo, and processes that work in its folder."""
    found = [path.name for path in tmp_path.glob("orch-demo-*")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            at = str((process / "cwd").readlink())
        except OSError:
            continue
        if at.startswith(str(tmp_path)) and "orch-demo-" in at:
            found.append(process.name)
    return found


def test_every_claim_of_the_demo_holds_and_it_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orch", "demo"],
        env=_environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("✓") == 24
    assert "All 24 claims held" in done.stdout
    wait_until(lambda: _left(tmp_path) == [], message=f"left behind: {_left(tmp_path)}")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_a_demo_that_is_broken_off_leaves_no_process(tmp_path: Path, how: signal.Signals) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "orch", "demo"],
        env=_environment(tmp_path),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    seen = next((line for line in demo.stdout if "starts (" in line), "it ended before")
    assert "✓ ORCH-116 paused" in seen
    demo.send_signal(how)
    demo.stdout.close()
    demo.wait(60)
    wait_until(lambda: [left for left in _left(tmp_path) if left.isdigit()] == [], timeout=60)
    assert demo.returncode == (130 if how is signal.SIGINT else -signal.SIGKILL)
