"""What a control would do, without doing it: the control, the same snapshot and the next tick's
claims, in one transaction that is rolled back.

There is no second rule here that could disagree: the control really runs, the snapshot is taken and
the claim is made before it and after it, and nothing is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from orch import agents, controls, dispatcher, mirror, snapshot, stages
from orch.controls import Order
from orch.gate_fallback import evaluated
from orch.line import Line
from orch.serial_gate import Gate
from orch.store import freezes, ledger, queries, views
from orch.store.session import Connection, undone

LANES: Final = 100
"""Most repos whose waiting tasks are compared one by one."""
ROWS: Final = 2000
"""Most waiting tasks that are compared, over all of them."""
NOBODY: Final[Mapping[str, str]] = {}
NAMED: Final = 3
"""Tasks of which the same is said that the sentence names; the others it counts."""


class Seen(NamedTuple):
    """One waiting task at one of the two moments."""

    shown: dict[str, Any]
    agent: str
    place: int | None
    says: tuple[str, str]
    """What is said of it, and of several like it."""


@dataclass(frozen=True)
class Scene:
    """The lanes in question and the next claims, before the order or after it."""

    seen: dict[str, Seen]
    claims: dict[str, str]
    """Work item → repo of what the next tick claims."""
    live: dict[str, Any]
    whole: bool
    slots: dict[str, int]
    """Slots of each agent that the next tick leaves free."""
    lengths: dict[str, tuple[int, int]]
    """Repo → waiting tasks that were compared, and all of them."""
    own: Any = None
    """The row of the task that the order is about."""


@dataclass(frozen=True)
class Field:
    """Where an order can change something."""

    order: Order | None
    """None is a control that is not of one task or repo: of an agent, of many tasks."""
    lanes: list[str]
    covered: int
    """Repos in question in which something waits or runs, also those beyond the first lanes."""
    limit: int
    """Most waiting tasks of one repo that are compared."""

    @property
    def task(self) -> str | None:
        """The work item that the order is about, if it is about one."""
        of_one = self.order is not None and self.order.verb not in controls.OF_REPOS
        return self.order.target if self.order is not None and of_one else None


Act = Callable[[Connection, Line], bool]
"""Carries out inside a transaction; False when it is so already."""


def preview(line: Line, order: Order) -> dict[str, Any]:
    """Which tasks would start at the next tick, stop waiting, begin to wait, or wait for something
    else. Raises as the control itself would."""
    controls.check(order)
    return _tried(
        line,
        lambda conn: _field(conn, order),
        lambda conn, line: controls.act(conn, line, order),
    )


def of_agent(line: Line, order: agents.Order) -> dict[str, Any]:
    """The same of a control of an agent. Raises as the control itself would."""
    agents.check(order)

    def where(conn: Connection) -> Field:
        return _wide(None, views.busy_repos(conn, line.gate, LANES))

    return _tried(line, where, lambda conn, line: agents.act(conn, line, order))


def of_many(line: Line, repos: Callable[[Connection], Sequence[str]], act: Act) -> dict[str, Any]:
    """The same of several controls at once, which together touch these repos."""
    return _tried(line, lambda conn: _wide(None, repos(conn)), act)


def _tried(line: Line, where: Callable[[Connection], Field], act: Act) -> dict[str, Any]:
    def run(gate: Gate) -> dict[str, Any]:
        known = replace(line, gate=gate)
        return line.store.rehearse(lambda conn: _try(conn, known, where(conn), act))

    return evaluated(line, run)


def _try(conn: Connection, line: Line, where: Field, act: Act) -> dict[str, Any]:
    before = _scene(conn, line, where)
    changed = act(conn, line)
    after = _scene(conn, line, where, before.claims)
    changes = _changes(where, before, after)
    return {
        "preview": True,
        "changed": changed,
        "starts": [each["work_item_id"] for each in changes if _starts(each)],
        "begins_waiting": [each["work_item_id"] for each in changes if _begins_waiting(each)],
        "held": [each["work_item_id"] for each in changes if _is_held(each)],
        "changes": changes,
        "not_compared": _not_compared(where, before, after),
        "sentence": _sentence(where, before, after, changes) if changed else "Nothing changes.",
    }


def _field(conn: Connection, order: Order) -> Field:
    if order.verb in controls.OF_REPOS:
        names = queries.repos_with_open_jobs(conn, freezes.matching_repos(conn, order.target))
    else:
        task = controls.task_named(conn, order.target)
        others = queries.repos_with_open_jobs(conn, [*ledger.dependents_repos(conn, task["id"])])
        names = list(dict.fromkeys([task["repo"], *others]))
    return _wide(order, names)


def _wide(order: Order | None, names: Sequence[str]) -> Field:
    lanes = list(names[:LANES])
    return Field(order, lanes, len(names), limit=ROWS // max(2, len(lanes)))


# --- one scene --------------------------------------------------------------------------------


def _scene(
    conn: Connection, line: Line, where: Field, starting: Mapping[str, str] = NOBODY
) -> Scene:
    """The lanes as they are now; `starting` would start without the order, so it is looked for."""
    wanted = snapshot.Wanted(repos=tuple(where.lanes), limit=where.limit)
    shown = snapshot.view(conn, line, line.gate, wanted)
    lanes = shown["serial_gate"]["per_repo"]
    entries = {each["work_item_id"]: each for lane in lanes.values() for each in lane["waiting"]}
    sought = [item for item, repo in starting.items() if repo in where.lanes]
    rows = {}
    for item in filter(None, [where.task, *sought]):
        if item == where.task or item not in entries:
            rows[item] = row = views.task_row(conn, line.gate, item)
            _add_entry(conn, line, row, entries, shown["agents"])
    with undone(conn):
        next_tick = dispatcher.rehearsed(conn, line, line.gate)
    items = queries.work_items(conn, [each.task_id for each in next_tick.claimed])
    taken = {items[each.task_id]: each for each in next_tick.claimed}
    slots = _left(shown["agents"], [each.claim.agent for each in next_tick.claimed])
    seen = {item: _seen(entry, taken, slots) for item, entry in entries.items()}
    for item, claim in taken.items():
        seen.setdefault(item, _open(True, claim.claim.agent, slots))
    return Scene(
        seen=seen,
        claims={item: each.repo for item, each in taken.items()},
        live={job["work_item_id"]: job for lane in lanes.values() for job in lane["live"]},
        whole=next_tick.whole,
        slots=slots,
        lengths={n: (len(lane["waiting"]), lane["listed_total"]) for n, lane in lanes.items()},
        own=rows.get(where.task or ""),
    )


def _add_entry(
    conn: Connection, line: Line, task: Any, entries: dict[str, Any], agents: dict[str, Any]
) -> None:
    """A waiting task that stands beyond what is shown of its lane."""
    if task is not None and task["work_item_id"] not in entries:
        entry = mirror.entry_of(conn, line, line.gate, task, agents)
        if entry is not None:
            entries[task["work_item_id"]] = entry


def _left(agents: dict[str, dict[str, Any]], claimed: list[str]) -> dict[str, int]:
    """Slots of each agent that are free once the next tick has claimed."""
    return {
        name: known["slots"] - known["live"] - claimed.count(name) for name, known in agents.items()
    }


def _seen(entry: dict[str, Any], taken: Iterable[str], slots: dict[str, int]) -> Seen:
    if entry["reason"] is None and entry["hold"] is None:
        seen = _open(entry["work_item_id"] in taken, entry["agent"], slots)
        return seen._replace(place=entry["position"])
    shown = {
        "reason": entry["reason"],
        "hold": entry["hold"],
        "blockers": [blocker["detail"] for blocker in entry["blockers"]],
        "starts": entry["work_item_id"] in taken,
    }
    says = _blocked(entry["blockers"][0]) if entry["blockers"] else _held(entry)
    return Seen(shown, entry["agent"], entry["position"], says)


def _open(starts: bool, agent: str, slots: dict[str, int]) -> Seen:
    """A task whose gate is open: it starts, others take the slots, or nothing leads there yet."""
    hold = "capacity" if not starts and slots.get(agent, 0) <= 0 else None
    shown: dict[str, Any] = {"reason": None, "hold": hold, "blockers": [], "starts": starts}
    if starts:
        return Seen(shown, agent, None, ("starts", "start"))
    return Seen(shown, agent, None, _held({"hold": hold, "agent": agent}))


def _held(entry: dict[str, Any]) -> tuple[str, str]:
    words = {
        "capacity": f"for a free slot of {entry['agent']}",
        "no-worker": f"for a worker that serves {entry['agent']}",
        "suspended": f"until {entry['agent']} is no longer suspended",
    }.get(entry["hold"], "for the next sweep, which finds that nothing holds it")
    return f"waits {words}", f"wait {words}"


def _blocked(blocker: dict[str, Any]) -> tuple[str, str]:
    if blocker["clause"] == "paused":
        return "stays parked", "stay parked"
    named = blocker["clause"] in ("active-task", "dependency") and blocker["work_item_id"]
    words = f" for {named}" if named else f": {blocker['detail']}"
    return f"waits{words}", f"wait{words}"


# --- what differs -----------------------------------------------------------------------------


def _changes(where: Field, before: Scene, after: Scene) -> list[dict[str, Any]]:
    """Every task of which something else is true after. A task that one of the two snapshots shows
    and the other does not has only crossed the end of a long lane, unless it is the order's own."""
    scenes = (before, after)
    shift = before.claims.keys() ^ after.claims.keys()
    for one, other in ((before, after), (after, before)):
        for item in shift & (one.seen.keys() - other.seen.keys()):
            if one.claims.get(item) not in where.lanes:  # its gate is the same: only slots differ
                other.seen[item] = _open(False, one.seen[item].agent, other.slots)
    both = before.seen.keys() & after.seen.keys()
    found = []
    for item in sorted(both | shift | ({where.task} if where.task else set())):
        was, now = (scene.seen[item].shown if item in scene.seen else None for scene in scenes)
        if was != now:
            said = f"{item} {_says(item, after)[0]}"
            found.append({"work_item_id": item, "before": was, "after": now, "said": said})
    return found


