"""Runs one command to its end and leaves no process of it behind.

A program of its own between a worker and its agent, so that a killed worker takes its agent along.
The order comes on standard input, the report goes to standard output; both in `marshal`, because
both ends are the same interpreter.
After it, `s` on standard input means *stop*, another byte that the worker lives; the end of input,
or silence beyond its lease, that it does not.
A turn may be short, so nothing is imported that costs time: not `typing`, `enum`, `json`, and of
orch only `streams`. Where the command's output has a grammar, the module that reads it comes on
top; its end line is then the end of the turn, and the command has its grace to go by itself.
On Linux every descendant is found, daemons included, as this process is their subreaper; elsewhere
only the command's process group.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import select
import sys
import time

from orch.adapters.streams import CHUNK, CappedFile, Lines, Stream

TYPE_CHECKING = False  # the name that type checkers know
if TYPE_CHECKING:
    import signal
    from typing import Any, Final
else:
    import _signal as signal  # the same without its enums

DRAIN: Final = 1.0
"""Seconds to read on when all processes are gone and somebody still holds a pipe open."""
INSIST: Final = 0.05
"""Seconds between two rounds of SIGKILL: a tree may have forked during the first."""
GIVE_UP: Final = 5.0
"""Seconds of SIGKILL after which what still lives is reported instead of awaited."""
CPU_SHARE: Final = 0.01
"""Share of one core that counts as alive; an idle event loop uses less and is a stall."""
LOOK_EVERY: Final = 5.0

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 1, 4, 36
LINUX: Final = sys.platform == "linux"
POLITE: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
"""The order of stopping, with grace between; what outlived its command starts at the second."""


class SpawnError(Exception):
    """The command could not be started: in which step, and the system's error number."""


def _prctl(option: int, value: int) -> None:
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def descendants() -> dict[int, tuple[int, int]]:
    """Every living process below this one, by id: its group, and the CPU ticks it used."""
    children: dict[int, dict[int, tuple[int, int]]] = {}
    for name in os.listdir("/proc") if LINUX else ():  # noqa: PTH208
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
                fields = stat.read().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended between the listing and the look
        facts = int(fields[2]), sum(map(int, fields[11:15]))
        children.setdefault(int(fields[1]), {})[int(name)] = facts
    found: dict[int, tuple[int, int]] = {}
    todo = [os.getpid()]
    while todo:
        below = children.get(todo.pop(), {})
        found |= below
        todo += below
    return found


def signal_tree(number: int, agent: int) -> None:
    """Signal the group of every descendant in one step each, which no fork can slip through."""
    # None of them can be in our own group: the agent began a session of its own.
    groups = {group for group, _ in descendants().values()} if LINUX else {agent}
    for group in groups - {os.getpgrp()}:
        try:
            os.killpg(group, number)
        except (ProcessLookupError, PermissionError):
            continue  # gone already, or under another user: reported when it stays


class Pulse:
    """Tells whether the tree is alive: fresh output, or CPU time that grows."""

    def __init__(self, patience: float, now: float) -> None:
        self._patience = patience
        self._every = min(LOOK_EVERY, patience / 4)
        self.seen = self._measured = now
        self._ticks = 0.0
        self._per_second = os.sysconf("SC_CLK_TCK")
        self.next_look = now + self._every

    def stopped(self, now: float) -> bool:
        """Whether there was no sign of life for the whole patience."""
        if now < self.next_look:
            return False
        self.next_look = now + self._every
        own = os.times()
        ticks = (own.children_user + own.children_system) * self._per_second
        ticks += sum(used for _, used in descendants().values())
        used = (ticks - self._ticks) / self._per_second
        if used > 0 and used >= CPU_SHARE * (now - self._measured):
            self.seen = now
        self._ticks, self._measured = ticks, now
        return now - self.seen >= self._patience


def spawn(order: dict[str, Any], output: int, errors: int) -> int:
    """Start the command in a session of its own, handing it these ends; its id, or SpawnError."""
    heard, said = os.pipe()  # not inherited: it closes by itself when the command has started
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(order, (output, errors, said), supervisor)
    for fd in (output, errors, said):
        os.close(fd)
    with os.fdopen(heard, "rb") as words:
        failure = words.read()
    if failure:
        os.waitpid(pid, 0)
        step, _, number = failure.decode().partition(" ")
        raise SpawnError(step, int(number))
    return pid


