"""What a person can ask of the line: each verb checked, audited, idempotent, answered with the
state after the write.

Asked for something that is so already, a verb changes nothing and says so. Asked for something that
cannot be, it raises, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from orch import approvals, mirror, names, snapshot, stages, task_deps, tokens
from orch.errors import AlreadyThere, BadInput, DoesNotFit, IllegalTransition, NotFound
from orch.gate_fallback import evaluated
from orch.line import Line
from orch.outcomes import over_budget
from orch.repo_settings import RepoSettings
from orch.serial_gate import Gate
from orch.store import freezes, ledger, views, work
from orch.store.moments import Moment
from orch.store.session import Connection, Row
from orch.store.work import task_by_work_item


@dataclass(frozen=True)
class Order:
    """One control: the verb, what it is about, who asks and why."""

    verb: str
    target: str
    """A work item, or for freeze and unfreeze a repo or a glob of repos."""
    actor: str
    reason: str = ""
    until: datetime | None = None
    now: bool = False
    """Pause: stop the running agent instead of letting it end."""
    allow: str | None = None
    """Freeze: the work item that may pass."""
    on: str | None = None
    """Depend and undepend: the work item that comes first."""
    within: tuple[str, ...] = ()
    """Globs of the repos that who asks may steer; none is all. See `tokens.Holder.signing`."""


def carry_out(line: Line, order: Order) -> dict[str, Any]:
    """Do it, ring the dispatcher, and answer `{changed, …state after}`. Raises OrchError."""
    state = _known(order)
    check(order)

    def run(conn: Connection, line: Line) -> dict[str, Any]:
        changed = act(conn, line, order)
        return {"changed": changed, **state(conn, line, order)}

    return _written(line, run)


def _written(line: Line, run: Callable[[Connection, Line], dict[str, Any]]) -> dict[str, Any]:
    """Run one write, again from the start under a gate without its unreadable clauses, and ring."""

    def attempt(gate: Gate) -> dict[str, Any]:
        return line.store.write(lambda conn: run(conn, replace(line, gate=gate)))

    answer = evaluated(line, attempt)
    line.opened(line)
    return answer


def check(order: Order) -> None:
    """Raise BadInput for an order whose words cannot be used."""
    if order.verb in OF_REPOS:
        names.repo_or_glob(order.target)
    else:
        names.work_item(order.target)
    if order.verb in SAID:
        names.note(order.reason, SAID[order.verb])
    else:
        names.reason(order.reason, required=order.verb == "freeze")
    names.line(order.actor, "actor", 120)
    for other in (order.allow, order.on):
        if other is not None:
            names.work_item(other)


def _known(order: Order) -> State:
    if order.verb not in VERBS:
        raise BadInput(f"“{names.shown(order.verb)}” is not a control.", verbs=sorted(VERBS))
    return _repo_state if order.verb in OF_REPOS else _task_state


def act(conn: Connection, line: Line, order: Order) -> bool:
    """Do it in this transaction, for whoever may; whether it changed anything. Raises OrchError.

    Every way to a control, previews included, leads through here: the repo is asked for only once.
    """
    if order.within:
        is_of_repo = order.verb in OF_REPOS
        repo = order.target if is_of_repo else task_named(conn, order.target)["repo"]
        tokens.require_reach(order.within, order.actor, repo)
    return VERBS[order.verb](conn, line, order)


def task_named(conn: Connection, work_item_id: str) -> Row:
    """The task of a work item. Raises UnknownTask."""
    task = task_by_work_item(conn, work_item_id)
    if task is None:
        raise mirror.unknown(conn, work_item_id)
    return task


def _open_task(conn: Connection, order: Order) -> Row:
    return _open(task_named(conn, order.target))


def _open(task: Row) -> Row:
    if task["stage"] in stages.TERMINAL:
        raise IllegalTransition(
            f"{task['work_item_id']} is {task['stage']}: it cannot be changed any more."
        )
    return task


def _locked(conn: Connection, order: Order) -> Row:
    """The task as it is once its repo's lock is ours."""
    task = task_named(conn, order.target)
    return work.locked_task(conn, task["id"]) or task


# --- verbs on a task --------------------------------------------------------------------------


def _pause(conn: Connection, line: Line, order: Order) -> bool:
    task = _open_task(conn, order)
    return work.set_task_paused(
        conn,
        task["id"],
        line.now(),
        actor=order.actor,
        reason=order.reason,
        until=order.until,
        kill=order.now,
    )


