"""A doorbell that only remembers: the stateful fake of JobQueue."""

from __future__ import annotations

from collections.abc import Sequence

from orch.ports import Claim
from orch.stages import AGENTS


class MemoryQueue:
    """Keeps what was published and whether a kick waits; fails when told to."""

    def __init__(self) -> None:
        self.published: list[Claim] = []
        self.kicked = 0
        """How many kicks rang; those that another one stood for are not counted."""
        self.kick_waits = False
        self.down = False
        """While true the broker is away: nothing can be sent."""
        self.refuse: set[int] = set()
        """Job ids whose messages cannot be sent."""

    def publish(self, claims: Sequence[Claim]) -> list[Claim]:
        """Remember each claim; answers strangers and those to refuse, all of them while down."""
        unsent = [claim for claim in claims if not self._takes(claim)]
        self.published += [claim for claim in claims if claim not in unsent]
        return unsent

    def kick(self) -> bool:
        """Remember one kick until it is cleared."""
        if self.down:
            return False
        if not self.kick_waits:
            self.kick_waits = True
            self.kicked += 1
        return True

    def clear_kick(self) -> None:
        """Let the next kick count."""
        self.kick_waits = False

    def reachable(self) -> bool:
        """Whether it was told to be down."""
        return not self.down

    def take(self) -> list[Claim]:
        """What was published and not yet taken, oldest first, as a worker would receive it."""
        taken, self.published = self.published, []
        return taken

    def _takes(self, claim: Claim) -> bool:
        return not self.down and claim.agent in AGENTS and claim.job_id not in self.refuse
