"""Runs an agent that is a plain command: prompt on standard input, result file and exit code back.

The command runs below `supervisor.py`, a process of its own that outlives a killed worker just
long enough to take the whole tree of the agent with it.
"""

from __future__ import annotations

import base64
import errno
import json
import marshal
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, cast
from urllib.parse import quote

from orch.errors import AgentError
from orch.ports import AgentCommand, AgentResult, AgentWork, Ending, StopReason, Watch
from orch.qg.verdict import Statement, read_statement, storable

SUPERVISOR: Final = (
    # By import, not by path: only so is the compiled form kept, which saves a fifth of the start.
    "import sys; sys.path.append(sys.argv[1]); import supervisor; supervisor.main()",
    str(Path(__file__).parent),
    "orch-supervisor",  # for whoever reads a list of processes
)
PASSED_ON: Final = frozenset({"PATH", "HOME", "LANG", "TERM", "TMPDIR", "USER", "SHELL", "TZ"})
"""What an agent gets of the worker's environment, beside LC_*; secrets live in other names."""
SHORTEST_SECRET: Final = 4
"""Shorter values are not masked: they would make the log unreadable and hide nothing."""
OVERDUE: Final = 30.0
"""Seconds beyond every limit after which the supervisor itself is taken for stuck."""
SIGKILL_CODE: Final = 128 + signal.SIGKILL


class CommandRunner:
    """The `command` adapter of the AgentRunner port."""

    def __init__(self, base_env: Mapping[str, str], secrets: Collection[str] = ()) -> None:
        self._base = {
            name: value
            for name, value in base_env.items()
            if name in PASSED_ON or name.startswith("LC_")
        }
        self._masks = spellings(secrets)

    def run(self, work: AgentWork, watch: Watch, beat: float) -> AgentResult:
        """Run the command; call `watch` every `beat` seconds and stop when it says so.

        When this raises, it is because `watch` did, and then too no process is left.
        """
        try:
            supervised = Supervised(self._order(work))
        except AgentError as error:
            return AgentResult("spawn_failed", detail=self._clean(error.message))
        with supervised:
            reason = supervised.attend(watch, beat, work.command)
            report = supervised.report
        if report is None:
            return self._lost(work, reason, overdue=supervised.overdue)
        return self._result(work, report, reason)

    def _order(self, work: AgentWork) -> dict[str, Any]:
        """Everything the supervisor has to know; leaves the prompt in the run's folder."""
        rundir = work.rundir.resolve()
        prompt, result_file = rundir / "prompt.md", rundir / "result.json"
        env = self._base | work.command.env | _named(work, prompt, result_file)
        env.setdefault("PATH", os.defpath)
        if any("\0" in text for text in (*work.command.argv, *env, *env.values())):
            raise AgentError("The command or its environment contains a NUL character.")
        try:
            work.workdir.mkdir(parents=True, exist_ok=True)
            rundir.mkdir(parents=True, exist_ok=True)
            result_file.unlink(missing_ok=True)  # an earlier attempt's word must not count
            _write_anew(prompt, work.prompt.encode("utf-8", "replace"))
        except OSError as error:
            raise AgentError(f"The folders of the run cannot be made or used: {error}.") from error
        command = work.command
        return {
            "parent": os.getpid(),
            "program": os.fsencode(_program(command, env["PATH"])),
            "argv": [os.fsencode(argument) for argument in command.argv],
            "env": {os.fsencode(name): os.fsencode(value) for name, value in env.items()},
            "workdir": os.fsencode(work.workdir.absolute()),
            "prompt": os.fsencode(prompt),
            "masks": self._masks,
            "log_limit": command.log_limit,
            "timeout": float(command.timeout),
            "stall_timeout": float(command.stall_timeout),
            "grace": float(command.stop_grace),
            "silence": float(work.silence),
        } | {name: os.fsencode(rundir / name) for name in ("log", "stdout", "stderr")}

    def _result(
        self, work: AgentWork, report: dict[str, Any], reason: StopReason | None
    ) -> AgentResult:
        if report["ending"] == "spawn_failed":
            return AgentResult("spawn_failed", detail=self._clean(_spawn_failure(work, report)))
        if report["ending"] == "fault":
            return self._lost(work, reason, report["fault"])
        if report["ending"] == "silenced":
            report, reason = report | {"ending": "stopped"}, "fenced"
        ending = cast(Ending, report["ending"])
        if ending != "stopped":
            reason = None
        elif reason is None:
            reason = "shutdown"  # somebody signalled the supervisor: so ends a service manager
        said = read_statement(work.rundir / "result.json", report["tail"])
        details = (_cause(work.command, ending, report), said.detail, _remains(report))
        return AgentResult(
            ending,
            exit_code=report["code"],
            verdict=said.word,
            summary=self._clean(said.summary),
            question=self._clean(said.question),
            rework_to=said.rework_to,
            stop_reason=reason,
            usage=_usage(said),
            log_path=work.rundir / "log",
            log_bytes=report["log_bytes"],
            detail=self._clean(" ".join(filter(None, details))),
        )

    def _lost(
        self, work: AgentWork, reason: StopReason | None, fault: str = "", *, overdue: bool = False
    ) -> AgentResult:
        """The supervisor fell: no verdict of this turn is believed."""
        why = "was killed from outside, and the agent with it"
        if overdue:
            why = "did not answer at its time limit and was killed, and the agent with it"
        elif fault:
            why = f"failed: {fault}"
        log = work.rundir / "log"
        return AgentResult(
            "stopped" if reason else "timeout" if overdue else "exited",
            stop_reason=reason,
            log_path=log,
            log_bytes=log.stat().st_size if log.is_file() else 0,
            detail=self._clean(f"The agent's supervisor {why}."),
        )

    def _clean(self, text: str) -> str:
        data = text.encode("utf-8", "replace")
        for mask in self._masks:
            data = data.replace(mask, b"[masked]")
        return storable(data.decode("utf-8", "replace"))


