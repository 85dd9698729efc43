"""The states of a project: which one each phase of orch's is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from orch import names
from orch.adapters.plane.client import Plane, understanding
from orch.errors import TrackerRefused
from orch.ports.tracker import Phase, StateGroup

OURS: Final = "orch"
"""`external_source` of all that orch makes in Plane."""


@dataclass(frozen=True)
class State:
    """A state of the project."""

    id: str
    name: str
    group: str
    sequence: float = 0.0
    made_as: str = ""
    """`external_id`, where orch made it."""


@dataclass(frozen=True)
class _Usual:
    name: str
    group: StateGroup
    made_as: str = ""
    """Where no project has it from the beginning, what orch remembers it by."""
    colour: str = ""


_BLOCKED = _Usual("Blocked", "started", "state-blocked", "#d97706")
# A group that begins no work: an item that asks is not one to be taken up.
_ASKING = _Usual("Needs Input", "started", "state-needs-input", "#7c3aed")
USUAL: Final[Mapping[Phase, _Usual]] = {
    "working": _Usual("In Progress", "started"),
    "parked": _BLOCKED,
    "frozen": _BLOCKED,
    "asking": _ASKING,
    "landed": _Usual("Done", "completed"),
    "cancelled": _Usual("Cancelled", "cancelled"),
}
"""What a phase is called where the settings say nothing; one that is not here moves nothing."""


class States:
    """States by id: a state that was once found for a phase stays it, whatever it is called later,
    for as long as this process runs; those that orch made, for good."""

    def __init__(self, plane: Plane, chosen: Mapping[str, str]) -> None:
        """`chosen` are names by phase; an empty name is none: the item stays where it is."""
        self._plane, self._chosen = plane, chosen
        self._states: dict[str, State] = {}
        self._of: dict[Phase, str] = {}

    def all(self) -> list[State]:
        """All of them, as the project shows them."""
        if not self._states:
            self.read()
        return sorted(self._states.values(), key=lambda state: state.sequence)

    def read(self) -> None:
        """Ask Plane anew."""
        rows = self._plane.rows("states/")
        with understanding("states"):
            self._states = {state.id: state for state in map(_state, rows)}

    def by_id(self, state_id: str) -> State:
        """One of them. Raises TrackerUnavailable for one that Plane does not list."""
        if state_id not in self._states:
            self.read()
        with understanding("states"):
            return self._states[state_id]

    def of(self, phase: Phase) -> State | None:
        """The state for a phase; None where an item stays where it is.

        Raises TrackerRefused where the project has none.
        """
        chosen, usual = self._chosen.get(phase), USUAL.get(phase)
        if chosen == "" or (chosen is None and usual is None):
            return None
        known = {state.id: state for state in self.all()}
        found = known.get(self._of.get(phase, "")) or self._found(chosen, usual)
        if found is None:
            raise self.missing(phase)
        self._of[phase] = found.id
        return found

    def missing(self, phase: Phase) -> TrackerRefused:
        """What to say of a phase that has no state."""
        name = self._chosen.get(phase) or USUAL[phase].name
        return TrackerRefused(
            f"The project in Plane has no state “{names.shown(name)}”, which orch needs for items "
            f"that are {phase}.",
            suggested_fix=f"Make that state in Plane, or name another one: `states.{phase}` under "
            "[trackers.NAME].",
        )

    def lacking(self) -> list[Phase]:
        """Phases without a state."""
        phases = [phase for phase in get_args(Phase) if self._chosen.get(phase) or phase in USUAL]
        return [phase for phase in phases if not self.has(phase)]

    def make(self, phase: Phase) -> State | None:
        """Make the state of a phase, once; None for one that is not orch's to make."""
        usual = USUAL.get(phase)
        if usual is None or not usual.made_as or self._chosen.get(phase):
            return None
        body = {
            "name": usual.name,
            "color": usual.colour,
            "group": usual.group,
            "external_source": OURS,
            "external_id": usual.made_as,
        }
        self._plane.ask("POST", "states/", body=body, also=(409,))
        self.read()
        return self.of(phase)

    def forget(self) -> None:
        """Believe nothing of what was read."""
        self._states, self._of = {}, {}

    def has(self, phase: Phase) -> bool:
        """Whether the project has a state for a phase."""
        try:
            self.of(phase)
        except TrackerRefused:
            return False
        return True

    def _found(self, chosen: str | None, usual: _Usual | None) -> State | None:
        if chosen is not None:
            named = self._named(chosen)
            if named is not None or usual is None:
                return named
            return None if usual.made_as else self._of_group(usual.group)
        if usual is None:
            return None
        if usual.made_as:
            made = (state for state in self.all() if state.made_as == usual.made_as)
            return next(made, None) or self._named(usual.name)
        return self._named(usual.name, usual.group) or self._of_group(usual.group)

    def _named(self, name: str, group: str = "") -> State | None:
        same = (s for s in self.all() if s.name.strip().casefold() == name.strip().casefold())
        return next((state for state in same if group in ("", state.group)), None)

    def _of_group(self, group: str) -> State | None:
        return next((s for s in self.all() if s.group == group and not s.made_as), None)


def _state(row: Mapping[str, Any]) -> State:
    ours = row.get("external_source") == OURS
    return State(
        str(row["id"]),
        names.cleaned(str(row["name"])),
        str(row["group"]),
        float(row.get("sequence") or 0),
        str(row.get("external_id") or "") if ours else "",
    )
