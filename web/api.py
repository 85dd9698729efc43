"""The calls of the JSON API, each one use case. What a call may be given stands in `values`."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any, Final

from flask import Response, request

from orch import (
    agents,
    bootstrap,
    controls,
    estimates,
    events,
    health,
    listing,
    mirror,
    names,
    notices,
    preview,
    reports,
    simulation,
    snapshot,
    story,
)
from orch.controls import NewTask, Order
from orch.simulation import plan as plans
from web import documents, entrance, following, metrics, values, webhooks
from web.given import Given
from web.problems import TooManySimulations
from web.routes import Call, Routes, as_json

ROUTES: Final = Routes()
SIMULATED_TASKS: Final = 1_000
"""A longer line is simulated by the command line, or a few repos of it."""
_SIMULATING: Final = threading.Lock()
SNAPSHOT_SECONDS: Final = 5.0
"""How old a snapshot may be that is answered with 304, where only time has changed something."""


@ROUTES.add("GET", "/queue", "viewer", values.Queue)
def queue(call: Call[values.Queue]) -> Response:
    """Everything at one moment: per repo who holds the line, who waits, and why."""
    line = call.desk.line
    # The revision comes first: a write between the two makes the next answer new, never stale.
    tag = f'W/"{events.revision(line, SNAPSHOT_SECONDS)}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.if_none_match.contains_weak(tag[3:-1]):
        return Response(status=304, headers=headers)
    events.require_repos(line, call.given.repo)
    wanted = snapshot.Wanted(repos=call.given.repo or None, limit=call.given.limit)
    return as_json(snapshot.snapshot(line, wanted), headers=headers)


@ROUTES.add("GET", "/why", "viewer", values.Why)
def why(call: Call[values.Why]) -> dict[str, Any]:
    """One task: all that blocks it and what clears each, who holds the repo, what is ahead, ETA."""
    ask = estimates.why if call.given.eta else mirror.why
    return ask(call.desk.line, call.given.work_item)


@ROUTES.add("GET", "/simulate", "viewer", values.Simulate)
def simulate(call: Call[values.Simulate]) -> dict[str, Any]:
    """The line played forward on a copy: who would start when, and what never ends by itself."""
    asked = call.given
    words = plans.Words(
        asked.repo, asked.control, asked.slots, asked.switch, asked.duration, asked.seed
    )
    plan = plans.read(words, call.desk.clock())
    # It keeps a core busy for seconds: one at a time leaves the others to those who steer.
    if not _SIMULATING.acquire(blocking=False):
        raise TooManySimulations
    try:
        return simulation.run(call.desk.line, plan, most=SIMULATED_TASKS)
    finally:
        _SIMULATING.release()


@ROUTES.add("GET", "/report", "viewer", values.Report)
def report(call: Call[values.Report]) -> dict[str, Any]:
    """Where the time went: waited, worked, parked; by reason, repo, stage, week and task."""
    line, asked = call.desk.line, call.given
    events.require_repos(line, asked.repo)
    since = names.past(asked.since, "since", call.desk.clock())
    return reports.report(
        line, reports.Wanted(asked.repo, since, asked.by or reports.GROUPS, asked.top)
    )


# --- controls ---------------------------------------------------------------------------------


def _ordered(call: Call[Any], order: Order) -> dict[str, Any]:
    ask = preview.preview if call.given.preview else controls.carry_out
    return ask(call.desk.line, order)


def _until(call: Call[Any]) -> datetime | None:
    return names.moment(call.given.until, "until", call.desk.clock())


def _of_task(call: Call[Any], verb: str, **more: Any) -> dict[str, Any]:
    told = {**call.holder.signing, "reason": call.given.reason}
    return _ordered(call, Order(verb, call.given.work_item, **told, **more))


def _of_repo(call: Call[Any], verb: str, **more: Any) -> dict[str, Any]:
    told = {**call.holder.signing, "reason": call.given.reason}
    return _ordered(call, Order(verb, call.given.repo, **told, **more))


@ROUTES.add("POST", "/serial-gate/pause", "operator", values.Pause, "either")
def pause(call: Call[values.Pause]) -> dict[str, Any]:
    """Park a task, so that the next one of its repo may start."""
    return _of_task(call, "pause", until=_until(call), now=call.given.now)


@ROUTES.add("POST", "/serial-gate/resume", "operator", values.TaskControl, "either")
def resume(call: Call[values.TaskControl]) -> dict[str, Any]:
    """Take a parked task back into the line: next, not beside."""
    return _of_task(call, "resume")


@ROUTES.add("POST", "/serial-gate/promote", "operator", values.TaskControl, "either")
def promote(call: Call[values.TaskControl]) -> dict[str, Any]:
    """Move a task that has not started to the front of its repo."""
    return _of_task(call, "promote")


@ROUTES.add("POST", "/serial-gate/freeze", "operator", values.Freeze, "either")
def freeze(call: Call[values.Freeze]) -> dict[str, Any]:
    """Let nothing start or land in a repo, or in all repos that a glob covers."""
    return _of_repo(call, "freeze", until=_until(call), allow=call.given.allow)


@ROUTES.add("POST", "/serial-gate/unfreeze", "operator", values.RepoControl, "either")
def unfreeze(call: Call[values.RepoControl]) -> dict[str, Any]:
    """Lift the freeze of exactly this repo or glob."""
    return _of_repo(call, "unfreeze")


# --- agents -----------------------------------------------------------------------------------


@ROUTES.add("GET", "/agents", "viewer")
def agents_listed(call: Call[Given]) -> dict[str, Any]:
    """Every agent: its workers, slots and live jobs, and until when and why it is suspended."""
    return {"agents": agents.listed(call.desk.line)}


@ROUTES.add("POST", "/agents/<agent>/suspend", "operator", values.Suspend, "either")
def suspend(call: Call[values.Suspend]) -> dict[str, Any]:
    """Give an agent nothing to do for a while, whichever task it is of; what runs goes on."""
    asked, signed, until = call.given, call.holder.signing, _until(call)
    return agents.suspend(call.desk.line, asked.agent, reason=asked.reason, until=until, **signed)


@ROUTES.add("POST", "/agents/<agent>/resume", "operator", values.AgentControl, "either")
def resume_agent(call: Call[values.AgentControl]) -> dict[str, Any]:
    """End an agent's suspension, and let what waits for it start."""
    asked, signed = call.given, call.holder.signing
    return agents.resume(call.desk.line, asked.agent, **signed, reason=asked.reason)