def _resume(conn: Connection, line: Line, order: Order) -> bool:
    task = _open(_locked(conn, order))
    approvals.require_no_approval(task)
    said = {"actor": order.actor, "reason": order.reason}
    if not work.clear_task_paused(conn, task["id"], line.now(), **said):
        return False
    if task["reworks"] >= line.limits.max_reworks:
        work.forgive_reworks(conn, task["id"])
    if over_budget(dict(task), line.limits):
        work.forgive_costs(conn, task["id"])
    approvals.queue_again(conn, line, task, order.actor)
    return True


def _retry(conn: Connection, line: Line, order: Order) -> bool:
    task = _open_task(conn, order)
    if _resume(conn, line, order):
        return True
    hurried = work.make_due(conn, task["id"], line.now())
    queued = approvals.queue_again(conn, line, task, order.actor)
    if hurried or queued:
        told = {"task_id": task["id"], "repo": task["repo"], "actor": order.actor}
        step = {"from_state": "delayed" if hurried else "idle", "to_state": "due"}
        ledger.record(conn, line.now(), "task.retried", **told, **step, reason=order.reason)
        ledger.wake(conn, line.now(), [task["repo"]])
    return hurried or queued


def _promote(conn: Connection, line: Line, order: Order) -> bool:
    task = _open_task(conn, order)
    if task["stage"] not in stages.BEFORE_OR_AT_ENTRY:
        raise IllegalTransition(
            f"{order.target} has started already: it is at {task['stage']}.",
            suggested_fix="Pause the tasks before it; `orch why` names them.",
        )
    said = {"actor": order.actor, "reason": order.reason}
    return work.promote(conn, task["id"], line.now(), **said)


def _cancel(conn: Connection, line: Line, order: Order) -> bool:
    task = task_named(conn, order.target)
    if task["stage"] == stages.CANCELLED:
        return False
    _open_task(conn, order)
    said = {"actor": order.actor, "reason": order.reason}
    return work.cancel(conn, task["id"], line.now(), **said)


def _approve(conn: Connection, line: Line, order: Order) -> bool:
    return _said(conn, line, order, "task.approved", approvals.approve)


def _reject(conn: Connection, line: Line, order: Order) -> bool:
    return _said(conn, line, order, "task.rejected", approvals.reject)


def _answer(conn: Connection, line: Line, order: Order) -> bool:
    return _said(conn, line, order, "task.answered", approvals.answer)


def _said(conn: Connection, line: Line, order: Order, kind: str, act: Callable[..., None]) -> bool:
    """Take a person's word down, unless it is the last thing that happened to the task."""
    task = _locked(conn, order)
    if approvals.is_said(conn, task, kind):
        return False
    act(conn, line, _open(task), actor=order.actor, reason=order.reason)
    return True


def _depend(conn: Connection, line: Line, order: Order) -> bool:
    task, before = _open_task(conn, order), _predecessor(conn, order)
    said = {"actor": order.actor, "reason": order.reason, "source": order.actor}
    return task_deps.add_dependency(conn, task["id"], before["id"], line.now(), **said)


def _undepend(conn: Connection, line: Line, order: Order) -> bool:
    task, before = _open_task(conn, order), _predecessor(conn, order)
    said = {"actor": order.actor, "reason": order.reason}
    return task_deps.remove_dependency(conn, task["id"], before["id"], line.now(), **said)


def _predecessor(conn: Connection, order: Order) -> Row:
    if order.on is None:
        raise BadInput("Say which work item comes first.", field="on")
    return task_named(conn, order.on)


# --- verbs on repos ---------------------------------------------------------------------------


def _freeze(conn: Connection, line: Line, order: Order) -> bool:
    allowed = None if order.allow is None else task_named(conn, order.allow)["id"]
    return freezes.set_repo_freeze(
        conn,
        order.target,
        order.reason,
        order.actor,
        line.now(),
        until=order.until,
        allow_task_id=allowed,
    )


def _unfreeze(conn: Connection, line: Line, order: Order) -> bool:
    said = {"actor": order.actor, "reason": order.reason}
    if freezes.clear_repo_freeze(conn, order.target, line.now(), **said):
        return True
    covering = views.freezes_of(conn, line.now(), [order.target])
    if covering:
        glob = covering[0]["repo"]
        raise IllegalTransition(
            f"{order.target} is frozen by {glob}, which covers other repos as well.",
            suggested_fix=f"Run `orch unfreeze '{glob}'`.",
        )
    if not work.is_repo_known(conn, order.target):
        raise NotFound(f"No repo and no freeze is known as {order.target}.")
    return False


