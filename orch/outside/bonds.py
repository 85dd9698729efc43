"""What holds a task because of its item: what blocks it there, cycles, and states that park.

A blocker that is a task is a dependency. One that orch does not run, a cycle, and a state named in
`park_states` are a pause by the tracker: explicit, recorded, and taken back when the cause is gone.
A person who resumes such a task has the last word until the causes change.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from orch import controls, names, task_deps
from orch.controls import Order
from orch.errors import DependencyCycle
from orch.line import Line
from orch.outside.source import Source
from orch.store import tracked
from orch.store.session import Connection, Row

Graph = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Bond:
    """What an item's task has to wait for."""

    item_id: str
    before: frozenset[int]
    """Tasks that come first."""
    reasons: tuple[str, ...]
    """Why it is parked; empty is not at all."""


def tie_all(line: Line, source: Source) -> list[str]:
    """Bring dependencies and pauses in step for every open task of a tracker; what that did.

    What is to go goes first, so that an old dependency closes no circle with a new one.
    """
    planned = line.store.read(lambda conn: _differing(conn, source))
    done: list[str] = []
    for item_id in planned:
        line.store.write(partial(_loosen, line=line, source=source, item_id=item_id))
    for item_id in planned:
        done += line.store.write(partial(tie, line=line, source=source, item_id=item_id))
    return done


def tie(conn: Connection, line: Line, source: Source, item_id: str) -> list[str]:
    """The same for one item, in this transaction."""
    _loosen(conn, line, source, item_id)
    rows = tracked.open_rows(conn, source.name)
    if item_id not in rows:
        return []
    bond = plan(conn, source, rows)[item_id]
    row, reasons, done = rows[item_id], list(bond.reasons), []
    for before in sorted(
        bond.before - tracked.declared(conn, source.actor).get(row["task_id"], set())
    ):
        try:
            said = {"actor": source.actor, "source": source.actor}
            if task_deps.add_dependency(conn, row["task_id"], before, line.now(), **said):
                done.append(f"{row['work_item_id']} waits for what blocks it")
        except DependencyCycle as error:
            reasons.append(f"a cycle of dependencies: {' → '.join(error.facts['cycle'])}")
    return done + _hold(conn, line, source, row, reasons)


def _loosen(conn: Connection, line: Line, source: Source, item_id: str) -> None:
    """Take back the dependencies of an item that its tracker has no more."""
    rows = tracked.open_rows(conn, source.name)
    if item_id in rows:
        task_id = rows[item_id]["task_id"]
        declared = tracked.declared(conn, source.actor).get(task_id, set())
        for before in sorted(declared - plan(conn, source, rows)[item_id].before):
            task_deps.remove_dependency(conn, task_id, before, line.now(), actor=source.actor)


def _differing(conn: Connection, source: Source) -> list[str]:
    rows = tracked.open_rows(conn, source.name)
    declared = tracked.declared(conn, source.actor)
    return [
        item_id
        for item_id, bond in plan(conn, source, rows).items()
        if declared.get(rows[item_id]["task_id"], set()) != bond.before
        or _said(bond.reasons) != rows[item_id]["facts"].get("held", "")
    ]


# --- what should be ---------------------------------------------------------------------------


def plan(conn: Connection, source: Source, rows: Mapping[str, Row]) -> dict[str, Bond]:
    """What every open task of a tracker has to wait for, by what was read last."""
    named = {each for row in rows.values() for each in row["facts"].get("blocked_by", ())}
    others, its_tasks = tracked.elsewhere(conn, named), tracked.tasks_of(conn, named)
    graph = {
        item_id: tuple(b for b in row["facts"].get("blocked_by", ()) if b in rows)
        for item_id, row in rows.items()
    }
    called = {item_id: row["task_work_item_id"] for item_id, row in rows.items()}
    found = {}
    for item_id, row in rows.items():
        cycle = cycle_through(graph, item_id, called)
        blockers = [b for b in row["facts"].get("blocked_by", ()) if not closes(graph, item_id, b)]
        before = {its_tasks[b]["id"] for b in blockers if b in its_tasks}
        reasons = [_parked(source, row)]
        if cycle:
            reasons.append(f"a cycle of blocked-by: {' → '.join(called[each] for each in cycle)}")
        reasons += [_outside(b, others.get(b)) for b in blockers if b not in its_tasks]
        found[item_id] = Bond(item_id, frozenset(before), tuple(filter(None, reasons)))
    return found


