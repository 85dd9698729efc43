"""How pages say things: states as icon and word, blockers with the thing that blocks as a link."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from markupsafe import Markup

from orch import job_log

CHIPS: Final[dict[str, tuple[str, str]]] = {
    "ok": ("good", "well"),
    "degraded": ("bad", "degraded"),
    "down": ("bad", "down"),
    "late": ("bad", "late"),
    "open": ("ready", "may start"),
    "idle": ("calm", "idle"),
    "waiting": ("wait", "waiting"),
    "queued": ("wait", "queued"),
    "claimed": ("busy", "claimed"),
    "running": ("busy", "running"),
    "parked": ("pause", "parked"),
    "paused": ("pause", "paused"),
    "done": ("good", "done"),
    "succeeded": ("good", "succeeded"),
    "failed": ("bad", "failed"),
    "cancelled": ("over", "cancelled"),
    "freeze": ("freeze", "frozen"),
    "frozen": ("freeze", "frozen"),
    "dependency": ("link", "depends"),
    "active-task": ("wait", "behind"),
    "backoff": ("clock", "backs off"),
    "capacity": ("clock", "no free slot"),
    "no-worker": ("bad", "no worker"),
    "suspended": ("pause", "suspended"),
    "approval": ("ask", "needs approval"),
    "question": ("ask", "needs input"),
}
"""State, reason or hold: the look of its chip (a class with an icon in orch.css), and its word."""

OPENINGS: Final[dict[str | None, str]] = {
    None: "Nothing holds it: the next tick starts it",
    "capacity": "It may start as soon as a slot of {agent} is free",
    "no-worker": "It may start, but no worker serves {agent}",
    "suspended": "It may start, but {agent} is suspended",
}
"""What a task waits for whose gate is open, by its hold."""


def chip(state: str | None) -> tuple[str, str]:
    """Look and word of a state; an unknown one shows as itself."""
    return CHIPS.get(state or "idle", ("calm", str(state)))


TITLE_SHOWN: Final = 200
"""Characters of a title in a list; the task's page has all of it."""


def visible(text: str | None) -> str:
    """A text of anybody's on one line: what would hide, or turn what stands around it, is shown."""
    return "".join(map(_seen, text or ""))


def _seen(letter: str) -> str:
    if letter in "\r\n\t":
        return " "
    hidden = unicodedata.category(letter) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
    # The joiner between the parts of one emoji, and of letters in some scripts, hides nothing.
    return f"\\u{ord(letter):04x}" if hidden and letter not in "\u200d\u200c" else letter


def titled(text: str | None) -> Markup:
    """A title as it stands in a list: apart from what is around it, and never nothing."""
    said = visible((text or "")[: TITLE_SHOWN + 1])
    if not any(unicodedata.category(letter)[0] in "LNPS" for letter in said):
        return Markup("<i>(no title)</i>")
    cut = said if len(text or "") <= TITLE_SHOWN else f"{said[:TITLE_SHOWN]}…"
    return Markup("<bdi>{0}</bdi>").format(cut)


@dataclass(frozen=True)
class Told:
    """A blocker as a sentence: it begins with the name of what blocks, which is a link."""

    address: str
    name: str
    rest: str


def told(blocker: Mapping[str, Any], repo: str) -> Told:
    """A blocker's sentence, taken apart where the name of the blocking thing ends."""
    detail, item = visible(str(blocker["detail"])), blocker["work_item_id"]
    if item and detail.startswith(f"{item} "):
        return Told(task_address(item), item, detail.removeprefix(item))
    name, gap, rest = detail.partition(" is frozen")
    if blocker["clause"] == "freeze" and gap:
        where = "/ui/ledger?kind=repo.frozen" if set("*?") & set(name) else repo_address(repo)
        return Told(where, name, gap + rest)
    return Told("", "", detail)


def opening(entry: Mapping[str, Any]) -> str:
    """What an entry waits for although its gate is open."""
    return OPENINGS.get(entry["hold"], OPENINGS[None]).format(agent=entry["agent"])


def task_address(work_item: str) -> str:
    """The page of a task."""
    return f"/ui/tasks/{quote(work_item)}"


def repo_address(name: str) -> str:
    """The page of a repo."""
    return f"/ui/repos/{quote(name)}"


def query(values: Mapping[str, Any]) -> str:
    """Values as the query of an address; those that are empty left out."""
    return urlencode({name: value for name, value in values.items() if value}, doseq=True)


@dataclass(frozen=True)
class Way:
    """One control that clears a blocker."""

    verb: str
    target: str
    label: str
    on: str | None = None


def parked(clear_with: str | None) -> str:
    """What somebody has to do about a parked task, as a chip: approve, answer, or take it back."""
    first = next(iter(ways(clear_with)), None)
    return {"approve": "approval", "answer": "question"}.get(first.verb if first else "", "paused")


_COMMAND: Final = re.compile(r"orch (?:(agent) )?([a-z]+) ")


def ways(clear_with: str | None) -> list[Way]:
    """The controls that a blocker's `clear_with` names as commands; none for what is no control."""
    found = []
    for command in (clear_with or "").split(", or "):
        known = _COMMAND.match(command)
        if known is None:
            continue
        words = shlex.split(command[known.end() :])
        way = _way(known[1], known[2], words)
        if way is not None:
            found.append(way)
    return found


def _way(of_agent: str | None, verb: str, words: list[str]) -> Way | None:
    target = words[0]
    if of_agent:
        return Way(f"{verb}_agent", target, f"{verb.capitalize()} {target}")
    if verb == "depend":
        on = words[words.index("--on") + 1]
        return Way("undepend", target, f"Do not wait for {on}", on)
    return Way(verb, target, f"{verb.capitalize()} {target}") if verb in _VERBS else None


_VERBS: Final = frozenset(
    {"pause", "resume", "unfreeze", "approve", "reject", "answer", "retry", "cancel"}
)
"""What a `clear_with` can name; `orch db current` and the like are no controls."""


def plain(text: str | None) -> str:
    """The same of a text of several lines, which stay."""
    return job_log.visible(text or "")


def told_data(data: Mapping[str, Any]) -> str:
    """What an event carries, in a few words."""
    said = ", ".join(
        f"{name}: {value}" for name, value in data.items() if value not in (None, "", False)
    )
    said = visible(said)
    return said if len(said) <= DATA_SHOWN else f"{said[:DATA_SHOWN]}…"


DATA_SHOWN: Final = 200
