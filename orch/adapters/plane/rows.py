"""Items as Plane writes them, with states and labels in full or by their ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

from orch import names
from orch.adapters.plane.client import Plane, understanding
from orch.adapters.plane.markup import text_of
from orch.adapters.plane.moves import moment
from orch.adapters.plane.states import State, States
from orch.ports.tracker import Item, Priority, StateGroup
from orch.rest import part

GROUPS: Final[Mapping[str, StateGroup]] = {group: group for group in get_args(StateGroup)}
PRIORITIES: Final[Mapping[str, Priority]] = {name: name for name in get_args(Priority)}


class Rows:
    """Reads the rows of one project's items."""

    def __init__(self, plane: Plane, states: States, address: str, page: str) -> None:
        """`page` is where people see an item, with {work_item} or {item} in it; empty is Plane's
        own, below `address`."""
        self._plane, self._states = plane, states
        own = f"{address.rstrip('/')}/{part(plane.workspace)}/browse/{{work_item}}/"
        self._page = page or own
        self._labels: dict[str, str] = {}
        self._prefix = ""

    def identifier(self, *, anew: bool = False) -> str:
        """What stands before the number of an item."""
        if anew or not self._prefix:
            path = f"/api/v1/workspaces/{part(self._plane.workspace)}/projects/"
            project = self._plane.object(f"{path}{part(self._plane.project)}/")
            with understanding("the project"):
                self._prefix = str(project["identifier"])
        return self._prefix

    def item(
        self,
        row: Mapping[str, Any],
        blocked_by: tuple[str, ...] | None = None,
        moved_by: str | None = None,
    ) -> Item | None:
        """The item of a row; None for one that is not shown."""
        state = self.state(row)
        with understanding("work-items"):
            if state.group not in GROUPS or is_gone(row):
                return None
            called = f"{self.identifier()}-{int(row['sequence_id'])}"
            page = self._page.replace("{work_item}", part(called))
            return Item(
                item_id=str(row["id"]),
                work_item_id=called,
                title=names.cleaned(str(row["name"])),
                state=state.name,
                group=GROUPS[state.group],
                updated_at=moment(row["updated_at"]),
                description=text_of(str(row.get("description_html") or "")),
                priority=PRIORITIES.get(str(row.get("priority")), "none"),
                labels=tuple(self._label(each) for each in row.get("labels") or ()),
                url=page.replace("{item}", part(row["id"])),
                blocked_by=blocked_by,
                moved_by=moved_by,
            )

    def state(self, row: Mapping[str, Any]) -> State:
        """The state of a row. Raises TrackerUnavailable for one that cannot be read."""
        with understanding("work-items"):
            said = row["state"]
            if isinstance(said, str):
                return self._states.by_id(said)
            return State(str(said["id"]), names.cleaned(str(said["name"])), str(said["group"]))

    def _label(self, said: Any) -> str:
        if not isinstance(said, str):
            return names.cleaned(str(said["name"]))
        if said not in self._labels:
            rows = self._plane.rows("labels/")
            self._labels = {str(row["id"]): names.cleaned(str(row["name"])) for row in rows}
        return self._labels.get(said, "")


def is_gone(row: Mapping[str, Any]) -> bool:
    """Whether it was deleted or archived, or is not written to its end yet."""
    return bool(row.get("deleted_at") or row.get("archived_at") or row.get("is_draft"))
