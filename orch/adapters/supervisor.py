"""Runs one command to its end and leaves no process of it behind.

Started as a script, `python -I -S supervisor.py`, by `orch.adapters.agent_command`: it stands
between a worker and its agent, so that a killed worker still takes its agent along. The order
comes on standard input, the report goes to standard output; both in `marshal`, because both
ends are the same interpreter and the imports of `json` cost more than the rest of the start.
After the order, a byte on standard input means *stop*, and its end means that the worker died.

On Linux every descendant is found, daemons with a session of their own included: this process
is their subreaper. Elsewhere only the command's process group is reached.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False  # the name that type checkers know; importing typing costs 5 ms
if TYPE_CHECKING:
    from typing import Any, Final

CHUNK: Final = 64 * 1024
TAIL: Final = 16 * 1024
"""Bytes of the end of standard output that go back with the report."""
DRAIN: Final = 1.0
"""Seconds to read on when all processes are gone and somebody still holds a pipe open."""
INSIST: Final = 0.05
"""Seconds between two rounds of SIGKILL: a tree may have forked during the first."""
GIVE_UP: Final = 5.0
"""Seconds of SIGKILL after which what still lives is reported instead of awaited."""
CPU_SHARE: Final = 0.01
"""Share of one core that counts as alive; an idle event loop uses less and is a stall."""
LOOK_EVERY: Final = 5.0
MASK: Final = b"[masked]"

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_CHILD_SUBREAPER: Final = 36
LINUX: Final = sys.platform == "linux"


class SpawnError(Exception):
    """The command could not be started: in which step, and the system's error number."""


class Relative:
    """One process of the tree below us."""

    def __init__(self, pid: int, stat: list[bytes]) -> None:
        self.pid = pid
        self.group = int(stat[2])
        self.ticks = sum(map(int, stat[11:15]))
        """CPU time of it and of its reaped children, in clock ticks."""


def _prctl(option: int, value: int) -> None:
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def descendants() -> list[Relative]:
    """Every living process below this one; empty where there is no /proc."""
    children: dict[int, list[Relative]] = {}
    for name in os.listdir("/proc") if LINUX else ():  # noqa: PTH208 (pathlib costs 10 ms)
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
                fields = stat.read().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended between the listing and the look
        if fields[0] != b"Z":
            children.setdefault(int(fields[1]), []).append(Relative(int(name), fields))
    found: list[Relative] = []
    todo = [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += [relative.pid for relative in below]
    return found


def signal_tree(number: int, agent: int) -> None:
    """Send a signal to every descendant, and to each of their groups.

    A group is signalled in one step, which no fork can slip through; the single processes
    are for those who left it.
    """
    tree = descendants()
    groups = {relative.group for relative in tree} | ({agent} if not LINUX else set())
    for group in groups - {os.getpgrp()}:
        _send(os.killpg, group, number)
    if number == signal.SIGKILL:
        for relative in tree:
            _send(os.kill, relative.pid, number)


def _send(how: Any, target: int, number: int) -> None:
    try:
        how(target, number)
    except (ProcessLookupError, PermissionError):
        return  # gone already, or under another user: reported when it stays


class CappedFile:
    """A file that takes so many bytes and counts the rest."""

    def __init__(self, path: bytes, limit: int) -> None:
        flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o600)
        self._limit = limit
        self.size = 0
        self.dropped = 0
        self.fault = ""

    def write(self, data: bytes) -> None:
        """Keep what fits. A full disk counts as dropped: it is not the agent's failure."""
        fits = memoryview(data)[: max(0, self._limit - self.size)]
        self.dropped += len(data) - len(fits)
        while fits and not self.fault:
            try:
                written = os.write(self._fd, fits)
            except OSError as error:
                self.fault = os.strerror(error.errno or 0)
                break
            self.size += written
            fits = fits[written:]
        self.dropped += len(fits)

    def close(self) -> None:
        """Say in a last line how much is missing."""
        if self.dropped:
            why = self.fault or f"the limit is {self._limit} bytes"
            line = f"\n[orch] {self.dropped} bytes of output were dropped: {why}.\n"
            try:
                self.size += os.write(self._fd, line.encode())
            except OSError as error:
                self.fault = os.strerror(error.errno or 0)
        os.close(self._fd)


class Stream:
    """One output of the command: masked, then written line by line where it belongs."""

    def __init__(self, fd: int, masks: list[bytes], files: list[CappedFile]) -> None:
        self.fd = fd
        self.tail = b""
        self._masks = masks
        self._files = files
        self._overlap = max((len(mask) for mask in masks), default=1) - 1
        self._held = b""

    def read(self) -> bool:
        """Take what is there; False at the end of the stream."""
        chunk = os.read(self.fd, CHUNK)
        self._held = self._masked(self._held + chunk)
        if not chunk:
            self.flush()
        elif (cut := self._held.rfind(b"\n") + 1) or len(self._held) > CHUNK:
            # A line too long to hold goes out in parts, but for what may begin a secret.
            cut = cut or len(self._held) - self._overlap
            self._pass_on(self._held[:cut])
            self._held = self._held[cut:]
        return bool(chunk)

    def flush(self) -> None:
        """Let go of the unfinished last line."""
        self._pass_on(self._held)
        self._held = b""

    def _masked(self, data: bytes) -> bytes:
        for mask in self._masks:
            data = data.replace(mask, MASK)
        return data

    def _pass_on(self, data: bytes) -> None:
        self.tail = (self.tail + data)[-TAIL:]
        for file in self._files:
            file.write(data)