def _parked(source: Source, row: Row) -> str:
    facts = row["facts"]
    by = facts.get("moved_by")
    if facts.get("state") not in source.settings.park_states or (by and by == source.myself):
        return ""
    return f"moved to {facts['state']} in the tracker" + (f" by {by}" if by else "")


def _outside(blocker: str, known: Row | None) -> str:
    """Why a blocker holds that is no task; empty for one that is over."""
    if known is None:
        return f"blocked by {blocker}, which orch does not know"
    if known["missing_since"] is not None:
        return ""
    if known["facts"].get("group") in ("completed", "cancelled"):
        return ""
    where = known["facts"].get("state")
    return f"blocked by {known['work_item_id']}, which is in {where} and no task of orch yet"


def closes(graph: Graph, item_id: str, blocker: str) -> bool:
    """Whether this blocker waits, by whatever detour, for the item itself."""
    return blocker in graph and (blocker == item_id or bool(_way(graph, blocker, item_id)))


def cycle_through(graph: Graph, item_id: str, called: Mapping[str, str]) -> list[str]:
    """The shortest cycle that an item is in, from itself to itself; empty if it is in none. Of
    several the same one, whoever looks."""
    ways = [
        [item_id, *_way(graph, first, item_id)]
        for first in graph.get(item_id, ())
        if closes(graph, item_id, first)
    ]
    return min(ways, key=lambda way: (len(way), [called[each] for each in way]), default=[])


def _way(graph: Graph, start: str, goal: str) -> list[str]:
    """The shortest way from one to the other, both included; empty if there is none."""
    came: dict[str, str | None] = {start: None}
    edge = deque([start])
    while edge:
        here = edge.popleft()
        if here == goal:
            return _back(came, here)
        for there in sorted(graph.get(here, ())):
            if there not in came:
                came[there] = here
                edge.append(there)
    return []


def _back(came: Mapping[str, str | None], end: str) -> list[str]:
    way, step = [], came[end]
    way.append(end)
    while step is not None:
        way.append(step)
        step = came[step]
    return way[::-1]


# --- the pause --------------------------------------------------------------------------------


def _said(reasons: Iterable[str]) -> str:
    return names.cleaned("; ".join(dict.fromkeys(reasons)), names.REASON_LIMIT)


def _hold(conn: Connection, line: Line, source: Source, row: Row, reasons: list[str]) -> list[str]:
    """Park it, say it anew, or take it back: only ever what this tracker has parked."""
    said, held = _said(reasons), row["facts"].get("held", "")
    item, actor, now = row["task_work_item_id"], source.actor, line.now()
    is_parked = row["task_paused_at"] is not None
    ours = is_parked and (row["task_paused_by"], row["task_paused_reason"]) == (actor, held)
    if said == held or (is_parked and not ours and said):
        return []  # so already; resumed by a person meanwhile; or parked by somebody else
    tracked.change(conn, source.name, row["item_id"], facts={**row["facts"], "held": said})
    if said and ours:
        tracked.restate(conn, row, now, actor, said)
    elif said:
        controls.act(conn, line, Order("pause", item, actor, said))
        return [f"{item} was paused: {said}"]
    elif ours:
        controls.act(conn, line, Order("resume", item, actor, "what held it is gone"))
        return [f"{item} was resumed"]
    return []
