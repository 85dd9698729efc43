"""The verbs about notices: list them, test the channels, try again, send what is due."""

from __future__ import annotations

from typing import Any, Final

import click

from orch import bootstrap, errands, logs, notices
from orch.cli import output
from orch.cli.session import Session, pass_session
from orch.errors import AlreadyThere, BadInput, ChannelError

STATES: Final = ("waiting", "sent", "failed")


@click.group()
def notify() -> None:
    """List notices, test their channels, send one again."""


@notify.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--limit", default=50, type=click.IntRange(1, 1000), help="At most so many.")
@output.as_json
@pass_session
def list_notices(session: Session, state: str | None, limit: int) -> None:
    """List notices, newest first: what was told, through which channel, and what came of it."""
    found = notices.listed(session.line, notices.Wanted(state, limit=limit))
    if session.wants_json:
        output.json_lines_of(found["notices"])
        return
    from orch.cli import tables

    waiting = [f"{count} wait for {channel}" for channel, count in found["waiting"].items()]
    output.say(f"{', '.join(waiting) or 'Nothing waits to be sent'}.", "bold")
    columns = ("id", "created_at", "channel", "kind", "state", "tries", "title", "last_error")
    cells = [[_cell(row[name]) for name in columns] for row in found["notices"]]
    output.console().print(tables.listed(columns, cells))


def _cell(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M}" if hasattr(value, "strftime") else str(value)


@notify.command("test")
@output.as_json
@pass_session
def test_channels(session: Session) -> None:
    """Send a true notice through every channel now, and say what came of each."""
    channels = bootstrap.build_channels(session.settings)
    results = notices.test(session.line, session.actor, channels)
    if session.wants_json:
        output.json_lines_of(results)
    else:
        for each in results:
            output.say(f"{each['channel']}: {each.get('error', 'sent')}", _style(each["ok"]))
    failed = [each["channel"] for each in results if not each["ok"]]
    if failed:
        raise ChannelError(f"No notice goes out by {', '.join(failed)}.")


def _style(good: bool) -> str:
    return "green" if good else "red"


@notify.command("retry")
@click.argument("number", metavar="NUMBER", required=False, type=click.IntRange(1))
@click.option("--failed", is_flag=True, help="All that were given up, at most 1,000.")
@output.as_json
@pass_session
def retry(session: Session, number: int | None, failed: bool) -> None:
    """Try notice NUMBER again now, also one that was given up."""
    if failed == (number is not None):
        raise BadInput("Name one notice, or say --failed.")
    given_up = notices.Wanted("failed", limit=1000)
    numbers = [number] if number is not None else _numbers(session, given_up)
    for each in numbers:
        answer = notices.retry(session.line, each, session.actor)
        if session.wants_json:
            output.json_line(answer)
        else:
            told = "is tried again" if answer["changed"] else f"is {answer['state']} already"
            output.say(f"{answer['id']} to {answer['channel']} {told}: {answer['title']}")


def _numbers(session: Session, wanted: notices.Wanted) -> list[int]:
    return [row["id"] for row in notices.listed(session.line, wanted)["notices"]][::-1]


@notify.command("deliver")
@click.option(
    "--errand", is_flag=True, hidden=True, help="Log, and end with the process that started this."
)
@output.as_json
@pass_session
def deliver(session: Session, errand: bool) -> None:
    """Read the ledger on and send what is due. A dispatcher has this done by itself."""
    if errand:  # nobody reads its answer, so that it writes into the worker's log
        logs.configure(session.settings.log_level, session.settings.log_format)
    leaving = errands.orphaned() if errand else lambda: False
    channels = bootstrap.build_channels(session.settings)
    try:
        with errands.alone(session.settings.data_dir / "notices.lock"):
            notices.collect(session.line, bootstrap.build_subscription(session.settings))
            done = notices.deliver(session.line, channels, leaving=leaving)
    except AlreadyThere:
        if errand:
            return  # whoever is at it sends this as well, or leaves it for the next ring
        raise
    rows = [
        {"channel": name, **{what: came[what] for what in _WHATS}} for name, came in done.items()
    ]
    if session.wants_json:
        output.json_lines_of(rows)
        return
    for row in rows:
        said = ", ".join(f"{row[what]} {words}" for what, words in _WHATS.items() if row[what])
        output.say(f"{row['channel']}: {said or 'nothing was due'}")


_WHATS: Final = {"sent": "sent", "failed": "to be tried again", "given_up": "given up"}
