"""Runs the command of an agent: prompt on standard input, verdict and exit code back.

The command runs below `supervisor.py`, a process of its own that outlives a killed worker just
long enough to take the whole tree of the agent with it. What is peculiar to one program is its
dialect.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import shutil
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote

from orch import clock
from orch.adapters.supervised import Supervised
from orch.dialects import DETAIL_KEPT, PLAIN, SESSION, STALE, Call, Dialect, failure_in
from orch.errors import AgentError
from orch.jobs import MARK, Failure
from orch.ports import AgentCommand, AgentResult, AgentWork, Ending, StopReason, Watch
from orch.qg.verdict import Statement, read_statement, storable
from orch.reset_times import reset_time
from orch.sandbox import BUBBLEWRAP, wall

PASSED_ON: Final = frozenset({"PATH", "HOME", "LANG", "TERM", "TMPDIR", "USER", "SHELL", "TZ"})
"""What an agent gets of the worker's environment, beside LC_*; secrets live in other names."""
SHORTEST_SECRET: Final = 4
"""Shorter values are not masked: they would make the log unreadable and hide nothing."""
SIGKILL_CODE: Final = 128 + signal.SIGKILL
ROOT: Final = str(Path(__file__).parents[2])
"""Where the packages of orch are found."""
SUMMARY_KEPT: Final = 2000
"""Characters of an agent's closing words that stand for a summary it did not write."""


class CommandRunner:
    """The AgentRunner port for plain commands, and for programs whose dialect it is given."""

    def __init__(
        self,
        base_env: Mapping[str, str],
        secrets: Collection[str] = (),
        *,
        dialects: Mapping[str, Dialect] | None = None,
        hidden: Sequence[Path] = (),
        now: Callable[[], datetime] = clock.utc_now,
    ) -> None:
        self._base = {
            name: value
            for name, value in base_env.items()
            if name in PASSED_ON or name.startswith("LC_")
        }
        self._masks = spellings(secrets)
        self._dialects = {"command": PLAIN, **(dialects or {})}
        self._hidden, self._now = hidden, now

    def run(self, work: AgentWork, watch: Watch, beat: float) -> AgentResult:
        """Run the command; call `watch` every `beat` seconds and stop when it says so.

        A session that cannot be resumed is begun anew, once. When this raises, it is because
        `watch` did, and then too no process is left.
        """
        if work.resume_session:
            result, stale = self._turn(work, watch, beat)
            if not stale:
                return result
        return self._turn(replace(work, resume_session=""), watch, beat)[0]

    def _turn(self, work: AgentWork, watch: Watch, beat: float) -> tuple[AgentResult, bool]:
        """One run of the command, and whether it failed for want of the session alone."""
        try:
            order = self._order(work)
            supervised = Supervised(order)
        except AgentError as error:
            return AgentResult("spawn_failed", detail=self._clean(error.message)), False
        with supervised:
            reason = supervised.attend(watch, beat, work.command)
            report = supervised.report
        if report is None:
            result = self._lost(work, reason, overdue=supervised.overdue)
        else:
            result = self._result(work, report, reason)
        as_run = replace(
            result,
            argv=tuple(self._clean(os.fsdecode(word)) for word in order["argv"]),
            env_names=tuple(sorted(os.fsdecode(name) for name in order["env"])),
        )
        return as_run, bool(report) and _stale(work, cast(dict[str, Any], report))

    def _order(self, work: AgentWork) -> dict[str, Any]:
        """Everything the supervisor has to know; leaves the prompt in the run's folder."""
        command, dialect = work.command, self._dialect(work.command)
        rundir = work.rundir.resolve()
        prompt, result_file = rundir / "prompt.md", rundir / "result.json"
        _make_folders(work.workdir, rundir)
        _refuse_settings(work, dialect)
        env = self._base | dict(dialect.env) | (dict(dialect.walled_env) if command.sandbox else {})
        env |= command.env | _named(work, prompt, result_file)
        env.setdefault("PATH", os.defpath)
        program, argv = self._words(work, dialect, env)
        if any("\0" in text for text in (*argv, *env, *env.values())):
            raise AgentError("The command or its environment contains a NUL character.")
        try:
            result_file.unlink(missing_ok=True)  # an earlier attempt's word must not count
            _write_anew(prompt, work.prompt.encode("utf-8", "replace"))
        except OSError as error:
            raise AgentError(f"The folder of the run cannot be used: {error}.") from error
        return {
            "parent": os.getpid(),
            "program": os.fsencode(program),
            "argv": [os.fsencode(argument) for argument in argv],
            "env": {os.fsencode(name): os.fsencode(value) for name, value in env.items()},
            "workdir": os.fsencode(work.workdir.absolute()),
            "prompt": os.fsencode(prompt),
            "masks": self._masks,
            "log_limit": command.log_limit,
            "timeout": float(command.timeout),
            "stall_timeout": float(command.stall_timeout),
            "grace": float(command.stop_grace),
            "silence": float(work.silence),
            "reader": dialect.reader,
            "root": ROOT,
        } | {name: os.fsencode(rundir / name) for name in ("log", "stdout", "stderr")}

    def _dialect(self, command: AgentCommand) -> Dialect:
        dialect = self._dialects.get(command.adapter)
        if dialect is None:
            raise AgentError(f"The adapter `{command.adapter}` is not built in here.")
        return dialect

    def _words(
        self, work: AgentWork, dialect: Dialect, env: Mapping[str, str]
    ) -> tuple[str, list[str]]:
        """The file to execute, and the command with its options behind the wall it is to have."""
        command = work.command
        prefix = list(command.argv) or [dialect.program]
        resume = work.resume_session if SESSION.fullmatch(work.resume_session) else ""
        argv = prefix + dialect.options(Call(command, str(work.workdir.absolute()), resume))
        if command.sandbox in ((), BUBBLEWRAP):  # another wall may hold programs of its own
            program = _program(command, argv[0], env["PATH"])
        before = wall(work, env, self._hidden, dialect.state)
        if before:
            program = _program(command, before[0], env["PATH"])
        return program, before + argv

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
        heard = report["heard"]
        said = read_statement(work.rundir / "result.json", _closing(report), work.document)
        details = (
            _cause(work.command, ending, report),
            said.detail,
            _trouble(report, self._dialect(work.command)),
            _remains(report),
        )
        failure = _failure(report, said)
        return AgentResult(
            ending,
            exit_code=_code(report),
            verdict=said.word,
            summary=self._clean(said.summary or _closing_words(report, said)),
            question=self._clean(said.question),
            rework_to=said.rework_to,
            stop_reason=reason,
            usage=_usage(said) | (heard["usage"] if heard else {}),
            session_id=heard["session"] if heard else "",
            failure=failure,
            limited_until=self._limit(heard) if failure == "provider_limited" else None,
            log_path=work.rundir / "log",
            log_bytes=report["log_bytes"],
            detail=self._clean(" ".join(filter(None, details))),
        )

    def _limit(self, heard: dict[str, Any]) -> datetime | None:
        return reset_time(heard["detail"], self._now(), heard["resets"])

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


