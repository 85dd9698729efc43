"""A repo's page: who holds it and who waits, what landed, how main is, what holds for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flask import Response

from orch import in_force, repo_story
from web import values
from web.given import Given
from web.pages import frame
from web.pages.frame import PAGES
from web.routes import Call

SHORTEST: Final = 8.0
"""Width of the bar of the quickest landing, of a hundred: none is invisible."""


class OfRepo(Given):
    """Which repo."""

    repo: values.Repo


@dataclass(frozen=True)
class Landed:
    """A landing as a bar: its length is how long it took."""

    job: Mapping[str, Any]
    seconds: float
    width: float
    kind: str


@PAGES.add("GET", "/ui/repos/<path:repo>", "viewer", OfRepo)
def repo(call: Call[OfRepo]) -> Response:
    """Everything about one repo."""
    return frame.live(call, "one_repo.html", lambda: _facts(call))


def _facts(call: Call[OfRepo]) -> dict[str, Any]:
    name = call.given.repo
    found = repo_story.about(call.desk.line, name)
    # Commands may hold what only those who run the line should read.
    told = in_force.of_table(call.desk.settings, "repos", name)
    return {
        **found,
        "bars": landed(found["landings"]),
        "settings": told if call.holder.may("operator") else [],
        "configured": bool(told),
    }


def landed(landings: Sequence[Mapping[str, Any]]) -> list[Landed]:
    """Landings as bars on one scale."""
    timed = [
        (job, (job["finished_at"] - (job["started_at"] or job["finished_at"])).total_seconds())
        for job in landings
    ]
    longest = max([seconds for _, seconds in timed], default=0.0) or 1.0
    return [
        Landed(
            job,
            seconds,
            round(SHORTEST + (100 - SHORTEST) * seconds / longest, 1),
            "good" if job["status"] == "succeeded" else "bad",
        )
        for job, seconds in timed
    ]