def _says(item: str, after: Scene) -> tuple[str, str]:
    return after.seen[item].says if item in after.seen else ("no longer waits", "no longer wait")


def _starts(change: dict[str, Any]) -> bool:
    before, after = change["before"], change["after"]
    return bool(after and after["starts"]) and not (before and before["starts"])


def _is_held(change: dict[str, Any]) -> bool:
    """The gate opens, and a slot, a worker or an agent that may work is lacking."""
    before, after = change["before"], change["after"]
    opens = after and after["reason"] is None and (not before or before["reason"] is not None)
    return bool(opens) and not after["starts"]


def _begins_waiting(change: dict[str, Any]) -> bool:
    """It would have started or was not in the line, and waits; or its gate closes."""
    before, after = change["before"], change["after"]
    if after is None or after["starts"]:
        return False
    closes = before is not None and before["reason"] is None and after["reason"] is not None
    return before is None or before["starts"] or closes


# --- in words ---------------------------------------------------------------------------------


def _sentence(where: Field, before: Scene, after: Scene, changes: list[dict[str, Any]]) -> str:
    """Who starts first, then who waits for what; tasks of which the same is said stand together."""
    own = _own(where, before, after)
    if not changes and not own:
        own = [_written_down(where.order)]
    groups: dict[tuple[str, str], list[str]] = {}
    in_line = {item: seen.place or 0 for item, seen in after.seen.items()}
    order = sorted(changes, key=lambda it: (not _starts(it), in_line.get(it["work_item_id"], 0)))
    for change in order:
        item = change["work_item_id"]
        if item == where.task and own:
            continue
        groups.setdefault(_says(item, after), []).append(item)
    said = [f"{_named(items)} {says[len(items) > 1]}" for says, items in groups.items()]
    rest = _not_compared(where, before, after) or "nothing else changes"
    return "; ".join([*said, *own, rest])


