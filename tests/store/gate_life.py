"""What happens to tasks and jobs in the model: claims, ends, controls, time."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from tests.store.gate_model import (
    AGENT_OF,
    ENTRY,
    LEASE,
    MAX_ATTEMPTS,
    MAX_REWORKS,
    PUBLISH_RETRY,
    RETRY_DELAY,
    REWORK_TO,
    START_DEADLINE,
    TRACKS,
    Freeze,
    Gate,
    Job,
    RefusedError,
    Task,
)


class Work(Gate):
    """What becomes of jobs: queued, claimed, started, ended, given back."""

    # --- work

    def queue(self, task: Task, attempt: int = 1, delay: float = 0) -> None:
        task.job = Job(AGENT_OF[task.stage], self.after(delay), attempt)

    def enqueue(self, task: Task) -> None:
        if task.over or task.job is not None:
            return
        if task.stage == "created":
            task.stage = "analysis"
        self.queue(task)

    def claimed(self, task: Task, token: str) -> None:
        job = task.job
        job.status, job.token, job.lease = "claimed", token, self.after(START_DEADLINE)
        job.stop, job.started, job.serialised = None, None, self.is_serialised(task)
        if job.agent == "analyst":
            task.admitted = self.now

    def unsent(self, task: Task) -> None:
        self.give_back(task, self.after(PUBLISH_RETRY))

    def give_back(self, task: Task, available: datetime) -> None:
        if task.over:
            task.end_job("cancelled")
        else:
            task.job.requeue(available)

    def holder(self, job_id: int, token: str) -> Task | None:
        """The task whose job is live under this claim."""
        for each in self.tasks.values():
            if each.live and (each.job.id, each.job.token) == (job_id, token):
                return each
        return None

    def start(self, job_id: int, token: str) -> str:
        """What a worker's first act on a message comes to."""
        task = self.holder(job_id, token)
        if task is None or task.job.status != "claimed":
            return "refused"
        if task.over:
            task.end_job("cancelled")
            return "cancelled"
        if self.is_frozen(task) or self.is_paused(task) or task.job.stop:
            task.job.requeue(self.now)
            return "released"
        task.job.status, task.job.started, task.job.lease = "running", self.now, self.after(LEASE)
        if task.stage == "created":
            task.stage = "analysis"
        task.job.stage = task.stage
        return "running"

    def beat(self, job_id: int, token: str) -> str | None:
        """Renew the lease; how the turn ends if it must, else None."""
        task = self.holder(job_id, token)
        if task is None or task.job.status != "running":
            return "fenced"
        task.job.lease = self.after(LEASE)
        if task.job.stop is None:
            return None
        return self.end(job_id, token, f"stopped:{task.job.stop}")

    def end(self, job_id: int, token: str, how: str) -> str:
        """The agent's turn is over; what the worker makes of it."""
        task = self.holder(job_id, token)
        if task is None or task.job.status != "running":
            return "stale"
        if how in ("stopped:paused", "stopped:shutdown"):
            self.give_back(task, self.now)
            return "release"
        status, step = self.judge(task, how)
        attempt = task.job.attempt
        task.end_job(status)
        if not task.over:
            self.go_on(task, step, attempt)
        return step

    def judge(self, task: Task, how: str) -> tuple[str, str]:
        back = REWORK_TO.get(task.job.stage)
        if how == "stopped:cancelled":
            return "cancelled", "nothing"
        if how == "pass":
            return "succeeded", "advance"
        if how == "needs_input":
            return "succeeded", "park"
        if how == "silence" or (how == "rework" and back and task.reworks >= MAX_REWORKS):
            return "failed", "park"
        if how == "rework" and back:
            return "failed", "rework"
        return "failed", "park" if task.job.attempt >= MAX_ATTEMPTS else "retry"

    def go_on(self, task: Task, step: str, attempt: int) -> None:
        if step == "park":
            self.park(task)
        elif step == "retry":
            self.queue(task, attempt + 1, RETRY_DELAY * 2 ** (attempt - 1))
        elif step == "rework":
            task.stage, task.reworks = REWORK_TO[task.stage], task.reworks + 1
            self.queue(task)
        else:
            track = TRACKS[task.track]
            here = track.index(task.stage) if task.stage in track else -1
            task.stage = track[here + 1]
            if task.over:
                task.paused = task.until = None
            else:
                self.queue(task)

    def park(self, task: Task) -> None:
        """It has no job left, so it waits for a person, whatever end its pause had."""
        task.paused, task.until = task.paused or self.now, None

    # --- time

    def reap(self) -> int:
        settled = 0
        for task in list(self.tasks.values()):
            job = task.job
            if not task.live or not self.overdue(task):
                continue
            settled += 1
            counts = job.status == "running" and job.stop is None
            if task.over:
                task.end_job("cancelled")
            elif counts and job.attempt >= MAX_ATTEMPTS:
                task.end_job("failed")
                self.park(task)
            else:
                job.attempt += counts
                job.requeue()
        return settled

    def overdue(self, task: Task) -> bool:
        if task.job.lease is not None:
            return task.job.lease < self.now
        return (task.job.started or task.created) < self.after(-LEASE)


