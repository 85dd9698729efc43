"""One git command: what it may believe, how long it may take, what it says when it fails."""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orch.adapters.git.command import Access, Ask, GitCommand, Place
from orch.adapters.git.folders import locked
from orch.errors import (
    GitBroken,
    GitDiskFull,
    GitError,
    GitRefused,
    GitTimeout,
    GitUnreachable,
)
from orch.ports import Remote
from tests.git_bench import GitBench, runs

WaitUntil = Callable[..., object]


def stand_in(folder: Path, script: str) -> str:
    """A program that is called instead of git."""
    path = folder / "stand-in"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def failing(folder: Path, said: str, *, remote: bool = False) -> GitError:
    """The error that comes of a git that says this."""
    command = GitCommand(program=stand_in(folder, f"cat >&2 <<'EOF'\n{said}\nEOF\nexit 128"))
    with pytest.raises(GitError) as raised:
        command.run(Place(folder / ".git"), "fetch", ask=Ask(remote=remote))
    return raised.value


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("fatal: write error: No space left on device", GitDiskFull),
        ("error: file write error: Disk quota exceeded", GitDiskFull),
        ("fatal: bad object refs/orch/A-1/base", GitBroken),
        ("error: object file .git/objects/aa/bb is empty", GitBroken),
        ("fatal: not a git repository: '/data/depots/a.git'", GitBroken),
        ("! [remote rejected] a -> main (pre-receive hook declined)", GitRefused),
        ("fatal: transport 'ext' not allowed", GitRefused),
        ("remote: fatal: bad object 12\nfatal: early EOF", GitError),
        ("something else", GitError),
    ],
)
def test_failures_are_told_apart(tmp_path: Path, said: str, kind: type[GitError]) -> None:
    error = failing(tmp_path, said)
    assert type(error) is kind
    assert "git fetch" in error.message
    assert error.suggested_fix


def test_whatever_else_fails_on_the_way_to_a_remote_is_its_absence(tmp_path: Path) -> None:
    said = "ssh: connect to host h: refused\nfatal: Could not read from remote repository."
    assert type(failing(tmp_path, said, remote=True)) is GitUnreachable


def test_a_message_shows_no_credential_and_breaks_no_line(tmp_path: Path) -> None:
    access = Access(config={"http.extraHeader": "Authorization: Basic c2VjcmV0"})
    script = "printf 'fatal: Authorization: Basic c2VjcmV0\\n\\033[31mno\\0' >&2; exit 1"
    with pytest.raises(GitError) as raised:
        GitCommand(access, stand_in(tmp_path, script)).run(Place(tmp_path / ".git"), "push")
    assert "c2VjcmV0" not in raised.value.message
    assert not {"\n", "\0"} & set(raised.value.message)
    assert "c2VjcmV0" not in repr(access)


def test_git_gets_a_closed_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("HOME", "/home/ann")
    said = GitCommand(program=stand_in(tmp_path, "env")).run(Place(tmp_path / "x.git"), "status")
    env = dict(line.split("=", 1) for line in said.line.splitlines())
    assert not {"HOME", "ORCH_DATABASE_URL", "XDG_CONFIG_HOME"} & set(env)
    assert env["GIT_DIR"] == str(tmp_path / "x.git")
    assert env["GIT_ALLOW_PROTOCOL"] == "file"
    assert (env["GIT_CONFIG_NOSYSTEM"], env["GIT_CONFIG_GLOBAL"]) == ("1", os.devnull)
    assert (env["GIT_TERMINAL_PROMPT"], env["LC_ALL"]) == ("0", "C")


def test_a_git_that_hangs_is_stopped_with_its_children(
    tmp_path: Path, wait_until: WaitUntil
) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/child; wait"
    command = GitCommand(Access(local_timeout=1.5), stand_in(tmp_path, script))
    begun = time.monotonic()
    with pytest.raises(GitTimeout, match="did not end within"):
        command.run(Place(tmp_path / ".git"), "fetch")
    assert time.monotonic() - begun < 60
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not runs(child))


