"""The verbs that only look: queue, why, tasks, events, logs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any, Final, get_args

import click

from orch import estimates, job_log, listing, mirror, names, snapshot, stages
from orch import events as ledger_pages
from orch.cli import output
from orch.cli.session import Session, pass_session
from orch.errors import NotFound
from orch.line import Line
from orch.store import history
from orch.store.work import task_by_work_item

REDRAW_SECONDS: Final = 1.0
LOOK_AGAIN_SECONDS: Final = 0.3


@click.command()
@click.option("--repo", "repos", multiple=True, help="Only this repo; may be given again.")
@click.option("--limit", default=20, type=click.IntRange(1, 1000), help="Waiting rows per repo.")
@click.option("--watch", is_flag=True, help="Draw it again every second until Ctrl-C.")
@output.as_json
@pass_session
def queue(session: Session, repos: tuple[str, ...], limit: int, watch: bool) -> None:
    """Show, per repo, who holds the line, who waits in which order, and why."""
    asked = tuple(names.repo(name) for name in repos)
    wanted = snapshot.Wanted(asked or None, limit)
    ledger_pages.require_repos(session.line, asked)
    as_json = session.wants_json
    if watch and not as_json:
        _redraw(session.line, wanted)
    seen = snapshot.snapshot(session.line, wanted)
    if as_json:
        _queue_lines(seen)
        pause = threading.Event()
        while watch:
            sys.stdout.flush()
            pause.wait(REDRAW_SECONDS)
            _queue_lines(snapshot.snapshot(session.line, wanted))
        return
    from orch.cli import tables

    output.console().print(tables.queue_view(seen, output.console().width))


def _queue_lines(seen: dict[str, Any]) -> None:
    about = {"generated_at": seen["generated_at"], "degraded": seen["degraded"]}
    about["suspended"] = {
        name: {"until": known["suspended_until"], "reason": known["suspended_reason"]}
        for name, known in seen["agents"].items()
        if known["suspended_until"] is not None
    }
    lanes = seen["serial_gate"]["per_repo"].items()
    output.json_lines_of({"repo": repo, **about, **lane} for repo, lane in lanes)


def _redraw(line: Line, wanted: snapshot.Wanted) -> None:
    """Draw until Ctrl-C ends it."""
    from rich.live import Live

    from orch.cli import tables

    pause = threading.Event()
    with Live(console=output.console(), screen=True, auto_refresh=False) as live:
        while True:
            live.update(
                tables.queue_view(snapshot.snapshot(line, wanted), output.console().width),
                refresh=True,
            )
            pause.wait(REDRAW_SECONDS)


@click.command()
@click.argument("work_item", metavar="ID")
@output.as_json
@pass_session
def why(session: Session, work_item: str) -> None:
    """Say why task ID does or does not run, everything that holds it, and what clears each."""
    found = estimates.why(session.line, names.work_item(work_item))
    if session.wants_json:
        output.json_line(found)
        return
    from orch.cli import tables

    output.console().print(tables.why_view(found))


@click.command()
@click.option("--repo", help="Only this repo.")
@click.option("--stage", type=click.Choice(stages.STAGES), help="Only at this stage.")
@click.option("--state", type=click.Choice(get_args(listing.State)), help="Only in this state.")
@click.option("--agent", help="Only those whose turn is this agent's.")
@click.option("--limit", default=100, type=click.IntRange(1, 1000), help="At most so many.")
@output.as_json
@pass_session
def tasks(
    session: Session,
    repo: str | None,
    stage: str | None,
    state: listing.State | None,
    agent: str | None,
    limit: int,
) -> None:
    """List tasks, newest first."""
    line = session.line
    if repo is not None:
        ledger_pages.require_repos(line, (names.repo(repo),))
    wanted = listing.Wanted(repo, stage, state, agent, limit=limit)
    rows = listing.tasks(line, wanted)["tasks"]
    if session.wants_json:
        output.json_lines_of(rows)
        return
    from orch.cli import tables

    output.say(f"{len(rows)} tasks." if rows else "No task is like that.", "bold")
    shown = ("work_item_id", "repo", "stage", "state", "agent", "title")
    if rows:
        cells = [[row[name] for name in shown] for row in rows]
        output.console().print(tables.listed(("task", *shown[1:]), cells))


@click.command()
@click.option("--task", "work_item", help="Only of this task.")
@click.option("--repo", help="Only of this repo.")
@click.option("--kind", help="Only of this kind, such as task.paused.")
@click.option("--limit", default=50, type=click.IntRange(1, 1000), help="At most so many.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@output.as_json
@pass_session
def events(
    session: Session,
    work_item: str | None,
    repo: str | None,
    kind: str | None,
    limit: int,
    follow: bool,
) -> None:
    """Show what happened, oldest first, the last so many."""
    if repo is not None:
        ledger_pages.require_repos(session.line, (names.repo(repo),))
    wanted = ledger_pages.Wanted(work_item, repo, kind, limit=limit)
    page = ledger_pages.page(session.line, wanted)
    as_json = session.wants_json
    _tell_events(page["events"][::-1], as_json)
    pause = threading.Event()
    while follow:
        sys.stdout.flush()
        pause.wait(LOOK_AGAIN_SECONDS)
        later = ledger_pages.Wanted(work_item, repo, kind, after=page["last"], limit=1000)
        page = ledger_pages.page(session.line, later)
        _tell_events(page["events"], as_json)


def _tell_events(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        output.json_lines_of(rows)
        return
    for row in rows:
        about = (
            row["work_item_id"]
            or row["repo"]
            or row["data"].get("name")
            or row["data"].get("agent", "")
        )
        moved = f" {row['from_state'] or ''} → {row['to_state']}" if row["to_state"] else ""
        why = f": {row['reason']}" if row["reason"] else ""
        said = f"{row['at']:%Y-%m-%d %H:%M:%S}  {row['kind']:<16} {about}{moved}"
        output.say(f"{said}  by {row['actor']}{why}")


@click.command()
@click.argument("which", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on while the agent works.")
@pass_session
def logs(session: Session, which: str, follow: bool) -> None:
    """Print what the agent printed: of job ID, or of the last job of task ID that was begun."""
    job_id = _job_named(session.line, which)
    for piece in _pieces(session, job_id, follow):
        if sys.stdout.isatty():
            click.echo(output.visible_log(piece.decode("utf-8", "replace")), nl=False)
        else:
            click.echo(piece, nl=False)


def _job_named(line: Line, which: str) -> int:
    if which.isascii() and which.isdigit() and len(which) < 19:
        return int(which)
    item = names.work_item(which)

    def look(conn: Any) -> int:
        task = task_by_work_item(conn, item)
        if task is None:
            raise mirror.unknown(conn, item)
        begun = [row for row in history.jobs_of(conn, task["id"]) if row["started_at"]]
        if not begun:
            raise NotFound(
                f"No agent has begun {item} yet, so it has no log.",
                suggested_fix=f"`orch why {item}` says what it waits for.",
            )
        return int(begun[-1]["job_id"])

    return line.store.read(look)


def _pieces(session: Session, job_id: int, follow: bool) -> Iterator[bytes]:
    """The log from its beginning, and with `follow` until the job has ended."""
    position, pause = 0, threading.Event()
    while True:
        log = job_log.find(session.line, session.settings.data_dir, job_id)
        file = job_log.open_log(log)
        if file is not None:
            with file:
                stop = job_log.size(file)
                yield from job_log.part(file, position, stop)
                position = stop
        if not follow or not log.open:
            return
        sys.stdout.flush()
        pause.wait(LOOK_AGAIN_SECONDS)
