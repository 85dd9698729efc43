"""The verb that plays the line forward: `simulate`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from orch import clock, simulation
from orch.cli import output
from orch.cli.output import Verb, shown
from orch.cli.session import Session, pass_session
from orch.simulation import plan as plans

if TYPE_CHECKING:
    from rich.console import RenderableType

Told = Mapping[str, Any]
PATIENCE: Final = 2.0
"""Seconds after which a person is told how far it is."""
SHOWN: Final = 60
"""Tasks in the table and bars in the chart; the JSON has all of them."""
LETTERS: Final = {
    "analysis": "a",
    "architecture": "c",
    "development": "d",
    "review": "r",
    "testing": "t",
    "deploy-staging": "s",
    "deploy": "D",
}
"""How a stage is drawn in the chart."""
NARROWEST: Final = 20


def _option(name: str, into: str, words: str) -> Callable[[Verb], Verb]:
    return click.option(name, into, multiple=True, help=f"{words}; may be given again.")


@click.command()
@_option("--repo", "repos", "Show only this repo")
@_option("--with", "orders", "A control to try first, as to orch: 'pause ORCH-1'")
@_option("--slots", "slots", "Slots of an agent: developer=3")
@_option("--switch", "switches", "A switch of the gate: yield=off")
@_option("--duration", "durations", "How long a stage takes: development=20m")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    help="Draw durations from the record by this number; without one the median counts.",
)
@output.as_json
@pass_session
def simulate(session: Session, /, seed: int | None, **given: tuple[str, ...]) -> None:
    """Play the line forward on a copy: who would start when, until when, what never starts.

    The gate itself decides on the copy; the line is only read. Each option changes one thing, so
    that the answer says what it would come to.
    """
    plan = plans.read(plans.Words(**given, seed=seed), clock.utc_now())
    with _progress(session.wants_json) as watch:
        found = simulation.run(session.line, plan, watch=watch)
    if session.wants_json:
        _lines(found)
        return
    output.console().print(simulation_view(found, output.console().width))


@contextmanager
def _progress(silent: bool) -> Iterator[simulation.Watch | None]:
    """What tells a person who has waited for a while how far it is, on standard error."""
    if silent:
        yield None
        return
    from rich.console import Console

    begun = time.monotonic()
    status = Console(stderr=True).status("")

    def watch(ended: int, tasks: int) -> None:
        if time.monotonic() - begun > PATIENCE:
            status.update(f"{ended} turns of {tasks} tasks played")
            status.start()

    try:
        yield watch
    finally:
        status.stop()


def _lines(found: Told) -> None:
    """The whole first, then each turn, each task and what never ends, a line each."""
    lists = {"turn": "rows", "task": "tasks", "never": "never"}
    whole = {name: value for name, value in found.items() if name not in lists.values()}
    output.json_line({"kind": "simulation", **whole})
    for kind, name in lists.items():
        output.json_lines_of({"kind": kind, **each} for each in found[name])


def simulation_view(found: Told, width: int) -> RenderableType:
    """The sentence, the tasks in the order of their starts, the chart, what never ends, agents."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [shown(found["sentence"], "bold")]
    parts += [shown(_unchanged(each), "yellow") for each in found["changed"] if not each["changed"]]
    if any(each["reason"] == "no-worker" for each in found["never"]):
        parts.append(shown("To try it with workers that are not there: --slots analyst=1", "dim"))
    blocks: tuple[Sequence[RenderableType], ...] = (
        _table(("task", "repo", "at", "starts", "done", "waits for"), _tasks(found)),
        _chart(found, width),
        _table(("will not end", "at", "because", "to clear"), map(_never, found["never"][:SHOWN])),
        _table(("agent", "slots", "turns", "at work"), map(_agent, found["agents"].items())),
        [shown(sentence, "dim") for sentence in _rests_on(found)],
    )
    for block in blocks:
        parts += [Text(), *block] if block else []
    return Group(*parts)


def _unchanged(order: Told) -> str:
    return f"{order['verb']} {order['target']} changes nothing: it is so already."


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[RenderableType]:
    from orch.cli import tables

    found = list(rows)
    return [tables.listed(columns, found)] if found else []


def _tasks(found: Told) -> Iterator[Sequence[Any]]:
    begins = found["generated_at"]
    started = [each for each in found["tasks"] if each["starts_at"] is not None]
    started.sort(key=lambda each: each["starts_at"])
    for each in started[:SHOWN]:
        times = [_clock(each[name], begins) for name in ("starts_at", "done_at")]
        yield each["work_item_id"], each["repo"], each["stage"], *times, each["waits_for"]
    if len(started) > SHOWN:
        yield f"and {len(started) - SHOWN} more", *[""] * 5


def _clock(moment: datetime | None, begins: datetime) -> str:
    if moment is None:
        return ""
    return f"{moment:%H:%M}" if moment.date() == begins.date() else f"{moment:%m-%d %H:%M}"


def _chart(found: Told, width: int) -> list[RenderableType]:
    """A bar for each task that has turns, a letter for each stage."""
    if not found["rows"]:
        return []
    begins, ends = found["generated_at"], max(row["ends_at"] for row in found["rows"])
    names = list(dict.fromkeys(row["work_item_id"] for row in found["rows"]))[:SHOWN]
    label = min(24, max(map(len, names)))
    room = max(NARROWEST, min(width, 120) - label - 2)
    seconds = max(1.0, (ends - begins).total_seconds())
    bars = {name: ["·"] * room for name in names}
    for row in found["rows"]:
        if row["work_item_id"] in bars:
            first, last = (
                (row[name] - begins).total_seconds() / seconds * room
                for name in ("starts_at", "ends_at")
            )
            for cell in range(max(0, int(first)), min(room, max(int(first) + 1, round(last)))):
                bars[row["work_item_id"]][cell] = LETTERS.get(row["stage"], "x")
    legend = ", ".join(f"{letter} {stage}" for stage, letter in LETTERS.items())
    span = f"from {begins:%m-%d %H:%M} to {ends:%m-%d %H:%M} UTC: {legend}"
    drawn = [shown(f"{name[:label]:<{label}}  {''.join(bar)}") for name, bar in bars.items()]
    return [shown(span, "dim"), *drawn]


def _never(each: Told) -> Sequence[Any]:
    return each["work_item_id"], each["stage"], each["detail"], each["clear_with"]


def _agent(known: tuple[str, Told]) -> Sequence[Any]:
    name, told = known
    share = "" if told["utilisation"] is None else f"{told['utilisation']:.0%}"
    return name, told["slots"], told["turns"], share


def _rests_on(found: Told) -> Iterator[str]:
    said = dict.fromkeys(each["sentence"] for each in found["basis"])
    if said:
        yield f"It rests on: {'; '.join(said)}."
    yield from found["assumed"]
