"""Logging: one named event per fact, keyword facts beside it, one line each."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog


def configure(level: str, form: str) -> None:
    """Send structured events, and the log of libraries, to standard error in one format."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Text of others neither breaks a line of the log nor turns into one of its own.
    text = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=24, sort_keys=False)
    rendering: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if form == "json"
        else [structlog.processors.format_exc_info, _plain, text]
    )
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        # A cached logger would keep the level of its first use for good.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    if level == "INFO":
        # Every message twice and every ring of beat: nothing that the ledger does not know better.
        celery = ("celery.worker.strategy", "celery.app.trace", "celery.beat")
        for chatty in (*celery, "alembic", "mcp", "uvicorn"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
    # A broker that is away says so once a second, with a traceback; orch says it once.
    logging.getLogger("celery.beat").addFilter(_without_traceback)
    logging.getLogger("celery.worker.consumer.consumer").addFilter(_without_traceback)


class _Shown:
    """A text shown with what cannot be printed escaped, as the renderer shows what is no text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return repr(self._text)


def _escaped(text: str) -> str:
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _plain(_logger: Any, _method: str, told: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Text of others on one line, without what a terminal would obey; JSON does so by itself."""
    for name, value in told.items():
        if not isinstance(value, str) or value.isprintable():
            continue
        if name in ("exception", "stack"):  # a line of it begins like no event
            lines = (f"    | {_escaped(line)}" for line in value.split("\n"))
            told[name] = "\n".join(lines)
        else:
            told[name] = _escaped(value) if name == "event" else _Shown(value)
    return told


def _without_traceback(record: logging.LogRecord) -> bool:
    record.exc_info = None
    return True
