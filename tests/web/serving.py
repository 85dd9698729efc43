"""The web server itself, in a thread: what a test sends goes over a socket, as in life."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from unittest.mock import patch

from flask import Flask
from gunicorn.config import Config
from gunicorn.workers import gthread

from web.serve import REQUEST_LINE, THREADS, Worker


class InThread(Worker):
    """A worker beside the test that asks it."""

    def init_signals(self) -> None:
        """Signals reach only the main thread, in which the test is."""


class _Loaded:
    def __init__(self, app: Flask) -> None:
        self._app = app

    def wsgi(self) -> Flask:
        return self._app


@contextmanager
def served(make: Callable[[list[Worker]], Flask], kind: type[InThread] = InThread) -> Iterator[int]:
    """A worker of the web server in a thread; its port."""
    workers: list[Worker] = []
    cfg = Config()
    cfg.set("threads", THREADS)
    cfg.set("graceful_timeout", 5)
    cfg.set("limit_request_line", REQUEST_LINE)
    with closing(socket.create_server(("127.0.0.1", 0), backlog=512)) as listener:
        # As gunicorn's own listeners: else an answer in two parts waits for the first to be heard.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        port: int = listener.getsockname()[1]
        log: Any = logging.getLogger("test.gunicorn")
        log.close_on_exec = lambda: None
        log.access = lambda *_: None
        worker = kind(0, os.getppid(), [listener], _Loaded(make(workers)), 30, cfg, log)
        workers.append(worker)
        thread = threading.Thread(target=worker.init_process, daemon=True)
        thread.start()
        try:
            yield port
        finally:
            # No client of a test comes back on a connection that it has kept.
            with patch.object(gthread, "STOP_KEEPALIVE_LINGER", 0.0, create=True):
                worker.handle_exit(15, None)
                thread.join(10)
            worker.tmp.close()
