"""How many requests one key of Plane may still make."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from orch.errors import TrackerUnavailable

RESERVE: Final = 10
"""What Plane says is left of a key's minute belongs to others once it is less than this."""


class Budget:
    """A token bucket: at most `per_minute` requests in any minute, a half of them at once.

    Nobody waits in it: a verb that would have to is told for how long, and comes again.
    """

    def __init__(self, per_minute: int, elapsed: Callable[[], float]) -> None:
        """`elapsed` tells seconds by a clock that never goes backwards."""
        self._burst = max(per_minute // 2, 1)
        self._rate = max(per_minute - self._burst, 1) / 60
        self._elapsed = elapsed
        self._tokens = float(self._burst)
        self._at = elapsed()
        self._held_until = self._at
        self._lock = threading.Lock()

    @property
    def most(self) -> int:
        """Requests that a verb can make at all."""
        return self._burst

    def need(self, requests: int) -> None:
        """Begin a verb only where it can be ended. Raises TrackerUnavailable."""
        self._ask(min(requests, self._burst), taken=0)

    def take(self) -> None:
        """One request is made. Raises TrackerUnavailable."""
        self._ask(1, taken=1)

    def hold(self, seconds: float) -> None:
        """Plane asked for patience: nothing is asked for so long."""
        with self._lock:
            self._held_until = max(self._held_until, self._elapsed() + seconds)

    def heed(self, remaining: str) -> None:
        """Leave to other users of the key what Plane says is left."""
        if remaining.isdecimal() and int(remaining[:9]) < RESERVE:
            with self._lock:
                self._tokens = 0.0

    def _ask(self, wanted: int, *, taken: int) -> None:
        with self._lock:
            now = self._elapsed()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now
            wait = max(self._held_until - now, (wanted - self._tokens) / self._rate)
            if wait <= 1e-6:
                self._tokens -= taken
                return
        raise TrackerUnavailable(
            f"The requests to Plane are used up for the next {wait:.0f} seconds.", retry_after=wait
        )
