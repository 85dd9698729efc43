"""The observer: writes down, for every task and once, what it waits for and since when.

It reads what happened since its last look, asks the gate about those whose reason may have changed
by that, and stands in nobody's way. See ADR 0020.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from orch import explain, metrics, snapshot, spells
from orch.affected import Affected
from orch.gate_fallback import evaluated
from orch.line import Line
from orch.serial_gate import Gate
from orch.spells import Seen, Settled, Spell
from orch.store import spells as store
from orch.store import views
from orch.store.session import Connection

STEPS: Final = 4
"""Most steps of one call, about a second in all: what is left waits for the next one."""
SIGN: Final = timedelta(seconds=15)
"""How often it is written down that somebody looked, where nothing else is to be written."""

State = dict[str, Any]
"""How a task is, as `store.spells.states` has it, with what blocks it under `blocker`."""
End = Callable[[State], datetime | None]


@dataclass(frozen=True)
class Look:
    """What came of looking."""

    changes: int = 0
    """Spells that were begun."""
    more: bool = False
    """Whether something is left to be looked at."""


@dataclass(frozen=True)
class _Found:
    """What a look found, to be written in one transaction."""

    seen: store.Cursor
    then: dict[str, Any]
    ended: list[dict[str, Any]]
    begun: list[dict[str, Any]]
    waited: dict[tuple[str, str], float]
    """Seconds of the spells that are over now, as `ledger.count_all` takes them."""
    more: bool

    @property
    def is_silent(self) -> bool:
        """Nothing has changed, and that somebody looked is known well enough."""
        seen, then = self.seen, self.then
        same = (then["event_id"], then["detail"]) == (seen.event_id, dict(seen.detail))
        known = seen.looked_at is not None and then["looked_at"] - seen.looked_at < SIGN
        return same and known and not (self.ended or self.begun)


def watch(line: Line, steps: int = STEPS) -> int:
    """Look until there is nothing left to see, for so many steps; how many spells were begun."""
    begun = 0
    for _ in range(steps):
        seen = look(line)
        begun += seen.changes
        if not seen.more:
            break
    return begun


def look(line: Line) -> Look:
    """Look once. Any number may look at the same time: each change is written once.

    While a clause of the gate cannot be read, nobody knows why anything waits, and nothing is
    written.
    """

    def ask(gate: Gate) -> _Found | None:
        if gate.degraded:
            return None
        return line.store.survey(lambda conn: _found(conn, line, gate))

    found = evaluated(line, ask)
    if found is None or found.is_silent:
        return Look()
    write = partial(
        store.record,
        seen=found.seen,
        then=found.then,
        ended=found.ended,
        begun=found.begun,
        waited=found.waited,
    )
    return Look(len(found.begun), found.more) if line.store.write(write) else Look()


def _found(conn: Connection, line: Line, gate: Gate) -> _Found:
    now: datetime = views.moment(conn, line.now())
    serving = views.agents_now(conn, line.now(), line.limits.worker_stale)
    holds = {name: snapshot.hold(name, serving) or store.START for name in serving}
    whom = Affected(conn, gate, line.now(), now=now, holds=holds)
    states = _states(whom)
    settled = [(state, spells.settle(seen)) for state, seen in _seen(whom, states)]
    whom.close()
    then = {
        "event_id": whom.event_id,
        "began_at": whom.seen.began_at or now,
        "looked_at": max(now, whom.seen.looked_at or now),
        "detail": asdict(whom.agenda),
    }
    ended = [
        {"its_id": state["spell:id"], "its_end": of.ended}
        for state, of in settled
        if of.ended is not None
    ]
    begun = _begun(conn, settled)
    return _Found(whom.seen, then, ended, begun, _waited(settled), whom.more)


def _waited(settled: Sequence[tuple[State, Settled]]) -> dict[tuple[str, str], float]:
    """How long was waited in what is over now, by reason."""
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    for state, of in settled:
        over = [(each.reason, each.since, each.until) for each in of.begun if each.until]
        if of.ended is not None:
            over.append((state["spell:reason"], state["spell:since"], of.ended))
        for reason, since, until in over:
            if reason != store.WORK:
                seconds[metrics.key("waited_seconds", reason)] += (until - since).total_seconds()
    return seconds


def _states(whom: Affected) -> list[State]:
    """How those are whose open spell does not say it, and what blocks each."""
    if not whom.ids:
        return []
    surely = None if whom.is_blind_walk else sorted(whom.told)
    asked = (whom.conn, whom.gate, whom.moment)
    rows = store.states(*asked, whom.holds, sorted(whom.ids), surely)
    waiting = [row for row in rows if row["job_id"] is not None and row["state"] != store.WORK]
    blockers: dict[int, dict[str, Any]] = {
        row["task_id"]: next(iter(row["blockers"]), {})
        for row in explain.explained(*asked, waiting)
    }
    return [{**row, "blocker": blockers.get(row["task_id"], {})} for row in rows]


def _seen(whom: Affected, states: Sequence[State]) -> list[tuple[State, Seen]]:
    over, blind, after = _ends(whom.conn, states), whom.blind, whom.unwatched_after
    found = []
    for state in states:
        task_id, blocker = state["task_id"], state["blocker"]
        told = whom.told.get(task_id, [])
        same = blocker.get("id") == state["spell:blocker_id"]
        unwatched = after is not None and task_id > after
        seen = Seen(
            state,
            _reason(state),
            whom.now,
            whom.seen.looked_at,
            told,
            cause=blocker.get("since"),
            # While nobody looked a freeze may have come before anything else.
            same_blocker=same and (state["state"] == "freeze" or not whom.agenda.froze),
            over=_taken_back(state, told) or over(state),
            stirred=_stirred(whom, state),
            blind=blind if unwatched else None,
        )
        found.append((state, seen))
    return found


def _reason(state: State) -> str | None:
    """What a task does or waits for, in the words of the ledger."""
    if state["job_id"] is None and state["state"] is not None:
        return explain.parked_for(state, state["verdict"])
    reason: str | None = state["state"]
    return reason


def _taken_back(state: State, told: Sequence[Mapping[str, Any]]) -> datetime | None:
    """When a task was taken back that waited for that."""
    back = [each["at"] for each in told if each["kind"] == "task.resumed"]
    return back[-1] if back and state["spell:reason"] == "paused" else None


def _stirred(whom: Affected, state: State) -> datetime | None:
    """When that happened which may have changed its reason."""
    if state["spell:reason"] in store.HOLDS and state["agent"] in whom.agents:
        return whom.agents[state["agent"]]
    return whom.stirred.get(state["repo"])


def _ends(conn: Connection, states: Sequence[State]) -> End:
    """What answers when that ended what a task waited for, where a row tells."""
    of: dict[str, set[int]] = {"freeze": set(), "dependency": set()}
    for state in states:
        if state["spell:blocker_id"] is not None:
            of.setdefault(state["spell:reason"], set()).add(state["spell:blocker_id"])
    known = {
        "freeze": store.ends_of_freezes(conn, sorted(of["freeze"])),
        "dependency": store.ends_of_tasks(conn, sorted(of["dependency"])),
    }

    def over(state: State) -> datetime | None:
        reason = state["spell:reason"]
        if reason == "backoff":
            due: datetime | None = state["spell:due_at"]
            return due
        return known.get(reason, {}).get(state["spell:blocker_id"])

    return over


def _begun(conn: Connection, settled: Sequence[tuple[State, Settled]]) -> list[dict[str, Any]]:
    named = {each.job_id for _, of in settled for each in of.begun if each.job_id is not None}
    jobs = store.jobs_named(conn, sorted(named))
    return [
        _row(state, each, jobs.get(each.job_id, {})) for state, of in settled for each in of.begun
    ]


def _row(state: State, spell: Spell, job: Mapping[Any, Any]) -> dict[str, Any]:
    goes_on = spell.until is None
    blocker = state["blocker"] if goes_on else {}
    return {
        "task_id": state["task_id"],
        "job_id": spell.job_id,
        "repo": state["repo"],
        "stage": job.get("stage") or state["stage"],
        "agent": job.get("agent"),
        "reason": spell.reason,
        "since": spell.since,
        "until": spell.until,
        "due_at": state["available_at"] if goes_on and spell.reason == "backoff" else None,
        "blocker_id": blocker.get("id"),
        "blocker": blocker.get("work_item_id"),
    }
