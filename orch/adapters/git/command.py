"""Runs one git command: closed environment, time limit, bounded output, errors as sentences.

Nothing that a repository, a user's home or the machine configures is believed: system and user
configuration are off, and what git would execute on a repository's word is overridden.
"""

from __future__ import annotations

import ctypes
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Final, Self, cast

from orch.adapters.git.failures import failure
from orch.adapters.git.folders import disk_errors
from orch.errors import GitError, GitTimeout

CONFIG: Final = {
    "advice.detachedHead": "false",
    "commit.gpgSign": "false",
    "core.askPass": "",
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.pager": "cat",
    "core.quotePath": "false",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "gc.autoDetach": "false",
    # A remote that sends less than 1,000 bytes a second for half a minute has gone.
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "30",
    "maintenance.auto": "false",
    "push.gpgSign": "false",
    "push.recurseSubmodules": "no",
    "submodule.recurse": "false",
    "user.email": "orch@localhost",
    "user.name": "orch",
}
"""Wins over every repository's own configuration."""
SSH: Final = (
    "ssh -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=2"
)
ENVIRONMENT: Final = {
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_SSH_COMMAND": SSH,
    "GIT_SSH_VARIANT": "ssh",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
OUTPUT_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of output after which a command is stopped; no answer orch needs is that long."""
ERROR_LIMIT: Final = 64 * 1024
GRACE: Final = 2.0
"""Seconds in which a stopped git may remove its lock files before it is killed."""
SHORTEST_SECRET: Final = 4
"""Shorter values are not masked: that would hide nothing and spoil every message."""
STRAGGLER: Final = 1.0
"""Seconds without output after which an ended git is not waited for, whoever holds its pipes."""
OLDEST: Final = (2, 38)
"""The first git that merges trees without a checkout."""
_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Access:
    """How git may reach remotes, and for how long it may take."""

    protocols: tuple[str, ...] = ("file", "https", "ssh")
    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    """More configuration; never shown."""
    credential: Callable[[], Mapping[str, str]] | None = field(default=None, repr=False)
    """Asked before each command that talks to a remote, as tokens change: configuration such as
    `http.<url>.extraHeader`, for that command alone."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """More environment, such as SSH_AUTH_SOCK."""
    path: str = os.defpath
    local_timeout: float = 300.0
    """Seconds for a command that talks to no remote."""
    network_timeout: float = 900.0
    """Seconds for one that does."""


@dataclass(frozen=True)
class Output:
    """What a command printed."""

    code: int
    out: bytes
    truncated: bool = False

    @property
    def line(self) -> str:
        """The output as one word or line."""
        return self.out.decode("utf-8", "backslashreplace").strip()

    @property
    def fields(self) -> list[bytes]:
        """The output of a `-z` command."""
        return [part for part in self.out.split(b"\0") if part]


@dataclass(frozen=True)
class Place:
    """The repository a command works in, named in full: git looks for none by itself."""

    git_dir: Path
    work_tree: Path | None = None
    index: Path | None = None
    lock: int | None = None
    """A file descriptor every process of the command keeps open, and with it the lock on it."""


@dataclass(frozen=True)
class Ask:
    """What one call wants beside its arguments."""

    stdin: bytes = b""
    ok: Collection[int] = (0,)
    """Exit codes that are answers; any other is an error."""
    remote: bool = False
    """Whether it talks to a remote."""
    limit: int = 0
    """Bytes after which the rest of the output is not wanted; 0 is all of it."""


PLAIN: Final = Ask()


class GitCommand:
    """The git program, as orch calls it."""

    def __init__(self, access: Access | None = None, program: str = "git") -> None:
        self._access = access or Access()
        self._program = program
        self._env = {**ENVIRONMENT, **self._access.env, "PATH": self._access.path}
        self._env |= _as_environment({**CONFIG, **self._access.config})
        self._own: Mapping[str, GitCommand] = {}

    def to(self, repo: str) -> GitCommand:
        """The same program, with the credentials of this repo."""
        return self._own.get(repo, self)

    def also(self, own: Mapping[str, Access]) -> Self:
        """With credentials of their own for these repos."""
        self._own = {repo: GitCommand(access, self._program) for repo, access in own.items()}
        return self

    def run(self, place: Place, *arguments: str, ask: Ask = PLAIN) -> Output:
        """Run git with these arguments; what it printed. Raises GitError."""
        access = self._access
        secrets = access.credential() if ask.remote and access.credential else {}
        patience = access.network_timeout if ask.remote else access.local_timeout
        with tempfile.TemporaryFile() as stdin:
            with disk_errors("Git could not be started"):
                stdin.write(ask.stdin)
                stdin.seek(0)
                process = self._start(place, arguments, stdin, secrets if ask.remote else None)
            with process:
                said = _Said(ask.limit or OUTPUT_LIMIT)
                try:
                    in_time = said.read(process, time.monotonic() + patience)
                finally:
                    _stop(process)
        verb = arguments[0]
        if not in_time:
            raise GitTimeout(f"`git {verb}` did not end within {patience:g} s and was stopped.")
        if said.truncated and not ask.limit:
            raise GitError(f"`git {verb}` printed more than {OUTPUT_LIMIT} bytes.")
        if process.returncode not in ask.ok and not said.truncated:
            text = self._masked(said.err, secrets.values())
            raise failure(verb, process.returncode, text, remote=ask.remote)
        return Output(process.returncode, said.out, said.truncated)

    def insist_on_version(self) -> str:
        """The version of git. Raises GitError when it is too old for orch."""
        said = self.run(Place(Path("/.git")), "--version").line
        found = re.search(r"(\d+)\.(\d+)[\w.]*", said)
        if found is None or (int(found[1]), int(found[2])) < OLDEST:
            raise GitError(
                f"orch needs git {OLDEST[0]}.{OLDEST[1]} or later; this is {said!r}.",
                suggested_fix="Install a newer git.",
            )
        return found[0]

    def _start(
        self,
        place: Place,
        arguments: tuple[str, ...],
        stdin: IO[bytes],
        secrets: Mapping[str, str] | None,
    ) -> subprocess.Popen[bytes]:
        """`secrets` is more configuration for a command that talks to a remote; None for others."""
        remote = secrets is not None
        env = self._env | {"GIT_DIR": str(place.git_dir)}
        if secrets:
            env |= _as_environment({**CONFIG, **self._access.config, **secrets})
        env["GIT_ALLOW_PROTOCOL"] = ":".join(self._access.protocols) if remote else "file"
        if place.work_tree is not None:
            env["GIT_WORK_TREE"] = str(place.work_tree)
        if place.index is not None:
            env["GIT_INDEX_FILE"] = str(place.index)
        return subprocess.Popen(
            [self._program, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=place.work_tree or place.git_dir.parent,
            env=env,
            start_new_session=True,
            pass_fds=() if place.lock is None else (place.lock,),
            preexec_fn=_tied() if remote else None,
        )

    def _masked(self, said: bytes, secrets: Iterable[str]) -> str:
        """What git said, without the credentials it was given."""
        text = said.decode("utf-8", "backslashreplace")
        for secret in (*secrets, *self._access.config.values(), *self._access.env.values()):
            is_one = len(secret) >= SHORTEST_SECRET and secret not in CONFIG.values()
            text = text.replace(secret, "***") if is_one else text
        return text


def _as_environment(config: Mapping[str, str]) -> dict[str, str]:
    """Configuration by environment: it reaches git before any file, and no list of processes shows
    it."""
    env = {"GIT_CONFIG_COUNT": str(len(config))}
    for number, (key, value) in enumerate(config.items()):
        env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return env


class _Said:
    """Reads what a process prints, up to a limit and a deadline."""

    def __init__(self, limit: int) -> None:
        self.err = b""
        self._parts: list[bytes] = []
        self._left = limit

    @property
    def out(self) -> bytes:
        """What was printed, up to the limit."""
        whole = b"".join(self._parts)
        return whole[: self._left] if self._left < 0 else whole

    @property
    def truncated(self) -> bool:
        """Whether there was more than the limit."""
        return self._left < 0

    def read(self, process: subprocess.Popen[bytes], deadline: float) -> bool:
        """Read to the end, or to the limit; False when the deadline came first."""
        with selectors.DefaultSelector() as ready:
            ready.register(cast(IO[bytes], process.stdout), selectors.EVENT_READ, self._to_out)
            ready.register(cast(IO[bytes], process.stderr), selectors.EVENT_READ, self._to_err)
            while ready.get_map() and not self.truncated:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                come = ready.select(min(left, STRAGGLER))
                if not come and process.poll() is not None:
                    break  # git has ended: what still holds its output is none of it
                for key, _ in come:
                    chunk = os.read(key.fd, 64 * 1024)
                    key.data(chunk)
                    if not chunk:
                        ready.unregister(key.fileobj)
        return self.truncated or _ends(process, deadline)

    def _to_out(self, chunk: bytes) -> None:
        self._parts.append(chunk)
        self._left -= len(chunk)

    def _to_err(self, chunk: bytes) -> None:
        self.err = (self.err + chunk)[-ERROR_LIMIT:]


def _ends(process: subprocess.Popen[bytes], deadline: float) -> bool:
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of the process group that still runs."""
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tied() -> Callable[[], None] | None:
    """What makes a command that may hang end with its worker; what it started ends with its pipes.

    A local command ends by itself, keeps the lock until then, and starts four times as fast.
    """
    return None if _libc is None else partial(_die_with_parent, os.getpid())


def _die_with_parent(parent: int) -> None:
    """In the child between fork and exec: be told to end when the worker's thread ends."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it was gone before the call above
            os._exit(1)
