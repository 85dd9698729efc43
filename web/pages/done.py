"""What a control did, said once on the page that is shown next.

The cookie carries no words: only which control it was. The page reads the state anew and says that,
so it can be neither forged into another sentence nor outdated.
"""

from __future__ import annotations

from typing import Any, Final

from flask import Request, Response
from werkzeug.wrappers import Response as Answer

from orch import agents, controls, mirror, names, snapshot
from orch.errors import BadInput, NotFound
from web.routes import Call

COOKIE: Final = "orch_done"
PATH: Final = "/ui/"
PAST: Final = {
    "pause": "paused",
    "resume": "resumed",
    "promote": "promoted",
    "cancel": "cancelled",
    "retry": "tried again",
    "approve": "approved",
    "reject": "sent back",
    "answer": "answered",
    "depend": "given a task to wait for",
    "undepend": "freed of a task to wait for",
    "freeze": "frozen",
    "unfreeze": "unfrozen",
    "suspend_agent": "suspended",
    "resume_agent": "resumed",
}
"""Every control of the pages, and what has become of its target afterwards."""


def note(response: Answer, verb: str, target: str, changed: bool, *, secure: bool) -> None:
    """Let the next page say what was done."""
    response.set_cookie(
        COOKIE,
        f"{verb}:{int(changed)}:{target}",
        max_age=60,
        path=PATH,
        httponly=True,
        samesite="Lax",
        secure=secure,
    )


def is_told(request: Request) -> bool:
    """Whether the next page has something to say."""
    return COOKIE in request.cookies


def forget(response: Response) -> None:
    """It has been said."""
    response.delete_cookie(COOKIE, path=PATH)


def said(call: Call[Any], request: Request) -> str:
    """What was done, and the state after; empty if nothing was."""
    verb, _, rest = request.cookies.get(COOKIE, "").partition(":")
    changed, _, target = rest.partition(":")
    if verb not in PAST:
        return ""
    try:
        state = _state(call, verb, target)
    except (BadInput, NotFound):
        return ""
    was = f"{target} was {PAST[verb]}." if changed == "1" else "It was so already."
    return f"{was} {state}"


def _state(call: Call[Any], verb: str, target: str) -> str:
    line = call.desk.line
    if verb.endswith("_agent"):
        found = [each for each in agents.listed(line) if each["agent"] == target]
        return _agent(found[0]) if found else ""
    if verb not in controls.OF_REPOS:
        return str(mirror.why(line, names.work_item(target))["sentence"])
    names.repo_or_glob(target)
    if "*" in target or "?" in target:
        return ""
    seen = snapshot.snapshot(line, snapshot.Wanted(repos=(target,), limit=1))
    lane = seen["serial_gate"]["per_repo"][target]
    why = f": {lane['frozen_reason']}" if lane["frozen_reason"] else ""
    return f"{target} is frozen{why}." if lane["frozen"] else f"{target} is not frozen."


def _agent(known: dict[str, Any]) -> str:
    until = known["suspended_until"]
    name = known["agent"]
    return f"{name} is suspended until {until:%H:%M} UTC." if until else f"{name} may work."
