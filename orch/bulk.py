"""One control for many tasks: which they are, what it would do, and doing it one by one.

Every task is a control of its own, audited as such: what cannot be done to one is said of that one
and stops nothing. Done again, it changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from orch import controls, preview
from orch.controls import Order
from orch.errors import BadInput, BrokerUnavailable, OrchError, StoreUnavailable
from orch.gate_fallback import evaluated
from orch.line import Line
from orch.serial_gate import Gate
from orch.store import lanes
from orch.store.lanes import Only
from orch.store.session import Connection, apart

LIMIT: Final = 1000
"""So many tasks at a time; the rest is said, and left for the next time."""
VERBS: Final = ("pause", "resume", "retry", "cancel")


@dataclass(frozen=True)
class Several:
    """One verb for many work items, in this order."""

    verb: str
    items: tuple[str, ...]
    reason: str = ""
    actor: str = "orch"
    within: tuple[str, ...] = ()
    """The repos whoever asks may steer; empty is all of them."""

    def orders(self) -> list[Order]:
        """Each as the control it is. Raises BadInput for what is no control of many."""
        if self.verb not in VERBS:
            raise BadInput(f"{self.verb} is not for many tasks at once.", known=list(VERBS))
        if not self.items:
            raise BadInput(
                "No task is selected.",
                suggested_fix="Select some, or all that match the filter.",
                field="item",
            )
        if len(self.items) > LIMIT:
            raise BadInput(f"{LIMIT} tasks at a time; {len(self.items)} were given.", field="item")
        found = [
            Order(self.verb, item, self.actor, self.reason, within=self.within)
            for item in self.items
        ]
        for each in found:
            controls.check(each)
        return found


def matching(line: Line, only: Only) -> dict[str, Any]:
    """`{items, total}`: the first work items that a filter leaves, and how many there are."""

    def look(gate: Gate) -> dict[str, Any]:
        def read(conn: Connection) -> dict[str, Any]:
            found = lanes.matching(conn, gate, line.now(), only, LIMIT)
            return {"items": found, "total": lanes.count(conn, gate, line.now(), only)}

        return line.store.survey(read)

    return evaluated(line, look)


def count(line: Line, only: Only) -> int:
    """How many tasks a filter leaves."""

    def look(gate: Gate) -> int:
        return line.store.survey(lambda conn: lanes.count(conn, gate, line.now(), only))

    return evaluated(line, look)


def previewed(line: Line, several: Several) -> dict[str, Any]:
    """What a preview of one control says, of all together; and of each what would come of it."""
    orders = several.orders()
    ends: list[dict[str, Any]] = []

    def touched(conn: Connection) -> list[str]:
        return lanes.repos_touched(conn, several.items)

    def act(conn: Connection, line: Line) -> bool:
        # From the start, for this is done again when a clause of the gate turns out unreadable.
        ends[:] = [_one(conn, line, order) for order in orders]
        return any(each["outcome"] == "done" for each in ends)

    return {**preview.of_many(line, touched, act), "ends": ends}


def carry_out(line: Line, several: Several) -> list[dict[str, Any]]:
    """Do it, one after the other, and say of each what came of it: done, unchanged or refused."""
    ends = []
    try:
        for order in several.orders():
            ends.append(_alone(line, order))
    finally:
        line.opened(line)
    return ends


def _alone(line: Line, order: Order) -> dict[str, Any]:
    """One of them, in a transaction of its own."""

    def attempt(gate: Gate) -> dict[str, Any]:
        return line.store.write(lambda conn: _one(conn, replace(line, gate=gate), order))

    try:
        return evaluated(line, attempt)
    except (StoreUnavailable, BrokerUnavailable) as error:
        return _end(order, "refused", (type(error).__doc__ or "").splitlines()[0])
    except OrchError as error:
        return _end(order, "refused", error.message)


def _one(conn: Connection, line: Line, order: Order) -> dict[str, Any]:
    try:
        with apart(conn):
            changed = controls.act(conn, line, order)
    except OrchError as error:
        return _end(order, "refused", error.message)
    return _end(order, "done" if changed else "unchanged", "" if changed else "It is so already.")


def _end(order: Order, outcome: str, said: str) -> dict[str, Any]:
    return {"work_item_id": order.target, "outcome": outcome, "said": said}
