"""What an event of the ledger is in words: title, text, and where more of it stands.

Pure: one event in, the texts of a notice out. They may hold anybody's words and are plain text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from orch import names
from orch.notice_settings import Kind

Told = Mapping[str, Any]
"""One event of the ledger, with `work_item_id` and `title` of its task."""

LONGEST_TITLE: Final = 200
BURST: Final = 10
"""So many alike, read at the same time, are still told one by one."""
KIND_OF: Final[Mapping[str, Kind]] = {
    "repo.frozen": "frozen",
    "repo.unfrozen": "unfrozen",
    "repo.degraded": "degraded",
    "task.paused": "parked",
    "task.approval_asked": "approval",
    "head.watch": "head_watch",
    "line.degraded": "degraded",
    "line.recovered": "degraded",
    "agent.unserved": "no_worker",
    "agent.served": "no_worker",
}
"""Events that are told, and as what."""

_TITLES: Final[Mapping[str, str]] = {
    "repo.frozen": "{repo} is frozen: {reason}",
    "repo.unfrozen": "{repo} is no longer frozen: {reason}",
    "repo.degraded": "{repo} is red: {reason}",
    "task.paused": "{task} is parked: {reason}",
    "task.approval_asked": "{task} waits for a person: {reason}",
    "head.watch": "{reason}",
    "line.degraded": "Something is wrong: {reason}",
    "line.recovered": "{reason}",
    "agent.unserved": "{reason}",
    "agent.served": "{reason}",
}
_NEXT: Final[Mapping[str, str]] = {
    "frozen": "orch unfreeze '{repo}'",
    "parked": "orch why {task}; orch resume {task}",
    "approval": "orch approve {task}, or orch reject {task} --note …",
    "needs_input": "orch answer {task} …",
    "head_watch": "orch why {task}; orch pause {task}",
    "degraded": "orch check, and GET /healthz",
    "no_worker": "orch worker {about}",
}
_OVER: Final = frozenset({"line.recovered", "agent.served"})


def gathered(told: Iterable[tuple[Told, Kind]]) -> list[tuple[Told, Kind, list[Told]]]:
    """Each event with those it stands for: many of one kind, by one actor, for one reason, are told
    as one. Whoever parks a hundred tasks at once fills nobody's mailbox."""
    alike: dict[tuple[str, ...], list[tuple[Told, Kind]]] = {}
    for event, kind in told:
        alike.setdefault((kind, event["actor"], event["reason"]), []).append((event, kind))
    found = []
    for group in alike.values():
        (first, kind), *others = group
        if len(group) > BURST:
            found.append((first, kind, [event for event, _ in others]))
        else:
            found += [(event, kind, []) for event, kind in group]
    return sorted(found, key=lambda each: int(each[0]["id"]))


def title(event: Told, kind: str, more: Sequence[Told] = ()) -> str:
    """What happened, on one line."""
    pattern = "{task} {reason}" if kind == "needs_input" else _TITLES[event["kind"]]
    said = names.cleaned(pattern.format(**_words(event)), LONGEST_TITLE).removesuffix(":")
    return f"{said} (and {len(more)} more)" if more else said


def text(event: Told, kind: str, more: Sequence[Told] = ()) -> str:
    """The same for a person to read: all that was said, by whom, when, and what to do."""
    said = [title(event, kind, more)]
    reason = event["reason"]
    if reason and names.cleaned(reason, LONGEST_TITLE) not in said[0]:
        said += ["", reason]
    said += ["", f"When: {event['at']:%Y-%m-%d %H:%M:%S} UTC", f"By: {event['actor']}"]
    if event["title"]:
        said.append(f"Task: {names.cleaned(event['title'])}")
    if kind in _NEXT and event["kind"] not in _OVER:
        said.append(f"To do: {_NEXT[kind].format(**_words(event))}")
    if more:
        said.append(f"The same for: {', '.join(_about(each) for each in more)}")
    return "\n".join(said)


def link(event: Told, web_url: str) -> str:
    """The page of what it is about; empty without a public address."""
    if not web_url:
        return ""
    if event["work_item_id"]:
        return f"{web_url}/ui/tasks/{quote(event['work_item_id'])}"
    repo = event["repo"]
    if repo and "*" not in repo and "?" not in repo:
        return f"{web_url}/ui/repos/{quote(repo)}"
    return f"{web_url}/ui/"


def parts(event: Told, more: Sequence[Told] = ()) -> dict[str, Any]:
    """The same for programs."""
    also = [
        {"event": each["id"], "repo": each["repo"], "task": each["work_item_id"]} for each in more
    ]
    return {
        **({"more": also} if also else {}),
        "event": {"id": event["id"], "kind": event["kind"]},
        "repo": event["repo"],
        "task": event["work_item_id"],
        "actor": event["actor"],
        "reason": event["reason"],
        "details": dict(event["data"]),
    }


def _about(event: Told) -> str:
    return str(event["work_item_id"] or event["repo"] or event["data"].get("about", ""))


def _words(event: Told) -> dict[str, str]:
    return {
        "repo": event["repo"] or "",
        "task": event["work_item_id"] or "",
        "reason": event["reason"],
        "about": str(event["data"].get("about", "")),
    }
