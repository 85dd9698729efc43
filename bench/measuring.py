"""Two things timed in turns, and their ratio: absolute times on a shared machine mean little."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Ratio:
    """One line of the report: ours, the reference, how they relate, and the bar."""

    what: str
    ours: float
    reference: float
    unit: str
    beside: str
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""
    budget: float | None = None
    """What ours may be at most on any machine, in its unit."""

    @property
    def value(self) -> float:
        return self.ours / self.reference

    @property
    def verdict(self) -> str:
        """`pass` or `FAIL` against the bar; empty where there is none."""
        if self.budget is not None:
            return "pass" if self.ours <= self.budget else "FAIL"
        if self.at_most is not None:
            return "pass" if self.value <= self.at_most else "FAIL"
        if self.at_least is not None:
            return "pass" if self.value >= self.at_least else "FAIL"
        return ""

    @property
    def bar(self) -> str:
        if self.budget is not None:
            return f"≤ {self.budget:g} {self.unit}"
        if self.at_most is not None:
            return f"≤ {self.at_most:g}×"
        return "–" if self.at_least is None else f"≥ {self.at_least:g}×"


def milliseconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def interleaved(rounds: int, *works: Callable[[], object]) -> list[float]:
    """The median milliseconds of each, called in turns, every second time the other way round."""
    times: list[list[float]] = [[] for _ in works]
    for turn in range(rounds):
        order = range(len(works)) if turn % 2 == 0 else reversed(range(len(works)))
        for index in order:
            times[index].append(milliseconds(works[index]))
    return [median(each) for each in times]


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    print(f"   {what} …", end="", flush=True, file=sys.stderr)
    began = time.perf_counter()
    yield
    print(f" {time.perf_counter() - began:.1f} s", flush=True, file=sys.stderr)
