"""The line: a lane for each repo, in the order the gate would admit; controls of many at once."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import parse_qsl

from flask import Response
from pydantic import BeforeValidator, Field, ValidationError

from orch import bulk, head_watch, names, snapshot, stages
from orch.bulk import Several
from orch.errors import BadInput, OrchError
from orch.snapshot import Only
from web import problems
from web.given import Given
from web.pages import control, done, frame, words
from web.pages.frame import PAGES
from web.routes import Call

LANES: Final = 20
"""Lanes on a page."""
ROWS: Final = 25
"""Waiting rows of each lane, unless one repo is looked at."""
MOST: Final = 500
"""Rows on a page, however they are spread over lanes."""
REASONS: Final = {
    "running": "runs",
    "open": "may start",
    **{name: words.chip(name)[1] for name in snapshot.REASONS if name not in ("running", "open")},
}
"""What the filter can ask for, and its word."""


def _line(field: str, limit: int) -> BeforeValidator:
    def checked(value: object) -> object:
        """What a form sends for a field that was left empty is nothing."""
        blank = value is None or (isinstance(value, str) and not value.strip())
        # PostgreSQL has no character zero, so what the store is asked for holds none.
        return None if blank else names.line(value, field, limit)

    return BeforeValidator(checked)


Repo = Annotated[str | None, _line("repo", 201)]
Stage = Annotated[str | None, _line("stage", 32)]
Reason = Annotated[str | None, _line("reason", 32)]


class Filters(Given):
    """Which tasks are shown; all of it stands in the address."""

    repo: Repo = None
    stage: Stage = None
    reason: Reason = None
    q: Annotated[str, BeforeValidator(lambda value: names.line(value, "q", 200))] = ""
    page: Annotated[int, Field(ge=1, le=10_000)] = 1
    rows: Annotated[int, Field(ge=0, le=MOST)] = 0

    @property
    def only(self) -> Only:
        """The same as the store asks for it."""
        return Only(self.repo, self.stage, self.reason, self.q.strip())

    @property
    def kept(self) -> dict[str, Any]:
        """What a link to another page of the same has to carry."""
        return {"repo": self.repo, "stage": self.stage, "reason": self.reason, "q": self.q.strip()}


@PAGES.add("GET", "/ui/line", "viewer", Filters)
def line(call: Call[Filters]) -> Response:
    """Every lane: who holds the repo, who waits and why, who is parked."""
    return frame.live(call, "line.html", lambda: facts(call))


def facts(call: Call[Filters]) -> dict[str, Any]:
    """What the page shows."""
    asked, line = call.given, call.desk.line
    alone = asked.repo is not None
    skip = 0 if alone else (asked.page - 1) * LANES
    names, more = snapshot.lanes_page(line, asked.only, skip, LANES)
    each = min(asked.rows or (4 * ROWS if alone else ROWS), MOST // max(1, len(names)))
    passed = (asked.page - 1) * each if alone else 0
    wanted = snapshot.Wanted(tuple(names), each, asked.only, passed)
    seen = snapshot.snapshot(line, wanted)
    lanes = seen["serial_gate"]["per_repo"]
    return {
        "asked": asked,
        "degraded": seen["degraded"],
        "agents": seen["agents"],
        "lanes": {name: _lane(lanes[name], passed + each) for name in names},
        "late": head_watch.late(line),
        "passed": passed,
        "more_lanes": more,
        "matching": bulk.count(line, asked.only) if call.holder.may("operator") else 0,
        "limits": {name: known.timeout for name, known in call.desk.settings.agents.items()},
        "stages": stages.TRACKS["full"],
        "reasons": REASONS,
        "filter": words.query(asked.kept),
        "verbs": bulk.VERBS,
    }


def _lane(lane: dict[str, Any], shown: int) -> dict[str, Any]:
    """A lane as it is drawn: a parked task stands apart, whatever else holds it as well."""
    in_line = [entry for entry in lane["waiting"] if not _is_parked(entry)]
    ids = {entry["task_id"] for entry in in_line}
    head = lane["active_task"]
    idle = head is not None and not head["live"] and head["job_id"] is None
    return {
        **lane,
        "in_line": in_line,
        "idle": head if idle and head["task_id"] not in ids else None,
        "left": max(0, lane["listed_total"] - shown),
    }


def _is_parked(entry: dict[str, Any]) -> bool:
    return any(blocker["clause"] == "paused" for blocker in entry["blockers"])


# --- many at once -----------------------------------------------------------------------------


class Many(Given):
    """Which tasks, which control, and how far it has got."""

    many: ClassVar[frozenset[str]] = frozenset({"item"})
    verb: Literal["pause", "resume", "retry", "cancel"]
    item: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=3000)] = ()
    whole: Annotated[str, Field(max_length=10)] = ""
    filter: Annotated[str, Field(max_length=2000)] = ""
    reason: Annotated[str, Field(max_length=20_000)] = ""
    step: Literal["ask", "confirm"] = "ask"


@PAGES.add("POST", "/ui/bulk", "operator", Many, "form")
def many(call: Call[Many]) -> Response:
    """A control of many tasks: what it would do, and when that was confirmed, what it did."""
    asked = call.given
    back = f"/ui/line?{asked.filter}" if asked.filter else "/ui/line"
    shown: dict[str, Any] = {
        "asked": asked,
        "goes_back": control.back_to(back),
        "limit": bulk.LIMIT,
    }
    shown |= {"word": control.ABOUT[asked.verb][0], "past": done.PAST[asked.verb]}
    try:
        items, total = _items(call)
        several = Several(asked.verb, items, asked.reason.strip(), **call.holder.signing)
        shown |= {"items": items, "total": total}
        if asked.step == "confirm":
            ends = bulk.carry_out(call.desk.line, several)
            return frame.show(call, "bulk_done.html", **shown, **_counted(ends))
        seen = _of_others(asked.verb, bulk.previewed(call.desk.line, several), items)
    except BadInput as error:
        return _refused(call, shown, error)
    groups = control.grouped(seen)
    return frame.show(
        call, "bulk.html", **shown, seen=seen, groups=groups, **_counted(seen["ends"])
    )


def _of_others(verb: str, seen: dict[str, Any], items: tuple[str, ...]) -> dict[str, Any]:
    """A preview without those that no longer wait for anything because they were asked not to."""
    if verb not in ("pause", "cancel"):
        return seen
    own = set(items)
    return {
        **seen,
        "changes": [each for each in seen["changes"] if each["work_item_id"] not in own],
    }


def _refused(call: Call[Many], shown: dict[str, Any], error: OrchError) -> Response:
    said = f"{error.message} {error.suggested_fix}"
    status = problems.status_of(error)
    return frame.show(call, "bulk_refused.html", status=status, **shown, said=said)


def _items(call: Call[Many]) -> tuple[tuple[str, ...], int]:
    """The work items that are meant, and how many match where that is more than can be done."""
    asked = call.given
    if not asked.whole:
        items = tuple(dict.fromkeys(asked.item))
        return items, len(items)
    try:
        filters = Filters.model_validate(dict(parse_qsl(asked.filter)))
    except ValidationError:
        raise BadInput("The filter cannot be used.", field="filter") from None
    found = bulk.matching(call.desk.line, filters.only)
    return tuple(found["items"]), found["total"]


def _counted(ends: list[dict[str, Any]]) -> dict[str, Any]:
    kinds: dict[str, list[dict[str, Any]]] = {"done": [], "unchanged": [], "refused": []}
    for end in ends:
        kinds[end["outcome"]].append(end)
    return {"ends": ends, "kinds": kinds}
