"""The geometry of bars on a stretch of time: what a drawing of spans needs, as plain numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

WIDTH: Final = 1000.0
"""How wide a drawing is in its own units; the page stretches it."""
LEAST: Final = 3.0
"""So that what took no time is still seen."""


@dataclass(frozen=True)
class Bar:
    """One stretch: where it is drawn, what it is (a class of the style sheet), and in words."""

    x: float
    width: float
    kind: str
    said: str


@dataclass(frozen=True)
class Scale:
    """A stretch of time as the width of a drawing."""

    begin: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """How long it is; never nothing."""
        return max(1.0, (self.end - self.begin).total_seconds())

    def at(self, moment: datetime) -> float:
        """Where a moment is; those outside at the edge."""
        part = (moment - self.begin).total_seconds() / self.seconds
        return round(WIDTH * min(1.0, max(0.0, part)), 1)

    def bar(self, since: datetime, until: datetime, kind: str, said: str) -> Bar:
        """A stretch of it, at least a hair wide."""
        x, end = self.at(since), self.at(until)
        width = max(LEAST, round(end - x, 1))
        return Bar(min(x, WIDTH - width), width, kind, said)

    def bars(
        self, spans: Iterable[tuple[datetime | None, datetime | None, str, str]]
    ) -> tuple[Bar, ...]:
        """Stretches that began; what has no end goes on."""
        return tuple(
            self.bar(since, until or self.end, kind, said)
            for since, until, kind, said in spans
            if since is not None
        )
