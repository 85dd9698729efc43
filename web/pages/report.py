"""Where did the time go: the waiting ledger as bars, with the numbers beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from flask import Response
from pydantic import BeforeValidator, Field

from orch import reports
from web import api, values
from web.given import Given
from web.pages import frame
from web.pages.frame import PAGES
from web.pages.task import Share
from web.routes import Call

SPANS: Final = (("-1d", "a day"), ("-7d", "a week"), ("-4w", "four weeks"), ("-13w", "a quarter"))
TOP: Final = 15


class Asked(Given):
    """Which part of the ledger is asked for."""

    repo: Annotated[
        values.Repo | None, BeforeValidator(lambda value: value if value != "" else None)
    ] = None
    since: Annotated[str, Field(max_length=40, description="-7d, -4w, or a time.")] = "-4w"


@dataclass(frozen=True)
class Told:
    """One row: what it is about, its parts, and how much of the longest row it is."""

    row: Mapping[str, Any]
    shares: tuple[Share, ...]


@PAGES.add("GET", "/ui/report", "viewer", Asked)
def report(call: Call[Asked]) -> Response:
    """Where the tasks' time went: by reason, repo, stage, week and task."""
    return frame.live(call, "report.html", lambda: _facts(call))


def _facts(call: Call[Asked]) -> dict[str, Any]:
    given = call.given
    wanted = values.Report(
        repo=(given.repo,) if given.repo else (), since=given.since or None, top=TOP
    )
    found = api.report(Call(call.desk, wanted, call.holder))
    return {
        "found": found,
        "given": given,
        "choices": SPANS,
        "whole": parts(found["by_reason"], found["seconds"]),
        "weeks": rows(found["by_week"]),
        "groups": [
            ("Repos", "repo", rows(found["by_repo"])),
            ("Stages", "stage", rows(found["by_stage"])),
            ("Tasks", "task", rows(found["by_task"])),
        ],
    }


def parts(by_reason: Sequence[Mapping[str, Any]], longest: float) -> tuple[Share, ...]:
    """Seconds by reason as the parts of a bar, a thousand wide for the longest."""
    found, x = [], 0.0
    for row in by_reason:
        width = 1000 * row["seconds"] / (longest or 1.0)
        percent = 100 * row["share"]
        said = reports.REASONS[row["reason"]][1]
        bar = (row["seconds"], round(x, 1), round(width, 1), percent)
        found.append(Share(row["reason"], said, *bar))
        x += width
    return tuple(found)


def rows(grouped: Sequence[Mapping[str, Any]]) -> list[Told]:
    """Rows as bars on one scale, each made of its reasons in the order of the legend."""
    longest = max((row["seconds"] for row in grouped), default=0.0)
    return [Told(row, parts(_reasons(row), longest)) for row in grouped]


def _reasons(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    whole = row["seconds"] or 1.0
    return [
        {"reason": reason, "seconds": seconds, "share": seconds / whole}
        for reason in reports.REASONS
        if (seconds := row["reasons"].get(reason))
    ]
