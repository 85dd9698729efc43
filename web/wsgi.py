"""The app for any WSGI server: `gunicorn web.wsgi:app`. `orch web` starts it with its own rules."""

from __future__ import annotations

from typing import Final

from flask import Flask

from orch import bootstrap, logs, tasks
from web import create_app


def _loaded() -> Flask:
    settings = bootstrap.load()
    # Before anything is said: as it comes, structlog writes tracebacks with all that they hold.
    logs.configure(settings.log_level, settings.log_format)
    return create_app(tasks.line(), settings)


app: Final = _loaded()
