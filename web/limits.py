"""Rationing by address: for what anybody may ask, such as signing in and webhooks."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from flask import Request, request

from orch.limits import Limit, neighbourhood
from orch.line import Line
from web.routes import Call, View

WEBHOOKS: Final = Limit("webhook by address", 600, 60.0)
"""Ten a second, a minute long, from one sender; what is missed is found by asking."""


def address_of(asked: Request) -> str:
    """By which address a request is counted, and shown."""
    return neighbourhood(asked.remote_addr or "")


def require_room(line: Line, limit: Limit, asked: Request) -> None:
    """Count this request. Raises TooManyTries, for which the answer is 429 with Retry-After."""
    limit.take(line, address_of(asked))


def rationed(limit: Limit) -> Callable[[View], View]:
    """Let a route be asked only so often from one address. To be written below `Routes.add`."""

    def around(view: View) -> View:
        @wraps(view)
        def answer(call: Call[Any]) -> Any:
            require_room(call.desk.line, limit, request)
            return view(call)

        return answer

    return around
