"""A channel that only remembers: the stateful fake of Channel."""

from __future__ import annotations

from datetime import datetime

from orch.channels import Notice
from orch.errors import ChannelRefused, ChannelUnavailable


class MemoryChannel:
    """Keeps what it was given; away or unwilling when told to be."""

    def __init__(self, name: str = "memory") -> None:
        self._name = name
        self.sent: list[Notice] = []
        self.away = False
        self.refusing = False

    @property
    def name(self) -> str:
        """What the outbox calls it."""
        return self._name

    def send(self, notice: Notice, now: datetime) -> None:
        """Remember the notice. Raises ChannelUnavailable while away, else ChannelRefused."""
        if self.away:
            raise ChannelUnavailable(f"{self._name} is away.")
        if self.refusing:
            raise ChannelRefused(f"{self._name} wants nothing.")
        self.sent.append(notice)
