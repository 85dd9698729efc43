"""The verbs about trackers: list them, ask one now, let one go on that was stopped."""

from __future__ import annotations

from typing import Any

import click

from orch import bootstrap
from orch.cli import output
from orch.cli.session import Session, pass_session
from orch.errors import IllegalTransition, TrackerError
from orch.outside import rounds


@click.group()
def tracker() -> None:
    """List trackers, ask one now, let one go on that was stopped."""


@tracker.command("list")
@output.as_json
@pass_session
def list_trackers(session: Session) -> None:
    """List trackers: when each last answered, what is wrong, how much waits to be told."""
    rows = rounds.listed(session.line, bootstrap.build_outside(session.settings))
    if session.wants_json:
        output.json_lines_of(rows)
        return
    from orch.cli import tables

    output.say(f"{len(rows)} trackers." if rows else "No tracker is configured.", "bold")
    columns = ("tracker", "kind", "state", "answered_at", "failing_since", "waiting", "fault")
    cells = [[_cell(row[name]) for name in columns] for row in rows]
    output.console().print(tables.listed(columns, cells))


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:%Y-%m-%d %H:%M}" if hasattr(value, "strftime") else str(value)


@tracker.command("items")
@click.argument("name", metavar="NAME")
@output.as_json
@pass_session
def items(session: Session, name: str) -> None:
    """List what tracker NAME has that is not over: the stage of its task, or why it is none."""
    rows = rounds.items(session.line, bootstrap.build_outside(session.settings), name)
    if session.wants_json:
        output.json_lines_of(rows)
        return
    from orch.cli import tables

    output.say(f"{len(rows)} items." if len(rows) != 1 else "1 item.", "bold")
    columns = ("work_item_id", "state", "task_stage", "reason")
    cells = [[output.visible(_cell(row[column])) for column in columns] for row in rows]
    output.console().print(tables.listed(("item", "there", "task", "why"), cells))


@tracker.command("sync")
@click.argument("name", metavar="NAME")
@output.as_json
@pass_session
def sync(session: Session, name: str) -> None:
    """Ask tracker NAME what is new now, and tell it what waits; say what that did."""
    ran = rounds.sync(session.line, bootstrap.build_outside(session.settings), name)
    if ran is None:
        raise IllegalTransition(
            f"{name} is being asked by another process, or was stopped.",
            suggested_fix=f"Try again; `orch tracker resume {name}` if it was stopped.",
        )
    if session.wants_json:
        output.json_line({"tracker": name, "done": list(ran.done), "fault": ran.fault})
    else:
        for sentence in ran.done or ["Nothing is new."]:
            output.say(sentence)
    if ran.fault:
        raise TrackerError(ran.fault)


@tracker.command("resume")
@click.argument("name", metavar="NAME")
@output.as_json
@pass_session
def resume(session: Session, name: str) -> None:
    """Let tracker NAME, which refused orch, be asked and told again."""
    outside = bootstrap.build_outside(session.settings)
    answer = rounds.resume(session.line, outside, name, session.actor)
    if session.wants_json:
        output.json_line(answer)
    else:
        output.say(f"{name} is asked and told again.", "green")
