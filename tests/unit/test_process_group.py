"""Children kept together: read, started again, stopped in order, gone with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from orch import process_group
from orch.process_group import ProcessGroup
from tests.services import wait_until

Told = list[tuple[str, str]]


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def group(told: Told, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessGroup]:
    monkeypatch.setattr(process_group, "FIRST_PAUSE", 0.01)
    made = ProcessGroup(lambda name, line: told.append((name, line)))
    yield made
    made.stop(list(made.children), 0, lambda: True)


def _turn_until(group: ProcessGroup, condition: Callable[[], object]) -> None:
    def turned() -> object:
        group.turn(0.02)
        return condition()

    wait_until(turned)


def _sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def test_every_line_is_passed_on_behind_the_name_of_its_child(
    group: ProcessGroup, told: Told
) -> None:
    group.start("one", _sh("echo a; echo b >&2; printf c; exec sleep 60"))
    _turn_until(group, lambda: ("one", "b") in told)
    assert told == [("one", "a"), ("one", "b")]


def test_a_child_that_ends_is_started_again(group: ProcessGroup, told: Told) -> None:
    group.start("one", _sh("printf up; exit 3"))
    _turn_until(group, lambda: told.count(("one", "up")) >= 3)
    assert ("", "one ended with code 3; it starts again in 0.01 s") in told


def test_the_pause_before_another_start_grows(group: ProcessGroup) -> None:
    child_ended = group.children
    group.start("one", _sh("exit 1"))
    _turn_until(group, lambda: child_ended["one"].failures >= 3)
    child = child_ended["one"]
    assert child.again_at - child.started >= process_group.FIRST_PAUSE * 4


def test_children_are_stopped_by_their_own_signal(group: ProcessGroup, told: Told) -> None:
    group.start("one", _sh("trap 'echo quit; exit' QUIT; echo up; while :; do sleep 0.05; done"))
    group.children["one"].stop_signal = signal.SIGQUIT
    _turn_until(group, lambda: ("one", "up") in told)
    group.stop(["one", "unknown"], 10, lambda: False)
    assert ("one", "quit") in told
    assert not group.children["one"].alive


def test_who_does_not_stop_is_killed_with_its_own_children(
    group: ProcessGroup, told: Told, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    group.start("one", _sh(f"trap '' TERM; sleep 60 & echo $! > {pid_file}; echo up; wait; wait"))
    _turn_until(group, lambda: ("one", "up") in told)
    group.stop(["one"], 0.1, lambda: False)
    assert ("", "one did not stop in time and is killed") in told
    wait_until(lambda: not _runs(int(pid_file.read_text())))


def test_children_go_when_their_parent_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "from orch.process_group import ProcessGroup\n"
        "group = ProcessGroup(lambda name, line: None)\n"
        f"group.start('one', ['sh', '-c', 'echo $$ > {pid_file}; exec sleep 60'])\n"
        "while True: group.turn(1)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    try:
        wait_until(lambda: pid_file.is_file() and pid_file.read_text().strip())
    finally:
        parent.kill()
        parent.wait()
    assert wait_until(lambda: not _runs(int(pid_file.read_text())))


def _runs(pid: int) -> bool:
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False
