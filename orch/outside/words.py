"""What an event of the ledger is for the people in a tracker: which state, and which comment.

Pure: an event and what is known of its item in, a phase and a text out. Texts are plain, and may
hold anybody's words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from orch import stages
from orch.outcomes import ASKED
from orch.ports.tracker import Phase

Told = Mapping[str, Any]
"""An event of the ledger."""
About = Mapping[str, Any]
"""An item of the mirror, with its task's columns as `task_…`."""
Words = tuple[Phase | None, str]
"""The state to move the item to, and the comment; None leaves it where it is, empty is none."""

OF_TASKS: Final = (
    "task.created",
    "task.moved",
    "task.paused",
    "task.resumed",
    "task.landed",
    "task.cancelled",
    "task.overtaken",
    "job.started",
)
"""Events of a task of which its item is told something."""
OF_REPOS: Final = ("repo.frozen", "repo.unfrozen")
"""Events of a repo of which the items are told whose tasks have started."""


def words(event: Told, about: About, remedy: str) -> Words | None:
    """What to tell of an event; None where there is nothing to say."""
    return _SAID[event["kind"]](event, about, remedy)


def page(work_item_id: str, web_url: str) -> str:
    """The page of a task, as the last line of a comment; empty without a public address."""
    return f"\n{web_url}/ui/tasks/{quote(work_item_id)}" if web_url else ""


def _by_tracker(event: Told) -> bool:
    """Whether it follows from what a person did in the tracker: its state is theirs to choose."""
    return str(event["actor"]).startswith("tracker:")


def _because(event: Told) -> str:
    return f": {event['reason']}" if event["reason"] else "."


def _has_started(about: About) -> bool:
    return about["task_stage"] not in stages.BEFORE_OR_AT_ENTRY or bool(about["task_admitted_at"])


def _created(event: Told, about: About, remedy: str) -> Words:
    return "taken", f"orch has taken this up: it waits for its turn in {about['task_repo']}."


def _started(event: Told, about: About, remedy: str) -> Words:
    return "working", "Work has begun."


def _moved(event: Told, about: About, remedy: str) -> Words | None:
    to_stage = event["to_state"]
    if to_stage == stages.DONE:
        return "landed", "" if about["task_merge_sha"] else "Done."
    if to_stage in stages.TERMINAL or event["from_state"] == stages.FIRST:
        return None
    return "working", f"Now at {to_stage}."


def _paused(event: Told, about: About, remedy: str) -> Words:
    reason = str(event["reason"])
    if reason.startswith(ASKED):
        question = reason.removeprefix(ASKED)
        return "asking", f"A question before this goes on:\n{question}\nAnswer with a comment here."
    if _by_tracker(event):
        return None, f"Paused{_because(event)}\nIt goes on when that is over, or by: {remedy}"
    return "parked", f"Parked by {event['actor']}{_because(event)}\nWhat takes it on: {remedy}"


def _resumed(event: Told, about: About, remedy: str) -> Words:
    if _by_tracker(event) and event["reason"] != "answered":
        return None, f"It goes on{_because(event)}"
    return "working" if _has_started(about) else "taken", f"It goes on{_because(event)}"


def _landed(event: Told, about: About, remedy: str) -> Words:
    sha = str(event["data"].get("merge_sha", ""))
    text = f"Landed in {about['task_repo']} as {sha}."
    if about["task_stage"] == stages.CANCELLED:
        return "landed", f"{text} The merge had been sent when its task was cancelled."
    return None, text


def _cancelled(event: Told, about: About, remedy: str) -> Words:
    if _by_tracker(event):
        return None, f"orch has stopped work on this{_because(event)}"
    return "cancelled", f"Cancelled by {event['actor']}{_because(event)}"


def _overtaken(event: Told, about: About, remedy: str) -> Words:
    return None, str(event["reason"])


def _frozen(event: Told, about: About, remedy: str) -> Words:
    lifts = f"What lifts it: orch unfreeze '{event['repo']}'"
    return "frozen", f"{event['repo']} is frozen{_because(event)}\n{lifts}"


def _unfrozen(event: Told, about: About, remedy: str) -> Words:
    return "working", f"{event['repo']} is no longer frozen{_because(event)}"


_SAID: Final[Mapping[str, Callable[[Told, About, str], Words | None]]] = {
    "task.created": _created,
    "task.moved": _moved,
    "task.paused": _paused,
    "task.resumed": _resumed,
    "task.landed": _landed,
    "task.cancelled": _cancelled,
    "task.overtaken": _overtaken,
    "job.started": _started,
    "repo.frozen": _frozen,
    "repo.unfrozen": _unfrozen,
}
