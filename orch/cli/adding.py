"""`orch add`: one task from the command line, or many from a file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from orch import controls, stages
from orch.cli import output
from orch.cli.session import Session, pass_session
from orch.controls import NewTask
from orch.errors import AlreadyThere, BadInput
from orch.repo_settings import RepoSettings

KINDS: Final[dict[str, type]] = {
    "work_item_id": str,
    "repo": str,
    "title": str,
    "description": str,
    "track": str,
    "depends_on": list,
    "paused": bool,
}
"""The keys an entry of a file may have, and what each holds."""
FILE_LIMIT: Final = 16 * 1024 * 1024


@click.command()
@click.argument("work_item", metavar="[ID]", required=False)
@click.option("--repo", help="The repository it is about.")
@click.option("--title", default="", help="One line.")
@click.option("--description", default="", help="What the agent is to know.")
@click.option(
    "--track", default="", help=f"One of {', '.join(stages.TRACKS)}, or a track of the repo's own."
)
@click.option("--on", "depends_on", multiple=True, metavar="ID", help="Starts only after this one.")
@click.option("--paused", is_flag=True, help="Park it at once.")
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Many at once: TOML with [[tasks]], a JSON array, or JSON lines.",
)
@output.as_json
@pass_session
def add(session: Session, /, work_item: str | None, path: Path | None, **given: Any) -> None:
    """Add task ID to a repo's line, or every task of a file; those known already are left alone."""
    if (work_item is None) == (path is None):
        raise click.UsageError("Give either the ID of one task, or --file with many.")
    if path is not None:
        _add_all(session, read_tasks(path, session.settings.repos))
        return
    if not given["repo"]:
        raise click.UsageError("Say which repo it is about: --repo NAME.")
    new = NewTask(work_item_id=str(work_item), **given)
    answer = controls.add_task(session.line, new, session.actor)
    if session.wants_json:
        output.json_line(answer)
    else:
        output.say(f"Added. {answer['sentence']}", "bold")


def _add_all(session: Session, found: list[NewTask]) -> None:
    added = 0
    for new in found:
        try:
            answer = controls.add_task(session.line, new, session.actor)
        except AlreadyThere:
            answer = {"changed": False, "task": {"work_item_id": new.work_item_id}}
        added += answer["changed"]
        if session.wants_json:
            output.json_line(answer)
        elif not answer["changed"]:
            output.say(f"{new.work_item_id} is known already and stays as it is.", "yellow")
    if not session.wants_json:
        output.say(f"Added {added} of {len(found)} tasks.", "bold")


def read_tasks(path: Path, repos: Mapping[str, RepoSettings]) -> list[NewTask]:
    """The tasks of a file. Raises BadInput that names the entry, before anything is written."""
    try:
        if path.stat().st_size > FILE_LIMIT:
            raise BadInput(f"{path.name} is larger than {FILE_LIMIT} bytes.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name} cannot be read: {error}.") from error
    entries = _entries(path, text)
    if not isinstance(entries, list) or not entries:
        raise BadInput(
            f"{path.name} holds no list of tasks.",
            suggested_fix="Write [[tasks]] sections in TOML, or a JSON array of objects.",
        )
    return [_new(path, number, entry, repos) for number, entry in enumerate(entries, 1)]


def _entries(path: Path, text: str) -> Any:
    try:
        if path.suffix == ".toml":
            return tomllib.loads(text).get("tasks")
        if text.lstrip().startswith("["):
            return json.loads(text)
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        form = "TOML" if path.suffix == ".toml" else "JSON"
        raise BadInput(f"{path.name} is not valid {form}: {error}.") from error


def _new(path: Path, number: int, entry: Any, repos: Mapping[str, RepoSettings]) -> NewTask:
    where = f"{path.name}, task {number}"
    if not isinstance(entry, dict):
        raise BadInput(f"{where} is not an object with keys and values.")
    unknown = sorted(set(entry) - set(KINDS))
    if unknown:
        raise BadInput(f"{where} has {', '.join(unknown)}; known: {', '.join(KINDS)}.")
    for key in ("work_item_id", "repo"):
        if key not in entry:
            raise BadInput(f"{where} has no {key}.")
    for key, value in entry.items():
        texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
        if not isinstance(value, KINDS[key]) or (isinstance(value, list) and not texts):
            raise BadInput(f"{where}: {key} is not a {_kind(key)}.")
    new = NewTask(**{**entry, "depends_on": tuple(entry.get("depends_on", ()))})
    controls.check_new(new, repos)
    return new


def _kind(key: str) -> str:
    return {str: "text", list: "list of texts", bool: "true or false"}[KINDS[key]]
