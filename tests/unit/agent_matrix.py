"""What orch makes of every known misbehaviour of every program. docs/agents.md shows this table."""

from __future__ import annotations

from typing import Final

ADAPTERS: Final = ("command", "claude", "codex", "opencode")

AHEAD: Final = "advance"
AGAIN: Final = "retry: agent_failed"
SILENT: Final = "park: no_verdict"
LIMITED: Final = "suspend: provider_limited"
REFUSED: Final = "park: auth_invalid"


def _all(outcome: str, command: str | None = None) -> dict[str, str]:
    """The same for the three programs; a plain command may differ."""
    return dict.fromkeys(ADAPTERS, outcome) | {"command": command or outcome}


MATRIX: Final[dict[str, dict[str, str]]] = {
    "does as it should": _all(AHEAD),
    "reads standard input to its end": _all(AHEAD),
    "stays alive after its result": _all(AHEAD, "retry: stalled"),
    "a child keeps the pipe open": _all(AHEAD),
    "long lines": _all(AHEAD),
    "NUL and invalid UTF-8": _all(AHEAD),
    "lines that are no events": _all(AHEAD),
    "its session is gone": _all(AHEAD),
    "dies without a result": _all(AGAIN),
    "exits 0 with nothing": _all(SILENT),
    "is killed (exit 137)": _all(AGAIN),
    "says that it failed": _all(AGAIN),
    "says that it failed, exits 0": _all(AGAIN, SILENT),
    "the provider's limit is reached": _all(LIMITED, AGAIN),
    "the provider refuses the key": _all(REFUSED, AGAIN),
}
"""misbehaviour → adapter → what the task does next, and the class of the failure."""


def table() -> list[str]:
    """The matrix as the lines of a table."""
    head = ["what the program does", *(f"`{adapter}`" for adapter in ADAPTERS)]
    rows = [
        [way, *(_told(outcomes[adapter]) for adapter in ADAPTERS)]
        for way, outcomes in MATRIX.items()
    ]
    return ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]]


def _told(outcome: str) -> str:
    what, _, failure = outcome.partition(": ")
    return f"{what}, `{failure}`" if failure else what
