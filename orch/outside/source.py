"""A tracker as orch works with it: its name, its rules, and as whom orch is known there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from orch.outside_settings import TrackerSettings
from orch.ports.tracker import Item, Priority
from orch.store.session import Row

RANKS: Final[dict[Priority, int]] = {"urgent": -2, "high": -1, "medium": 0, "none": 0, "low": 1}
"""The place of a task that nobody promoted, among those of its repo that have not started."""


@dataclass(frozen=True)
class Source:
    """A tracker by its name in orch.toml."""

    name: str
    settings: TrackerSettings
    myself: str = ""
    """As the tracker names orch's own user."""

    @property
    def actor(self) -> str:
        """Who the ledger says it was."""
        return f"tracker:{self.name}"

    @property
    def rules(self) -> str:
        """Changes when these settings would judge an item differently."""
        return hashlib.sha256(self.settings.model_dump_json().encode()).hexdigest()[:12]

    def starts(self, item: Item) -> bool:
        """Whether it is in a state in which it is taken up."""
        states = self.settings.start_states
        return item.state in states if states else item.group == "unstarted"

    def may(self, person: str | None) -> bool:
        """Whether this person may start work and answer questions."""
        if person and person == self.myself:
            return False
        allowed = self.settings.start_actors
        return not allowed or (bool(person) and person in allowed)

    def labelled(self, item: Item, prefix: str) -> tuple[str, ...]:
        """What its labels with this prefix name."""
        named = (each.strip()[len(prefix) :] for each in item.labels if each.startswith(prefix))
        return tuple(dict.fromkeys(each.strip() for each in named if each)) if prefix else ()


def facts(item: Item, before: Row | None, source: Source) -> dict[str, Any]:
    """What is kept of an item; what this answer does not tell stays as it was read last."""
    known: dict[str, Any] = dict(before["facts"]) if before else {}
    told: dict[str, Any] = {
        "title": item.title,
        "state": item.state,
        "group": item.group,
        "updated_at": item.updated_at.isoformat(),
        "priority": item.priority,
        "labels": list(item.labels),
        "url": item.url,
        "rules": source.rules,
    }
    if item.blocked_by is not None:
        told["blocked_by"] = list(item.blocked_by)
    if item.moved_by is not None or item.state != known.get("state"):
        told["moved_by"] = item.moved_by
    return known | told
