"""Errands: beside their process, one of a kind at a time, and ended with whoever set them off."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from orch.errands import Errands, alone, orphaned
from orch.errors import AlreadyThere
from tests.services import wait_until

WAITS = """
import pathlib, sys, threading
folder = pathlib.Path(sys.argv[2])
(folder / (sys.argv[1] + ".began")).touch()
while not (folder / "go").exists():
    threading.Event().wait(0.01)
with (folder / "ended").open("a") as file:
    file.write(sys.argv[1] + "\\n")
"""


def test_one_of_a_kind_runs_at_a_time_and_is_not_waited_for(tmp_path: Path) -> None:
    errands = Errands((sys.executable, "-c", WAITS))
    folder = str(tmp_path)
    assert [errands.start(kind, folder) for kind in ("clean", "clean", "monitor")] == [
        True, False, True,
    ]  # fmt: skip
    wait_until(lambda: len(list(tmp_path.glob("*.began"))) == 2)
    (tmp_path / "go").touch()
    errands.wait(10)
    assert sorted((tmp_path / "ended").read_text().split()) == ["clean", "monitor"]
    assert errands.start("clean", folder)
    errands.wait(10)


ORPHAN = """
import os, pathlib, sys, threading
from orch.errands import orphaned
alone = orphaned()
folder = pathlib.Path(sys.argv[1])
(folder / "before").write_text(str(alone()))
while not alone():
    threading.Event().wait(0.01)
(folder / "after").touch()
"""


def test_it_learns_that_whoever_set_it_off_has_ended(tmp_path: Path) -> None:
    script = "import subprocess, sys, pathlib, threading\n" + (
        "subprocess.Popen([sys.executable, '-c', sys.argv[1], sys.argv[2]])\n"
        "while not (pathlib.Path(sys.argv[2]) / 'before').exists(): threading.Event().wait(0.01)\n"
    )
    starter = Errands((sys.executable, "-W", "ignore", "-c", script))
    starter.start(ORPHAN, str(tmp_path))
    starter.wait(20)
    wait_until((tmp_path / "after").exists)
    assert (tmp_path / "before").read_text() == "False"
    assert orphaned()() is False


def test_a_second_one_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "data" / "monitor.lock"
    with alone(lock), pytest.raises(AlreadyThere, match=r"monitor\.lock"), alone(lock):
        pass
    with alone(lock):
        pass
