"""The ledger for people: who did what, when, why, before and after; filtered, paged, exported."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from flask import Response, current_app
from pydantic import BeforeValidator, Field

from orch import events
from orch.errors import BadInput
from orch.names import shown
from web import values
from web.given import Given
from web.pages import frame
from web.pages.frame import PAGES
from web.routes import Call

PAGE: Final = 100
COLUMNS: Final = (
    "id", "at", "kind", "work_item_id", "repo", "actor", "reason", "from_state", "to_state",
    "job_id", "data",
)  # fmt: skip
RISKY: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def _blank(value: object) -> object:
    """An empty field of a form is a filter that was not set."""
    return value if value != "" else None


def _moment(value: object) -> object:
    """A day, or a time of a day; without a zone it is UTC."""
    text = _blank(value)
    if not isinstance(text, str):
        return text
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadInput(
            f"“{shown(text)}” is not a day or a time.",
            suggested_fix="Use 2026-12-24 or 2026-12-24T18:00, in UTC.",
        ) from None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


class Filters(Given):
    """What is looked for in the ledger; all of it stands in the address."""

    work_item: Annotated[values.WorkItem | None, BeforeValidator(_blank)] = None
    repo: Annotated[values.Repo | None, BeforeValidator(_blank)] = None
    kind: Annotated[values.Kind | None, BeforeValidator(_blank)] = None
    actor: Annotated[values.Actor | None, BeforeValidator(_blank)] = None
    since: Annotated[values.Moment | None, BeforeValidator(_moment)] = None
    until: Annotated[values.Moment | None, BeforeValidator(_moment)] = None
    text: Annotated[values.Words | None, BeforeValidator(_blank)] = None
    before: Annotated[values.Id | None, BeforeValidator(_blank)] = Field(
        None, description="Look further back than this event."
    )


@PAGES.add("GET", "/ui/ledger", "viewer", Filters)
def ledger(call: Call[Filters]) -> Response:
    """The ledger, newest first, a page at a time."""
    return frame.live(call, "ledger.html", lambda: _facts(call))


@PAGES.add("GET", "/ui/ledger.csv", "viewer", Filters)
def as_csv(call: Call[Filters]) -> Response:
    """Everything that the filters let through, for a spreadsheet."""
    return _export(call, "csv", "text/csv; charset=utf-8", csv_lines)


@PAGES.add("GET", "/ui/ledger.jsonl", "viewer", Filters)
def as_json_lines(call: Call[Filters]) -> Response:
    """Everything that the filters let through, one JSON object a line."""
    encode = current_app.json.dumps  # as `GET /events` has them; there is no app while it is sent

    def lines(batch: Iterable[Mapping[str, Any]], with_head: bool) -> str:  # noqa: ARG001
        return "".join(f"{encode(event)}\n" for event in batch)

    return _export(call, "jsonl", "application/jsonl; charset=utf-8", lines)


def _wanted(filters: Filters, limit: int) -> events.Wanted:
    return events.Wanted(**dict(filters), limit=limit)


def _facts(call: Call[Filters]) -> dict[str, Any]:
    given = call.given
    found = events.search(call.desk.line, _wanted(given, PAGE))
    chosen = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in given.model_dump(exclude={"before"}).items()
    }
    return {"found": found, "chosen": chosen, "is_first": given.before is None}


Write = Callable[[Iterable[Mapping[str, Any]], bool], str]


def _export(call: Call[Filters], ending: str, content_type: str, write: Write) -> Response:
    """A batch at a time, as one of the few streams: nothing is kept, nothing is held open."""
    batches = events.everything(call.desk.line, _wanted(call.given, events.BATCH))
    encoded = _encoded(batches, write)
    first = [next(encoded, None)]  # what is wrong is a page, not the end of a file
    response = call.desk.streams.response(
        lambda: first.pop() if first else next(encoded, None), content_type, call.may
    )
    response.headers["Content-Disposition"] = f'attachment; filename="orch-ledger.{ending}"'
    return response


def _encoded(batches: Iterator[list[dict[str, Any]]], write: Write) -> Iterator[bytes]:
    """Never an empty chunk but at the end: to a stream that means that there is nothing yet."""
    is_first = True
    for batch in batches:
        if said := write(batch, is_first):
            yield said.encode()
        is_first = False


def csv_lines(batch: Iterable[Mapping[str, Any]], with_head: bool) -> str:
    """Events as lines of CSV; no cell of them is a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    if with_head:
        writer.writerow(COLUMNS)
    for event in batch:
        writer.writerow([_cell(event[name]) for name in COLUMNS])
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
    return f"'{text}" if text.startswith(RISKY) else text
