"""The verbs about people and the browsers in which they are signed in: user, session."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from orch import invitations, people, sessions, tokens
from orch.cli import output
from orch.cli.session import Session, pass_session
from orch.cli.setting_up import tell_answer, tell_rows
from orch.errors import BadInput
from orch.passwords import Passwords
from orch.people import NewPerson

FROM_FILE = click.option(
    "--password-file",
    metavar="FILE",
    help="Read the password from a file, - is standard input; else it is asked for.",
)


@click.group()
def user() -> None:
    """Let people sign in with a browser, and end that."""


@user.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(tokens.ROLES), default="viewer", show_default=True)
@click.option("--repos", multiple=True, metavar="GLOB", help="Steer only these; repeatable.")
@FROM_FILE
@click.option("--no-password", is_flag=True, help="For who comes by a proxy, or gets a link.")
@output.as_json
@pass_session
def add_user(
    session: Session,
    name: str,
    role: str,
    repos: tuple[str, ...],
    password_file: str | None,
    no_password: bool,
) -> None:
    """Let NAME sign in. The password is asked for; it is never an argument."""
    if no_password and password_file:
        raise BadInput("--no-password and --password-file do not go together.")
    line = session.line  # a database that cannot be used is told before a password is asked for
    password = None if no_password else _password(password_file)
    new = NewPerson(name, role, repos, password)
    answer = people.add(line, Passwords(), new, session.actor)
    tell_answer(session, answer, f"{answer['name']} may come in now, as {answer['role']}.")


@user.command("list")
@output.as_json
@pass_session
def list_users(session: Session) -> None:
    """List everybody who ever was let in."""
    columns = ("name", "role", "repos", "has_password", "created_at", "disabled_at")
    tell_rows(session, people.listed(session.line), columns, "people")


@user.command("remove")
@click.argument("name")
@output.as_json
@pass_session
def remove_user(session: Session, name: str) -> None:
    """Let NAME not come in any more, from this moment on; the ledger keeps the name."""
    answer = people.disable(session.line, name, session.actor)
    said = "may not come in any more." if answer["changed"] else "could not come in before either."
    tell_answer(session, answer, f"{answer['name']} {said}")


@user.command("password")
@click.argument("name")
@FROM_FILE
@output.as_json
@pass_session
def set_password(session: Session, name: str, password_file: str | None) -> None:
    """Give NAME another password; every browser they were signed in with has to sign in again."""
    people.one(session.line, name)
    password = _password(password_file)
    answer = people.set_password(session.line, Passwords(), name, password, session.actor)
    tell_answer(session, answer, f"{answer['name']} has another password now.")


@user.command("link")
@click.argument("name", required=False)
@output.as_json
@pass_session
def link(session: Session, name: str | None) -> None:
    """Make a link by which NAME chooses a password; without NAME, one for the first admin.

    It works once, for half an hour, and is shown this once.
    """
    secret = invitations.invite(session.line, name, session.actor)
    settings, path = session.settings, invitations.welcome_path(secret)
    site = invitations.address(settings.web_url, settings.web_host, settings.web_port)
    address = f"{site}{path}"
    if session.wants_json:
        output.json_line({"name": name, "path": path, "address": address})
        return
    output.say("It works once, for half an hour, and is not shown again:", "bold")
    click.echo(address)


@click.group("session")
def session() -> None:
    """List the browsers in which people are signed in, and sign them out."""


@session.command("list")
@click.option("--all", "ended", is_flag=True, help="Also those that are over.")
@output.as_json
@pass_session
def list_sessions(session: Session, ended: bool) -> None:
    """List the sessions that are alive, newest first."""
    idle = session.settings.web_session_idle_seconds
    rows = sessions.listed(session.line, idle, ended=ended)
    columns = ("id", "person", "alive", "created_at", "seen_at", "ends_at", "address", "browser")
    tell_rows(session, rows, columns, "sessions")


@session.command("revoke")
@click.argument("ids", metavar="ID...", nargs=-1, required=True, type=click.IntRange(0))
@output.as_json
@pass_session
def revoke_session(session: Session, ids: tuple[int, ...]) -> None:
    """End sessions at once, for good."""
    for each in ids:
        answer = sessions.revoke(session.line, each, session.actor)
        said = "is over." if answer["changed"] else "was ended before."
        tell_answer(session, answer, f"Session {each} of {answer['person']} {said}")


def _password(file: str | None) -> str:
    if file is None:
        asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return asked
    try:
        found = sys.stdin.read() if file == "-" else _read(file)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"The password cannot be read: {error}.") from error
    return found.removesuffix("\n").removesuffix("\r")


def _read(file: str) -> str:
    return Path(file).read_text(encoding="utf-8")
