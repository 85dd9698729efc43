"""How people are told away from the line: what a notice is, and what every channel promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True)
class Notice:
    """One thing to be told. Its texts may hold anybody's words, and are text everywhere."""

    uid: str
    """The same however often it is sent: by it a receiver knows what it has already."""
    kind: str
    title: str
    """One line."""
    text: str
    happened_at: datetime
    link: str = ""
    """Where more of it stands; empty without a public address."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The same in parts, for programs."""


class Channel(Protocol):
    """One way out: to a webhook, or by mail."""

    @property
    def name(self) -> str:
        """What the outbox calls it."""
        ...

    def send(self, notice: Notice, now: datetime) -> None:
        """Hand the notice over. Sent again, it arrives again under the same id.

        Raises ChannelUnavailable when a later try may help, ChannelRefused when it will hardly.
        """
        ...
