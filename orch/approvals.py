"""A person's word on a task that waits for one: approve, reject, answer.

Each gives the task its next job in the transaction that takes the word down. Said again, when
nothing has happened to the task since, it changes nothing, and the first word stands.
"""

from __future__ import annotations

from orch import stages
from orch.errors import IllegalTransition
from orch.line import Line
from orch.store import answers, ledger, work
from orch.store.session import Connection, Row


def approve(conn: Connection, line: Line, task: Row, *, actor: str, reason: str) -> None:
    """Let a task leave the stage whose approval it waits for. Raises IllegalTransition."""
    stage = _awaited(task)
    to_stage = _after(line, task)
    _take_back(conn, line, task, actor, "approved")
    _move(conn, line, task, to_stage, actor)
    if to_stage not in stages.TERMINAL:
        queue_again(conn, line, work.task_by_id(conn, task["id"]), actor)
    told = {"actor": actor, "reason": reason, "from_state": stage, "to_state": to_stage}
    _tell(conn, line, task, "task.approved", told)


def reject(conn: Connection, line: Line, task: Row, *, actor: str, reason: str) -> None:
    """Send a task that waits for approval back to where its stage's rework is done, or through
    the stage again; a rework is counted. Raises IllegalTransition."""
    stage = _awaited(task)
    to_stage = _back_from(line, task)
    _take_back(conn, line, task, actor, "rejected")
    if to_stage != stage:
        _move(conn, line, task, to_stage, actor)
    work.count_rework(conn, task["id"])
    queue_again(conn, line, work.task_by_id(conn, task["id"]), actor)
    told = {"actor": actor, "reason": reason, "from_state": stage, "to_state": to_stage}
    _tell(conn, line, task, "task.rejected", told)


def answer(conn: Connection, line: Line, task: Row, *, actor: str, reason: str) -> None:
    """Answer the question that parked a task, and let its stage be done again. Raises
    IllegalTransition where nothing was asked."""
    item, question = task["work_item_id"], task["paused_reason"] or ""
    require_no_approval(task)
    if task["paused_at"] is None or answers.verdict_of(conn, task["id"]) != "needs_input":
        raise IllegalTransition(
            f"{item} has no open question.",
            suggested_fix=f"`orch why {item}` says what it waits for.",
        )
    _take_back(conn, line, task, actor, "answered")
    queue_again(conn, line, task, actor)
    said = {"actor": actor, "reason": reason, "from_state": "question", "to_state": "answered"}
    _tell(conn, line, task, "task.answered", said, question=question)


def is_said(conn: Connection, task: Row, kind: str) -> bool:
    """Whether the last thing that happened to this task is that word already."""
    last = answers.last_step(conn, task["id"])
    return last is not None and last["kind"] == kind


def require_no_approval(task: Row) -> None:
    """Raise IllegalTransition for a task that only an approval or a rejection can take on."""
    stage, item = answers.awaited(task), task["work_item_id"]
    if stage is not None:
        raise IllegalTransition(
            f"{item} waits for approval of {stage}, and nothing else lets it go on.",
            suggested_fix=f"Run `orch approve {item}`, or `orch reject {item} --note …`.",
        )


def queue_again(conn: Connection, line: Line, task: Row, actor: str) -> bool:
    """Queue a fresh first attempt at the task's stage unless a job of it is open.

    Raises IllegalTransition for a stage at which nobody works.
    """
    stage = task["stage"] if task["stage"] != stages.FIRST else stages.ENTRY
    agent = stages.agent_of(stage) if stage in stages.STAGES else None
    if agent is None:
        raise IllegalTransition(f"{task['work_item_id']} is at {stage}, which is nobody's work.")
    if work.open_job_id(conn, task["id"]) is not None:
        return False
    work.enqueue_job(conn, agent, task["repo"], None, task["id"], line.now(), actor=actor)
    return True


def _awaited(task: Row) -> str:
    stage, item = answers.awaited(task), task["work_item_id"]
    if stage is None:
        raise IllegalTransition(
            f"{item} does not wait for an approval: it is at {task['stage']}.",
            suggested_fix=f"`orch why {item}` says what it waits for.",
        )
    return stage


def _after(line: Line, task: Row) -> str:
    try:
        return stages.after(task["stage"], task["track"], line.own_tracks(task["repo"]))
    except KeyError:
        raise IllegalTransition(
            f"{task['work_item_id']} is on the track {task['track']}, which nobody declares.",
            suggested_fix="Declare the track in orch.toml again, or cancel the task.",
        ) from None


def _back_from(line: Line, task: Row) -> str:
    """Where rework of the task's stage is done, if its track comes by there; else the stage."""
    stage: str = task["stage"]
    back = stages.BY_NAME[stage].rework_to
    known = {**stages.TRACKS, **line.own_tracks(task["repo"])}
    path = known.get(task["track"], stages.STAGES)
    return back if back is not None and back in path else stage


def _take_back(conn: Connection, line: Line, task: Row, actor: str, why: str) -> None:
    answers.clear_approval(conn, task["id"])
    work.clear_task_paused(conn, task["id"], line.now(), actor=actor, reason=why)


def _move(conn: Connection, line: Line, task: Row, to_stage: str, actor: str) -> None:
    ledger.move_task(conn, line.now(), task["id"], task["stage"], to_stage)
    step = {"actor": actor, "from_state": task["stage"], "to_state": to_stage}
    _tell(conn, line, task, "task.moved", step)
    ledger.wake(conn, line.now(), [task["repo"]])


def _tell(
    conn: Connection, line: Line, task: Row, kind: str, told: dict[str, str], **data: str
) -> None:
    about = {"task_id": task["id"], "repo": task["repo"]}
    ledger.record(conn, line.now(), kind, **about, **told, data=data)
