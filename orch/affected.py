"""Whose reason may have changed since the last look: found by what happened, not by asking all.

What one task does changes, beside its own reason, only that of its repo's head and of those that
nothing of the line held so far; everybody else stays behind somebody. A freeze, a changed gate or
a long time without a look concerns many: they are walked through, a page at each look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, Final, Self

from orch import stages
from orch.serial_gate import Gate
from orch.store import history
from orch.store import spells as store
from orch.store.moments import Moment
from orch.store.session import Connection, Row

PAGE: Final = 1000
"""How many events are read, and how many tasks of a walk looked at, in one step."""
BLIND: Final = timedelta(seconds=60)
"""After so long without a look nobody knows what was waited for meanwhile."""
WALK: Final = timedelta(seconds=300)
"""How often everybody is looked at: rows that others change by hand leave no trace."""

_OF_FREEZES: Final = ("repo.frozen", "repo.unfrozen", "repo.let_through")
_OF_AGENTS: Final = ("agent.suspended", "agent.resumed")


@dataclass
class Agenda:
    """What the next look has to know; kept with the cursor."""

    ahead: list[int] = field(default_factory=list)
    """Events behind the cursor's that have been read already."""
    pending: list[dict[str, Any]] = field(default_factory=list)
    """Repos, or None for all, whose tasks are being walked through, and after which task."""
    holds: dict[str, str] = field(default_factory=dict)
    tops: list[int] = field(default_factory=lambda: [0, 0])
    walked_at: str | None = None
    blind: str | None = None
    """Since when nobody had looked, while what was not watched is being walked through."""
    froze: bool = False
    """Whether a freeze came or went in that time."""
    gate: str = ""

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self:
        """As it was kept, maybe by a later version that knows more."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: deepcopy(value) for name, value in kept.items() if name in known})

    def walk(self, repo: str | None) -> None:
        """Look at all that waits in a repo, or everywhere, from the beginning."""
        known = next((each for each in self.pending if each["repo"] == repo), None)
        if known is None:
            self.pending.append({"repo": repo, "after": 0})
        elif known.get("blind"):
            known["again"] = True
        else:
            known["after"] = 0

    def is_walk_due(self, now: datetime) -> bool:
        """Whether everybody was looked at so long ago that it is time again."""
        if any(each["repo"] is None for each in self.pending):
            return False  # under way
        return self.walked_at is None or now - datetime.fromisoformat(self.walked_at) >= WALK


class Affected:
    """The tasks to look at in one look, and what is known of how they came to be among them."""

    def __init__(
        self,
        conn: Connection,
        gate: Gate,
        moment: Moment,
        *,
        now: datetime,
        holds: dict[str, str],
    ) -> None:
        self.conn, self.gate, self.moment, self.now, self.holds = conn, gate, moment, now, holds
        self.seen = store.cursor(conn)
        self.agenda = Agenda.of(self.seen.detail)
        self.ids: set[int] = set()
        self.stirred: dict[str | None, datetime] = {}
        """When something last happened, by repo."""
        self.agents: dict[str, datetime] = {}
        """The same of agents that were suspended or resumed."""
        self.more = False
        self.walk: dict[str, Any] | None = None
        self.unwatched_after: int | None = None
        """Tasks with a greater id have not been looked at since nobody had looked for long."""
        self._plan()
        self.event_id = self._read_on()
        if not self.more and self.agenda.pending:
            self._go_on_with(self.agenda.pending[0])
        self.told = self._told()

    @property
    def is_blind_walk(self) -> bool:
        """Whether this look is to tell of everybody what nobody watched."""
        return self.walk is not None and bool(self.walk.get("blind"))

    @property
    def blind(self) -> datetime | None:
        """Since when nobody had looked, as long as not everybody was looked at since."""
        return datetime.fromisoformat(self.agenda.blind) if self.agenda.blind else None

    def close(self) -> None:
        """Note in the agenda what has been looked at."""
        agenda, walk = self.agenda, self.walk
        read = (each["id"] for its in self.told.values() for each in its)
        agenda.ahead = sorted(each for each in {*agenda.ahead, *read} if each > self.event_id)
        if walk is not None and walk.pop("done"):
            agenda.pending.remove(walk)
            if walk["repo"] is None:
                agenda.walked_at = self.now.isoformat()
            if walk.get("blind"):
                agenda.blind = None
            if walk.get("again"):
                agenda.walk(None)
        self.more = self.more or bool(agenda.pending)

    # --- the plan

    def _plan(self) -> None:
        agenda, seen, gate = self.agenda, self.seen, repr(self.gate.layers)
        if agenda.gate != gate or agenda.is_walk_due(self.now):
            agenda.walk(None)
        agenda.gate = gate
        if agenda.blind is None and seen.looked_at and self.now - seen.looked_at > BLIND:
            agenda.blind, agenda.froze = seen.looked_at.isoformat(), False
            rest = [each for each in agenda.pending if each["repo"] is not None]
            agenda.pending = [{"repo": None, "after": 0, "blind": True}, *rest]
        blind = (each["after"] for each in agenda.pending if each.get("blind"))
        self.unwatched_after = next(blind, None)

    # --- what happened

    def _read_on(self) -> int:
        """Read what happened; the event up to which nothing will appear any more."""
        conn, seen, agenda = self.conn, self.seen, self.agenda
        horizon = seen.event_id
        if history.last_event(conn) > horizon:
            horizon = history.event_horizon(conn, self.moment)
        if seen.looked_at is None:  # the ledger begins here, not with the first event there is
            agenda.ahead = [each["id"] for each in store.events_after(conn, horizon, PAGE)]
            agenda.tops = store.tops(conn)
            return horizon
        page = store.events_after(conn, seen.event_id, PAGE)
        full = len(page) == PAGE
        event_id = max(seen.event_id, min(horizon, page[-1]["id"]) if full else horizon)
        self.more = full and event_id > seen.event_id
        known = set(agenda.ahead)
        fresh = [each for each in page if each["id"] not in known]
        agenda.ahead += [each["id"] for each in fresh]
        self._follow(fresh)
        self._follow_rows_by_hand()
        self.ids.update(store.due(conn, self.now, PAGE))
        self._follow_holds()
        return event_id

    def _follow(self, page: Sequence[Row]) -> None:
        over = []
        for each in page:
            kind = each["kind"]
            self.stirred[each["repo"]] = each["at"]
            if kind in _OF_FREEZES:
                self._frozen_or_not(each["repo"])
            elif kind in _OF_AGENTS:
                self.agents[each["data"].get("agent", "")] = each["at"]
            if each["task_id"] is not None:
                self.ids.add(each["task_id"])
                if each["to_state"] in stages.TERMINAL:
                    over.append(each["task_id"])
        self._stir({each["repo"] for each in page if each["task_id"] is not None}, over)

    def _stir(self, repos: Iterable[str], over: Sequence[int] = ()) -> None:
        """Something happened to tasks of these repos, and these tasks are over."""
        waited = store.dependents(self.conn, over)
        self.ids.update(each["id"] for each in waited)
        names = sorted({*repos, *(each["repo"] for each in waited)})
        self.ids.update(store.first_in_line(self.conn, self.gate, names))

    def _frozen_or_not(self, repo: str) -> None:
        self.agenda.froze = True
        self.agenda.walk(None if "*" in repo or "?" in repo else repo)

    def _follow_rows_by_hand(self) -> None:
        """Rows that other programs wrote: they have no event, but a number."""
        job_id, freeze_id = self.agenda.tops
        self.agenda.tops = found = store.tops(self.conn)
        if found[0] > job_id:
            newer = store.jobs_after(self.conn, job_id, PAGE)
            if len(newer) == PAGE:
                found[0] = newer[-1]["id"]
                self.more = True
            self.ids.update(each["task_id"] for each in newer)
            self._stir({each["repo"] for each in newer})
        if found[1] > freeze_id:
            for repo in store.freezes_after(self.conn, freeze_id):
                self._frozen_or_not(repo)

    def _follow_holds(self) -> None:
        """Agents that lost or got workers, slots or their leave to work."""
        known = self.agenda.holds
        for agent, hold in self.holds.items():
            if known.get(agent) != hold:
                waiting = store.held(self.conn, agent, hold, PAGE)
                self.ids.update(waiting)
                if len(waiting) == PAGE:
                    self.more = True  # asked again, until all are told
                else:
                    known[agent] = hold

    def _go_on_with(self, walk: dict[str, Any]) -> None:
        """The next tasks of a walk."""
        if walk["repo"] is None:
            ids = store.everybody_after(self.conn, walk["after"], PAGE)
        else:
            ids = store.queued_after(self.conn, walk["repo"], walk["after"], PAGE)
        self.ids.update(ids)
        self.walk, walk["done"] = walk, len(ids) < PAGE
        if ids:
            walk["after"] = ids[-1]
        if walk["done"] and walk["repo"] is None:
            self.ids.update(store.parked_unseen(self.conn, PAGE))

    def _told(self) -> dict[int, list[dict[str, Any]]]:
        """Their own events that are not in the ledger yet: all of them, for the rows tell what all
        of them came to."""
        if self.seen.looked_at is None:
            return {}
        known = set(self.seen.detail.get("ahead", ()))
        found: dict[int, list[dict[str, Any]]] = {}
        for each in store.events_of(self.conn, sorted(self.ids), self.seen.event_id):
            if each["id"] not in known:
                found.setdefault(each["task_id"], []).append(dict(each))
        return found
