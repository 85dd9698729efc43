"""The verbs that keep things in order: clean, monitor, traces. Beat has them run as well."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import click

from orch import bootstrap, errands, logs, tally, tracing, upkeep
from orch import monitor as looking_after
from orch.cli import output
from orch.cli.session import Session, pass_session
from orch.errors import BadInput, ConfigError

ERRAND = click.option(
    "--errand", is_flag=True, hidden=True, help="Log, and end with the process that started this."
)


@click.command()
@click.option("--dry-run", is_flag=True, help="Discard nothing; say which are due.")
@click.option(
    "--force", "forced", multiple=True, metavar="ID", help="Discard this one whatever it holds."
)
@ERRAND
@output.as_json
@pass_session
def clean(session: Session, dry_run: bool, forced: tuple[str, ...], errand: bool) -> None:
    """Discard the workspaces of tasks that ended long ago, and measure the disk.

    A workspace with work that is nowhere else is named and kept; --force ID discards that one.
    """
    if dry_run and forced:
        raise BadInput("--dry-run and --force do not go together.")
    keeper = bootstrap.build_keeper(session.settings, _gone(errand))
    _log(session, errand)
    with errands.alone(session.settings.data_dir / "upkeep.lock"):
        line = session.line
        rooms = [
            room for item in forced for room in upkeep.discard(line, keeper, item, session.actor)
        ]
        if not forced:
            actor = "orch" if errand else session.actor
            rooms = upkeep.clean(line, keeper, actor, dry_run=dry_run)
        if not dry_run:
            upkeep.measure(line, keeper)
        tally.flush(line)
    _tell_rooms(session, rooms)


def _tell_rooms(session: Session, rooms: list[upkeep.Room]) -> None:
    rows = [{"repo": r.repo, "task": r.work_item, "what": r.what, "why": r.why} for r in rooms]
    if session.wants_json:
        output.json_lines_of(rows)
        return
    from orch.cli import tables

    counted = {what: sum(row["what"] == what for row in rows) for what in _WHATS}
    said = [f"{number} {words}" for what, words in _WHATS.items() if (number := counted[what])]
    output.say(f"{', '.join(said)}." if said else "Nothing to clean.", "bold")
    columns = ("repo", "task", "what", "why")
    if rows:
        cells = [[row[name] for name in columns] for row in rows]
        output.console().print(tables.listed(columns, cells))
    for host in upkeep.disk(session.line):
        output.say(output.disk_sentence(host))


_WHATS: Final = {
    "discarded": "discarded",
    "due": "due, unless they hold work that is nowhere else",
    "kept": "kept",
    "orphan": "of no task",
}


@click.command()
@click.option("--once", is_flag=True, help="One round, then end.")
@ERRAND
@output.as_json
@pass_session
def monitor(session: Session, once: bool, errand: bool) -> None:
    """Run the health command of each repo on its default branch; freeze a repo where it is red.

    Goes on until Ctrl-C, a round every `monitor_seconds`. A green one lifts no freeze: you do.
    """
    leave, gone = threading.Event(), _gone(errand)
    rounds = bootstrap.build_rounds(session.settings, lambda: leave.is_set() or gone())
    if not rounds.watched:
        raise ConfigError(
            "No repo has a health command.",
            suggested_fix='Write `health = ["…"]` below [repos."NAME"] in orch.toml.',
        )
    _log(session, errand)
    lock = session.settings.data_dir / "monitor.lock"
    with errands.alone(lock), _heeded(leave, signal.SIGINT, signal.SIGTERM):
        while not rounds.leaving():
            _tell_findings(session, looking_after.go_round(session.line, rounds))
            if once or leave.wait(session.settings.monitor_seconds):
                return


@click.command()
@ERRAND
@output.as_json
@pass_session
def traces(session: Session, errand: bool) -> None:
    """Send a span for each wait, job, landing and task that has ended since the last time.

    The first time begins with what ends from then on.
    """
    collector = bootstrap.build_collector(session.settings)
    _log(session, errand)
    with errands.alone(session.settings.data_dir / "traces.lock"):
        sent = tracing.send(session.line, collector, _gone(errand))
    if session.wants_json:
        output.json_lines_of([{"spans": sent.spans, "failed": sent.failed}])
    else:
        output.say(f"{sent.spans} spans sent. {sent.failed}".strip(), "red" if sent.failed else "")


@contextmanager
def _heeded(leave: threading.Event, *numbers: signal.Signals) -> Iterator[None]:
    """Signals that end a program set an event, so that no command of a repo is left behind."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        leave.set()

    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell_findings(session: Session, found: list[looking_after.Finding]) -> None:
    if session.wants_json:
        output.json_lines_of(
            {"repo": f.repo, "health": f.found, "head_sha": f.sha, "detail": f.detail,
             "changed": f.changed}
            for f in found
        )  # fmt: skip
        return
    for each in found:
        frozen = ", and its repo is frozen now" if each.changed and each.found == "red" else ""
        why = f": {each.detail}" if each.detail else ""
        output.say(f"{each.repo} is {each.found}{frozen}{why}", _STYLES.get(each.found, ""))


_STYLES: Final = {"green": "green", "red": "bold red", "unknown": "yellow"}


def _gone(errand: bool) -> Callable[[], bool]:
    return errands.orphaned() if errand else lambda: False


def _log(session: Session, errand: bool) -> None:
    if errand:  # nobody reads its answer, so that it writes into the worker's log
        logs.configure(session.settings.log_level, session.settings.log_format)