class Supervised:
    """A command under its supervisor; leaving the `with` block ends both, whatever happened."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.report: dict[str, Any] | None = None
        self.overdue = False
        self._mark = b"ORCH_RESULT_FILE=" + order["env"][b"ORCH_RESULT_FILE"]
        self._said = b""
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", *SUPERVISOR],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},  # /proc shows a process's first environment to every neighbour
                start_new_session=True,
            )
        except OSError as error:
            raise AgentError(f"The supervisor cannot be started: {error}.") from error
        self._control = cast(IO[bytes], self._process.stdin)
        self._answer = cast(IO[bytes], self._process.stdout)
        packed = marshal.dumps(order)
        self._tell(len(packed).to_bytes(8, "big") + packed)

    def __enter__(self) -> Supervised:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):  # what it did not read when it ended
            self._control.close()  # to the supervisor this is the death of the worker
        try:
            self._process.wait(OVERDUE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answer.close()
        if self.report is None or self.report["ending"] == "fault":
            kill_marked(self._mark)  # it may have fallen before its work was done

    def attend(self, watch: Watch, beat: float, command: AgentCommand) -> StopReason | None:
        """Wait for the report, beating; why the command was told to stop, if it was."""
        reason: StopReason | None = None
        started = time.monotonic()
        stopping = 2 * command.stop_grace + OVERDUE
        overdue, next_beat = started + command.timeout + stopping, started + beat
        poll = select.poll()
        poll.register(self._answer, select.POLLIN)
        while not self._ended(poll, next_beat):
            now = time.monotonic()
            next_beat = now + beat
            asked = watch()
            if asked is not None and reason is None:
                reason, overdue = asked, min(overdue, now + stopping)
            self._tell(b"s" if reason else b".")
            if now >= overdue:  # stopped by its agent, or stuck: it holds the slot no longer
                self.overdue = True
                self._process.kill()
        return reason

    def _ended(self, poll: select.poll, until: float) -> bool:
        """Read what comes before `until`; True once the supervisor has closed its side."""
        while (left := until - time.monotonic()) > 0:
            if poll.poll(left * 1000):
                chunk = os.read(self._answer.fileno(), 64 * 1024)
                self._said += chunk
                if not chunk:
                    if self._said:  # from our own script, over a pipe nobody else holds
                        self.report = marshal.loads(self._said) or None  # noqa: S302
                    return True
        return False

    def _tell(self, words: bytes) -> None:
        with suppress(BrokenPipeError):  # it has ended; the answer tells how
            self._control.write(words)
            self._control.flush()


def spellings(secrets: Collection[str]) -> list[bytes]:
    """The ways in which these values may turn up in an output, longest first."""
    found: set[bytes] = set()
    for secret in secrets:
        for line in secret.splitlines():
            plain = line.strip()
            if len(plain) >= SHORTEST_SECRET:
                data = plain.encode("utf-8", "replace")
                escaped = json.dumps(plain)[1:-1].encode()
                encoded = base64.b64encode(data).rstrip(b"=")
                found |= {data, quote(plain, safe="").encode(), escaped, encoded}
    return sorted(found, key=lambda spelling: (-len(spelling), spelling))


def kill_marked(mark: bytes) -> None:
    """Kill the processes with this line in their environment, as far as /proc shows them."""
    proc = Path("/proc")
    for _ in range(20):  # a tree may fork while it is being felled
        strays = 0
        for folder in proc.glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)
                    strays += 1
            except OSError:
                continue  # gone, or not ours to look into
        if not strays:
            return


def _named(work: AgentWork, prompt: Path, result_file: Path) -> dict[str, str]:
    return {
        "ORCH_WORK_ITEM": work.work_item_id,
        "ORCH_REPO": work.repo,
        "ORCH_STAGE": work.stage,
        "ORCH_JOB": str(work.job_id),
        "ORCH_ATTEMPT": str(work.attempt),
        "ORCH_BASE_SHA": work.base_sha,
        "ORCH_RESULT_FILE": str(result_file),
        "ORCH_PROMPT_FILE": str(prompt),
    }


def _write_anew(path: Path, content: bytes) -> None:
    flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(content)


def _program(command: AgentCommand, path: str) -> str:
    if not command.argv or not command.argv[0]:
        raise AgentError(f"The agent {command.agent} has no command.")
    name = command.argv[0]
    if "/" in name:
        return name  # absolute, or below the working folder
    found = shutil.which(name, path=path)
    if found is None:
        raise AgentError(f"The program `{name}` is not on the agent's PATH, or not executable.")
    return str(Path(found).absolute())


def _spawn_failure(work: AgentWork, report: dict[str, Any]) -> str:
    why = os.strerror(report["errno"])
    if report["step"] == "workdir":
        return f"The working folder {work.workdir} cannot be entered: {why}."
    if report["step"] != "program":
        return f"The command could not be prepared: {why}."
    name = work.command.argv[0]
    missing = report["errno"] == errno.ENOENT and (work.workdir / name).exists()
    hint = " (or the interpreter its first line names)" if missing else ""
    return f"The program `{name}`{hint} cannot be run: {why}."


def _cause(command: AgentCommand, ending: Ending, report: dict[str, Any]) -> str:
    if ending == "timeout":
        return f"Stopped at its time limit of {command.timeout:g} s."
    if ending == "stalled":
        return f"Stopped after {command.stall_timeout:g} s without output or CPU growth."
    if ending == "stopped" and report["outside"]:
        return "Stopped by a signal to its supervisor from outside orch."
    if ending == "exited" and report["code"] == SIGKILL_CODE:
        return "Killed by SIGKILL (exit code 137): most often the system was out of memory."
    return ""


def _remains(report: dict[str, Any]) -> str:
    left = ", ".join(str(pid) for pid in report["left"])
    fault = report["log_fault"]
    return " ".join(
        sentence
        for sentence in (
            f"The log is cut short: {fault}." if fault else "",
            f"These processes could not be killed: {left}." if left else "",
        )
        if sentence
    )


def _usage(said: Statement) -> dict[str, float]:
    return {} if said.cost_usd is None else {"cost_usd": said.cost_usd}
