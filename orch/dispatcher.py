"""One tick: put right what time has changed, claim what may start, commit, then ring the workers.

The cost of a tick follows what changed since the last one: it looks only at repos that some write
has marked, and at the oldest jobs that lacked a slot. Any number of ticks may run at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import structlog

from orch import names, reaper, serial_gate
from orch.errors import LostRace, OrchError
from orch.gate_fallback import evaluated
from orch.line import Line
from orch.ports import Claim
from orch.serial_gate import Gate
from orch.store import claims, fleet, freezes, ledger, looks, queries, views, work
from orch.store.looks import Claimed
from orch.store.moments import Moment
from orch.store.session import Connection, lock_free_repos

log = structlog.get_logger(__name__)

BATCH = 2000
"""Most repos looked at in one transaction: a control never waits longer than one such look."""
LOOKS = 5
"""Most looks of a rehearsal, which does them all in one transaction."""


@dataclass
class Tick:
    """What one tick did."""

    claimed: list[Claimed] = field(default_factory=list)
    unsent: int = 0
    reaped: int = 0
    expired: int = 0
    lost_races: int = 0
    degraded: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Look:
    claimed: list[Claimed]
    progress: bool


def tick(line: Line) -> Tick:
    """Do everything that is due. With nothing due, one read and no write."""
    done = Tick()
    waiting = line.store.read(lambda conn: queries.due(conn, line.now()))
    if not waiting:
        return done
    if waiting.overdue:
        done.reaped = reaper.reap(line)
    if waiting.expired:
        done.expired = expire(line)
    while look := _look(line, done):
        done.claimed += look.claimed
        done.unsent += _ring(line, look.claimed)
        if done.unsent or not look.progress:
            break
    return done


def look(line: Line) -> None:
    """One look by the process that has just opened a gate: nobody knows sooner, and a ring less.

    Whatever it leaves over, or cannot do, is left to a dispatcher. Never raises OrchError: what
    opened the gate is done, and has been told.
    """
    try:
        if not line.queue.reachable():
            return  # nothing is claimed that cannot be sent; the next tick sees the mark
        found = _look(line, Tick())
        if found is not None and not _ring(line, found.claimed) and not found.progress:
            return
    except OrchError as error:
        log.warning("look.failed", error=error.message)
    line.queue.kick()


def _look(line: Line, done: Tick) -> _Look | None:
    """One claiming transaction over the next batch of repos; None when no repo wants a look."""
    token = line.new_id()

    def attempt(gate: Gate) -> _Look | None:
        done.degraded = gate.degraded
        return line.store.write(lambda conn: _claim_batch(conn, line, gate, token))

    try:
        return evaluated(line, attempt)
    except LostRace:
        done.lost_races += 1
    except OrchError:
        raise
    except Exception:
        log.exception("tick.batch_failed")
    return _one_by_one(line, replace(line.gate, degraded=done.degraded), token)


def _claim_batch(
    conn: Connection, line: Line, gate: Gate, token: str, *, lock: bool = True
) -> _Look | None:
    now = line.now()
    slots = fleet.capacity(conn, now, line.limits.worker_stale, lock=lock)
    woken = queries.woken_repos(conn, now, BATCH)
    noted = queries.repos_of_ready_jobs(conn, slots)
    # Of more than one batch the oldest jobs may stand in a later one: unless there are slots for
    # all of them, they are all noted first, and chosen from then.
    only_note = woken.more and (bool(noted) or not _slots_for_all(conn, gate, slots, now))
    wanted = woken.repos if only_note else [*woken.repos, *noted]
    locked = lock_free_repos(conn, list(dict.fromkeys(wanted)))
    if not locked:
        return None
    ours = set(locked)
    read = [mark for mark, name in woken.marks.items() if name in ours]
    found = _take(conn, line, gate, locked, {} if only_note else slots, token, read)
    # What was claimed leaves nothing new to find, what was noted or not read may.
    return _Look(found.claimed, progress=woken.more or bool(found.changed))


def _slots_for_all(conn: Connection, gate: Gate, slots: dict[str, int], now: Moment) -> bool:
    if not serial_gate.everything_is_serialised(gate):
        return False  # a repo may then have any number of jobs to start
    marks = queries.count_due_marks(conn, now)
    return all(count == 0 or count >= marks for count in slots.values())


def _take(  # noqa: PLR0913 - what a look is about
    conn: Connection,
    line: Line,
    gate: Gate,
    names: list[str],
    slots: dict[str, int],
    token: str,
    marks: list[int] | None = None,
) -> looks.Look:
    terms: dict[str, Any] = {"token": token, "start_deadline": line.limits.start_deadline}
    return looks.take(conn, gate, names, slots, line.now(), marks=marks, **terms)


def _one_by_one(line: Line, gate: Gate, token: str) -> _Look:
    """The same batch a repo at a time, so that the one that cannot be handled stands alone."""
    claimed: list[Claimed] = []
    for name in line.store.write(partial(_wanting_a_look, line=line)):
        try:
            claimed += line.store.write(
                partial(_claim_one, line=line, gate=gate, name=name, token=token)
            )
        except LostRace:
            log.info("claim.lost_race", repo=name)
            line.store.write(partial(_note_lost_race, name=name, now=line.now()))
        except OrchError:
            raise
        except Exception as error:
            log.exception("tick.repo_failed", repo=name)
            line.store.write(partial(_set_aside, line=line, name=name, why=str(error)))
    return _Look(claimed, progress=False)


def _wanting_a_look(conn: Connection, line: Line) -> list[str]:
    slots = fleet.capacity(conn, line.now(), line.limits.worker_stale)
    woken = queries.woken_repos(conn, line.now(), BATCH).repos
    return list(dict.fromkeys([*woken, *queries.repos_of_ready_jobs(conn, slots)]))


def _set_aside(conn: Connection, line: Line, name: str, why: str) -> None:
    """Park the task at the head of a repo whose claim fails: the tick and the line go on."""
    now = line.now()
    for head in views.heads(conn, line.gate, [name]):
        reason = f"the dispatcher could not handle it: {names.shown(why)}"
        work.set_task_paused(conn, head["task_id"], now, reason=reason)
    queries.clear_wakes(conn, [name], now)
    ledger.wake(conn, now, [name], after=1)


def _claim_one(conn: Connection, line: Line, gate: Gate, name: str, token: str) -> list[Claimed]:
    slots = fleet.capacity(conn, line.now(), line.limits.worker_stale)
    if not lock_free_repos(conn, [name]):
        return []
    return _take(conn, line, gate, [name], slots, token).claimed


def _note_lost_race(conn: Connection, name: str, now: Moment) -> None:
    queries.clear_wakes(conn, [name], now)
    ledger.wake(conn, now, [name], after=1)
    ledger.count(conn, "lost_races")


def _ring(line: Line, claimed: list[Claimed]) -> int:
    """Tell the workers, after the commit; what could not be sent goes back, uncounted."""
    if not claimed:
        return 0
    unsent = line.queue.publish([each.claim for each in claimed])
    for claim in unsent:
        line.store.write(partial(_take_back, line=line, claim=claim))
    return len(unsent)


def _take_back(conn: Connection, line: Line, claim: Claim) -> None:
    reason = "the broker did not take the message"
    claims.release(conn, claim, line.now(), reason=reason, delay=line.limits.publish_retry)


def expire(line: Line) -> int:
    """End the pauses, freezes and suspensions whose time is over; how many."""
    now = line.now()
    ended = line.store.write(lambda conn: freezes.clear_expired(conn, now))
    ended += line.store.write(lambda conn: fleet.clear_expired(conn, now))
    for task_id in line.store.read(lambda conn: queries.expired_pauses(conn, now)):
        ended += line.store.write(partial(_resume_expired, task_id=task_id, now=now))
    return ended


def _resume_expired(conn: Connection, task_id: int, now: Moment) -> bool:
    return work.clear_task_paused(conn, task_id, now, reason="its time was over")


def sweep(line: Line, size: int = BATCH) -> int:
    """Look at every repo for openings that no mark leads to, and mark them; how many it mended."""
    mended, last = 0, ""
    while names := line.store.read(partial(queries.repos_after, name=last, most=size)):
        last = names[-1]
        found = evaluated(line, partial(_missed, line, names))
        if found:
            line.store.write(partial(queries.mend, names=found, now=line.now()))
        mended += len(found)
    line.store.write(lambda conn: fleet.note_beat(conn, "sweep", line.now(), mended=mended))
    return mended


def _missed(line: Line, names: list[str], gate: Gate) -> list[str]:
    return line.store.read(lambda conn: queries.unmarked_openings(conn, gate, names, line.now()))


@dataclass(frozen=True)
class Rehearsal:
    """What a tick would claim, oldest task first."""

    claimed: list[Claimed]
    whole: bool
    """False when more repos are marked than a rehearsal looks at."""


def rehearse(line: Line) -> list[Claimed]:
    """What a tick would claim at this moment, by doing it and rolling back."""

    def run(gate: Gate) -> list[Claimed]:
        return line.store.rehearse(lambda conn: rehearsed(conn, line, gate).claimed)

    return evaluated(line, run)


def rehearsed(conn: Connection, line: Line, gate: Gate) -> Rehearsal:
    """What a tick would claim on this connection, which the caller rolls back.

    What others hold is passed over, as by a tick, so nothing is waited for. What runs out by the
    time of the tick is no part of it.
    """
    claimed: list[Claimed] = []
    for _ in range(LOOKS):
        found = _claim_batch(conn, line, gate, "rehearsal", lock=False)
        claimed += found.claimed if found else []
        if found is None or not found.progress:
            return Rehearsal(claimed, whole=True)
    return Rehearsal(claimed, whole=False)
