"""A task's own page: why it waits, its story, its attempts, what it changes, who did what to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from flask import Response

from orch import changes, estimates, events, job_log, listing, spans, stages, story
from orch.errors import NotFound
from web import values
from web.given import Given
from web.pages import frame, words
from web.pages.bars import Bar, Scale
from web.pages.frame import PAGES
from web.pages.words import Way
from web.routes import Call

AUDIT: Final = 100
"""Events shown on the page; the ledger has all of them."""
DRAWN: Final = 60
"""Attempts drawn and listed; the story as JSON has all of them."""
LIVE: Final = ("claimed", "running")


@PAGES.add("GET", "/ui/tasks/<work_item>", "viewer", values.OfTask)
def task(call: Call[values.OfTask]) -> Response:
    """Everything about one task."""
    return frame.live(call, "one_task.html", lambda: _facts(call))


@PAGES.add("GET", "/ui/tasks/<work_item>/json", "viewer", values.OfTask)
def raw(call: Call[values.OfTask]) -> dict[str, Any]:
    """The same for a program: what `GET /tasks/<work_item>/story` answers."""
    return story.story(call.desk.line, call.given.work_item)


class OfChange(values.OfTask):
    """Whose change: the task's newest, or that of one of its attempts."""

    job: values.Id | None = None


@PAGES.add("GET", "/ui/tasks/<work_item>/diff", "viewer", OfChange)
def diff(call: Call[OfChange]) -> Response:
    """What a task changes against its base."""
    given = call.given
    shown = changes.of_task(call.desk.line, call.desk.changes, given.work_item, given.job)
    return frame.show(call, "diff.html", work_item=given.work_item, shown=shown, job_id=given.job)


class OfJob(Given):
    """One job."""

    job_id: values.Id


@PAGES.add("GET", "/ui/jobs/<job_id>/prompt", "viewer", OfJob)
def prompt(call: Call[OfJob]) -> Response:
    """What the agent of a job was told, as it was sent."""
    desk, job_id = call.desk, call.given.job_id
    found = job_log.prompt(desk.line, desk.data_dir, job_id)
    if found is None:
        raise NotFound(
            f"The prompt of job {job_id} is not on this machine.",
            suggested_fix="It is kept beside the log, on the machine of the job's worker.",
        )
    text, whole = found
    return frame.show(
        call, "prompt.html", job=job_log.facts(desk.line, job_id), text=text, whole=whole
    )


def _facts(call: Call[values.OfTask]) -> dict[str, Any]:
    line, item = call.desk.line, call.given.work_item
    told = story.story(line, item)
    known = listing.task(line, item)
    audit = events.page(line, events.Wanted(work_item=item, limit=AUDIT))
    changed = {job["job_id"] for job in told["jobs"] if changes.span_of(job["report"])}
    of_task = told["commits"]["base_sha"] and told["commits"]["head_sha"]
    return {
        "told": told,
        "task": told["task"],
        "shown_as": shown_as(told),
        "eta": _eta(call, told),
        "changed": changed,
        "has_change": bool(changed or of_task),
        "live": next((job for job in told["jobs"][::-1] if job["status"] in LIVE), None),
        "ways": list(ways(told)),
        "rows": drawn(told)[-DRAWN:],
        "attempts": told["jobs"][-DRAWN:],
        "spent": spent(told),
        "reasons": spans.REASONS,
        "depends_on": known["depends_on"],
        "dependents": known["dependents"],
        "audit": audit["events"],
        "more_audit": audit["before"] is not None,
        "links": list(links(call, told["task"], told["commits"], told["pull"])),
    }


def shown_as(told: Mapping[str, Any]) -> str:
    """The chip of a task: one that is paused does not wait, though a job of it is queued."""
    state: str = told["state"]
    is_out = told["task"]["paused_at"] is not None and state in ("waiting", "parked")
    first: Mapping[str, Any] = next(iter(told["blockers"]), {})
    return words.parked(first.get("clear_with")) if is_out else state


def _eta(call: Call[values.OfTask], told: Mapping[str, Any]) -> dict[str, Any] | None:
    """When it is likely to start and to be done, if that can be told without being waited for."""
    line, task = call.desk.line, told["task"]
    if told["state"] in stages.TERMINAL:
        return None
    item = task["work_item_id"]
    # Nothing else of the line makes it new: an estimate is worth less than what it costs.
    key = (item, told["state"], task["stage"], told["sentence"])
    found: dict[str, Any] | None = call.desk.estimate(key, lambda: estimates.why(line, item)["eta"])
    return found


