"""The verbs about agents as a whole: list them, suspend one, resume it."""

from __future__ import annotations

from typing import Any

import click

from orch import agents, clock, names
from orch.cli import output
from orch.cli.session import Session, pass_session

NAME = click.argument("name", metavar="NAME")


@click.group()
def agent() -> None:
    """List agents; suspend one for all tasks, and resume it."""


@agent.command("list")
@output.as_json
@pass_session
def list_agents(session: Session) -> None:
    """List the agents with their workers, and until when and why one is suspended."""
    rows = agents.listed(session.line)
    if session.wants_json:
        output.json_lines_of(rows)
        return
    from orch.cli import tables

    columns = ("agent", "workers", "slots", "live", "suspended_until", "suspended_reason")
    output.say(f"{len(rows)} agents.", "bold")
    cells = [[row[name] for name in columns] for row in rows]
    output.console().print(tables.listed(columns, cells))


@agent.command("suspend")
@NAME
@click.option("--reason", "-m", required=True, help="Why; everybody who waits will read it.")
@click.option(
    "--until", help="When it ends by itself: 2026-12-24T18:00Z, +90m, +2h; by default +15m."
)
@output.as_json
@pass_session
def suspend(session: Session, name: str, reason: str, until: str | None) -> None:
    """Give agent NAME nothing to do for a while, whichever task it is of. What runs goes on."""
    ends = names.moment(until, "until", clock.utc_now())
    _tell(session, agents.suspend(session.line, name, session.actor, reason, ends))


@agent.command("resume")
@NAME
@click.option("--reason", "-m", default="", help="Why; others will read it.")
@output.as_json
@pass_session
def resume(session: Session, name: str, reason: str) -> None:
    """End the suspension of agent NAME."""
    _tell(session, agents.resume(session.line, name, session.actor, reason))


def _tell(session: Session, answer: dict[str, Any]) -> None:
    if session.wants_json:
        output.json_line(answer)
        return
    if not answer["changed"]:
        output.say("Nothing to change: it is so already.", "yellow")
    until, why = answer["suspended_until"], answer["suspended_reason"]
    held = f"suspended until {until:%Y-%m-%d %H:%M} UTC: {why}" if until else "not suspended"
    output.say(f"{answer['agent']}: {held}.", "bold")
