"""What must hold after every step: between the store and the model, and between two looks at the
store. The second kind does not ask the model, so that a mistake shared with it is seen as well."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.store.gate_life import Model
from tests.store.gate_model import LIVE, TERMINAL, Freeze, Job
from tests.store.gate_world import Rows, World

ENDED = ("succeeded", "failed", "cancelled")


def same_state(world: World, model: Model, rows: Rows) -> None:
    """Tasks and jobs are what the model says."""
    assert sorted(rows.tasks) == sorted(model.tasks)
    ended: dict[int, list[str]] = {task_id: [] for task_id in rows.tasks}
    for row in rows.jobs.values():
        if row.status in ENDED:
            ended[row.task_id].append(row.status)
    for task_id, row in rows.tasks.items():
        task = model.tasks[task_id]
        stored = (row.stage, row.rank, row.admitted_at, row.paused_at, row.paused_until)
        moments = (task.admitted, task.paused, task.until)
        expected = (task.stage, task.rank, *map(world.stored, moments))
        assert (stored, row.reworks) == (expected, task.reworks), task
        assert ended[task_id] == task.ended, task
        same_job(world, task.job, rows.open_job(task_id))
    pairs = {(task.id, before) for task in model.tasks.values() for before in task.before}
    assert rows.deps == pairs
    assert {row.repo for row in rows.freezes} == set(model.freezes)


def same_job(world: World, job: Job | None, row: Any) -> None:
    """The open job of a task is what the model says; a new one lends the model its id."""
    if job is None or row is None:
        assert job is None and row is None, (job, row)  # noqa: PT018 - one fact
        return
    job.id = job.id or row.id
    stored = (row.id, row.agent, row.status, row.attempt, row.claim_token, row.stop_requested)
    assert stored == (job.id, job.agent, job.status, job.attempt, job.token, job.stop), job
    times = (world.stored(job.lease), world.stored(job.started))
    assert (row.lease_until, row.started_at) == times, job
    if row.status in LIVE:
        assert bool(row.serialised) == job.serialised, job
    elif job.available.year > 2099:  # rows written by hand take the real clock
        assert row.available_at == world.stored(job.available), job


def same_rule(model: Model, rows: Rows) -> None:
    """Claimable ⇔ the snapshot gives no reason ⇔ the model calls the gate open."""
    queued = {task.job.id: task for task in model.tasks.values() if task.job and task.queued}
    assert set(rows.failing) == set(queued)
    for job_id, task in queued.items():
        expected, shown = model.failing(task), rows.failing[job_id]
        assert shown[:1] == expected[:1], (task, shown, expected)
        if model.contends(task):
            assert shown == expected, (task, shown, expected)
    open_jobs = {job_id for job_id, names in rows.failing.items() if not names}
    assert rows.claimable == open_jobs
    assert rows.claimable == {task.job.id for task in model.startable() if task.job}


def law(rows: Rows) -> None:
    """One live serialised job per repo, and one open job per task."""
    live = [row for row in rows.jobs.values() if row.status in LIVE and row.serialised]
    assert all(number == 1 for number in Counter(row.repo for row in live).values())
    for task_id in rows.tasks:
        rows.open_job(task_id)


def nothing_starts_shut(world: World, model: Model, before: Rows, after: Rows) -> None:
    """No agent starts while its task is paused or its repo frozen, none is claimed that waits."""
    now = world.stored(world.now)
    for job_id, row in after.jobs.items():
        was = before.jobs[job_id].status if job_id in before.jobs else "queued"
        task = after.tasks[row.task_id]
        if row.status == "running" and was != "running":
            assert not (model.switches.pause and task.paused_at), row
            for freeze in after.freezes if model.switches.freeze else ():
                held = freeze.expires_at is None or freeze.expires_at > now
                covers = held and Freeze(freeze.repo).covers(row.repo)
                assert not covers or freeze.allow_task_id == task.id, (row, freeze)
        if row.status == "claimed" and was == "queued" and model.switches.deps:
            first = [after.tasks[on] for task_id, on in after.deps if task_id == task.id]
            assert all(each.stage in TERMINAL for each in first), (row, first)


def over_is_for_ever(before: Rows, after: Rows) -> None:
    """What has ended stays as it ended."""
    assert {
        job_id: after.jobs[job_id] for job_id, row in before.jobs.items() if row.status in ENDED
    } == {job_id: row for job_id, row in before.jobs.items() if row.status in ENDED}
    for task_id, row in before.tasks.items():
        if row.stage in TERMINAL:
            assert after.tasks[task_id].stage == row.stage


def no_job_lost(rows: Rows) -> None:
    """A task that ever had a job has an open one, is over, or is parked and waits for a person."""
    worked_on = {row.task_id for row in rows.jobs.values()}
    for task_id in worked_on:
        row = rows.tasks[task_id]
        parked = row.paused_at is not None and row.paused_until is None
        assert row.stage in TERMINAL or parked or rows.open_job(task_id), row


def marks_lead_there(world: World, rows: Rows) -> None:
    """Whatever may start is marked: a tick would find it without a sweep."""
    now = world.stored(world.now)
    if any(row.expires_at is not None and row.expires_at <= now for row in rows.freezes):
        return  # the tick asks for these by their time
    for job_id in rows.claimable:
        row = rows.jobs[job_id]
        assert row.ready_at is not None or row.repo in rows.woken, row


def events_tell(before: Rows, after: Rows) -> None:
    """Every change of state has its events, each beginning where the one before it ended."""
    for job_id, row in after.jobs.items():
        state = before.jobs[job_id].status if job_id in before.jobs else None
        assert row.status == _told(state, (e for e in after.events if e.job_id == job_id)), row
    kinds = Counter(event.kind for event in after.events)
    for task_id, row in after.tasks.items():
        own = [e for e in after.events if e.task_id == task_id and e.job_id is None]
        was = before.tasks.get(task_id)
        # A control tells of places and ranks as well; only these steps are of stages.
        moves = (e for e in own if e.kind in ("task.created", "task.moved", "task.cancelled"))
        assert row.stage == _told(was.stage if was else None, moves), row
        said = {e.kind for e in own}
        old = (was.paused_at, was.rank) if was else (None, 0)
        if old[0] is None and row.paused_at is not None:
            assert "task.paused" in said, row
        if old[0] is not None and row.paused_at is None and row.stage not in TERMINAL:
            assert "task.resumed" in said, row
        assert (row.rank != old[1]) == ("task.promoted" in said), row
    assert len(after.deps - before.deps) == kinds["dependency.added"]
    assert len(before.deps - after.deps) == kinds["dependency.removed"]
    was_frozen, is_frozen = ({row.id for row in each.freezes} for each in (before, after))
    assert len(is_frozen - was_frozen) == kinds["repo.frozen"]
    assert len(was_frozen - is_frozen) == kinds["repo.unfrozen"]


def _told(state: str | None, told: Any) -> str | None:
    for event in told:
        assert event.from_state in (None, state), event
        state = event.to_state
    return state