def ways(told: Mapping[str, Any]) -> Iterator[Way]:
    """The controls that make sense in the task's state, what takes it on first."""
    task, state = told["task"], told["state"]
    item = task["work_item_id"]
    if state in stages.TERMINAL:
        return
    clauses = {blocker["clause"] for blocker in told["blockers"]}
    clearing = " ".join(str(blocker["clear_with"]) for blocker in told["blockers"])
    if state == "parked" and "orch approve" in clearing:
        yield Way("approve", item, "Approve")
        yield Way("reject", item, "Send back")
    elif state == "parked" and "orch answer" in clearing:
        yield Way("answer", item, "Answer")
    elif task["paused_at"] is not None:
        yield Way("resume", item, "Resume")
    else:
        yield Way("pause", item, "Pause")
    in_line = state == "waiting" and task["paused_at"] is None
    if in_line and task["stage"] in stages.BEFORE_OR_AT_ENTRY:
        yield Way("promote", item, "Promote")
    if state == "idle" or "backoff" in clauses:
        yield Way("retry", item, "Retry")
    yield Way("cancel", item, "Cancel")


@dataclass(frozen=True)
class Row:
    """One line of the drawing: what it is about, its bars, and the same in numbers."""

    label: str
    about: str
    bars: tuple[Bar, ...]
    since: datetime | None
    seconds: float
    goes_on: bool = False


def drawn(told: Mapping[str, Any]) -> list[Row]:
    """The story as rows of bars: each attempt, waiting and working, and what held the task."""
    begin = told["task"]["created_at"]
    end = max(begin, _end(told))
    scale = Scale(begin, end)
    rows = [_of_job(job, scale) for job in told["jobs"]]
    rows += [
        Row(
            spans.REASONS[held["why"]],
            " · ".join(part for part in (held["by"], held["reason"]) if part),
            scale.bars([(held["since"], held["until"], held["why"], held["why"])]),
            held["since"],
            held["seconds"],
            held["until"] is None,
        )
        for held in told["held"]
    ]
    return sorted(rows, key=lambda row: row.since or begin)


def _end(told: Mapping[str, Any]) -> datetime:
    """When the drawing ends: now, or with the task."""
    moments: list[datetime] = [job["finished_at"] for job in told["jobs"] if job["finished_at"]]
    if told["state"] not in stages.TERMINAL:
        moments = [told["generated_at"]]
    moments.append(told["task"]["finished_at"] or told["task"]["created_at"])
    return max(moments)


def _of_job(job: Mapping[str, Any], scale: Scale) -> Row:
    waited = (job["queued_at"], job["claimed_at"] or job["finished_at"], "line", "waited")
    worked = (job["claimed_at"], job["finished_at"], "work", "worked")
    label = f"{job['stage'] or 'job'}, attempt {job['attempt']}"
    seconds = job["waited_seconds"] + job["worked_seconds"]
    goes_on = job["finished_at"] is None
    bars = scale.bars([waited, worked])
    return Row(label, str(job["agent"]), bars, job["queued_at"], seconds, goes_on)


@dataclass(frozen=True)
class Share:
    """A part of a whole: for a bar of parts, and in numbers."""

    kind: str
    said: str
    seconds: float
    x: float
    width: float
    percent: float


def spent(told: Mapping[str, Any]) -> list[Share]:
    """Where the task's time went, as parts of a bar."""
    whole = sum(told["spent"].values()) or 1.0
    found, x = [], 0.0
    for why, seconds in told["spent"].items():
        width = round(1000 * seconds / whole, 1)
        percent = 100 * seconds / whole
        found.append(Share(why, spans.REASONS[why], seconds, round(x, 1), width, percent))
        x += 1000 * seconds / whole
    return found


def links(
    call: Call[Any],
    task: Mapping[str, Any],
    commits: Mapping[str, str | None],
    pull: Mapping[str, Any] | None,
) -> Iterator[tuple[str, str]]:
    """The task's pages at the tracker and the forge, where the settings say how they are found."""
    settings = call.desk.settings
    item = task["work_item_id"]
    if settings.work_item_url:
        yield settings.work_item_url.replace("{work_item}", quote(item, safe="")), "Tracker"
    known = settings.repos.get(task["repo"])
    if pull and pull["url"]:
        yield pull["url"], f"Pull request #{pull['number']}"
    if known is None:
        return
    if known.branch_url:
        yield known.branch_url.replace("{branch}", quote(f"feature/{item}", safe="/")), "Branch"
    sha = commits["merge_sha"] or commits["head_sha"]
    if known.commit_url and sha:
        yield known.commit_url.replace("{sha}", quote(sha, safe="")), f"Commit {sha[:12]}"