def _refuse_settings(work: AgentWork, dialect: Dialect) -> None:
    """What a program would obey is code, and whoever wrote the repository is not the operator."""
    found = [name for name in dialect.obeys if os.path.lexists(work.workdir / name)]
    if found:
        raise AgentError(
            f"The working folder holds {', '.join(found)}, which {dialect.program} would obey: "
            "remove it from the repository, or give the stage to another adapter."
        )


def _make_folders(*folders: Path) -> None:
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AgentError(f"The folders of the run cannot be made: {error}.") from error


def _write_anew(path: Path, content: bytes) -> None:
    flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(content)


def _program(command: AgentCommand, name: str, path: str) -> str:
    if not name:
        raise AgentError(f"The agent {command.agent} has no command.")
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
    name = report["program"]
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
    if report["stayed"]:
        return "It stayed alive after its last word and was stopped."
    if ending == "exited" and report["code"] == SIGKILL_CODE:
        return "Killed by SIGKILL (exit code 137): most often the system was out of memory."
    return ""


def _code(report: dict[str, Any]) -> int | None:
    """The exit code; where orch itself ended a turn that was over, the one it had earned."""
    code: int | None = report["code"]
    return int(report["heard"]["failed"]) if report["stayed"] else code


def _closing(report: dict[str, Any]) -> bytes:
    """The output whose last line may be a verdict."""
    heard, tail = report["heard"], report["tail"]
    if heard is None:
        return cast(bytes, tail)
    whole = heard["ended"] and not heard["failed"]
    return heard["text"].encode("utf-8", "replace") if whole else b""


def _closing_words(report: dict[str, Any], said: Statement) -> str:
    if report["heard"] is None or said.word is None:
        return ""
    lines = report["heard"]["text"].rstrip().split("\n")
    text = "\n".join(lines[:-1] if lines[-1].startswith(MARK) else lines).strip()
    return text[-SUMMARY_KEPT:]


def _failure(report: dict[str, Any], said: Statement) -> Failure | None:
    """What the program itself told of its failure; the agent's own bad news says more than that."""
    heard = report["heard"]
    if heard is None or report["ending"] == "stopped":
        return None
    if heard["failed"]:
        good = said.word in (None, "pass", "no_work")
        return cast(Failure, heard["failure"] or "agent_failed") if good else None
    if heard["ended"] or said.word:
        return None
    errors = _last_line(report["errors"]) if report["code"] else ""
    return cast("Failure | None", heard["failure"]) or failure_in(errors)


def _trouble(report: dict[str, Any], dialect: Dialect) -> str:
    """What the program told of its trouble, or how its output broke off."""
    heard = report["heard"]
    if heard is None or (heard["ended"] and not heard["failed"]):
        return ""
    found = [] if heard["ended"] or not dialect.end else [f"It ended without {dialect.end}."]
    last = heard["detail"] or (_last_line(report["errors"]) if report["code"] else "")
    if last:
        found.append(last if last.endswith((".", "!", "?")) else f"{last}.")
    return " ".join(found)


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:DETAIL_KEPT]


def _stale(work: AgentWork, report: dict[str, Any]) -> bool:
    heard = report.get("heard")
    if not work.resume_session or not heard or report["ending"] != "exited" or heard["text"]:
        return False
    errors = report["errors"].decode("utf-8", "replace")
    return bool(STALE.search(f"{heard['detail']}\n{errors}"))


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
