"""What if: the line played forward on a copy, as a form and a Gantt."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from flask import Response
from pydantic import Field, ValidationError

from orch import stages
from orch.errors import BadInput, OrchError
from orch.simulation.plan import SWITCHES
from web import api, problems, values
from web.given import Given
from web.pages import frame
from web.pages.bars import Bar, Scale
from web.pages.frame import PAGES
from web.routes import Call

DRAWN: Final = 200
"""Tasks drawn; the JSON has all of them."""
TURNS: Final = 500
"""Turns listed one by one."""
LONGEST: Final = {
    "control": 540, "slots": 70, "duration": 80, "switch": 50, "repo": 140, "seed": 20
}  # fmt: skip
"""Characters of each field. All of them stand in the address, where one may take nine; a line of a
request has `serve.REQUEST_LINE`."""


class Asked(Given):
    """What is to be tried, as it was typed: it stands in the address, so it can be passed on."""

    control: Annotated[str, Field(max_length=LONGEST["control"])] = ""
    slots: Annotated[str, Field(max_length=LONGEST["slots"])] = ""
    duration: Annotated[str, Field(max_length=LONGEST["duration"])] = ""
    switch: Annotated[str, Field(max_length=LONGEST["switch"])] = ""
    repo: Annotated[str, Field(max_length=LONGEST["repo"])] = ""
    seed: Annotated[str, Field(max_length=LONGEST["seed"])] = ""
    go: Annotated[str, Field(max_length=1)] = ""


@dataclass(frozen=True)
class Row:
    """One task in the Gantt."""

    task: Mapping[str, Any]
    bars: tuple[Bar, ...]
    turns: int
    running: bool
    """Whether it is at work already."""


@PAGES.add("GET", "/ui/simulate", "viewer", Asked)
def simulate(call: Call[Asked]) -> Response:
    """Who would start when, under changed controls, slots or rules."""
    facts: dict[str, Any] = {"asked": call.given, "found": None, "said": None}
    facts |= {"agents": stages.AGENTS, "switches": SWITCHES, "longest": LONGEST}
    if not call.given.go:
        return frame.show(call, "simulate.html", **facts)
    try:
        found = api.simulate(Call(call.desk, wanted(call.given), call.holder))
    except OrchError as error:
        status = problems.status_of(error)
        if status >= 500:
            raise
        said = {**facts, "said": {"text": error.message, "fix": error.suggested_fix}}
        return frame.show(call, "simulate.html", status=status, **said)
    facts |= {"found": found, "rows": drawn(found), "turns": found["rows"][:TURNS]}
    return frame.show(call, "simulate.html", **facts)


def wanted(asked: Asked) -> values.Simulate:
    """The typed words as the call takes them. Raises BadInput."""
    try:
        return values.Simulate.model_validate(
            {
                "control": [line for line in asked.control.splitlines() if line.strip()],
                **{
                    name: [word for word in re.split(r"[\s,]+", getattr(asked, name)) if word]
                    for name in ("slots", "duration", "switch", "repo")
                },
                "seed": asked.seed.strip() or None,
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise BadInput(f"{field}: {first['msg']}.", field=field) from None


def drawn(found: Mapping[str, Any]) -> list[Row]:
    """The tasks that start or run, first come first, each with its turns as bars."""
    turns: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in found["rows"]:
        turns[row["work_item_id"]].append(row)
    if found["drained_at"] is None:
        return []
    scale = Scale(found["generated_at"], found["drained_at"])
    known = {task["work_item_id"]: task for task in found["tasks"]}
    return [
        Row(
            known[item],
            tuple(
                scale.bar(each["starts_at"], each["ends_at"], kind_of(number), each["stage"])
                for number, each in enumerate(its)
            ),
            len(its),
            bool(its[0]["running"]),
        )
        for item, its in list(turns.items())[:DRAWN]
        if item in known
    ]


def kind_of(number: int) -> str:
    """Turns that follow one another look different, so that each is seen."""
    return "work" if number % 2 == 0 else "work other"