Act = Callable[[Connection, Line, Order], bool]
State = Callable[[Connection, Line, Order], dict[str, Any]]
OF_REPOS: Final = frozenset({"freeze", "unfreeze"})
SAID: Final = {"reject": "note", "answer": "answer"}
"""Verbs whose reason is what an agent will read, and what it is called."""
VERBS: Final[dict[str, Act]] = {
    "pause": _pause,
    "resume": _resume,
    "promote": _promote,
    "cancel": _cancel,
    "retry": _retry,
    "approve": _approve,
    "reject": _reject,
    "answer": _answer,
    "depend": _depend,
    "undepend": _undepend,
    "freeze": _freeze,
    "unfreeze": _unfreeze,
}


# --- the state after --------------------------------------------------------------------------


def _task_state(conn: Connection, line: Line, order: Order) -> dict[str, Any]:
    return mirror.view(conn, line, line.gate, order.target)


def _repo_state(conn: Connection, line: Line, order: Order) -> dict[str, Any]:
    covered = freezes.matching_repos(conn, order.target)
    wanted = snapshot.Wanted(repos=tuple(sorted(covered)[: snapshot.PAGE]), limit=10)
    # A freeze may cover no repo yet, and is shown all the same.
    freeze = freezes.active_freeze(conn, order.target)
    return {"freeze": freeze, **snapshot.view(conn, line, line.gate, wanted)}


# --- new work ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class NewTask:
    """A work item as it comes in."""

    work_item_id: str
    repo: str
    title: str = ""
    description: str = ""
    track: str = ""
    """Empty is the track that its repo has for new tasks."""
    depends_on: tuple[str, ...] = ()
    paused: bool = False


def add_task(line: Line, new: NewTask, actor: str, within: tuple[str, ...] = ()) -> dict[str, Any]:
    """Take in a work item: its task, its dependencies and its entry job, all or nothing.

    Raises BadInput, AlreadyThere, UnknownTask for an unknown predecessor, DependencyCycle, and
    Forbidden for a repo that the globs `within` do not cover.
    """
    fields = check_new(new, line.repos)
    tokens.require_reach(within, actor, new.repo)

    def run(conn: Connection, line: Line) -> dict[str, Any]:
        take_in(conn, line, new, actor, **fields)
        return {"changed": True, **mirror.view(conn, line, line.gate, new.work_item_id)}

    return _written(line, run)


def take_in(conn: Connection, line: Line, new: NewTask, actor: str, **fields: Any) -> Row:
    """The same inside a transaction that is open already; `fields` are what `check_new` answered,
    and other columns of the task. Its row. Raises AlreadyThere, UnknownTask, DependencyCycle."""
    now = line.now()
    if task_by_work_item(conn, new.work_item_id) is not None:
        raise AlreadyThere(f"{new.work_item_id} is a task already.")
    task = work.create_task(conn, new.work_item_id, new.repo, now, actor=actor, **fields)
    _declare(conn, now, task, new.depends_on, actor)
    agent = stages.agent_of(stages.ENTRY)
    work.enqueue_job(conn, str(agent), new.repo, None, task["id"], now, actor=actor)
    if new.paused:
        work.set_task_paused(conn, task["id"], now, actor=actor, reason="added paused")
    return task


def _declare(conn: Connection, now: Moment, task: Row, before: tuple[str, ...], actor: str) -> None:
    for work_item_id in before:
        first = task_named(conn, work_item_id)
        task_deps.add_dependency(conn, task["id"], first["id"], now, actor=actor, source=actor)


def check_new(new: NewTask, repos: Mapping[str, RepoSettings]) -> dict[str, str]:
    """The texts of a new task as they are stored. Raises BadInput for words that cannot be used."""
    names.work_item(new.work_item_id)
    names.repo(new.repo)
    for before in new.depends_on:
        names.work_item(before)
    of_repo = repos.get(new.repo)
    track = new.track or (stages.DEFAULT_TRACK if of_repo is None else of_repo.track)
    tracks = {**stages.TRACKS, **({} if of_repo is None else of_repo.tracks)}
    if track not in tracks:
        known = ", ".join(tracks)
        raise DoesNotFit(f"“{names.shown(track)}” is not a track; known: {known}.", field="track")
    return {
        "title": names.line(new.title, "title"),
        "description": names.text(new.description, "description"),
        "track": track,
    }
