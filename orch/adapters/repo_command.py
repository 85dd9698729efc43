"""Runs a repo's own commands below the same supervisor as the agents, with less around them.

The AgentRunner below sees to time, output and survivors. What it tells an agent by environment is
not for these commands: `env -i` takes all of it away again and gives them their own.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from orch.errors import AgentError
from orch.ports import AgentCommand, AgentResult, AgentRunner, AgentWork, RepoWork, Watch
from orch.qg.commands import TAIL_LIMIT, CommandRun, environment, tail_of


class SupervisedCommands:
    """The RepoCommands port, on any AgentRunner."""

    def __init__(self, runner: AgentRunner, base_env: Mapping[str, str]) -> None:
        self._runner = runner
        self._base = base_env

    def run(self, work: RepoWork, watch: Watch, beat: float) -> CommandRun:
        """Run the command; call `watch` every `beat` seconds and stop when it says so.

        When this raises, it is because `watch` did, and then too no process is left.
        """
        started = time.monotonic()
        try:
            turn = self._turn(work)
        except AgentError as error:
            result = AgentResult("spawn_failed", detail=error.message)
        else:
            result = self._runner.run(turn, watch, beat)
        return _seen(work, result, time.monotonic() - started)

    def _turn(self, work: RepoWork) -> AgentWork:
        command = work.command
        own = {
            "ORCH_WORK_ITEM": work.work_item_id,
            "ORCH_REPO": work.repo,
            "ORCH_HEAD_SHA": work.head_sha,
        }
        env = {"PATH": os.defpath} | environment(self._base, command.env, own)
        pairs = (f"{name}={value}" for name, value in env.items())
        program = _program(command.argv, env["PATH"])
        return AgentWork(
            command=AgentCommand(
                agent=command.name,
                argv=("env", "-i", *pairs, program, *command.argv[1:]),
                timeout=command.timeout,
                # Tests may wait in silence for what is far away: only the time limit counts.
                stall_timeout=command.timeout,
                stop_grace=command.stop_grace,
                log_limit=command.log_limit,
            ),
            job_id=0,
            token="",
            attempt=1,
            work_item_id=work.work_item_id,
            repo=work.repo,
            stage="",
            prompt="",
            workdir=work.workdir,
            rundir=work.rundir,
            silence=work.silence,
        )


def _program(argv: tuple[str, ...], path: str) -> str:
    if not argv or not argv[0]:
        raise AgentError("The repo's settings name the command, and nothing to run.")
    name = argv[0]
    found = name if "/" in name else shutil.which(name, path=path)
    if found is None:
        raise AgentError(f"The program `{name}` is not on the command's PATH, or not executable.")
    if "=" in found:  # to `env` it would be one more variable
        raise AgentError(f"The program `{found}` cannot be run: its path holds an equals sign.")
    return found if "/" in name else str(Path(found).absolute())


def _seen(work: RepoWork, result: AgentResult, seconds: float) -> CommandRun:
    return CommandRun(
        name=work.command.name,
        argv=work.command.argv,
        exit_code=result.exit_code,
        seconds=seconds,
        tail=tail_of(_end_of(result.log_path)),
        head_sha=work.head_sha,
        timed_out=result.ending in ("timeout", "stalled"),
        stopped=(result.stop_reason or "shutdown") if result.ending == "stopped" else "",
        detail=result.detail,
    )


def _end_of(log: Path | None) -> bytes:
    """The last bytes of a log, one more than are kept, so that it shows that there are more."""
    if log is None:
        return b""
    try:
        fd = os.open(log, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""  # the command had the same rights as we have, and may have taken it away
    with os.fdopen(fd, "rb") as file:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            return b""
        file.seek(max(0, about.st_size - TAIL_LIMIT - 1))
        return file.read(TAIL_LIMIT + 1)