def _named(items: list[str]) -> str:
    if len(items) > NAMED + 1:
        return f"{', '.join(items[:NAMED])} and {len(items) - NAMED} more"
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]]))


def _own(where: Field, before: Scene, after: Scene) -> list[str]:
    """What becomes of that which the order is about, beyond what its waiting says."""
    order = where.order
    if order is None:
        return []
    item = order.target
    if where.task is None:
        going_on = f"; {_named(sorted(after.live))} may end" if after.live else ""
        lifted = f"the freeze of {item} is lifted"
        said = {"freeze": f"{item} is frozen{going_on}", "unfreeze": lifted}
        return [said[order.verb]]
    phrases = _moved(before, after) + _placed(item, before, after)
    now = after.seen.get(item)
    if phrases and now is not None and now.shown["reason"] != "paused":
        phrases.append(now.says[0])
    said_of = [f"{item} {' and '.join(phrases)}"] if phrases else []
    return said_of + _at_work(item, before, after)


def _written_down(order: Order | None) -> str:
    """What changes where nobody starts, waits or moves because of it."""
    if order is None:
        return "it is written down"
    words = {"depend": "depends on", "undepend": "no longer depends on"}
    if order.verb in words:
        return f"{order.target} {words[order.verb]} {order.on}"
    return f"{order.verb} of {order.target} is written down"


