"""Words for tests of notices: read on, list, freeze and tell, send."""

from __future__ import annotations

from typing import Any

from orch import notices
from orch.adapters.memory_channel import MemoryChannel
from orch.notices import Subscription, Wanted
from orch.store import history
from tests.factories import Rig

HOOK = Subscription(("memory",))
BOTH = Subscription(("memory", "other"), web_url="https://orch.example.org")


def collect(rig: Rig, wanted: Subscription = HOOK) -> int:
    """Read on once everything in the ledger is old enough to be complete."""
    rig.clock.advance(history.GAP_SECONDS + 1)
    return notices.collect(rig.line, wanted)


def listed(rig: Rig, **wanted: Any) -> list[dict[str, Any]]:
    """The outbox, oldest first."""
    found: list[dict[str, Any]] = notices.listed(rig.line, Wanted(**wanted))["notices"]
    return found[::-1]


def frozen(rig: Rig, *repos: str) -> None:
    """Freeze these repos, and read on."""
    for repo in repos:
        rig.order("freeze", repo, "main is red")
    collect(rig)


def deliver(rig: Rig, *channels: MemoryChannel) -> dict[str, dict[str, int]]:
    return {name: dict(done) for name, done in notices.deliver(rig.line, channels).items()}
