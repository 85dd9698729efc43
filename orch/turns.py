"""The two ends of a turn: taking a claimed job up, and writing what came of it.

Whoever ends a job may as well look, in the same transaction, what its slot can do next: the claim
is the same, the slot never comes free in between, and two rings and two commits fall away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

import structlog

from orch import names, stages
from orch.errors import LostRace, StoreUnavailable
from orch.gate_fallback import evaluated
from orch.line import Line
from orch.outcomes import Decision
from orch.ports import AgentResult, Claim
from orch.qg.verdict import storable
from orch.serial_gate import Gate
from orch.store import answers, claims, endings, fleet, looks, queries, work
from orch.store.session import Connection, Row, lock_repos

log = structlog.get_logger(__name__)

SETTLE_TRIES = 5
"""How often the end of a turn is written again after the store's own patience ran out."""

GIVEN_BACK = ("release", "suspend")
"""What leaves a job where it was, uncounted."""

LONGEST_DELAY = 600
"""Seconds a further attempt waits at most."""


@dataclass(frozen=True)
class Turn:
    """One attempt under way: the claim, and job and task as they stood when it began."""

    claim: Claim
    job: Mapping[str, Any]
    task: Mapping[str, Any]


@dataclass(frozen=True)
class Settled:
    """How the end of a turn was written."""

    written: bool
    """False when the job was somebody else's by then, and nothing changed."""
    openings: bool = True
    """Whether there may be something for a dispatcher to look at."""
    following: Turn | None = None
    """What the same slot does next, if it was asked to go on and found something."""


def begin(line: Line, claim: Claim, worker: str) -> Turn | None:
    """Take up a claimed job; None when it is not ours, or the gate has closed since."""

    def attempt(gate: Gate) -> Turn | None:
        return line.store.write(lambda conn: _begin(conn, line, gate, claim, worker))

    return evaluated(line, attempt)


def _begin(conn: Connection, line: Line, gate: Gate, claim: Claim, worker: str) -> Turn | None:
    started = claims.start(conn, gate, claim, line.now(), worker=worker, lease=line.limits.lease)
    return None if started is None else taken_up(conn, line, claim, started)


def taken_up(conn: Connection, line: Line, claim: Claim, started: Row) -> Turn:
    """The turn that begins with a claim that has just been started."""
    job, task = dict(started), claims.task_of(started)
    if job["stage"] is None:  # written by hand: its task may stand before its first stage
        work.enter(conn, line.now(), job["task_id"])
        task = dict(work.task_at_work(conn, job["task_id"]))
    return Turn(claim, job, task)


