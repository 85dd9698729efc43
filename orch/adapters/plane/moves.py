"""Who put an item into its state, from the trail that Plane keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

from orch.adapters.plane.client import Plane, understanding
from orch.errors import TrackerUnavailable
from orch.rest import part

FIELDS: Final = frozenset({"state", "state_id"})
"""What the trail calls a state: the API's word, and that of the pages."""
LAG: Final = timedelta(seconds=60)
"""Plane writes its trail after the change: so long it may still come."""
NEAR: Final = timedelta(seconds=5)


@dataclass(frozen=True)
class Trail:
    """What was changed in an item, and by whom."""

    moves: tuple[tuple[datetime, str, str, str], ...]
    """Changes of its state, oldest first: when, by whom, to which id, to which name."""
    last: Mapping[str, datetime]
    """When each user changed anything."""

    def moved_by(self, row: Mapping[str, Any], state_id: str, name: str) -> str:
        """The id of whoever put the item into the state it is in; empty where it does not tell."""
        if self.moves:
            _, actor, to_id, to_name = self.moves[-1]
            return actor if state_id == to_id or (not to_id and name == to_name) else ""
        maker, editor = str(row.get("created_by") or ""), str(row.get("updated_by") or "")
        if editor in ("", maker):
            return maker
        # Somebody else was at it: what they did is known not to be a move, or not known.
        seen = self.last.get(editor)
        return maker if seen is not None and seen >= moment(row["updated_at"]) - NEAR else ""

    def moved_since(self, user_id: str, state_id: str, since: datetime) -> bool:
        """Whether a user has put the item into a state since then."""
        return any(at >= since and (by, to) == (user_id, state_id) for at, by, to, _ in self.moves)


def read(plane: Plane, item_id: str) -> Trail:
    """The trail of an item."""
    rows = plane.rows(f"work-items/{part(item_id)}/activities/")
    with understanding("activities"):
        moves, last = [], dict[str, datetime]()
        for row in sorted(rows, key=lambda row: moment(row["created_at"])):
            at, actor = moment(row["created_at"]), str(row.get("actor") or "")
            last[actor] = at
            if row.get("field") in FIELDS:
                to_id, to_name = row.get("new_identifier"), row.get("new_value")
                moves.append((at, actor, str(to_id or ""), str(to_name or "")))
        return Trail(tuple(moves), last)


def wait_for(row: Mapping[str, Any], date: str) -> None:
    """Come again for the trail of an item that was changed only just now.

    `date` is the header by which Plane says what time it is there. Raises TrackerUnavailable.
    """
    with understanding("the time"):
        there = parsedate_to_datetime(date) if date else None
        if there is None or there.astimezone(UTC) - moment(row["updated_at"]) > LAG:
            return
    raise TrackerUnavailable("Plane has not written down yet who moved the item.")


def moment(value: Any) -> datetime:
    """A time as Plane writes it. Raises ValueError, TypeError."""
    return datetime.fromisoformat(value).astimezone(UTC)
