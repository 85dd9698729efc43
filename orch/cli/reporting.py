"""The verb that sums up: `report`, where the time went."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, get_args

import click

from orch import clock, names, reports
from orch import events as ledger_pages
from orch.cli import output
from orch.cli.output import lasting, shown
from orch.cli.session import Session, pass_session

if TYPE_CHECKING:
    from rich.console import RenderableType

Told = Mapping[str, Any]
BARS: Final = 20
"""Columns of a bar that stands for everything."""


@click.command()
@click.option("--repo", "repos", multiple=True, help="Only this repo; may be given again.")
@click.option("--since", help="From when on: 2026-12-24T18:00:00Z, -2h, -7d, -4w (as usual).")
@click.option(
    "--by",
    type=click.Choice(get_args(reports.By)),
    default="reason",
    show_default=True,
    help="Put together by what.",
)
@click.option("--top", default=reports.TOP, type=click.IntRange(1, 1000), help="At most so many.")
@output.as_json
@pass_session
def report(
    session: Session, repos: tuple[str, ...], since: str | None, by: reports.By, top: int
) -> None:
    """Say where the tasks' time went: waited for what, worked, parked for a person."""
    asked = tuple(names.repo(name) for name in repos)
    ledger_pages.require_repos(session.line, asked)
    begin = names.past(since, "--since", clock.utc_now())
    told = reports.report(session.line, reports.Wanted(asked, begin, (by,), top))
    if session.wants_json:
        output.json_lines_of(told[f"by_{by}"])
        return
    output.console().print(report_view(told, by))


def report_view(told: Told, by: reports.By) -> RenderableType:
    """The sentence, the table, and what is not known."""
    from rich.console import Group

    from orch.cli import tables

    since = f"Since {told['since']:%Y-%m-%d %H:%M} UTC"
    where = f", in {', '.join(told['repos'])}" if told["repos"] else ""
    parts: list[RenderableType] = [
        shown(told["sentence"], "bold"),
        shown(f"{since}{where}.", "dim"),
    ]
    rows = told[f"by_{by}"]
    if rows:
        columns = COLUMNS[by]
        cells = [[cell(row) for _, cell in columns] for row in rows]
        parts.append(tables.listed([name for name, _ in columns], cells))
    parts += [shown(sentence, "yellow") for sentence in told["not_known"]]
    return Group(*parts)


Cell = Callable[[Told], Any]
Columns = Sequence[tuple[str, Cell]]


def _bar(row: Told) -> str:
    return "█" * round(row["share"] * BARS) or ("▏" if row["share"] else "")


def _share(row: Told) -> str:
    return f"{row['share']:.0%}"


def _lasted(name: str) -> Cell:
    return lambda row: lasting(row[name]) if row[name] else ""


def _most(row: Told) -> str:
    """What most of the waiting was for."""
    waits = {
        reason: seconds
        for reason, seconds in row["reasons"].items()
        if reports.kind_of(reason) == "waited" and seconds
    }
    return max(waits, key=lambda reason: float(waits[reason])) if waits else ""


def _named(name: str) -> Cell:
    return lambda row: row[name]


_SUMS: Final[Columns] = (
    ("time", _lasted("seconds")),
    ("share", _share),
    ("waited", _lasted("waited")),
    ("worked", _lasted("worked")),
    ("parked", _lasted("parked")),
    ("mostly for", _most),
)
COLUMNS: Final[dict[reports.By, Columns]] = {
    "reason": (
        ("reason", _named("reason")),
        ("time", _lasted("seconds")),
        ("share", _share),
        ("", _bar),
        ("spells", _named("spells")),
        ("tasks", _named("tasks")),
        ("that is", _named("says")),
    ),
    "repo": (("repo", _named("repo")), *_SUMS),
    "stage": (("stage", _named("stage")), ("agent", _named("agent")), *_SUMS),
    "week": (("week", _named("week")), *_SUMS),
    "task": (("task", _named("work_item_id")), ("repo", _named("repo")), *_SUMS),
}
