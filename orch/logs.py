"""Logging: one named event per fact, keyword facts beside it, one line each."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def configure(level: str, form: str) -> None:
    """Send structured events, and the log of libraries, to standard error in one format."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Values go through repr or JSON, so user text can never break a line of the log.
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=False, pad_event_to=24, sort_keys=False)
    )
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.format_exc_info,
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
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
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


def _without_traceback(record: logging.LogRecord) -> bool:
    record.exc_info = None
    return True