class Model(Work):
    """The line as it should be after every step: work, and what time and people do to tasks."""

    def expire(self) -> int:
        over = [name for name, each in self.freezes.items() if not self.in_force(each)]
        for name in over:
            del self.freezes[name]
        back = [t for t in self.tasks.values() if t.until is not None and t.until <= self.now]
        for task in back:
            self.unpause(task)
        return len(over) + len(back)

    # --- controls: True when something changed

    def open_task(self, task: Task) -> None:
        if task.over:
            raise RefusedError

    def pause(self, task: Task, kill: bool, until: datetime | None) -> bool:
        self.open_task(task)
        stops = kill and task.live and task.job.stop != "paused"
        if stops:
            task.job.stop = "paused"
        if task.paused is not None:
            return stops
        task.paused, task.until = self.now, until
        return True

    def unpause(self, task: Task) -> None:
        task.paused = task.until = None
        task.admitted = self.now

    def resume(self, task: Task) -> bool:
        self.open_task(task)
        if task.paused is None:
            return False
        self.unpause(task)
        if task.reworks >= MAX_REWORKS:
            task.reworks = 0
        self.enqueue(task)
        return True

    def retry(self, task: Task) -> bool:
        if self.resume(task):
            return True
        if task.queued and task.job.available > self.now:
            task.job.available = self.now
            return True
        had = task.job
        self.enqueue(task)
        return task.job is not had

    def promote(self, task: Task) -> bool:
        self.open_task(task)
        if task.stage not in ENTRY:
            raise RefusedError
        beside = [
            each.rank
            for each in self.tasks.values()
            if each.repo == task.repo and each.stage in ENTRY and each is not task
        ]
        if task.rank < 0 and all(task.rank < rank for rank in beside):
            return False
        task.rank = min([0, *beside]) - 1
        return True

    def cancel(self, task: Task) -> bool:
        if task.stage == "cancelled":
            return False
        self.open_task(task)
        if task.queued:
            task.end_job("cancelled")
        elif task.live:
            task.job.stop = "cancelled"
        task.stage, task.paused, task.until = "cancelled", None, None
        return True

    def leads_to(self, start: int, goal: int) -> bool:
        return start == goal or any(self.leads_to(each, goal) for each in self.tasks[start].before)

    def depend(self, task: Task, on: Task) -> bool:
        self.open_task(task)
        if self.leads_to(on.id, task.id):
            raise RefusedError
        fresh = on.id not in task.before
        task.before.add(on.id)
        return fresh

    def undepend(self, task: Task, on: Task) -> bool:
        self.open_task(task)
        there = on.id in task.before
        task.before.discard(on.id)
        return there

    def freeze(self, pattern: str, allow: int | None, expires: datetime | None) -> bool:
        held = self.freezes.get(pattern)
        if held is not None and self.in_force(held):
            if allow in (None, held.allow):
                return False
            self.freezes[pattern] = replace(held, allow=allow)
            return True
        self.freezes[pattern] = Freeze(pattern, allow, expires)
        return True

    def unfreeze(self, pattern: str) -> bool:
        if pattern in self.freezes:
            del self.freezes[pattern]
            return True
        if any(self.in_force(each) and each.covers(pattern) for each in self.freezes.values()):
            raise RefusedError
        return False
