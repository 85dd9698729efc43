"""The only reader of time and chance. Everything else takes `now` and ids as arguments."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Hands out the present moment, aware and in UTC."""


def utc_now() -> datetime:
    """The present moment, aware and in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """An id nobody else has: 128 random bits in hexadecimal."""
    return secrets.token_hex(16)


def stopwatch() -> Callable[[], float]:
    """What tells the seconds since now, by a clock that never goes backwards."""
    began = time.perf_counter()
    return lambda: time.perf_counter() - began