class Pulse:
    """Tells whether the tree is alive: fresh output, or CPU time that grows."""

    def __init__(self, patience: float, now: float) -> None:
        self._patience = patience
        self._every = min(LOOK_EVERY, patience / 4)
        self._seen = self._measured = now
        self._ticks = 0.0
        self._per_second = os.sysconf("SC_CLK_TCK")
        self.next_look = now + self._every

    def beat(self, now: float) -> None:
        """Output came."""
        self._seen = now

    def stopped(self, now: float) -> bool:
        """Whether there was no sign of life for the whole patience."""
        if now < self.next_look:
            return False
        self.next_look = now + self._every
        own = os.times()
        ticks = (own.children_user + own.children_system) * self._per_second
        ticks += sum(relative.ticks for relative in descendants())
        used = (ticks - self._ticks) / self._per_second
        if used > 0 and used >= CPU_SHARE * (now - self._measured):
            self._seen = now
        self._ticks, self._measured = ticks, now
        return now - self._seen >= self._patience


def spawn(order: dict[str, Any], output: int, errors: int) -> int:
    """Start the command in a session of its own; its process id, or SpawnError."""
    heard, said = os.pipe()  # not inherited: it closes by itself when the command has started
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(order, (output, errors, said), supervisor)
    os.close(said)
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
        self.ending = "exited"
        self.code: int | None = None
        self.by_signal_from_outside = False
        self._childless = self._orphaned = False
        self._steps: list[int] = []
        self._next_step = self._give_up = float("inf")
        limit, masks = order["log_limit"], order["masks"]
        self._files = [CappedFile(order[name], limit) for name in ("log", "stdout", "stderr")]
        self.log, out, err = self._files
        (read_out, write_out), (read_err, write_err) = os.pipe(), os.pipe()
        self._agent = spawn(order, write_out, write_err)
        os.close(write_out)
        os.close(write_err)
        self.stdout = Stream(read_out, masks, [self.log, out])
        self._streams = {s.fd: s for s in (self.stdout, Stream(read_err, masks, [self.log, err]))}
        now = time.monotonic()
        self._deadline = now + order["timeout"]
        self._pulse = Pulse(order["stall_timeout"], now)
        self._poll = select.poll()
        for fd in (0, signals, *self._streams):
            self._poll.register(fd, select.POLLIN)

    def run(self) -> None:
        """Attend until the command and all its descendants are gone, then close the log."""
        while not (self._childless or time.monotonic() >= self._give_up):
            self._hear(self._wait())
            self._reap()
            self._judge(time.monotonic())
        if not LINUX:
            signal_tree(signal.SIGKILL, self._agent)
        self._drain()

    def _wait(self) -> float:
        now = time.monotonic()
        stopping = self._next_step != float("inf")
        times = (self._next_step,) if stopping else (self._deadline, self._pulse.next_look)
        return max(0.0, min(times) - now)

    def _hear(self, patience: float) -> None:
        for fd, _ in self._poll.poll(min(patience, 3600.0) * 1000 + 1):
            if fd in self._streams:
                self._pulse.beat(time.monotonic())
                if not self._streams[fd].read():
                    self._poll.unregister(fd)
                    del self._streams[fd]
            elif fd == 0:
                self._obey(os.read(0, CHUNK))
            elif {signal.SIGTERM, signal.SIGINT, signal.SIGHUP} & set(os.read(fd, CHUNK)):
                self.by_signal_from_outside = True
                self._obey(b"" if os.getppid() != self._order["parent"] else b"stop")

    def _obey(self, word: bytes) -> None:
        if word:
            self._stop("stopped", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
        elif not self._orphaned:  # nobody waits for a polite end, and another may start soon
            self._orphaned = True
            self._poll.unregister(0)
            self._steps, self._next_step = [signal.SIGKILL], 0.0

    def _reap(self) -> None:
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._agent:
                    code = os.waitstatus_to_exitcode(ended[1])
                    self.code = code if code >= 0 else 128 - code
                    if self._steps[:1] == [signal.SIGTERM]:
                        self._next_step = 0.0  # SIGINT was for the command; the rest may go now
        except ChildProcessError:
            self._childless = True

    def _judge(self, now: float) -> None:
        if self.code is not None:
            self._stop("exited", [signal.SIGTERM, signal.SIGKILL])
        elif now >= self._deadline:
            self._stop("timeout", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
        elif self._next_step == float("inf") and self._pulse.stopped(now):
            self._stop("stalled", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
        if now >= self._next_step and not self._childless:
            self._next_signal(now)

    def _stop(self, ending: str, steps: list[int]) -> None:
        if self._next_step == float("inf"):  # the first cause is the ending
            self.ending, self._steps, self._next_step = ending, steps, 0.0

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


def report_of(turn: Turn) -> dict[str, Any]:
    """What the worker is told."""
    return {
        "ending": turn.ending,
        "code": turn.code,
        "outside": turn.by_signal_from_outside,
        "tail": turn.stdout.tail,
        "log_bytes": turn.log.size,
        "dropped": turn.log.dropped,
        "log_fault": turn.log.fault,
        "left": [relative.pid for relative in descendants()],
    }


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
        turn = Turn(order, heard)
        turn.run()
        return report_of(turn)
    except SpawnError as error:
        return {"ending": "spawn_failed", "step": error.args[0], "errno": error.args[1]}
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


if __name__ == "__main__":
    main()
