"""The doorbell between dispatcher and workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Claim(NamedTuple):
    """A job taken for one agent under a token. The message on the queue carries nothing else."""

    job_id: int
    token: str
    agent: str


class JobQueue(Protocol):
    """The doorbell: tells workers that a claimed job waits, the dispatcher that a gate may be open.

    Losing, doubling or delaying a ring costs time, never truth.
    """

    def publish(self, claims: Sequence[Claim]) -> list[Claim]:
        """Ring for each claim; answers those that could not be sent."""
        ...

    def kick(self) -> bool:
        """Ask a dispatcher to look now. False when the broker could not be reached."""
        ...

    def reachable(self) -> bool:
        """Whether the broker answers at this moment."""
        ...
