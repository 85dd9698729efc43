"""The verb that tells: `show`, a task from its beginning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from orch import names, spans, story
from orch.cli import output
from orch.cli.output import lasting, shown
from orch.cli.session import Session, pass_session

if TYPE_CHECKING:
    from rich.console import RenderableType

Told = Mapping[str, Any]
LINES_OF_A_TAIL: Final = 8
"""Of what a command printed last; `orch logs` and the JSON have all that was kept."""
DETAILS_OF_A_CHECK: Final = 5
WORDS_OF_USAGE: Final = {
    "turns": "{:.0f} turns",
    "input_tokens": "{:.0f} tokens in",
    "output_tokens": "{:.0f} tokens out",
    "cost_usd": "{:.2f} USD",
}


@click.command()
@click.argument("work_item", metavar="ID")
@output.as_json
@pass_session
def show(session: Session, work_item: str) -> None:
    """Tell the story of task ID: stages, attempts, checks, cost, commits, and its waits."""
    told = story.story(session.line, names.work_item(work_item))
    if session.wants_json:
        output.json_line(told)
        return
    output.console().print(story_view(told))


def story_view(told: Told) -> RenderableType:
    """The story as blocks, one below the other; what is not known comes last."""
    from rich.console import Group
    from rich.text import Text

    task = told["task"]
    title = f" “{task['title']}”" if task["title"] else ""
    about = f"{task['repo']}, track {task['track']}, {lasting(told['seconds'])}{title}"
    parts: list[RenderableType] = [shown(told["sentence"], "bold"), shown(about, "dim")]
    parts += [shown(f"to clear: {each['clear_with']}", "dim") for each in told["blockers"]]
    blocks: tuple[Sequence[RenderableType], ...] = (
        _table(("stage", "since", "for"), map(_stage, told["stages"])),
        _table(ATTEMPT, map(_attempt, told["jobs"])),
        *map(_checked, told["jobs"]),
        _table(("what it waited for", "since", "for", "by", "why"), map(_held, told["held"])),
        _table(("said", "at", "by", "words"), map(_said, told["said"])),
        [shown(line) for line in _sums(told)],
        _unknown(told["not_known"]),
    )
    for block in blocks:
        parts += [Text(), *block] if block else []
    return Group(*parts)


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[RenderableType]:
    """A table as a block; nothing where it has no rows."""
    from orch.cli import tables

    found = list(rows)
    return [tables.listed(columns, found)] if found else []


def _stage(visit: Told) -> Sequence[Any]:
    since = "not known" if visit["since"] is None else _clock(visit["since"])
    return visit["stage"], since, lasting(visit["seconds"])


ATTEMPT: Final = ("job", "stage", "agent", "try", "came to", "waited", "worked", "used", "summary")


def _attempt(job: Told) -> Sequence[Any]:
    came_to = [job["status"], job["failure"], job["verdict"]]
    return (
        job["job_id"],
        job["stage"],
        job["agent"],
        job["attempt"],
        ", ".join(dict.fromkeys(word for word in came_to if word)),
        lasting(job["waited_seconds"]),
        lasting(job["worked_seconds"]),
        _used(job["usage"]),
        job["summary"][:200],
    )


def _used(usage: Told) -> str:
    """Turns and cost, as far as they are known."""
    known = [name for name in ("turns", "cost_usd") if isinstance(usage.get(name), int | float)]
    return ", ".join(WORDS_OF_USAGE[name].format(usage[name]) for name in known)


def _checked(job: Told) -> list[RenderableType]:
    """What orch found out itself about one attempt."""
    report, found = job["report"], []
    for check in report.get("checks", ()):
        how, style = ("passed", "green") if check["passed"] else ("failed", "red")
        why = f": {check['reason']}" if check.get("reason") else ""
        found.append(shown(f"job {job['job_id']}  {check['name']} {how}{why}", style))
        if not check["passed"]:
            found += [
                shown(f"    {each}") for each in check.get("details", [])[:DETAILS_OF_A_CHECK]
            ]
    for run in report.get("runs", ()):
        ended = "ran out of time" if run.get("timed_out") else f"ended with {run['exit_code']}"
        said = f"job {job['job_id']}  {run['name']} {ended} after {lasting(run['seconds'])}"
        found.append(shown(said, "dim"))
        if run["exit_code"] != 0:
            tail = run.get("tail", "").splitlines()[-LINES_OF_A_TAIL:]
            found += [shown(f"    {line}") for line in tail]
    return [*found]


def _held(span: Told) -> Sequence[Any]:
    goes_on = ", and goes on" if span["until"] is None else ""
    length = f"{lasting(span['seconds'])}{goes_on}"
    return span["why"], _clock(span["since"]), length, span["by"], span["reason"]


def _said(word: Told) -> Sequence[Any]:
    kind = word["kind"].removeprefix("task.").replace("_", " ")
    return kind, _clock(word["at"]), word["actor"], word["reason"]


def _sums(told: Told) -> Iterable[str]:
    for why, seconds in told["spent"].items():
        if seconds >= 0.5:
            yield f"{lasting(seconds):>7}  {spans.REASONS[why]}"
    commits = {name.removesuffix("_sha"): sha for name, sha in told["commits"].items() if sha}
    if commits:
        yield "Commits: " + ", ".join(f"{name} {sha[:12]}" for name, sha in commits.items())
    if told["landing"]:
        rounds = told["landing"].get("rounds", "?")
        yield f"Landed in {rounds} round{'' if rounds == 1 else 's'}."
    if told["usage"]:
        known = [name for name in WORDS_OF_USAGE if name in told["usage"]]
        used = (WORDS_OF_USAGE[name].format(told["usage"][name]) for name in known)
        yield f"Used: {', '.join(used)}."


def _unknown(sentences: Sequence[str]) -> list[RenderableType]:
    if not sentences:
        return []
    return [shown("Not known:", "dim"), *(shown(f"  {each}", "dim") for each in sentences)]


def _clock(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
