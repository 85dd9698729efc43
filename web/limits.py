"""Rationing by address: for what anybody may ask, such as signing in and webhooks."""

from __future__ import annotations

import math
import threading
from datetime import datetime, timedelta
from typing import Final

from flask import Request

from orch.errors import TooManyTries
from orch.limits import Limit, neighbourhood
from orch.line import Line

UNSIGNED: Final = Limit("webhook by address", 600, 60.0)
"""Webhooks that prove nothing: ten a second, a minute long, from one address. Signed ones are never
counted, or anybody who shares an address with their sender could silence it."""
REMEMBERED: Final = 10_000
"""How many are remembered to have been told to come later."""


def address_of(asked: Request) -> str:
    """By which address a request is counted, and shown."""
    return neighbourhood(asked.remote_addr or "")


def require_room(line: Line, limit: Limit, asked: Request) -> None:
    """Count this request. Raises TooManyTries, for which the answer is 429 with Retry-After."""
    limit.take(line, address_of(asked))


class Later:
    """Who was told to come later: told so again, until then, without asking the store anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[str, datetime] = {}

    def left(self, key: str, now: datetime) -> int:
        """Seconds until this one may come again; 0 for one who was told nothing."""
        until = self._until.get(key)
        return 0 if until is None else max(0, math.ceil((until - now).total_seconds()))

    def tell(self, key: str, now: datetime, seconds: float) -> None:
        """Tell this one."""
        with self._lock:
            if len(self._until) >= REMEMBERED:
                self._until.clear()  # whoever comes again is told by the store
            self._until[key] = now + timedelta(seconds=seconds)

    def require_room(self, line: Line, limit: Limit, asked: Request, now: datetime) -> None:
        """The same as the function of this name, for what may come in storms."""
        key = f"{limit.kind}|{address_of(asked)}"
        if left := self.left(key, now):
            raise TooManyTries(retry_after=left)
        try:
            require_room(line, limit, asked)
        except TooManyTries as error:
            self.tell(key, now, float(error.facts["retry_after"]))
            raise