# --- tasks ------------------------------------------------------------------------------------


@ROUTES.add("GET", "/tasks", "viewer", values.Tasks)
def tasks(call: Call[values.Tasks]) -> dict[str, Any]:
    """Tasks, newest first, a page at a time."""
    asked = call.given
    if asked.repo is not None:
        events.require_repos(call.desk.line, (asked.repo,))
    wanted = listing.Wanted(
        asked.repo, asked.stage, asked.state, asked.agent, asked.cursor, asked.limit
    )
    return listing.tasks(call.desk.line, wanted)


@ROUTES.add("POST", "/tasks", "operator", values.Add, "body")
def add(call: Call[values.Add]) -> Response:
    """Take in a work item: its task, its dependencies and its first job, all or nothing."""
    new = call.given
    task = NewTask(
        new.work_item,
        new.repo,
        title=new.title,
        description=new.description,
        track=new.track,
        depends_on=new.depends_on,
        paused=new.paused,
    )
    said = controls.add_task(call.desk.line, task, **call.holder.signing)
    return as_json(said, 201, {"Location": f"/tasks/{new.work_item}"})


@ROUTES.add("GET", "/tasks/<work_item>", "viewer", values.OfTask)
def task(call: Call[values.OfTask]) -> dict[str, Any]:
    """One task with its jobs, its newest events and the tasks before and after it."""
    return listing.task(call.desk.line, call.given.work_item)


@ROUTES.add("GET", "/tasks/<work_item>/story", "viewer", values.OfTask)
def story_of(call: Call[values.OfTask]) -> dict[str, Any]:
    """One task from its beginning: stages, attempts, checks, cost, commits, waits."""
    return story.story(call.desk.line, call.given.work_item)


@ROUTES.add("GET", "/tasks/<work_item>/waits", "viewer", values.OfTask)
def waits_of(call: Call[values.OfTask]) -> dict[str, Any]:
    """How one task spent its time: what it waited for, spell after spell."""
    return reports.task(call.desk.line, call.given.work_item)


@ROUTES.add("POST", "/tasks/<work_item>/cancel", "operator", values.TaskControl, "either")
def cancel(call: Call[values.TaskControl]) -> dict[str, Any]:
    """End a task for good; a running agent is told to stop."""
    return _of_task(call, "cancel")


@ROUTES.add("POST", "/tasks/<work_item>/retry", "operator", values.TaskControl, "either")
def retry(call: Call[values.TaskControl]) -> dict[str, Any]:
    """Try a task's stage again, now."""
    return _of_task(call, "retry")


@ROUTES.add("POST", "/tasks/<work_item>/approve", "operator", values.TaskControl, "either")
def approve(call: Call[values.TaskControl]) -> dict[str, Any]:
    """Let a task leave the stage whose approval it waits for."""
    return _of_task(call, "approve")


