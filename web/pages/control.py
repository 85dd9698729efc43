"""One control: a form, then what it would do, then the deed; each step a page of its own.

Without JavaScript these are plain pages. With it the same pages appear in a dialog.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from flask import Response, redirect, request
from pydantic import Field
from werkzeug.wrappers import Response as Answer

from orch import agents, controls, names, preview
from orch.controls import Order
from orch.errors import BadInput, OrchError
from web import problems
from web.given import Given
from web.pages import done, frame, words
from web.pages.frame import PAGES
from web.routes import Call

Verb = Literal[
    "pause",
    "resume",
    "freeze",
    "unfreeze",
    "promote",
    "cancel",
    "retry",
    "approve",
    "reject",
    "answer",
    "depend",
    "undepend",
    "suspend_agent",
    "resume_agent",
]
ABOUT: Final[dict[str, tuple[str, str]]] = {
    "pause": ("Pause", "It gives up its place in the line; those that depend on it still wait."),
    "resume": ("Resume", "It goes back into the line: next, not beside."),
    "freeze": ("Freeze", "Nothing starts or lands in this repo until somebody lifts it."),
    "unfreeze": ("Unfreeze", "What waits for the freeze alone may start again."),
    "promote": ("Promote", "It moves to the front of those that have not started."),
    "cancel": ("Cancel", "It ends for good, and those that depend on it no longer wait for it."),
    "retry": ("Retry", "Its stage is tried again, now."),
    "approve": ("Approve", "It leaves the stage whose approval it waits for."),
    "reject": ("Send back", "Its stage is done again; its agent reads what you write."),
    "answer": ("Answer", "Its stage is done again; its agent reads what you write."),
    "depend": ("Let wait", "It starts after the other task is over."),
    "undepend": ("Free", "It no longer waits for the other task."),
    "suspend_agent": ("Suspend", "It gets nothing new to do; what runs goes on."),
    "resume_agent": ("Resume", "What waits for it may start."),
}
"""Every control: the word of its button, and what it means."""
_Text = Annotated[str, Field(max_length=20_000)]
_Name = Annotated[str, Field(max_length=300)]
LONG: Final = 2000


class Asked(Given):
    """Which control, of what, and where to go afterwards."""

    verb: Verb
    target: _Name = ""
    on: _Name = ""
    back: Annotated[str, Field(max_length=LONG)] = ""


class Filled(Asked):
    """The form as it was filled in; checked only when it is used, so that no typed word is lost."""

    reason: _Text = ""
    until: _Name = ""
    allow: _Name = ""
    now: _Name = ""
    step: Literal["preview", "edit", "confirm"] = "preview"


class Pressed(Given):
    """The same as a button of a list sends it: `do` is verb, target and, the other task."""

    do: Annotated[str, Field(max_length=700)]
    back: Annotated[str, Field(max_length=LONG)] = ""


@PAGES.add("GET", "/ui/do", "operator", Pressed)
def pressed(call: Call[Pressed]) -> Answer:
    """The way from a button of a list to the form of its control."""
    verb, target, on, *_ = [*call.given.do.split(" "), "", ""]
    given = {"verb": verb, "target": target, "on": on, "back": call.given.back}
    return redirect(f"/ui/control?{words.query(given)}", 303)


@PAGES.add("GET", "/ui/control", "operator", Asked)
def control(call: Call[Asked]) -> Response:
    """The form of one control."""
    return _form(call, Filled(**call.given.model_dump()))


@PAGES.add("POST", "/ui/control", "operator", Filled, "form")
def controlled(call: Call[Filled]) -> Answer:
    """What a control would do, and on the second step the deed."""
    asked = call.given
    if asked.step == "edit":
        return _form(call, asked)
    try:
        if asked.step == "confirm":
            changed = bool(_carried_out(call)["changed"])
        else:
            seen = _previewed(call)
            return _show(call, "control_preview.html", asked, seen=seen, groups=grouped(seen))
    except OrchError as error:
        return _form(call, asked, error)
    response = redirect(back_to(asked.back), 303)
    done.note(response, asked.verb, asked.target, changed, secure=request.is_secure)
    return response


def back_to(address: str) -> str:
    """Where to go after a control: a page of ours, whatever was asked for."""
    plain = address.isascii() and address.isprintable() and "\\" not in address
    return address if plain and address.startswith("/ui/") and "//" not in address else "/ui/line"


def grouped(seen: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The changes of a preview by kind: what starts, what could, what begins to wait, what else."""
    heads = {"starts": "Start", "held": "Only lack a slot or a worker"}
    heads |= {"begins_waiting": "Begin to wait"}
    kinds: dict[str, list[dict[str, Any]]] = {head: [] for head in heads.values()}
    kinds["Change otherwise"] = []
    for change in seen["changes"]:
        known = (head for kind, head in heads.items() if change["work_item_id"] in seen[kind])
        kinds[next(known, "Change otherwise")].append(change)
    return [(head, found) for head, found in kinds.items() if found]


def _form(call: Call[Any], asked: Filled, error: OrchError | None = None) -> Response:
    status, said = 200, None
    if error is not None:
        status = problems.status_of(error)
        known = status < 500
        said = {
            "text": error.message if known else (type(error).__doc__ or "").splitlines()[0],
            "fix": error.suggested_fix,
            "field": error.facts.get("field", ""),
        }
    return _show(call, "control.html", asked, status, said=said)


def _show(
    call: Call[Any], template: str, asked: Filled, status: int = 200, **facts: Any
) -> Response:
    word, meaning = ABOUT[asked.verb]
    facts |= {"asked": asked, "word": word, "meaning": meaning, "goes_back": back_to(asked.back)}
    facts |= {"note": controls.SAID.get(asked.verb), "past": done.PAST[asked.verb]}
    return frame.show(call, template, status=status, **facts)


def _until(call: Call[Filled]) -> datetime | None:
    return names.moment(call.given.until.strip(), "until", call.desk.clock())


def _order(call: Call[Filled]) -> Order:
    asked = call.given
    return Order(
        asked.verb,
        asked.target.strip(),
        reason=asked.reason.strip(),
        until=_until(call),
        now=bool(asked.now),
        allow=asked.allow.strip() or None,
        on=asked.on.strip() or None,
        **call.holder.signing,
    )


def _previewed(call: Call[Filled]) -> dict[str, Any]:
    asked = call.given
    if asked.verb not in controls.VERBS:
        return preview.of_agent(call.desk.line, _agent_order(call))
    if asked.verb in ("depend", "undepend") and not asked.on.strip():
        raise BadInput("Say which work item comes first.", field="on")
    return preview.preview(call.desk.line, _order(call))


def _carried_out(call: Call[Filled]) -> dict[str, Any]:
    if call.given.verb not in controls.VERBS:
        return agents.carry_out(call.desk.line, _agent_order(call))
    return controls.carry_out(call.desk.line, _order(call))


def _agent_order(call: Call[Filled]) -> agents.Order:
    asked = call.given
    return agents.Order(
        asked.verb.removesuffix("_agent"),
        asked.target,
        reason=asked.reason,
        until=_until(call),
        **call.holder.signing,
    )
