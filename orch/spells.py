"""How one task spent its time since the last look: from its events and its state to spells.

Pure: facts in, spells out. What the task itself did (queued, taken, given back, ended, parked) is
told by its events to the moment. Why it waited can only be seen, so the moment of a change is that
of its cause, as far as one is known, and never before what was last seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final, Literal

Told = Mapping[str, Any]
"""One event of the ledger."""
What = Literal["none", "wait", "work", "parked"]
WORK, UNSEEN = "work", "unseen"
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Spell:
    """A stretch of a task's time under one reason; without an end it goes on."""

    reason: str
    since: datetime
    until: datetime | None = None
    job_id: int | None = None


@dataclass(frozen=True)
class Settled:
    """What is to be written of one task: when its open spell ended, and what came after it."""

    ended: datetime | None = None
    begun: tuple[Spell, ...] = ()


@dataclass(frozen=True)
class Seen:
    """What is known of one task at a look."""

    row: Mapping[str, Any]
    """Its state as `store.spells.states` has it."""
    reason: str | None
    """What it does or waits for now; None is nothing."""
    now: datetime
    looked_at: datetime | None
    """When somebody last looked; None at the first look ever."""
    told: Sequence[Told] = ()
    """Its own events since then, in order."""
    cause: datetime | None = None
    """Since when that is so what it waits for now."""
    same_blocker: bool = False
    """Whether what blocks it now is what blocked it when its open spell began."""
    over: datetime | None = None
    """When that ended what it waited for before, where a row tells."""
    stirred: datetime | None = None
    """When something last happened in its repo."""
    blind: datetime | None = None
    """Where nobody looked for long: since when."""


@dataclass(frozen=True)
class _Stretch:
    what: What
    since: datetime
    job_id: int | None = None
    why: str = ""


def settle(seen: Seen) -> Settled:
    """The spells of a task from its open one up to now."""
    stretches = _stretches(seen)
    last = stretches[-1]
    notes = _Notes(seen)
    for stretch, after in pairwise(stretches):
        notes.past(stretch, after.since)
    if len(stretches) > 1 or seen.row["spell:id"] is None:
        notes.begin(last)
    else:
        notes.go_on()
    return Settled(notes.ended, tuple(notes.begun))


# --- what the task itself did -----------------------------------------------------------------


def _stretches(seen: Seen) -> list[_Stretch]:
    """Waiting, at work, parked, or nothing of these, one after the other."""
    row = seen.row
    found = [_first(row), *_by_hand(seen)]
    parked = _was_parked(seen, found[-1])
    asked = ""
    for each in seen.told:
        kind, at = each["kind"], max(each["at"], found[-1].since)
        parked = kind == "task.paused" or (parked and kind not in _TAKEN_BACK)
        asked = _asked(each, asked)
        now = _after(each, found[-1], asked if parked else "")
        if (now.what, now.job_id) != (found[-1].what, found[-1].job_id):
            found.append(_Stretch(now.what, min(at, seen.now), now.job_id, now.why))
    last, what = found[-1], _what(row)
    if (last.what, last.job_id) != (what, row["job_id"]):
        found.append(_Stretch(what, _by_the_row(seen, what, last), row["job_id"]))
    return found


_TAKEN_BACK: Final = ("task.resumed", "task.cancelled")
_WAITS: Final = ("job.queued", "job.released", "job.reaped")
_ENDS: Final = ("job.succeeded", "job.failed", "job.cancelled")


def _first(row: Mapping[str, Any]) -> _Stretch:
    """As it was at the last look."""
    if row["spell:id"] is None:
        return _Stretch("none", row["last_until"] or _NEVER)
    reason, since, job_id = row["spell:reason"], row["spell:since"], row["spell:job_id"]
    if reason == WORK:
        return _Stretch("work", since, job_id)
    return _Stretch("parked" if job_id is None else "wait", since, job_id, reason)


def _by_hand(seen: Seen) -> list[_Stretch]:
    """The beginning of a wait that no event tells of, because somebody wrote the job by hand."""
    row, told = seen.row, seen.told
    if row["spell:id"] is not None or row["job_id"] is None or not told:
        return []
    if any(each["kind"] == "job.queued" and each["job_id"] == row["job_id"] for each in told):
        return []
    since = max(row["queued_at"], row["last_until"] or _NEVER)
    return [_Stretch("wait", since, row["job_id"])] if since <= told[0]["at"] else []


def _was_parked(seen: Seen, first: _Stretch) -> bool:
    """Whether the task was parked when its events begin: at work it may have been as well."""
    steps = [each["kind"] for each in seen.told if each["kind"] in ("task.paused", *_TAKEN_BACK)]
    if not steps:
        return seen.row["paused_at"] is not None
    return first.what == "parked" or steps[0] == "task.resumed"


def _asked(told: Told, before: str) -> str:
    """What the task would be parked for from this event on."""
    kind = told["kind"]
    if kind in _ENDS:
        return "needs-input" if told["data"].get("verdict") == "needs_input" else "paused"
    if kind == "task.approval_asked":
        return "approval"
    return before or "paused"


def _after(told: Told, last: _Stretch, parked_for: str) -> _Stretch:
    """What the task does from this event on."""
    kind, job_id = told["kind"], told["job_id"]
    if kind in _WAITS:
        return _Stretch("wait", told["at"], job_id)
    if kind == "job.claimed":
        return _Stretch("work", told["at"], job_id)
    if kind in _ENDS and job_id == last.job_id:
        last = _Stretch("none", told["at"])
    if last.what in ("wait", "work"):
        return last
    return _Stretch("parked" if parked_for else "none", told["at"], None, parked_for)


