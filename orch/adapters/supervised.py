"""A command below its supervisor, as the worker sees it: ordered, attended, surely ended."""

from __future__ import annotations

import marshal
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, cast

from orch.errors import AgentError
from orch.ports import AgentCommand, StopReason, Watch

SUPERVISOR: Final = (
    # By import, not by path: only so is the compiled form kept, which saves a fifth of the start.
    # And under the full name without its packages, which would cost half a millisecond more.
    "import sys; sys.path.append(sys.argv[1]); import streams; "
    "sys.modules['orch.adapters.streams'] = streams; import supervisor; supervisor.main()",
    str(Path(__file__).parent),
    "orch-supervisor",  # for whoever reads a list of processes
)
OVERDUE: Final = 30.0
"""Seconds beyond every limit after which the supervisor itself is taken for stuck."""


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