@dataclass(frozen=True)
class Outcome:
    """What came of a turn."""

    result: AgentResult
    decision: Decision
    shas: Mapping[str, str] = field(default_factory=dict)
    """Of the task's change, by column: base_sha, head_sha."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """What the job keeps to be shown: how it was run, what was checked."""


@dataclass(frozen=True)
class _End:
    """A turn that is over, and who would go on in its slot."""

    turn: Turn
    outcome: Outcome
    worker: str | None

    @property
    def decision(self) -> Decision:
        """What the turn comes to."""
        return self.outcome.decision


def settle(line: Line, turn: Turn, outcome: Outcome, worker: str | None) -> Settled:
    """Write the end of a turn, and with a `worker` claim and start what its slot can do next.

    Also through a database's restart: the work behind it is dear.
    """
    end = _End(turn, _storable(outcome), worker)
    for _ in range(SETTLE_TRIES):
        try:
            return _attempt(line, end)
        except StoreUnavailable as error:
            log.warning("settle.retry", job_id=turn.claim.job_id, error=error.message)
    return _attempt(line, end)


def _storable(outcome: Outcome) -> Outcome:
    """The outcome in words that every database takes: they come from programs and from git."""
    result, decision = outcome.result, outcome.decision
    summary, question = storable(result.summary), storable(result.question)
    return replace(
        outcome,
        result=replace(result, summary=summary, question=question),
        decision=replace(decision, reason=storable(decision.reason)),
    )


def on_its_track(line: Line, turn: Turn, outcome: Outcome) -> Outcome:
    """The outcome; parked where nobody can say what comes next, as the track was taken away."""
    task, decision = turn.task, outcome.decision
    known = task["track"] in stages.TRACKS or task["track"] in line.own_tracks(task["repo"])
    if known or decision.next != "advance":
        return outcome
    reason = f"it is on the track {names.shown(task['track'])}, which nobody declares"
    parked = replace(decision, next="park", reason=reason)
    return replace(outcome, decision=parked)


def _attempt(line: Line, end: _End) -> Settled:
    def follow(gate: Gate) -> Settled:
        return line.store.write(lambda conn: _settle_and_follow(conn, line, gate, end))

    # What is given back leaves nothing to go on with.
    if end.worker is not None and end.decision.next not in GIVEN_BACK:
        try:
            return evaluated(line, follow)
        except StoreUnavailable:
            raise
        except LostRace:
            log.info("turn.follow_lost", job_id=end.turn.claim.job_id)
        except Exception:
            # Whatever is wrong with the jobs that wait is no reason to lose the end of this one.
            log.exception("turn.follow_failed", job_id=end.turn.claim.job_id)
    return line.store.write(lambda conn: _settle_alone(conn, line, end))


def _settle_and_follow(conn: Connection, line: Line, gate: Gate, end: _End) -> Settled:
    """Write the end, then claim and start the oldest job that the slot can run now."""
    job, now, worker = end.turn.job, line.now(), str(end.worker)
    agent = job["agent"]
    locked = queries.lock_next_repos(conn, agent, job["repo"], now)
    if not locked:  # the agent is suspended: there is nothing it may go on with
        return _settle_alone(conn, line, end)
    settled, others = _settle(conn, line, end, mark=False)
    if not settled.written:
        return settled
    token, lease = line.new_id(), line.limits.lease
    look = looks.take(conn, gate, locked, {agent: 1}, now, token=token, worker=worker, lease=lease)
    following = None
    for each in look.claimed:
        if each.started is not None:
            following = taken_up(conn, line, each.claim, each.started)
    # A job newly noted for this agent wants a dispatcher only if none was noted before: while
    # some are, every slot of the agent is taken, or somebody has been told already.
    waited = len(locked) > 1
    openings = bool(others) or not look.noted <= ({agent} if waited else set())
    return Settled(True, openings or (waited and following is None), following)


def _settle_alone(conn: Connection, line: Line, end: _End) -> Settled:
    lock_repos(conn, [end.turn.job["repo"]])
    return _settle(conn, line, end, mark=True)[0]


def _settle(conn: Connection, line: Line, end: _End, mark: bool) -> tuple[Settled, frozenset[str]]:
    """Under the repo's lock: the job's end, its task's move, the next job and the events, all or
    nothing; and which other repos were marked."""
    decision, claim, now = end.decision, end.turn.claim, line.now()
    if decision.next in GIVEN_BACK:
        return Settled(_given_back(conn, line, end)), frozenset()
    move, result = _move(line, end), end.outcome.result
    finished = endings.finish(
        conn,
        claim,
        now,
        decision.event,
        move=move,
        mark=mark,
        reason=decision.reason,
        failure=decision.failure,
        verdict=decision.verdict,
        summary=_summary(end),
        exit_code=result.exit_code,
        usage=result.usage,
        log_path=None if result.log_path is None else str(result.log_path),
        report=dict(end.outcome.report),
    )
    if finished is None:
        return Settled(False), frozenset()
    work.note_turn(conn, end.turn.task["id"], end.outcome.shas, result.usage)
    _go_on(conn, line, end, elsewhere=move is not None and not finished.moved)
    return Settled(True), finished.others


def _summary(end: _End) -> str:
    """What the next prompt and the pages tell of the turn.

    Of a failed one that is why it failed: an agent that thinks well of its work does not know what
    orch found. Of one that asked, the question too: the answer comes beside it.
    """
    result, reason = end.outcome.result, end.decision.reason
    if end.decision.event == "fail":
        return reason or result.summary
    asked = result.question if end.decision.verdict == "needs_input" else ""
    said = [result.summary, "" if asked in result.summary else asked]
    return "\n".join(filter(None, said)) or reason


def _given_back(conn: Connection, line: Line, end: _End) -> bool:
    """Give the job back uncounted; with `suspend` its agent gets nothing to do for a while."""
    decision, now = end.decision, line.now()
    reason, delay = decision.reason, decision.delay
    if claims.release(conn, end.turn.claim, now, reason=reason, delay=delay) is None:
        return False
    if decision.next == "suspend":
        fleet.suspend(conn, str(end.turn.job["agent"]), decision.until, reason, now)
    # Not an attempt, but paid for all the same; and its work was offered.
    work.note_turn(conn, end.turn.task["id"], end.outcome.shas, end.outcome.result.usage)
    return True


def _move(line: Line, end: _End) -> endings.Move | None:
    task, decision = end.turn.task, end.decision
    own = line.own_tracks(task["repo"])
    if decision.next == "advance":
        return endings.Move(task["stage"], stages.after(task["stage"], task["track"], own))
    if decision.next == "rework":
        return endings.Move(task["stage"], decision.rework_to)
    return None


def _go_on(conn: Connection, line: Line, end: _End, elsewhere: bool) -> None:
    """What the decision asks for beside the task's step."""
    task, decision = end.turn.task, end.decision
    match decision.next:
        case "rework" if not elsewhere:
            work.count_rework(conn, task["id"])
        case "retry":
            _try_again(conn, line, end)
        case "approve":
            asked = (task["id"], line.now(), task["stage"], decision.reason)
            elsewhere = not answers.ask_approval(conn, *asked)
        case "park":
            # A task that ended or moved on meanwhile refuses, and keeps what it has.
            work.park(conn, task["id"], line.now(), reason=decision.reason)
        case "rework" | "advance" | "release" | "suspend" | "fenced" | "nothing":
            pass
        case never:
            assert_never(never)
    if elsewhere:
        _catch_up(conn, line, task["id"])


def _try_again(conn: Connection, line: Line, end: _End) -> None:
    """A further attempt at the same stage, after a while."""
    job, task = end.turn.job, end.turn.task
    if work.task_at_work(conn, task["id"])["stage"] != task["stage"]:
        _catch_up(conn, line, task["id"])
        return
    attempt = job["attempt"]
    delay = min(line.limits.retry_delay * 2 ** (attempt - 1), LONGEST_DELAY)
    new = work.NewJob(task["id"], task["repo"], task["stage"], job["agent"], attempt + 1, delay)
    work.insert_job(conn, line.now(), new)


def _catch_up(conn: Connection, line: Line, task_id: int) -> None:
    """Somebody moved the task while its agent worked: what the agent did is not asked for now."""
    task = work.task_at_work(conn, task_id)
    stage = task["stage"]
    if stage in stages.TERMINAL:
        return
    if stage not in stages.STAGES:
        reason = f"“{names.shown(stage)}” is not a stage"
        work.park(conn, task_id, line.now(), reason=reason)
        return
    agent = stages.agent_of(stage)
    if agent is not None:
        work.insert_job(conn, line.now(), work.NewJob(task_id, task["repo"], stage, agent))
