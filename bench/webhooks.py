"""`python -m bench.webhooks`: a storm of signed webhooks at a real server; how it answers, what it
sheds, and whether other pages answer meanwhile. Not beside a reference: the numbers stand alone."""

from __future__ import annotations

import argparse
import collections
import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from bench.databases import Kind, database
from orch.store import inbox, revisions
from orch.store.moments import DATABASE_TIME
from orch.store.session import Store

SECRET = "bench"  # noqa: S105
PROJECT = "00000000-0000-4000-8000-000000000007"
SENDERS = 32
Answers = list[tuple[float, int]]
"""Seconds that each took, and its status; 0 for none at all."""


def webhook(number: int) -> tuple[bytes, dict[str, str]]:
    """One of Plane, about an item of its own."""
    item = f"00000000-0000-4000-8000-{number:012d}"
    told = {"event": "issue", "action": "updated", "data": {"id": item, "project": PROJECT}}
    body = json.dumps(told | {"padding": "x" * 2000}).encode()
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return body, {"Content-Type": "application/json", "X-Plane-Signature": digest}


def ask(conn: HTTPConnection, method: str, path: str, *given: object) -> tuple[float, int]:
    begun = time.perf_counter()
    try:
        conn.request(method, path, *given)  # type: ignore[arg-type]
        answer = conn.getresponse()
        answer.read()
        return time.perf_counter() - begun, answer.status
    except (OSError, HTTPException):
        conn.close()
        return time.perf_counter() - begun, 0


def storm(port: int, rate: float, seconds: float) -> tuple[Answers, Answers]:
    """Send so many a second, over connections that are kept; what webhooks and pages got."""
    found: Answers = []
    pages: Answers = []
    begun = time.perf_counter()

    def send(sender: int) -> None:
        conn = HTTPConnection("127.0.0.1", port, timeout=30)
        for number in range(sender, int(rate * seconds), SENDERS):
            time.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            body, headers = webhook(number)
            found.append(ask(conn, "POST", "/webhooks/plane", body, headers))
        conn.close()

    def look() -> None:
        conn = HTTPConnection("127.0.0.1", port, timeout=30)
        while time.perf_counter() < begun + seconds:
            pages.append(ask(conn, "GET", "/queue"))
            time.sleep(0.2)
        conn.close()

    threads = [threading.Thread(target=send, args=(n,)) for n in range(SENDERS)]
    threads.append(threading.Thread(target=look))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found, pages


def show(what: str, answers: Answers, elapsed: float) -> None:
    times = sorted(took * 1000 for took, _ in answers)
    shares = [times[min(len(times) - 1, int(len(times) * share))] for share in (0.5, 0.95, 0.99)]
    statuses = dict(sorted(collections.Counter(status for _, status in answers).items()))
    print(
        f"   {what}: {len(answers) / elapsed:,.0f}/s, half within {shares[0]:.1f} ms, "
        f"95 % {shares[1]:.1f}, 99 % {shares[2]:.1f}, longest {times[-1]:.1f}; {statuses}",
        flush=True,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def wait_for(port: int) -> None:
    until = time.monotonic() + 60
    while ask(HTTPConnection("127.0.0.1", port, timeout=2), "GET", "/readyz")[1] != 200:
        if time.monotonic() > until:
            raise SystemExit("the server did not come up")
        time.sleep(0.1)


@contextmanager
def serving(kind: Kind) -> Iterator[tuple[Store, int]]:
    """`orch web` on a database of its own; its store and its port."""
    with database(kind) as url, tempfile.TemporaryDirectory() as folder:
        store, port = Store(url), free_port()
        revisions.upgrade(store)
        tracker = f'[trackers.shop]\nkind = "plane"\nrepo = "app"\nproject = "{PROJECT}"\n'
        (Path(folder) / "orch.toml").write_text(tracker, encoding="utf-8")
        told = {
            "ORCH_DATABASE_URL": url, "ORCH_DATA_DIR": folder, "ORCH_WEB_PORT": str(port),
            "ORCH_PLANE_WEBHOOK_SECRET": SECRET, "ORCH_LOG_LEVEL": "ERROR",
            "PYTHONPATH": str(Path.cwd()),
        }  # fmt: skip
        command = [sys.executable, "-m", "orch", "web"]
        server = subprocess.Popen(command, env={**os.environ, **told}, cwd=folder)
        try:
            wait_for(port)
            yield store, port
        finally:
            server.terminate()
            server.wait(30)
            store.dispose()


def measure(store: Store, port: int, rate: float, seconds: float) -> None:
    """Send so many a second, empty the inbox, and send one more."""
    begun = time.perf_counter()
    found, pages = storm(port, rate, seconds)
    elapsed = time.perf_counter() - begun
    show("webhooks", found, elapsed)
    show("/queue meanwhile", pages, elapsed)
    taken = store.write(lambda conn: inbox.take(conn, "plane", 10**6, DATABASE_TIME))
    time.sleep(3)
    conn = HTTPConnection("127.0.0.1", port, timeout=30)
    took, status = ask(conn, "POST", "/webhooks/plane", *webhook(10**9 + int(rate)))
    print(f"   {len(taken)} waited; taken out, the next got {status} in {took * 1000:.1f} ms")
    store.write(lambda conn: inbox.prune(conn, DATABASE_TIME, -60))


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m bench.webhooks", description=__doc__)
    asked.add_argument("--kind", choices=["sqlite", "postgres"], action="append")
    asked.add_argument("--rate", type=float, action="append", help="a second; 50 and 1,000")
    asked.add_argument("--seconds", type=float, default=5)
    options = asked.parse_args()
    for kind in options.kind or ["postgres", "sqlite"]:
        with serving(kind) as (store, port):
            for rate in options.rate or [50, 1000]:
                print(f"== {kind}, {rate:,.0f} a second for {options.seconds:g} s", flush=True)
                measure(store, port, rate, options.seconds)


if __name__ == "__main__":
    main()
