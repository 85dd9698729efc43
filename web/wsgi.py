"""The app for any WSGI server: `gunicorn web.wsgi:app`. `orch web` starts it with its own rules."""

from __future__ import annotations

from typing import Final

from orch import bootstrap, tasks
from web import create_app

app: Final = create_app(tasks.line(), bootstrap.load())