def test_a_git_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    script = "trap '' TERM; while :; do sleep 0.1; done"
    command = GitCommand(Access(local_timeout=0.2), stand_in(tmp_path, script))
    with pytest.raises(GitTimeout):
        command.run(Place(tmp_path / ".git"), "gc")


def test_endless_output_is_cut_short_when_that_is_wanted(tmp_path: Path) -> None:
    command = GitCommand(program=stand_in(tmp_path, "yes"))
    said = command.run(Place(tmp_path / ".git"), "diff", ask=Ask(limit=1000))
    assert (len(said.out), said.truncated) == (1000, True)


def test_endless_output_is_an_error_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orch.adapters.git.command.OUTPUT_LIMIT", 5000)
    with pytest.raises(GitError, match="more than 5000 bytes"):
        GitCommand(program=stand_in(tmp_path, "yes")).run(Place(tmp_path / ".git"), "log")


def test_a_git_that_is_not_installed_is_an_error_of_git(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="could not be started"):
        GitCommand(program="no-such-git").run(Place(tmp_path / ".git"), "log")


def test_a_limit_on_the_size_of_files_is_a_full_disk(tmp_path: Path) -> None:
    script = f"kill -{signal.SIGXFSZ} $$"
    with pytest.raises(GitDiskFull):
        GitCommand(program=stand_in(tmp_path, script)).run(Place(tmp_path / ".git"), "fetch")


def test_an_ended_git_is_not_waited_for_while_another_holds_its_output(tmp_path: Path) -> None:
    script = f"setsid sleep 600 & echo $! > {tmp_path}/straggler; echo done"
    begun = time.monotonic()
    said = GitCommand(program=stand_in(tmp_path, script)).run(Place(tmp_path / ".git"), "push")
    os.kill(int((tmp_path / "straggler").read_text()), signal.SIGKILL)
    assert said.line == "done"
    assert time.monotonic() - begun < 30


def test_a_git_that_is_too_old_is_told_from_one_that_will_do(tmp_path: Path) -> None:
    assert GitCommand().insist_on_version()
    for said in ("git version 2.37.9", "git version 1.9", "gitoxide"):
        with pytest.raises(GitError, match=r"orch needs git 2\.38 or later"):
            GitCommand(program=stand_in(tmp_path, f"echo {said}")).insist_on_version()
    newer = GitCommand(program=stand_in(tmp_path, "echo git version 3.1.0.windows"))
    assert newer.insist_on_version() == "3.1.0.windows"


def test_a_remote_that_says_nothing_is_given_up(bench: GitBench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        bench.use(replace(bench.access, protocols=("http",), network_timeout=0.5))
        remote = Remote("acme/shop", f"http://127.0.0.1:{port}/shop.git")
        with pytest.raises(GitTimeout):
            bench.forge.look(remote)
    bench.use(bench.access)
    assert bench.cut().base_sha == bench.at("main")


@pytest.mark.parametrize("url", ["ext::sh -c id", "-oProxy=x", "--upload-pack=x", "https://a:b@c/"])
def test_an_address_that_could_run_something_is_refused(bench: GitBench, url: str) -> None:
    with pytest.raises(Exception, match="not the address of a git remote") as refused:
        bench.forge.look(Remote("acme/shop", url))
    assert "b@" not in str(refused.value)


def test_a_protocol_that_is_not_configured_is_refused(bench: GitBench) -> None:
    bench.use(replace(bench.access, protocols=("https",)))
    with pytest.raises(GitRefused, match="not allowed"):
        bench.forge.look(bench.remote)


def test_a_lock_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "x.lock", 1),
        pytest.raises(GitTimeout, match="busy in x"),
        locked(tmp_path / "x.lock", 0.05),
    ):
        raise AssertionError("two hold one lock")


def test_a_lock_passes_on_when_its_holder_lets_go(tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(tmp_path / "x.lock", 1):
            entered.set()
            leave.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert entered.wait(10)
    threading.Timer(0.05, leave.set).start()
    with locked(tmp_path / "x.lock", 10):
        assert leave.is_set()
    holder.join()
