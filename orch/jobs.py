"""Job states, the events that move them, and how a job can end, as data."""

from __future__ import annotations

from typing import Final, Literal, get_args

JobState = Literal["queued", "claimed", "running", "succeeded", "failed", "cancelled"]
JobEvent = Literal["claim", "start", "release", "reap", "succeed", "fail", "cancel"]
Verdict = Literal["pass", "rework", "needs_input", "fail", "no_work"]
Failure = Literal[
    "agent_failed",
    "timeout",
    "stalled",
    "spawn_failed",
    "no_verdict",
    "check_failed",
    "rework_requested",
    "conflict",
    "provider_limited",
    "auth_invalid",
    "lost",
    "cancelled",
]

MARK: Final = "ORCH-VERDICT:"
"""What stands before the word of a verdict in the last line of an output."""
STATES: Final[tuple[str, ...]] = get_args(JobState)
EVENTS: Final[tuple[str, ...]] = get_args(JobEvent)
VERDICTS: Final[tuple[str, ...]] = get_args(Verdict)
FAILURES: Final[tuple[str, ...]] = get_args(Failure)

TRANSITIONS: Final[dict[tuple[JobState, JobEvent], JobState]] = {
    ("queued", "claim"): "claimed",
    ("queued", "cancel"): "cancelled",
    ("claimed", "start"): "running",
    ("claimed", "release"): "queued",
    ("claimed", "reap"): "queued",
    ("claimed", "cancel"): "cancelled",
    ("running", "release"): "queued",
    ("running", "reap"): "queued",
    ("running", "succeed"): "succeeded",
    ("running", "fail"): "failed",
    ("running", "cancel"): "cancelled",
}
"""(from, event) → to. What is not here is impossible, and the store refuses it."""

LIVE: Final[tuple[str, ...]] = ("claimed", "running")
OPEN: Final[tuple[str, ...]] = ("queued", *LIVE)
ENDED: Final[tuple[str, ...]] = tuple(state for state in STATES if state not in OPEN)


def from_states(event: JobEvent) -> tuple[str, ...]:
    """The states in which this event is possible."""
    return tuple(state for (state, known), _ in TRANSITIONS.items() if known == event)


def target(event: JobEvent) -> str:
    """The one state this event leads to."""
    (state,) = {to for (_, known), to in TRANSITIONS.items() if known == event}
    return state
