"""What a forge tells of its webhooks, and whether one of them leads to orch as it should."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TheirWebhook:
    """One webhook, as the forge has it."""

    url: str
    is_on: bool
    content_type: str
    events: frozenset[str]
    last: str = ""
    """What became of its last delivery, where that went wrong and the forge tells."""


def wanting(hooks: Sequence[TheirWebhook], address: str, events: Iterable[str]) -> list[str]:
    """What had better be otherwise for webhooks to come to this address; empty when all is well."""
    ours = [each for each in hooks if each.url.rstrip("/") == address]
    if not ours:
        return [
            f"No webhook of the repo leads to {address}. Unless one of the organisation does, make "
            "it as docs/webhooks.md says; until then polling finds what is new."
        ]
    hook, found = next((each for each in ours if each.is_on), ours[0]), []
    if not hook.is_on:
        found.append(f"The webhook to {address} is switched off: switch it on.")
    if hook.content_type != "json":
        found.append(f"The webhook to {address} does not send application/json: let it.")
    lacking = sorted(set(events) - hook.events) if "*" not in hook.events else []
    if lacking:
        found.append(f"The webhook to {address} leaves out {', '.join(lacking)}: add them.")
    if hook.last:
        found.append(f"The last delivery to {address} went wrong: {hook.last}.")
    return found
