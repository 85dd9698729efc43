"""What one item of a tracker means for its task: taken in, changed, ended, left alone and why.

All that follows from one look at an item is written in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orch import controls, names, stages
from orch.controls import NewTask, Order
from orch.errors import AlreadyThere, BadInput
from orch.line import Line
from orch.outside import bonds
from orch.outside.source import RANKS, Source, facts
from orch.ports.tracker import Item
from orch.store import ledger, tracked
from orch.store.session import Connection, Row


def settle(conn: Connection, line: Line, source: Source, item: Item) -> list[str]:
    """Write down what was read of an item, and let its task follow; what that did, in sentences."""
    before = tracked.row(conn, source.name, item.item_id)
    known = facts(item, before, source)
    task_id = before["task_id"] if before else None
    done: list[str] = []
    if task_id is None:
        task_id, reason = _taken(conn, line, source, item, known)
        done += [f"{item.work_item_id} was taken in"] if task_id else []
    elif before is not None:
        reason = _follow(_Look(conn, line, source, before, done), item, known)
    kept = {"work_item_id": names.cleaned(item.work_item_id, 64), "task_id": task_id}
    moment = tracked.now_of(conn, line.now())
    seen = {"listed_at": moment, "read_at": moment, "missing_since": None}
    tracked.keep(conn, source.name, item.item_id, kept | seen | {"facts": known, "reason": reason})
    if task_id is not None:
        done += bonds.tie(conn, line, source, item.item_id)
    return done


# --- not a task yet ---------------------------------------------------------------------------


def _taken(
    conn: Connection, line: Line, source: Source, item: Item, known: dict[str, Any]
) -> tuple[int | None, str]:
    """The task it became, or why it is none."""
    by_hand = tracked.tasks_of(conn, [item.item_id]).get(item.item_id)
    if by_hand is not None:
        return by_hand["id"], ""
    reason = why_not(source, item, known)
    if reason:
        return None, reason
    try:
        new = _new_task(line, source, item)
        fields = controls.check_new(new, line.repos)
        more = {"plane_id": item.item_id, "rank": RANKS[item.priority]}
        task = controls.take_in(conn, line, new, source.actor, **fields, **more)
    except AlreadyThere:
        return (
            None,
            "not taken up: there is a task of that name already, of no item of this tracker",
        )
    except BadInput as error:
        return None, f"not taken up: {error.message.rstrip('.')}"
    known["rank"] = RANKS[item.priority]
    return task["id"], ""


def why_not(source: Source, item: Item, known: Mapping[str, Any]) -> str:
    """Why an item without a task is none; empty for one that may become one, and one that ended."""
    if item.group in ("completed", "cancelled"):
        return ""
    if not source.starts(item):
        states = ", ".join(source.settings.start_states) or "an unstarted state"
        return f"not taken up: it is in {item.state}, and {states} starts it"
    by = known.get("moved_by")
    if not source.may(by):
        who = f"{by}, who is not on the allow list" if by else "nobody the tracker names"
        return (
            f"not approved: moved to {item.state} by {who}; it starts when one of start_actors "
            "moves it there"
        )
    return ""


def _new_task(line: Line, source: Source, item: Item) -> NewTask:
    """Raises BadInput for labels that name what is not there."""
    repos = source.labelled(item, source.settings.repo_label) or (source.settings.repo,)
    tracks = source.labelled(item, source.settings.track_label)
    for what, found in (("repo", repos), ("track", tracks)):
        if len(found) > 1:
            raise BadInput(f"Its labels name more than one {what}: {', '.join(found)}.")
    if repos[0] != source.settings.repo and repos[0] not in line.repos:
        raise BadInput(f"“{names.shown(repos[0])}” is no repo of orch.toml.")
    words = _words(item)
    return NewTask(
        work_item_id=item.work_item_id,
        repo=repos[0],
        track=tracks[0] if tracks else "",
        title=words["title"],
        description=words["description"],
    )


def _words(item: Item) -> dict[str, str]:
    """Anybody's texts as a task may hold them."""
    title = names.cleaned(names.scrubbed(item.title))
    return {"title": title, "description": names.scrubbed(item.description)}


# --- a task already ---------------------------------------------------------------------------


@dataclass
class _Look:
    """One look at an item whose task is known already."""

    conn: Connection
    line: Line
    source: Source
    before: Row
    done: list[str]


def _follow(look: _Look, item: Item, known: dict[str, Any]) -> str:
    """Let the task of an item follow it; what a person should know who wonders why it does not."""
    stage = look.before["task_stage"]
    if stage in stages.TERMINAL:
        opened = item.group not in ("completed", "cancelled")
        return f"its task is {stage}: make a new item for more" if opened else ""
    if item.group in ("completed", "cancelled"):
        how = "closed" if item.group == "completed" else "cancelled"
        by = known.get("moved_by") or "somebody"
        return _end(look, f"{how} in the tracker by {by}: moved to {item.state}")
    _change(look, item, known)
    states = look.source.settings
    if item.group == "backlog" and item.state not in (*states.park_states, *states.start_states):
        return f"it is in {item.state} there, which pauses nothing: park_states does not name it"
    return ""


def gone(conn: Connection, line: Line, source: Source, item_id: str) -> list[str]:
    """Note that an item was deleted or archived, and end its task; what that did."""
    before = tracked.row(conn, source.name, item_id)
    if before is None or before["missing_since"] is not None:
        return []
    look = _Look(conn, line, source, before, [])
    reason = "deleted or archived in the tracker"
    if before["task_id"] is not None and before["task_stage"] not in stages.TERMINAL:
        reason = _end(look, reason)
    moment = tracked.now_of(conn, line.now())
    seen = {"missing_since": moment, "read_at": moment, "reason": reason}
    tracked.change(conn, source.name, item_id, **seen)
    return look.done


def _end(look: _Look, why: str) -> str:
    """End the task of an item that a person ended: a person wins. What has landed stays landed."""
    before, reason = look.before, names.cleaned(why, names.REASON_LIMIT)
    if before["task_merge_sha"]:
        flag = f"{reason}; but its change has landed already, and is carried to its end"
        if before["reason"] != flag:
            told = {"task_id": before["task_id"], "repo": before["task_repo"], "reason": flag}
            now = look.line.now()
            ledger.record(look.conn, now, "task.overtaken", actor=look.source.actor, **told)
            look.done.append(f"{before['work_item_id']} was {flag}")
        return flag
    order = Order("cancel", before["task_work_item_id"], look.source.actor, reason)
    if controls.act(look.conn, look.line, order):
        look.done.append(f"{before['work_item_id']} was cancelled: {reason}")
    return reason


def _change(look: _Look, item: Item, known: dict[str, Any]) -> None:
    """Give a task that has not started the item's words, and its place by the item's priority,
    unless somebody has given it another."""
    before = look.before
    changes: dict[str, Any] = {
        name: said for name, said in _words(item).items() if said != before[f"task_{name}"]
    }
    rank = RANKS[item.priority]
    if before["task_rank"] == known.get("rank") and rank != before["task_rank"]:
        changes["rank"] = rank
    if not changes:
        return
    now, actor = look.line.now(), look.source.actor
    if tracked.rename(look.conn, before["task_id"], now, actor, changes):
        known["rank"] = changes.get("rank", known.get("rank"))
        look.done.append(f"{before['work_item_id']} has another {' and '.join(sorted(changes))}")
