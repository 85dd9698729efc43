"""The verbs of whoever sets orch up: check, db, repo, token."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from orch import bootstrap, clock, config, in_force, names, strays, tokens, upkeep
from orch.cli import output
from orch.cli.session import Session, pass_session
from orch.errors import SchemaMismatch, StoreUnavailable
from orch.store import catalogue, revisions


@click.command()
@output.as_json
@pass_session
def check(session: Session) -> None:
    """Show the settings in force and where each comes from, secrets masked; with problems, all of
    them, and exit code 2.

    Tasks at a stage or on a track that these settings do not know are named as well.
    """
    bootstrap.check_prompts(session.settings)
    found, (lost, why_not) = config.shown(session.settings), _strays(session)
    if session.wants_json:
        named = [{**asdict(each), "reason": each.reason} for each in lost]
        origins = {each.name: each.origin for each in in_force.every(session.settings)}
        more = {"strays": named, "strays_not_known": why_not, "origins": origins}
        output.json_line({**found, **more})
        return
    from orch.cli import tables

    output.say("The settings can be used.", "bold green")
    rows = [(each.name, each.value, each.origin) for each in in_force.every(session.settings)]
    output.console().print(tables.listed(("setting", "value", "from"), rows))
    for each in lost:
        output.say(f"{each.work_item_id} cannot go on: {each.reason}.", "red")
    if why_not:
        output.say(f"Whether they strand a task is not known: {why_not}", "yellow")
    elif session.settings.repos:
        _tell_disk(session)


def _strays(session: Session) -> tuple[list[strays.Stray], str]:
    """Tasks these settings would strand, or why nobody can tell. Makes no database."""
    settings = session.settings
    is_default = not settings.database_url.get_secret_value()
    if is_default and not (settings.data_dir / "orch.db").exists():
        return [], "There is no database yet."
    try:
        return strays.find(session.line), ""
    except (SchemaMismatch, StoreUnavailable) as error:
        return [], error.message


def _tell_disk(session: Session) -> None:
    """What the repos take on disk, as upkeep last found: looking now would take its time."""
    hosts = upkeep.disk(session.line)
    for host in hosts:
        output.say(output.disk_sentence(host))
    if not hosts:
        output.say("What the repos take on disk was not measured yet: `orch clean` does.", "dim")


@click.group()
def db() -> None:
    """Bring the database up to date, or show its revision."""


@db.command()
@output.as_json
@pass_session
def upgrade(session: Session) -> None:
    """Bring the database to the schema of this orch, from empty or from any earlier one."""
    store = bootstrap.build_store(session.settings)
    before = revisions.current(store)
    after = revisions.upgrade(store)
    store.dispose()
    tell_answer(
        session,
        {"changed": before != after, "before": before, "revision": after},
        (
            f"The database is at revision {after}"
            f"{', as it was' if before == after else f', before at {before or chr(8212)}'}."
        ),
    )


@db.command()
@output.as_json
@pass_session
def current(session: Session) -> None:
    """Show the revision of the database, and whether this orch works with it."""
    store = bootstrap.build_store(session.settings)
    found, needed = revisions.current(store), revisions.newest()
    tell_answer(
        session,
        {"revision": found, "needed": needed, "current": found == needed},
        (f"The database is at revision {found or 'none'}; this orch works with {needed}."),
    )
    revisions.require_current(store)
    store.dispose()


@click.group()
def repo() -> None:
    """Add and list repos."""


@repo.command("add")
@click.argument("name")
@output.as_json
@pass_session
def add_repo(session: Session, name: str) -> None:
    """Make repo NAME known before its first task."""
    name, line = names.repo(name), session.line
    changed = line.store.write(lambda conn: catalogue.add_repo(conn, name))
    said = f"{name} is known now." if changed else f"{name} was known already."
    tell_answer(session, {"changed": changed, "repo": name}, said)


@repo.command("list")
@output.as_json
@pass_session
def list_repos(session: Session) -> None:
    """List the repos with their open and parked tasks."""
    line = session.line
    rows = line.store.read(lambda conn: catalogue.repos_listed(conn, line.now()))
    tell_rows(session, rows, ("repo", "open_tasks", "paused_tasks", "frozen"), "repos")


@click.group()
def token() -> None:
    """Make, list and revoke tokens for programs."""


@token.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(tokens.ROLES), default="viewer", show_default=True)
@click.option("--until", help="When it ends by itself: 2026-12-24T18:00Z, +90m, +2h, +1d.")
@click.option("--repos", multiple=True, metavar="GLOB", help="Steer only these; repeatable.")
@output.as_json
@pass_session
def add_token(
    session: Session, name: str, role: str, until: str | None, repos: tuple[str, ...]
) -> None:
    """Make a token for NAME. It is shown this once; only a hash of it is kept."""
    ends = names.moment(until, "until", clock.utc_now())
    line, actor = session.line, session.actor
    answer = tokens.add(line, name, role, actor, expires_at=ends, repos=repos)
    if session.wants_json:
        output.json_line(answer)
        return
    output.say(f"The token of {answer['name']}, a {answer['role']}; it is not shown again:", "bold")
    click.echo(answer["token"])


@token.command("list")
@output.as_json
@pass_session
def list_tokens(session: Session) -> None:
    """List every token ever made, without the tokens themselves."""
    columns = ("name", "role", "repos", "usable", "created_at", "expires_at", "revoked_at")
    tell_rows(session, tokens.listed(session.line), columns, "tokens")


@token.command("revoke")
@click.argument("name")
@output.as_json
@pass_session
def revoke_token(session: Session, name: str) -> None:
    """End the token of NAME at once."""
    answer = tokens.revoke(session.line, name, session.actor)
    said = "is revoked." if answer["changed"] else "was revoked already."
    tell_answer(session, answer, f"The token of {answer['name']} {said}")


def tell_answer(session: Session, answer: dict[str, Any], sentence: str) -> None:
    """One fact as JSON, or its sentence."""
    if session.wants_json:
        output.json_line(answer)
    else:
        output.say(sentence, "bold")


def tell_rows(session: Session, rows: Any, columns: tuple[str, ...], what: str) -> None:
    """Facts as JSON lines, or as a table with their number above it."""
    if session.wants_json:
        output.json_lines_of(rows)
        return
    from orch.cli import tables

    output.say(f"{len(rows)} {what}.", "bold")
    if rows:
        cells = [[row[name] for name in columns] for row in rows]
        output.console().print(tables.listed(columns, cells))
