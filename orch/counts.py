"""What one process counts before it is summed in the store, and the counting of a port's calls."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

from orch import clock, metrics
from orch.errors import OrchError

Port = TypeVar("Port")


class Counts:
    """Sums of this process that the store does not know yet; any thread may add to them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: defaultdict[tuple[str, str], float] = defaultdict(float)

    def add(self, stored: str, *values: str, amount: float = 1) -> None:
        """Add to a counter of `orch.metrics`, with the values of its labels in their order."""
        self.put_back({metrics.key(stored, *values): amount})

    def observe(self, stored: str, seconds: float, *values: str) -> None:
        """Add an observation to a histogram of `orch.metrics`."""
        self.put_back(dict(metrics.bucket(stored, seconds, *values)))

    def take(self) -> dict[tuple[str, str], float]:
        """Everything so far, which this process then forgets."""
        with self._lock:
            taken = dict(self._sums)
            self._sums.clear()
        return taken

    def put_back(self, sums: Mapping[tuple[str, str], float]) -> None:
        """Add sums as they stand in the store; what was taken and could not be written there."""
        with self._lock:
            for key, amount in sums.items():
                self._sums[key] += amount


HERE: Final = Counts()
"""Those of this process. A forked child begins with none: `take` what its parent left."""


def counted(port: Port, name: str, counts: Counts = HERE) -> Port:
    """The same port; each call is counted by verb and outcome: `ok`, or the code of the error."""
    return cast("Port", _Counted(port, name, counts))


class _Counted:
    """Stands before any port, whatever its verbs are."""

    def __init__(self, port: object, name: str, counts: Counts) -> None:
        self._port, self._name, self._counts = port, name, counts

    def __getattr__(self, verb: str) -> Any:
        asked = getattr(self._port, verb)
        return self._counting(verb, asked) if callable(asked) else asked

    def _counting(self, verb: str, asked: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            outcome, elapsed = "crashed", clock.stopwatch()
            try:
                answer = asked(*args, **more)
                outcome = "ok"
            except OrchError as error:
                outcome = error.code
                raise
            finally:
                self._counts.add("calls", self._name, verb, outcome)
                self._counts.add("call_seconds", self._name, verb, amount=elapsed())
            return answer

        return call
