"""Webhooks taken in: each is a hint to go and look, remembered once, and never a fact by itself.

The inbox is bounded, and says the same thing once: a storm costs a read for each webhook and a
write for each thing there is to look at. What is shed is found by asking regularly.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from orch import tally
from orch.counts import HERE
from orch.line import Line
from orch.outside.signals import SOURCES, Ignored, Signal, Source
from orch.store import inbox
from orch.store.inbox import Hint
from orch.store.session import Connection

MOST: Final = 1000
"""So many hints of a source may wait. More than that are a reason to ask for everything anew."""
KEPT_SECONDS: Final = 7 * 24 * 3600.0
"""A webhook is known again for so long. One replayed later leads to one look, like any other."""
Outcome = Literal["accepted", "coalesced", "replayed", "shed"]


def count(source: Source, outcome: str) -> None:
    """Count a webhook by what became of it, also one that came to nothing before it got here."""
    HERE.add("hooks", source, outcome)


def accept(line: Line, source: Source, said: Signal | Ignored, digest: str) -> str:
    """Take in a webhook whose sender is proved; what became of it: an Outcome, or why it was
    ignored. `digest` is that of its body. Raises StoreUnavailable.
    """
    about = said if isinstance(said, Signal) else Signal(source, "", "", "")
    hint = Hint(source, about.subject, about.event, digest, about.delivery)
    now = line.now()
    found = line.store.read(lambda conn: inbox.standing(conn, hint, MOST, now))
    outcome: str = said.why if isinstance(said, Ignored) else _outcome(found)
    if outcome == "accepted" or not found.noted:

        def write(conn: Connection) -> bool:
            if not found.noted:
                inbox.hear(conn, source, now)
            return outcome != "accepted" or inbox.post(conn, hint, now)

        if not line.store.write(write):
            outcome = "coalesced"
    count(source, outcome)
    if not found.noted:
        tally.flush(line)  # about once a minute, by whichever process serves them
    return outcome


def _outcome(found: inbox.Standing) -> Outcome:
    if found.replayed:
        return "replayed"
    if found.waits:
        return "coalesced"
    return "shed" if found.untaken >= MOST else "accepted"


def prune(line: Line) -> int:
    """Forget webhooks that came longer ago than they are kept; how many that were."""
    return line.store.write(lambda conn: inbox.prune(conn, line.now(), KEPT_SECONDS))


def standing(conn: Connection) -> dict[str, dict[str, Any]]:
    """Each source that was ever heard of: `seen_at`, and how many of its hints are `waiting`."""
    seen: Mapping[str, datetime] = inbox.last_seen(conn)
    waits = inbox.waiting(conn)
    return {
        source: {"seen_at": seen.get(source), "waiting": waits.get(source, 0)}
        for source in SOURCES
        if source in seen or source in waits
    }
