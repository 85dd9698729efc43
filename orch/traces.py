"""Spans for whoever collects traces: what one is, and ids that every process derives alike.

A span is told from the ledger after it has ended, perhaps twice: its ids follow from what it is
about, so that a double is the same span. Nothing here needs OpenTelemetry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Protocol

Fact = str | int | float | bool


@dataclass(frozen=True)
class Span:
    """A stretch of a task's time that is over."""

    trace: str
    """32 hexadecimal digits, the same for everything about one task."""
    id: str
    """16 hexadecimal digits."""
    parent: str
    """The id of the span it is a part of; empty for the task's own."""
    name: str
    began: datetime
    ended: datetime
    facts: Mapping[str, Fact] = field(default_factory=dict)
    failed: str = ""
    """Why it failed; empty when it did not."""


class Collector(Protocol):
    """Where spans are sent."""

    def send(self, spans: Sequence[Span]) -> str:
        """Hand these over; why they were not taken, or nothing when they were. Never raises."""
        ...


def trace_of(*about: object) -> str:
    """The id of the trace of a thing, from what it is told apart by."""
    return _digits(32, "trace", *about)


def span_of(trace: str, *about: object) -> str:
    """The id of a span within a trace."""
    return _digits(16, trace, *about)


def _digits(length: int, *about: object) -> str:
    digits = sha256("\0".join(str(each) for each in about).encode()).hexdigest()[:length]
    return digits if digits.strip("0") else "1".rjust(length, "0")  # all zeros would be no id