def _moved(before: Scene, after: Scene) -> list[str]:
    """What the order did to the task's stage and pause."""
    was, now = before.own, after.own
    said = []
    if was["stage"] != now["stage"]:
        over = now["stage"] in stages.TERMINAL
        said.append(f"is {now['stage']}" if over else f"moves to {now['stage']}")
    if was["paused_at"] is None and now["paused_at"] is not None:
        said.append("is parked")
    elif was["paused_at"] is not None and now["paused_at"] is None and not said:
        said.append("is no longer parked")
    return said


def _placed(item: str, before: Scene, after: Scene) -> list[str]:
    was, now = (scene.seen.get(item) for scene in (before, after))
    moved = was and now and was.place and now.place and now.place < was.place
    return [f"moves from place {was.place} to {now.place}"] if was and now and moved else []


def _at_work(item: str, before: Scene, after: Scene) -> list[str]:
    """What becomes of an agent that works on the task, where the order has to do with that."""
    job, was = after.live.get(item), before.live.get(item)
    if job is None or was is None or not [*_moved(before, after), job["stop_requested"]]:
        return []
    if job["stop_requested"] != was["stop_requested"]:
        return [f"its {job['agent']} is told to stop, and the repo is taken until it has"]
    if before.own["paused_at"] is None and after.own["paused_at"] is not None:
        return [f"its {job['agent']} works on to the end, and the repo is taken until then"]
    return []


def _not_compared(where: Field, before: Scene, after: Scene) -> str:
    """What was too much to compare, as a sentence; empty when everything was compared."""
    said = []
    if where.covered > len(where.lanes):
        said.append(f"of {where.covered} repos at work the first {len(where.lanes)} were compared")
    long = [n for n, (shown, total) in after.lengths.items() if shown < total]
    if long:
        said.append(f"only the first {where.limit} waiting tasks of {_named(long)} were compared")
    if not (before.whole and after.whole):
        said.append("more repos are marked than were looked at for who starts")
    return "; ".join(said)