def _what(row: Mapping[str, Any]) -> What:
    if row["job_id"] is not None:
        return "work" if row["state"] == WORK else "wait"
    return "none" if row["state"] is None else "parked"


def _by_the_row(seen: Seen, what: What, last: _Stretch) -> datetime:
    """When that began which no event tells of: somebody wrote a row by hand."""
    columns = {"wait": "queued_at", "work": "taken_at", "parked": "paused_at", "none": "ended_at"}
    fact: datetime | None = seen.row[columns[what]]
    if fact is not None and last.since < fact <= seen.now:
        return fact
    if last.what == "none" and fact is not None:
        return min(last.since, seen.now)
    return max(last.since, seen.stirred or seen.now)


# --- what it waited for -----------------------------------------------------------------------


@dataclass
class _Notes:
    """The spells of one task as they are found, one after the other and none over another."""

    seen: Seen
    ended: datetime | None = None
    begun: list[Spell] = field(default_factory=list)

    def past(self, stretch: _Stretch, until: datetime) -> None:
        """A stretch that is over."""
        if stretch.what == "none":
            return
        if stretch.since == self._open_since and not self.begun and self.ended is None:
            self._end(until, watched=stretch.what != "wait" or self._blind is None)
            return
        reasons = {"wait": UNSEEN, "work": WORK, "parked": stretch.why or "paused"}
        self._add(reasons[stretch.what], stretch.since, until, stretch.job_id)

    def begin(self, last: _Stretch) -> None:
        """The stretch that goes on, begun since the last look."""
        seen, since = self.seen, last.since
        if seen.reason is None:
            return
        if last.what == "wait":
            cause = seen.cause
            unwatched = not seen.told and (seen.looked_at is None or since < seen.looked_at)
            if cause is not None and since < cause <= seen.now:
                since = cause
            elif cause is None and (unwatched or self._blind is not None):
                since = seen.now
            self._add(UNSEEN, last.since, since, last.job_id)
        self._add(seen.reason, since, None, last.job_id)

    def go_on(self) -> None:
        """The task does what it did; if it waits, maybe for something else."""
        seen, row = self.seen, self.seen.row
        waits, blind = row["spell:job_id"] is not None and row["state"] != WORK, self._blind
        if seen.reason == row["spell:reason"]:
            if waits and blind is not None and not self._surely_the_same(blind):
                self._change(blind, self._later_cause(blind) or seen.now)
            return
        over = seen.over
        if over is not None and row["spell:since"] <= over <= seen.now:
            cause = self._later_cause(over)
            self._change(over, cause or (over if blind is None else seen.now))
        elif blind is not None and waits:
            self._change(blind, self._later_cause(blind) or seen.now)
        else:
            begin = self._moment_of_change()
            self._change(begin, begin)

    # --- when

    @property
    def _open_since(self) -> datetime | None:
        since: datetime | None = self.seen.row["spell:since"]
        return since

    @property
    def _blind(self) -> datetime | None:
        """Since when nobody looked, for a spell that had begun by then."""
        blind, since = self.seen.blind, self._open_since
        return None if blind is None or (since is not None and since > blind) else blind

    def _later_cause(self, than: datetime) -> datetime | None:
        cause = self.seen.cause
        return cause if cause is not None and than < cause <= self.seen.now else None

    def _moment_of_change(self) -> datetime:
        """That of the cause, else of what last happened there, else this one."""
        seen = self.seen
        least: datetime = max(seen.row["spell:since"], seen.looked_at or _NEVER)
        own = seen.told[-1]["at"] if seen.told else None
        for moment in (self._later_cause(least), own, seen.stirred):
            if moment is not None and least <= moment <= seen.now:
                return moment
        return max(seen.now, least)

    def _surely_the_same(self, blind: datetime) -> bool:
        """Whether what holds it has held it all the time that nobody looked."""
        seen = self.seen
        return (
            seen.same_blocker and not seen.told and seen.cause is not None and seen.cause <= blind
        )

    # --- what is written

    def _end(self, until: datetime, *, watched: bool) -> None:
        """End the open spell: where nobody watched, when it was last seen."""
        since = self._open_since or _NEVER
        known = self.seen.over if self.seen.over and self.seen.over <= until else None
        self.ended = max(since, until if watched else known or self._blind or until)
        self._add(UNSEEN, self.ended, until, self.seen.row["spell:job_id"])

    def _change(self, until: datetime, since: datetime) -> None:
        self.ended = max(until, self._open_since or _NEVER)
        job_id = self.seen.row["job_id"]
        self._add(UNSEEN, self.ended, since, job_id)
        if self.seen.reason is not None:
            self._add(self.seen.reason, max(since, self.ended), None, job_id)

    def _add(
        self, reason: str, since: datetime, until: datetime | None, job_id: int | None
    ) -> None:
        """One more spell, behind what is there already; none of no length but the one that goes
        on."""
        floor = self.begun[-1].until if self.begun else self.ended or self.seen.row["last_until"]
        since = min(max(since, floor or since), self.seen.now)
        if until is None or until > since:
            self.begun.append(Spell(reason, since, until, job_id))