@ROUTES.add("POST", "/tasks/<work_item>/reject", "operator", values.Reject, "either")
def reject(call: Call[values.Reject]) -> dict[str, Any]:
    """Send a task that waits for approval back to be done again."""
    given = call.given
    signed = call.holder.signing
    return _ordered(call, Order("reject", given.work_item, **signed, reason=given.note))


@ROUTES.add("POST", "/tasks/<work_item>/answer", "operator", values.Answer, "either")
def answer(call: Call[values.Answer]) -> dict[str, Any]:
    """Answer the question that parked a task."""
    given = call.given
    signed = call.holder.signing
    return _ordered(call, Order("answer", given.work_item, **signed, reason=given.text))


@ROUTES.add("POST", "/tasks/<work_item>/dependencies", "operator", values.Depend, "either")
def depend(call: Call[values.Depend]) -> dict[str, Any]:
    """Let a task wait for another one, of whatever repo."""
    return _of_task(call, "depend", on=call.given.on)


@ROUTES.add("DELETE", "/tasks/<work_item>/dependencies", "operator", values.Depend, "either")
def undepend(call: Call[values.Depend]) -> dict[str, Any]:
    """Let a task no longer wait for another one."""
    return _of_task(call, "undepend", on=call.given.on)


# --- what happened ----------------------------------------------------------------------------


@ROUTES.add("GET", "/events", "viewer", values.Events)
def ledger(call: Call[values.Events]) -> Any:
    """The ledger, newest first or on from `after`; as a stream with `Accept: text/event-stream`."""
    asked = call.given
    wanted = events.Wanted(**dict(asked))
    if asked.repo is not None:
        events.require_repos(call.desk.line, (asked.repo,))
    if request.accept_mimetypes.best == "text/event-stream":
        return following.ledger(call.desk, wanted, request.headers.get("Last-Event-ID"), call.may)
    return events.page(call.desk.line, wanted)


@ROUTES.add("GET", "/jobs/<job_id>/log", "viewer", values.JobLog)
def log(call: Call[values.JobLog]) -> Response:
    """What a job's agent wrote: all of it, a range, its last lines, or on until the job ends."""
    return following.log(call.desk, call.given, request, call.may)


# --- notices ----------------------------------------------------------------------------------


@ROUTES.add("GET", "/notices", "viewer", values.Notices)
def notices_listed(call: Call[values.Notices]) -> dict[str, Any]:
    """What was told, through which channel, and what came of it; newest first."""
    asked = call.given
    return notices.listed(call.desk.line, notices.Wanted(asked.state, asked.before, asked.limit))


@ROUTES.add("POST", "/notices/test", "admin")
def test_notices(call: Call[Given]) -> dict[str, Any]:
    """Send a true notice through every channel now, and say what came of each."""
    channels = bootstrap.build_channels(call.desk.settings)
    return {"channels": notices.test(call.desk.line, call.holder.name, channels)}


@ROUTES.add("POST", "/notices/<notice_id>/retry", "operator", values.OfNotice, "either")
def retry_notice(call: Call[values.OfNotice]) -> dict[str, Any]:
    """Try a notice again now, also one that was given up."""
    return notices.retry(call.desk.line, call.given.notice_id, **call.holder.signing)


# --- what others send -------------------------------------------------------------------------

ROUTES.all.extend(webhooks.ROUTES.all)


# --- the line itself --------------------------------------------------------------------------


@ROUTES.add("GET", "/healthz", None)
def healthz(call: Call[Given]) -> dict[str, Any]:
    """That this process lives, and how the line is; in full for whoever may read."""
    desk = call.desk
    if entrance.may_read(desk.line, desk.settings, request):
        return desk.health()
    return health.for_anybody(desk.health(), desk.line.limits)


@ROUTES.add("GET", "/readyz", None)
def readyz(call: Call[Given]) -> Response:
    """200 when the database answers and its schema is this version's, else 503."""
    health.require_ready(call.desk.line)
    return as_json({"status": "ready"})


@ROUTES.add("GET", "/metrics", "viewer")
def numbers(call: Call[Given]) -> Response:
    """The line in numbers, for Prometheus."""
    return metrics.exposition(call.desk.readings())


@ROUTES.add("GET", "/openapi.json", None)
def openapi(_: Call[Given]) -> dict[str, Any]:
    """This interface as OpenAPI 3.1."""
    return documents.openapi(ROUTES.all)


@ROUTES.add("GET", "/docs", None)
def docs(_: Call[Given]) -> Response:
    """This interface as a page to read."""
    return Response(documents.page(ROUTES.all), content_type="text/html; charset=utf-8")
