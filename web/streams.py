"""Answers that go on: a few at a time, with a sign of life, never for ever, never holding a
database connection while they wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Final

from flask import Response

from orch import clock
from web.problems import TooManyStreams
from web.visits import May

MOST: Final = 8
"""Streams at a time: half of the server's threads, so that calls are always answered."""
POLL_SECONDS: Final = 0.5
PING_SECONDS: Final = 15.0
LONGEST_SECONDS: Final = 1800.0
"""After this a stream ends and the reader comes again, which finds readers that are gone."""
ASKED_SECONDS: Final = 5.0
"""So often is asked whether the reader may still read."""
Look = Callable[[], bytes | None]
"""What is new since it was last asked; None at the end."""


class Streams:
    """The open streams of one server."""

    def __init__(
        self,
        most: int = MOST,
        longest: float = LONGEST_SECONDS,
        pause: Callable[[float], object] | None = None,
        stopwatch: Callable[[], Callable[[], float]] = clock.stopwatch,
    ) -> None:
        self._stopwatch = stopwatch
        self._longest = longest
        self._room = threading.BoundedSemaphore(most)
        self._over = threading.Event()
        self._pause = pause or self._over.wait

    def close(self) -> None:
        """End all of them at their next look, because the server is to stop."""
        self._over.set()

    def response(self, look: Look, content_type: str, may: May, ping: bytes = b"") -> Response:
        """An answer that sends whatever `look` finds until it says None. Raises TooManyStreams.

        It ends within a few seconds when the reader may no longer read.
        """
        if not self._room.acquire(blocking=False):
            raise TooManyStreams
        response = Response(self._follow(look, may, ping), content_type=content_type)
        # Called however the answer ends, also when the reader goes before the first byte.
        response.call_on_close(self._room.release)
        response.headers["X-Accel-Buffering"] = "no"
        return response

    def _follow(self, look: Look, may: May, ping: bytes) -> Iterator[bytes]:
        quiet = asked = 0.0
        elapsed = self._stopwatch()
        while (since := elapsed()) < self._longest and not self._over.is_set():
            if since - asked >= ASKED_SECONDS:
                asked = since
                if not may():
                    return
            found = look()
            if found is None:
                return
            if found:
                quiet = 0.0
                yield found
                continue
            self._pause(POLL_SECONDS)
            quiet += POLL_SECONDS
            if ping and quiet >= PING_SECONDS:
                quiet = 0.0
                yield ping
