"""What a forge's service shows of a task: the text of its pull request, and orch's checks.

Orch's own words are facts. Whatever a tracker or an agent said is shown as plain text in a block,
where it calls nobody and closes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

import structlog

from orch import names, stages
from orch.errors import GitError
from orch.outcomes import Decision
from orch.place import Place, Seen
from orch.ports import Mark, MarkState, Showing
from orch.pull_text import inert, quoted
from orch.store.recall import Past
from orch.store.session import Row

log = structlog.get_logger(__name__)

RETEST: Final = "orch/re-test"
"""The name under which the test on the newest default branch is shown."""
SAID_LIMIT: Final = 200
DESCRIPTION_LIMIT: Final = 4000
_PASSED: Final = ("advance", "approve")
_FAILED: Final = ("rework", "retry", "park")


def showing(place: Place, past: Past, *marks: Mark) -> Showing | None:
    """What is shown with the next offer; None where no service shows anything."""
    if not place.plan.shown:
        return None
    task = place.turn.task
    ready = place.stage in stages.LANDING
    linked = tuple(replace(mark, link=mark.link or _page(place)) for mark in marks)
    return Showing(str(task["title"]), _text(place, task, past), ready, linked)


def _page(place: Place) -> str:
    """The task's own page; empty without a public address."""
    item = quote(str(place.turn.task["work_item_id"]))
    return f"{place.plan.web_url}/ui/tasks/{item}" if place.plan.web_url else ""


def retest(state: MarkState, said: str) -> Mark:
    """How the test on the newest default branch stands."""
    return Mark(RETEST, state, names.cleaned(said, SAID_LIMIT))


def show_end(place: Place, past: Past, seen: Seen, decision: Decision) -> None:
    """Show what orch made of a stage. A service that cannot show it is no reason to lose a turn."""
    if not place.plan.shown or not seen.offered or decision.next not in (*_PASSED, *_FAILED):
        return
    passed = decision.next in _PASSED
    mark = Mark(
        f"orch/{place.stage}",
        "passed" if passed else "failed",
        names.cleaned(decision.reason or seen.result.summary, SAID_LIMIT),
    )
    try:
        with place.kept():
            place.shop.forge.offer(seen.cut, seen.offered, showing(place, past, mark))
    except GitError as error:
        told = {"repo": seen.cut.remote.repo, "work_item_id": seen.cut.work_item}
        log.warning("forge.not_shown", **told, error=error.message)


def _text(place: Place, task: Mapping[str, Any], past: Past) -> str:
    item = str(task["work_item_id"])
    lines = [
        f"orch works on `{item}`. It pushes to this branch and merges it by itself once it is "
        "tested on the newest default branch: please do not push here. To stop it, close this "
        f"pull request, or pause the task: `orch pause {item}`.",
        "",
        f"Now at: {place.stage}.",
    ]
    passed = {job["stage"]: job for job in reversed(past.jobs) if job["status"] == "succeeded"}
    lines += [f"- {stage}: {_told(passed[stage])}" for stage in stages.STAGES if stage in passed]
    if task["description"]:
        lines += ["", "The work item says:", "", quoted(task["description"], DESCRIPTION_LIMIT)]
    return "\n".join(lines)


def _told(job: Row) -> str:
    summary = inert(str(job["summary"] or ""), SAID_LIMIT).replace("`", "'")
    return f"{job['verdict'] or 'done'}, `{summary}`" if summary else str(job["verdict"] or "done")
