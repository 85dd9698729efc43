"""A project of Plane as a tracker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import Any, Final

from orch import clock, names
from orch.adapters.plane import moves
from orch.adapters.plane.budget import Budget
from orch.adapters.plane.client import Plane, understanding
from orch.adapters.plane.markup import html_of, text_of
from orch.adapters.plane.people import People
from orch.adapters.plane.rows import Rows, is_gone
from orch.adapters.plane.states import OURS, State, States
from orch.errors import TrackerGone, TrackerRefused
from orch.outside_settings import OutsideSettings, TrackerSettings
from orch.ports.tracker import Item, Phase, Readiness, Remark, Telling, Tracker
from orch.rest import Service, part

EXPAND: Final = "state,labels"
FINAL: Final = frozenset({"completed", "cancelled"})
"""Groups of states in which a person's word is the last."""
_BUDGETS: Final[dict[tuple[str, str, int], Budget]] = {}
"""By address, key and rate: a key's budget is one, however many projects it opens."""
_GUARD: Final = Lock()


class PlaneTracker:
    """One project, seen by orch's own user.

    No verb waits: where the budget of the key is used up it raises TrackerUnavailable.
    """

    def __init__(self, plane: Plane, settings: TrackerSettings, address: str) -> None:
        """`address` is where people open Plane."""
        self._plane, self._settings = plane, settings
        self._states = States(plane, settings.states)
        self._people = People(plane, settings.start_actors)
        self._rows = Rows(plane, self._states, address, settings.page)

    # --- reading

    def items(self) -> Sequence[Item]:
        """Every item of the project; who moved it, and what it waits for, only `item` tells."""
        self._plane.budget.need(3)
        self._rows.identifier()
        # Sorted by what no edit changes: whoever is edited in between keeps its place.
        rows = self._plane.rows("work-items/", expand=EXPAND, order_by="created_at")
        return [item for row in rows if (item := self._rows.item(row)) is not None]

    def item(self, item_id: str) -> Item | None:
        """One item with what it waits for and who put it into its state; None when it is gone."""
        self._plane.budget.need(5)
        answer = self._plane.ask("GET", _at(item_id), query={"expand": EXPAND}, also=(404,))
        if not answer.ok:
            self._make_sure_of_the_project()
        if not answer.ok or is_gone(answer.body):
            return None
        relations = self._plane.object(f"{_at(item_id)}relations/", also=(404,))
        if relations is None:
            return None
        state = self._rows.state(answer.body)
        trail = moves.read(self._plane, item_id)
        with understanding(item_id):
            mover = trail.moved_by(answer.body, state.id, state.name)
            blockers = tuple(str(each["issue_id"]) for each in relations["blocked_by"])
        if not mover:
            moves.wait_for(answer.body, answer.headers.get("date", ""))
        return self._rows.item(answer.body, blockers, self._people.called(mover))

    def remarks(self, item_id: str, after: datetime | None = None) -> Sequence[Remark]:
        """What others than orch wrote below it since, oldest first; nothing below one that is
        gone."""
        self._plane.budget.need(3)
        me = self._people.me()
        found = []
        for row in self._plane.rows(f"{_at(item_id)}comments/"):
            with understanding("comments"):
                at = moves.moment(row["created_at"])
                others = row["actor"] != me and row.get("external_source") != OURS
                if others and not row.get("deleted_at") and (after is None or at >= after):
                    author = self._people.called(str(row["actor"] or ""))
                    text = text_of(str(row["comment_html"]))
                    found.append(Remark(str(row["id"]), author, text, at))
        return sorted(found, key=lambda remark: (remark.at, remark.remark_id))

    # --- telling

    def tell(self, telling: Telling) -> None:
        """Write the comment, then move the item: whoever is called by the move finds the reason.

        Both are harmless to repeat. An item that a person has completed or cancelled stays where
        it is, and so does one that a person parked; the comment is written all the same.
        """
        self._plane.budget.need(4)
        row = self._plane.object(_at(telling.item_id), also=(404,), expand=EXPAND)
        if row is None or is_gone(row):
            raise self._gone(telling.item_id)
        earlier = self._comment(telling) if telling.text else None
        if telling.phase is not None:
            self._move(row, telling.item_id, telling.phase, earlier)

    def _comment(self, telling: Telling) -> str | None:
        """Write it; the id of the one that is there already."""
        body = {
            "comment_html": html_of(telling.text),
            "external_source": OURS,
            "external_id": telling.uid,
        }
        path = f"{_at(telling.item_id)}comments/"
        answer = self._plane.ask("POST", path, body=body, also=(404, 409))
        if answer.status == 404:
            raise self._gone(telling.item_id)
        return str(answer.body.get("id", "")) if answer.status == 409 else None

    def _move(
        self, row: Mapping[str, Any], item_id: str, phase: Phase, earlier: str | None
    ) -> None:
        wanted, current = self._states.of(phase), self._rows.state(row)
        if wanted is None or wanted.id == current.id:
            return
        if phase == "parked" and current.name in self._settings.park_states:
            return
        if self._is_anothers(row, item_id, current, wanted, earlier):
            return
        if self._put(item_id, wanted):
            return
        self._states.forget()
        again = self._states.of(phase)
        if again is None or again.id == wanted.id or not self._put(item_id, again):
            raise self._states.missing(phase)

    def _is_anothers(
        self,
        row: Mapping[str, Any],
        item_id: str,
        current: State,
        wanted: State,
        earlier: str | None,
    ) -> bool:
        """Whether a person has put it where it is, with the last word or after this was told."""
        if current.group not in FINAL and not earlier:
            return False
        trail, me = moves.read(self._plane, item_id), self._people.me()
        with understanding(item_id):
            if current.group in FINAL and trail.moved_by(row, current.id, current.name) != me:
                return True
        if not earlier:
            return False
        # Told before, and the answer was lost: if it was moved then, a person moved it since.
        comment = self._plane.object(f"{_at(item_id)}comments/{part(earlier)}/", also=(404,))
        with understanding("comments"):
            since = moves.moment(comment["created_at"]) if comment else None
        return since is not None and trail.moved_since(me, wanted.id, since)

    def _put(self, item_id: str, state: State) -> bool:
        """Move it; False where Plane does not know the state any more."""
        body = {"state": state.id}
        answer = self._plane.ask("PATCH", _at(item_id), body=body, also=(400, 404))
        if answer.status == 404:
            raise self._gone(item_id)
        if answer.status == 400 and "state" not in answer.body:
            said = names.cleaned(str(answer.body), 200)
            raise TrackerRefused(f"Plane does not move {item_id} to {state.name}: {said}")
        return answer.ok

    def _gone(self, item_id: str) -> TrackerGone:
        self._make_sure_of_the_project()
        return TrackerGone(f"The item {item_id} is not in Plane any more.")

    def _make_sure_of_the_project(self) -> None:
        """Plane says 404 to any item of a project it does not know: that deletes nothing."""
        self._rows.identifier(anew=True)

    # --- making ready

    def prepare(self, *, make: bool = False) -> Readiness:
        """Look at key, workspace, project, states and people; with `make`, make missing states."""
        self._plane.budget.need(8)
        problems, notes = list[str](), list[str]()
        steps: tuple[Callable[[list[str], list[str], bool], None], ...] = (
            self._look_at_project,
            self._look_at_states,
            self._look_at_people,
        )
        myself = ""
        try:
            myself = self._people.me()
            for step in steps:
                step(problems, notes, make)
            myself = self._people.called(myself)
        except TrackerRefused as error:
            problems.append(f"{error.message} {error.suggested_fix}")
        return Readiness(myself, tuple(problems), tuple(notes), self._plane.moment)

    def _look_at_project(self, problems: list[str], notes: list[str], make: bool) -> None:
        notes.append(
            f"project {self._rows.identifier(anew=True)} of the workspace {self._plane.workspace}"
        )

    def _look_at_states(self, problems: list[str], notes: list[str], make: bool) -> None:
        self._states.forget()
        for phase in self._states.lacking():
            if self._states.has(phase):
                continue  # made a moment ago, for another phase
            made = self._states.make(phase) if make else None
            if made is not None:
                notes.append(f"made the state {made.name}")
            else:
                missing = self._states.missing(phase)
                problems.append(f"{missing.message} {missing.suggested_fix}")
        known = {state.name for state in self._states.all()}
        notes.append(f"states: {', '.join(state.name for state in self._states.all())}")
        for setting in ("start_states", "park_states"):
            for name in getattr(self._settings, setting):
                if name not in known:
                    problems.append(f"{setting} names “{names.shown(name)}”, and no state is it.")

    def _look_at_people(self, problems: list[str], notes: list[str], make: bool) -> None:
        for name in self._people.unknown():
            problems.append(
                f"start_actors names “{names.shown(name)}”: no member of the project is it, or "
                "more than one; an id or a mail address names one."
            )


def plane_tracker(settings: OutsideSettings, known: TrackerSettings) -> Tracker:
    """The tracker of one `[trackers.NAME]`; all projects of one key share its budget."""
    token, per_minute = settings.plane_token.get_secret_value(), settings.plane_requests_per_minute
    with _GUARD:
        new = Budget(per_minute, clock.stopwatch())
        budget = _BUDGETS.setdefault((settings.plane_url, token, per_minute), new)
    service = Service(settings.plane_url, {"X-API-Key": token} if token else {})
    plane = Plane(service, settings.plane_workspace, known.project, budget)
    return PlaneTracker(plane, known, settings.plane_url)


def _at(item_id: str) -> str:
    return f"work-items/{part(item_id)}/"
