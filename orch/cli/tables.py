"""How a queue, a `why` and lists look on a terminal. What they say comes from the use cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orch.cli.output import ago, shown

Lane = Mapping[str, Any]
REASON_STYLES: Final = {
    "freeze": "cyan",
    "paused": "magenta",
    "dependency": "yellow",
    "active-task": "yellow",
    "backoff": "yellow",
}


WIDE: Final = 110
"""Columns from which titles are shown as well."""


def queue_view(snapshot: Mapping[str, Any], width: int = WIDE) -> RenderableType:
    """The whole line: a sentence, then a block for each repo; titles where there is room."""
    now = snapshot["generated_at"]
    lanes = snapshot["serial_gate"]["per_repo"]
    parts: list[RenderableType] = [shown(queue_sentence(snapshot), "bold")]
    if snapshot["degraded"]:
        broken = ", ".join(snapshot["degraded"])
        parts.append(
            shown(f"The gate runs without: {broken}. See the log of the dispatcher.", "red")
        )
    parts += [_suspended(name, known) for name, known in suspended(snapshot).items()]
    for repo, lane in lanes.items():
        parts += [Text(), *_lane(repo, lane, now, width >= WIDE)]
    return Group(*parts)


def queue_sentence(snapshot: Mapping[str, Any]) -> str:
    """How it stands, in one sentence, and who is missing in another."""
    lanes = snapshot["serial_gate"]["per_repo"].values()
    live = sum(len(lane["live"]) for lane in lanes)
    waiting = sum(lane["waiting_total"] for lane in lanes)
    parked = sum(len(lane["paused"]) for lane in lanes)
    frozen = sum(lane["frozen"] for lane in lanes)
    told = [_count(live, "job runs", "jobs run"), _count(waiting, "waits", "wait")]
    told += [_count(parked, "task is parked", "tasks are parked")] if parked else []
    told += [_count(frozen, "repo is frozen", "repos are frozen")] if frozen else []
    missing = sorted(
        {
            entry["agent"]
            for lane in lanes
            for entry in lane["waiting"]
            if entry["hold"] == "no-worker"
        }
    )
    absent = f" No worker serves {', '.join(missing)}." if missing else ""
    return ("Nothing runs and nothing waits." if not any(lanes) else f"{', '.join(told)}.") + absent


def suspended(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """The agents that get nothing to do for a while."""
    serving = snapshot["agents"].items()
    return {name: known for name, known in serving if known["suspended_until"] is not None}


def _suspended(name: str, known: Mapping[str, Any]) -> Text:
    why = f": {known['suspended_reason']}" if known["suspended_reason"] else ""
    said = f"{name} is suspended until {known['suspended_until']:%Y-%m-%d %H:%M} UTC{why}"
    clear = f"orch agent resume {name}"
    return Text.assemble(shown(said, "yellow"), "  ", shown(clear, "dim"))


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _lane(repo: str, lane: Lane, now: datetime, wide: bool) -> Iterable[RenderableType]:
    yield Text.assemble(shown(repo, "bold blue"), "  ", _holder(lane, now))
    if lane["frozen"]:
        yield Padding(_frozen(repo, lane, now), (0, 0, 0, 2))
    if lane["head_watch"]:
        yield Padding(_late(lane["head_watch"], now), (0, 0, 0, 2))
    if lane["waiting"]:
        yield Padding(_waiting(lane["waiting"], now, wide), (0, 0, 0, 2))
    more = lane["listed_total"] - len(lane["waiting"])
    if more > 0:
        yield Padding(Text(f"and {more} more", style="dim"), (0, 0, 0, 2))
    for task in lane["paused"]:
        yield Padding(_parked(task, now), (0, 0, 0, 2))


def _holder(lane: Lane, now: datetime) -> Text:
    if not lane["active_task"]:
        return Text("nobody holds the line", style="dim")
    if not lane["live"]:
        holder = lane["active_task"]
        return shown(f"{holder['work_item_id']} is next, at {holder['stage']}")
    said = [
        f"{job['work_item_id']} at {job['stage']}: {job['agent']} {job['status']} "
        f"for {ago(job['since'], now)}"
        for job in lane["live"]
    ]
    return shown("; ".join(said), "green")


def _frozen(repo: str, lane: Lane, now: datetime) -> Text:
    by = f" by {lane['frozen_by']}" if lane["frozen_by"] else ""
    since = f" {ago(lane['frozen_at'], now)} ago" if lane["frozen_at"] else ""
    said = f"frozen{by}{since}: {lane['frozen_reason']}"
    return Text.assemble(shown(said, "cyan"), "  ", shown(f"orch unfreeze {repo}", "dim"))


def _late(head: Mapping[str, Any], now: datetime) -> Text:
    item, since = head["work_item_id"], ago(head["since"], now)
    said = f"{item} has kept {head['waiting']} waiting for {since}"
    return Text.assemble(shown(said, "red"), "  ", shown(f"orch pause {item}", "dim"))


def _parked(task: Mapping[str, Any], now: datetime) -> Text:
    by = f" by {task['paused_by']}" if task["paused_by"] else ""
    why = f": {task['paused_reason']}" if task["paused_reason"] else ""
    said = f"parked: {task['work_item_id']} at {task['stage']}{by}, {ago(task['paused_at'], now)}"
    told = shown(f"{said} ago{why}", "magenta")
    return Text.assemble(told, "  ", shown(task["clear_with"], "dim"))


def _waiting(entries: Sequence[Mapping[str, Any]], now: datetime, wide: bool) -> Table:
    title = ("title",) if wide else ()
    table = plain_table("#", "task", *title, "agent", "waits for", "since", "to clear")
    for entry in entries:
        if entry["reason"] == "paused" and len(entry["blockers"]) == 1:
            continue  # shown below, apart
        first: Mapping[str, Any] = next(iter(entry["blockers"]), {})
        table.add_row(
            str(entry["position"]),
            shown(entry["work_item_id"], "bold"),
            *([shown(entry["title"][:40])] if wide else []),
            shown(entry["agent"]),
            shown(reason_of(entry), REASON_STYLES.get(entry["reason"], "green")),
            ago(entry["since"], now),
            shown(first.get("clear_with"), "dim"),
        )
    return table


def reason_of(entry: Mapping[str, Any]) -> str:
    """Why this job has not started, in a few words."""
    if entry["blockers"]:
        more = len(entry["blockers"]) - 1
        return f"{entry['blockers'][0]['detail']}{f' (and {more} more)' if more else ''}"
    if entry["hold"] == "no-worker":
        return f"a worker for {entry['agent']}"
    if entry["hold"] == "suspended":
        return f"{entry['agent']}, which is suspended"
    if entry["hold"] == "capacity":
        return f"a free slot of {entry['agent']}"
    return "nothing: it starts now"


def why_view(found: Mapping[str, Any]) -> RenderableType:
    """One task: the sentence, then everything that holds it, who holds the repo, what is ahead."""
    now, task = found["generated_at"], found["task"]
    parts: list[RenderableType] = [shown(found["sentence"], "bold")]
    title = f" “{task['title']}”" if task["title"] else ""
    created = ago(task["created_at"], now)
    parts.append(shown(f"{task['repo']}, {task['stage']}, {created} old{title}", "dim"))
    if found.get("eta"):
        rests = f" It rests on: {found['eta']['basis']}." if found["eta"]["basis"] else ""
        parts.append(Text.assemble(shown(found["eta"]["sentence"]), shown(rests, "dim")))
    if found["blockers"]:
        parts += [Text(), _blockers(found["blockers"], now)]
    if found["hold"] == "suspended":
        parts.append(shown(f"To clear: {found['suspended']['clear_with']}", "dim"))
    late = found["head_watch"]
    if late and late["task_id"] == task["task_id"]:
        parts.append(_late(late, now))
    if found.get("tracker"):
        parts.append(_tracker(found["tracker"]))
    holder = found["holder"]
    if holder and holder["task_id"] != task["task_id"]:
        doing = "at work" if holder["live"] else "next in the line"
        said = f"{holder['work_item_id']} at {holder['stage']}, {doing}"
        parts += [Text(), shown(f"The repo is held by {said}, {ago(holder['since'], now)}.")]
    if found["ahead"]:
        parts.append(shown(f"Ahead of it: {', '.join(found['ahead'])}."))
    return Group(*parts)


def _tracker(known: Mapping[str, Any]) -> Text:
    as_of = f", as of {known['as_of']:%H:%M} UTC" if known["as_of"] else ""
    said = f"In {known['name']} it is {known['state']}{as_of}"
    if known["failing_since"]:
        said += f"; the tracker has not answered since {known['failing_since']:%H:%M} UTC"
    return shown(f"{said}: {known['reason']}." if known["reason"] else f"{said}.", "dim")


def _blockers(blockers: Sequence[Mapping[str, Any]], now: datetime) -> Table:
    table = plain_table("clause", "what holds it", "since", "set by", "to clear")
    for blocker in blockers:
        until = blocker.get("until")
        ends = f", until {until:%Y-%m-%d %H:%M} UTC" if until else ""
        table.add_row(
            shown(blocker["clause"], REASON_STYLES.get(blocker["clause"], "")),
            shown(f"{blocker['detail']}{ends}"),
            ago(blocker["since"], now),
            shown(blocker["set_by"]),
            shown(blocker["clear_with"], "dim"),
        )
    return table


def listed(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A plain list; every cell is somebody's words."""
    table = plain_table(*columns)
    for row in rows:
        cells = (", ".join(cell) if isinstance(cell, list) else cell for cell in row)
        table.add_row(*(shown(cell) for cell in cells))
    return table


def plain_table(*columns: str) -> Table:
    """A table without lines, as wide as what stands in it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in ("#", "task", "since"))
    return table
