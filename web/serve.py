"""Serving the app with gunicorn: one process of many threads, most of which only wait."""

from __future__ import annotations

from typing import Any, Final

import click
from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import ThreadWorker

from orch import bootstrap, invitations, logs, tasks, tokens
from orch.config import Settings
from orch.invitations import address, welcome_path
from orch.line import Line
from web import create_app
from web.streams import MOST

THREADS: Final = 2 * MOST
"""As many for calls as for streams."""
FIRST: Final = "For half an hour, and once, this makes you the admin:"
STOP_SECONDS: Final = 10
"""How long answers that have begun may go on when the server is to stop."""


def serve(settings: Settings) -> None:
    """Serve until told to stop. Raises ConfigError, SchemaMismatch, StoreUnavailable."""
    line = tasks.line()
    require_tokens_beyond_loopback(line, settings)
    invitation = invitations.first(line)
    # The worker is forked from here and opens connections of its own.
    line.store.dispose()
    tasks.line.cache_clear()
    tasks.queue.cache_clear()
    _Server(settings, invitation).run()


def require_tokens_beyond_loopback(line: Line, settings: Settings) -> None:
    """Raise ConfigError for an address others can reach while nobody could be told from another."""
    if not settings.web_proxy_user_header:
        tokens.require_beyond_loopback(line, settings.web_host)


def tell_invitation(secret: str, site: str) -> None:
    """Say once, on the terminal of whoever started this, how to become the first admin."""
    # Not through the log: what is logged is kept, and read by more people.
    click.echo(f"Nobody can sign in yet. {FIRST} {site}{welcome_path(secret)}", err=True)


class Worker(ThreadWorker):
    """Ends the streams when it is to stop, instead of waiting for their readers to go."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Told to stop."""
        wsgi = getattr(self, "wsgi", None)
        if isinstance(wsgi, Flask):
            wsgi.extensions["orch"].streams.close()
        super().handle_exit(sig, frame)


class _Server(BaseApplication):
    def __init__(self, settings: Settings, invitation: str | None) -> None:
        self._settings = settings
        self._invitation = invitation
        super().__init__()

    def load_config(self) -> None:
        host = self._settings.web_host
        bind = f"[{host}]" if ":" in host else host
        wanted = {
            "bind": f"{bind}:{self._settings.web_port}",
            "worker_class": Worker,
            "workers": 1,
            "threads": THREADS,
            "graceful_timeout": STOP_SECONDS,
            "keepalive": 5,
            "proc_name": "orch-web",
            "forwarded_allow_ips": "",  # nobody's word is taken for where a request comes from
            "accesslog": None,  # an address may hold what should not be kept
            "control_socket_disable": True,
            "when_ready": self._ready,
        }
        for name, value in wanted.items():
            if name in self.cfg.settings:  # older versions know fewer
                self.cfg.set(name, value)

    def _ready(self, server: Any) -> None:
        """It listens, so that its port is known."""
        if self._invitation is not None and server.LISTENERS:
            host, port = server.LISTENERS[0].getsockname()[:2]
            tell_invitation(self._invitation, address(self._settings.web_url, host, port))

    def load(self) -> Flask:
        """Build the app in the worker, after the fork."""
        logs.configure(self._settings.log_level, self._settings.log_format)
        line = bootstrap.build_line(self._settings, tasks.queue(), looks_itself=True)
        return create_app(line, self._settings)
