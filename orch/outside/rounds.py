"""What a control worker does for trackers: every second see what is due, and do it in its turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orch import stages
from orch.errors import NotFound, TrackerRefused
from orch.line import Line
from orch.outside import feeds, intake, telling
from orch.outside.feeds import Answered, Feed, Ran
from orch.outside.source import Source
from orch.outside_settings import TrackerSettings
from orch.ports.tracker import Tracker
from orch.store import feeds as rows_of
from orch.store import tellings, tracked, views
from orch.store.session import Connection, Row

LOOK_SECONDS: Final = 1.0
"""How often it is looked what is due."""


@dataclass(frozen=True)
class Known:
    """A tracker, and what the settings say of it."""

    tracker: Tracker
    settings: TrackerSettings
    fingerprint: str = ""
    """Changes with its address and key."""


@dataclass(frozen=True)
class Outside:
    """The trackers of these settings."""

    trackers: Mapping[str, Known] = field(default_factory=dict)
    every: float = 30
    """Seconds between two rounds where nothing hints at an earlier one."""
    web_url: str = ""
    """The public address of the web app, for links; empty is none."""
    leaving: Callable[[], bool] = lambda: False

    def feed(self, name: str) -> Feed:
        """The feed of a tracker."""
        return Feed(f"tracker:{name}", self.every, self.trackers[name].fingerprint)


def look(line: Line, outside: Outside) -> dict[str, Ran]:
    """Read the ledger on, and do the rounds whose time has come; those that were done."""
    if not outside.trackers:
        return {}
    telling.collect(line, outside.trackers, outside.web_url)
    wanted = line.store.read(lambda conn: _wanted(conn, line, outside))
    found = {}
    for name, full in wanted.items():
        ran = None if outside.leaving() else _run(line, outside, name, full)
        if ran is not None:
            found[name] = ran
    return found


def _wanted(conn: Connection, line: Line, outside: Outside) -> dict[str, bool]:
    """Trackers to be asked (True), or only to be told something (False)."""
    now, rows = line.now(), {row["name"]: row for row in rows_of.all_rows(conn)}
    kinds = {each.settings.kind for each in outside.trackers.values()}
    hinted = {kind for kind in kinds if tracked.any_hint(conn, kind)}
    found = {}
    for name, known in outside.trackers.items():
        feed = outside.feed(name)
        row = rows.get(feed.name)
        if _is_due(conn, line, feed, row):
            found[name] = True
        elif row is None or row["stopped"] or row["failing_since"] is not None:
            continue  # however much there is to say, it is asked when its time comes
        elif known.settings.kind in hinted:
            found[name] = True
        elif tellings.any_due(conn, name, now):
            found[name] = False
    return found


def _is_due(conn: Connection, line: Line, feed: Feed, row: Row | None) -> bool:
    if row is None:
        return True
    if row["stopped"]:
        return bool(row["notes"].get("settings", "") != feed.settings)
    return bool(rows_of.due(conn, [feed.name], line.now()))


def _run(line: Line, outside: Outside, name: str, full: bool) -> Ran | None:
    ask = _full(line, outside, name) if full else _telling_only(line, outside, name)
    return feeds.run(line, outside.feed(name), ask, urgent=True)


def _full(line: Line, outside: Outside, name: str) -> Callable[[Row], Answered]:
    known = outside.trackers[name]

    def ask(taken: Row) -> Answered:
        source = Source(name, known.settings, _myself(known.tracker, taken["notes"]))
        answer = intake.ask(line, source, known.tracker, taken["notes"])
        if answer.fault is None:
            told = telling.deliver(line, source, known.tracker, outside.leaving)
            answer.done += _said(told)
            if told.fault is not None and _is_the_trackers(told.fault):
                answer.fault = told.fault
        return answer

    return ask


def _telling_only(line: Line, outside: Outside, name: str) -> Callable[[Row], Answered]:
    """A round that asks nothing comes in between, and puts off nothing."""
    known = outside.trackers[name]

    def ask(taken: Row) -> Answered:
        moment = line.store.read(lambda conn: views.moment(conn, line.now()))
        left = max(0.0, (taken["due_at"] - moment).total_seconds())
        source = Source(name, known.settings, _myself(known.tracker, taken["notes"]))
        told = telling.deliver(line, source, known.tracker, outside.leaving)
        is_fault = told.fault and (not told.told or _is_the_trackers(told.fault))
        notes = {**taken["notes"], "myself": source.myself}
        return Answered(_said(told), left, notes, told.fault if is_fault else None)

    return ask


def _is_the_trackers(fault: Any) -> bool:
    """Whether it is not only this one item that cannot be told."""
    return isinstance(fault, TrackerRefused) or bool(fault.facts.get("retry_after"))


def _said(told: telling.Delivered) -> list[str]:
    counts = {"told": told.told, "not told, its item is gone": told.dropped}
    return [f"{count} {what}" for what, count in counts.items() if count]


def _myself(tracker: Tracker, notes: Mapping[str, Any]) -> str:
    """As whom orch is known there, asked once. Raises TrackerRefused where orch cannot work."""
    if "myself" in notes:
        return str(notes["myself"])
    ready = tracker.prepare(make=True)
    if ready.problems:
        raise TrackerRefused(" ".join(ready.problems))
    return ready.myself


# --- what a person asks -----------------------------------------------------------------------


def sync(line: Line, outside: Outside, name: str) -> Ran | None:
    """One round now, also of one that fails; None while another process is at it or it is stopped.

    Raises NotFound.
    """
    require(outside, name)
    telling.collect(line, outside.trackers, outside.web_url)
    line.store.write(lambda conn: rows_of.hurry(conn, outside.feed(name).name, line.now()))
    return _run(line, outside, name, full=True)


def resume(line: Line, outside: Outside, name: str, actor: str) -> dict[str, Any]:
    """Let one that was stopped be asked and told again. Raises NotFound, IllegalTransition."""
    require(outside, name)
    return feeds.resume(line, outside.feed(name).name, actor)


def require(outside: Outside, name: str) -> None:
    """Raise NotFound for a tracker that the settings do not have."""
    if name not in outside.trackers:
        known = ", ".join(sorted(outside.trackers)) or "none"
        raise NotFound(
            f"There is no tracker of that name; known: {known}.",
            suggested_fix="Add [trackers.NAME] to orch.toml; docs/trackers.md says how.",
        )


def items(line: Line, outside: Outside, name: str) -> list[dict[str, Any]]:
    """Every item of a tracker that is not over: its task, or why it is none. Raises NotFound."""
    require(outside, name)
    rows = line.store.read(lambda conn: tracked.rows(conn, name))
    return [
        {
            "work_item_id": row["work_item_id"],
            "state": row["facts"].get("state", ""),
            "task_stage": row["task_stage"],
            "reason": row["reason"],
            "missing_since": row["missing_since"],
            "read_at": row["read_at"],
            "title": row["facts"].get("title", ""),
            "url": row["facts"].get("url", ""),
            "item_id": item_id,
        }
        for item_id, row in sorted(rows.items(), key=lambda each: each[1]["work_item_id"])
        if row["reason"] or row["task_stage"] not in (None, *stages.TERMINAL)
    ]


def listed(line: Line, outside: Outside) -> list[dict[str, Any]]:
    """Every tracker: how it answers, and what waits to be told."""

    def look(conn: Connection) -> list[dict[str, Any]]:
        rows = {row["name"]: row for row in rows_of.all_rows(conn)}
        waiting = tellings.waiting(conn)
        return [
            feeds.shown(outside.feed(name).name, rows.get(outside.feed(name).name))
            | {"tracker": name, "kind": known.settings.kind, "waiting": waiting.get(name, 0)}
            | {"items": tracked.counts(conn, name)}
            for name, known in sorted(outside.trackers.items())
        ]

    return line.store.read(look)