def _become(order: dict[str, Any], fds: tuple[int, int, int], supervisor: int) -> None:
    """In the forked child: turn into the command. Never returns."""
    output, errors, said = fds
    step = "prepare"
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(127)
        # A worker may ignore SIGINT, and ignored signals stay ignored over exec.
        for number in set(range(1, signal.SIGSYS + 1)) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(order["prompt"], os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(errors, 2)
        step = "workdir"
        os.chdir(order["workdir"])
        step = "program"
        os.execve(order["program"], order["argv"], order["env"])  # noqa: S606 (no shell is meant)
    except BaseException as error:  # noqa: BLE001 (told to the parent; never runs on as its twin)
        number = getattr(error, "errno", None) or 0
        os.write(said, f"{step} {number}".encode())
    finally:
        os._exit(127)


class Turn:
    """One command from start to end, and the stopping of whatever it left."""

    def __init__(self, order: dict[str, Any], signals: int) -> None:
        self._order = order
        self._ending = "exited"
        self._code: int | None = None
        self._signalled_from_outside = self._childless = self._orphaned = self._stayed = False
        self._steps: tuple[int, ...] = ()
        self._next_step = self._give_up = self._leave_by = float("inf")
        self._reader = reader_of(order)
        masks, names = order["masks"], ("log", "stdout", "stderr")
        self._files = [CappedFile(order[name], order["log_limit"]) for name in names]
        self._log, out, err = self._files
        (read_out, write_out), (read_err, write_err) = os.pipe(), os.pipe()
        self._agent = spawn(order, write_out, write_err)
        lines = Lines(self._reader.line) if self._reader else None
        self._stdout = Stream(read_out, masks, [self._log, out], lines)
        self._stderr = Stream(read_err, masks, [self._log, err])
        self._streams = {stream.fd: stream for stream in (self._stdout, self._stderr)}
        now = time.monotonic()
        self._deadline, self._heard = now + order["timeout"], now
        self._pulse = Pulse(order["stall_timeout"], now)
        self._poll = select.poll()
        for fd in (0, signals, *self._streams):
            self._poll.register(fd, select.POLLIN)

    def run(self) -> dict[str, Any]:
        """Attend until the command and all its descendants are gone; the report."""
        while not (self._childless or time.monotonic() >= self._give_up):
            self._hear(self._wait())
            self._reap()
            self._judge(time.monotonic())
        if not LINUX:
            signal_tree(signal.SIGKILL, self._agent)
        self._drain()
        return {
            "ending": self._ending,
            "code": self._code,
            "outside": self._signalled_from_outside,
            "tail": self._stdout.tail,
            "errors": self._stderr.tail,
            "heard": self._reader.heard() if self._reader else None,
            "stayed": self._stayed,
            "log_bytes": self._log.size,
            "log_fault": self._log.fault,
            "left": [] if self._childless else list(descendants()),
        }

    def _wait(self) -> float:
        stopping = self._next_step != float("inf")
        limits = self._deadline, self._leave_by, self._pulse.next_look
        times = (self._next_step,) if stopping else limits
        silent = self._heard + float(self._order["silence"])
        return max(0.0, min(*times, silent) - time.monotonic())

    def _hear(self, patience: float) -> None:
        for fd, _ in self._poll.poll(min(patience, 3600.0) * 1000):
            if fd in self._streams:
                self._pulse.seen = time.monotonic()
                if not self._streams[fd].read():
                    self._poll.unregister(fd)
                    del self._streams[fd]
                self._note_end()
            elif fd == 0:
                self._obey(os.read(0, CHUNK))
            elif {signal.SIGTERM, signal.SIGINT, signal.SIGHUP} & set(os.read(fd, CHUNK)):
                self._signalled_from_outside = True
                self._obey(b"s" if os.getppid() == self._order["parent"] else b"")

    def _note_end(self) -> None:
        if self._reader and self._reader.ended and self._leave_by == float("inf"):
            self._leave_by = time.monotonic() + float(self._order["grace"])

    def _obey(self, word: bytes) -> None:
        self._heard = time.monotonic()
        if b"s" in word:
            self._stop("stopped", POLITE)
        elif not word:
            self._abandon()

    def _abandon(self, ending: str = "orphaned") -> None:
        if not self._orphaned:  # nobody waits for a polite end, and another may start soon
            self._orphaned, self._ending = True, ending
            self._poll.unregister(0)
            self._steps, self._next_step = (signal.SIGKILL,), 0.0

    def _reap(self) -> None:
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._agent:
                    code = os.waitstatus_to_exitcode(ended[1])
                    self._code = code if code >= 0 else 128 - code
                    if self._steps == POLITE[1:]:
                        self._next_step = 0.0  # SIGINT was for the command; the rest may go now
        except ChildProcessError:
            self._childless = True

    def _judge(self, now: float) -> None:
        if now - self._heard > self._order["silence"]:
            self._abandon("silenced")  # the worker is frozen: soon its lease is over
        if self._code is not None:
            self._stop("exited", POLITE[1:])
        elif self._leave_by < float("inf"):
            self._see_off(now)  # it has said its last word: no limit is broken any more
        elif now >= self._deadline:
            self._stop("timeout", POLITE)
        elif self._next_step == float("inf") and self._pulse.stopped(now):
            self._stop("stalled", POLITE)
        if now >= self._next_step and not self._childless:
            self._next_signal(now)

    def _see_off(self, now: float) -> None:
        if now >= self._leave_by and self._next_step == float("inf"):
            self._stayed = True
            self._stop("exited", POLITE[1:])

    def _stop(self, ending: str, steps: tuple[int, ...]) -> None:
        if self._next_step == float("inf"):  # the first cause is the ending
            self._ending, self._steps, self._next_step = ending, steps, 0.0

    def _next_signal(self, now: float) -> None:
        number = self._steps[0]
        signal_tree(number, self._agent)
        if number == signal.SIGKILL:
            self._give_up = min(self._give_up, now + GIVE_UP)
            self._next_step = now + INSIST
        else:
            self._steps = self._steps[1:]
            self._next_step = now + self._order["grace"]

    def _drain(self) -> None:
        until = time.monotonic() + DRAIN
        self._poll = select.poll()
        for fd in self._streams:
            self._poll.register(fd, select.POLLIN)
        while self._streams and (left := until - time.monotonic()) > 0:
            self._hear(left)
        for stream in self._streams.values():
            stream.flush()
        for file in self._files:
            file.close()


def reader_of(order: dict[str, Any]) -> Any:
    """What reads this command's output, a `Reader` of `orch.dialects`; None for plain output."""
    if not order["reader"]:
        return None
    sys.path.append(order["root"])  # only now is a package of orch worth looking for
    return __import__(order["reader"], fromlist=["Reader"]).Reader()


def supervise(order: dict[str, Any]) -> dict[str, Any]:
    """Run the ordered command to its end; the report."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_DUMPABLE, 0)  # the agent may not read the values to mask out of our memory
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != order["parent"]:
        return {}  # it died before the death signal was set
    heard, said = os.pipe()
    os.set_blocking(said, False)
    signal.set_wakeup_fd(said, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    try:
        return Turn(order, heard).run()
    except SpawnError as error:
        failed = {"ending": "spawn_failed", "step": error.args[0], "errno": error.args[1]}
        return failed | {"program": os.fsdecode(order["argv"][0])}
    except BaseException as error:  # noqa: BLE001 (told; a fault of ours leaves no agent alone)
        signal_tree(signal.SIGKILL, os.getpid())
        return {"ending": "fault", "fault": f"{type(error).__name__}: {error}"}


def read_exactly(fd: int, size: int) -> bytes:
    """So many bytes, or fewer at the end of the file."""
    data = b""
    while len(data) < size and (chunk := os.read(fd, size - len(data))):
        data += chunk
    return data


def main() -> None:
    """Take the order from standard input, answer on standard output."""
    size = int.from_bytes(read_exactly(0, 8), "big")
    order = marshal.loads(read_exactly(0, size))  # noqa: S302 (from orch itself)
    report = marshal.dumps(supervise(order))
    try:
        while report:
            report = report[os.write(1, report) :]
    except BrokenPipeError:
        pass  # the worker is dead; there is nobody to tell
    os._exit(0)
