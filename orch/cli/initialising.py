"""`orch init`: asks what orch has to know, and writes `orch.toml` and `.env`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from orch import bootstrap, clock, config, first_settings
from orch.cli import output
from orch.cli.session import Session, pass_session
from orch.config import HERE, PREFIX, SECRETS
from orch.errors import BadInput, OrchError
from orch.first_settings import FirstSettings
from orch.stages import AGENTS

PROGRAMS: Final = ("claude", "codex", "opencode")
"""Adapters that know their own program."""


@dataclass(frozen=True)
class Question:
    """One setting that is asked for."""

    setting: str
    words: str
    needed: bool = False
    of: str = ""
    """Only where this tracker or forge was chosen; empty is always."""
    made: bool = False
    """Nobody is asked: what no option says is made up."""


_HOOK: Final = "Secret of its webhooks (left out: a new one)"
QUESTIONS: Final = (
    Question("database_url", "Database URL (empty: SQLite in the data folder)"),
    Question("broker_url", "Redis URL (empty: `orch up` starts a broker of its own)"),
    Question("web_names", "Host names under which people and webhooks reach orch, comma-separated"),
    Question("web_url", "Public address of orch, https://orch.example.org (empty: no links)"),
    Question("plane_url", "Address of Plane", needed=True, of="plane"),
    Question("plane_workspace", "The workspace's slug in Plane", needed=True, of="plane"),
    Question("plane_token", "API key of orch's user in Plane", needed=True, of="plane"),
    Question("plane_webhook_secret", "Secret that Plane showed for its webhook", of="plane"),
    Question("gitea_url", "Address of Gitea (empty: that of each repo's address)", of="gitea"),
    Question("gitea_token", "Token of orch's user in Gitea", needed=True, of="gitea"),
    Question("gitea_webhook_secret", _HOOK, of="gitea", made=True),
    Question("github_api", "GitHub's API (empty: github.com's own)", of="github"),
    Question("github_token", "Token of orch's user in GitHub", needed=True, of="github"),
    Question("github_webhook_secret", _HOOK, of="github", made=True),
)


class _Answer(click.ParamType[str]):
    """Text; `@FILE` stands for what is in the file, so that no secret has to be an argument."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not text.startswith("@"):
            return text.strip()
        try:
            return Path(text[1:]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self.fail(f"{text[1:]} cannot be read: {type(error).__name__}.", param, ctx)


def _settings_as_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """An option for each setting that is asked for, under the setting's name."""
    for each in reversed(QUESTIONS):
        flag, variable = f"--{each.setting.replace('_', '-')}", f"{PREFIX}{each.setting.upper()}"
        verb = click.option(
            flag, each.setting, type=_Answer(), envvar=variable, show_envvar=True, help=each.words
        )(verb)
    return verb


@click.command(name="init")
@click.option("--repo", "repos", multiple=True, metavar="NAME=URL", help="A repo; repeatable.")
@click.option(
    "--agent",
    "agents",
    multiple=True,
    metavar="[AGENT=]COMMAND",
    help="claude, codex, opencode or a command, for all agents or for one; repeatable.",
)
@click.option("--tracker", type=click.Choice(["none", "folder", "plane"]))
@click.option("--forge", type=click.Choice(["git", "gitea", "github"]), help="Of all repos.")
@click.option("--work-folder", metavar="[REPO=]PATH", help="Folder of Markdown work items.")
@click.option(
    "--plane-project",
    "projects",
    multiple=True,
    metavar="[REPO=]ID",
    help="A project's id in Plane, and where its items go; repeatable.",
)
@_settings_as_options
@click.option("--force", is_flag=True, help="Replace files that are there; copies are kept.")
@output.as_json
@pass_session
def init(session: Session, /, force: bool, **given: Any) -> None:
    """Write orch.toml and .env for the present folder: asked for on a terminal, else by options.

    Secrets go into .env alone, which only this user may read, and secrets of webhooks are made up.
    Nothing is written unless all of it can be used. @FILE instead of a text reads it from there.
    """
    folder = Path.cwd()
    if not force:
        first_settings.refuse_what_is_there(folder)
    answers = _answered(_Answers(given, asks=at_terminal()))
    kept = first_settings.write(folder, answers.texts(), _try, force=force)
    _tell(session, answers, [str(each.relative_to(folder)) for each in kept])


def at_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty()


@dataclass(frozen=True)
class _Answers:
    """What the options say, and questions for what they leave out."""

    given: dict[str, Any]
    asks: bool

    def one(self, name: str, words: str, *, default: str = "", check: Any = None) -> str:
        """One answer; where nobody is asked, the default."""
        if self.given[name] is not None or not self.asks:
            return str(self.given[name] or default)
        said: str = click.prompt(
            words,
            default=default,
            show_default=bool(default),
            hide_input=name in SECRETS,
            value_proc=partial(_checked, check) if check else None,
            err=True,
        )
        return said

    def needed(self, name: str, words: str, *, check: Any = None) -> str:
        """One answer that cannot be left out. Raises BadInput."""
        said = self.one(name, words, check=check)
        while not said and self.asks:
            click.echo("This is needed.", err=True)
            said = self.one(name, words, check=check)
        if not said:
            raise _missing(name, words)
        return said

    def many(self, name: str, words: str, *, check: Any) -> list[str]:
        """At least one. Raises BadInput."""
        if self.given[name] or not self.asks:
            if not self.given[name]:
                raise _missing(name, words)
            return [str(each) for each in self.given[name]]
        found = []
        asking = _Answers({name: None}, asks=True)
        said = asking.needed(name, words, check=check)
        while said:
            found.append(said)
            said = asking.one(name, "One more (empty: no more)", check=check)
        return found


_FLAGS: Final = {"repos": "repo", "agents": "agent", "projects": "plane-project"}


def _missing(name: str, words: str) -> BadInput:
    flag = f"--{_FLAGS.get(name, name).replace('_', '-')}"
    return BadInput(
        f"{flag} is missing, and nobody is there to be asked: {words}.",
        suggested_fix="Say it as an option, or run `orch init` in a terminal. `orch init --help` "
        "lists the options.",
    )


def _checked(check: Callable[[str], object], said: str) -> str:
    """The answer, if it can be used; else the person is asked again."""
    try:
        if said:
            check(said)
    except OrchError as error:
        raise click.UsageError(error.message) from error
    return said.strip()


def _answered(ask: _Answers) -> FirstSettings:
    """Everything orch has to know. Raises BadInput."""
    repos = dict(map(_repo, ask.many("repos", "Repo, as NAME=URL", check=_repo)))
    about = "Agents: claude, codex, opencode or a command, for all or as AGENT=COMMAND"
    agents = _agents(ask.many("agents", about, check=_agent))
    tracker = ask.one("tracker", "Tracker: none, folder or plane", default="none", check=_tracker)
    forge = ask.one("forge", "Forge: git, gitea or github", default="git", check=_forge)
    trackers = _trackers(ask, tracker, list(repos))
    values = {}
    for each in QUESTIONS:
        if each.of in ("", tracker, forge):
            values[each.setting] = _setting(ask, each)
    tables: dict[str, Mapping[str, first_settings.Table]] = {
        "repos": {
            name: {"url": url} | ({} if forge == "git" else {"forge": forge})
            for name, url in repos.items()
        },
        "agents": agents,
        "trackers": trackers,
    }
    return FirstSettings({name: text for name, text in values.items() if text}, tables)


def _setting(ask: _Answers, asked: Question) -> str:
    if asked.made:
        # GitHub and Gitea let whoever sets a webhook up choose its secret; Plane makes its own.
        return str(ask.given[asked.setting] or clock.new_id())
    how = ask.needed if asked.needed else ask.one
    check = partial(first_settings.insist_on, asked.setting)
    return how(asked.setting, asked.words, check=check)


def _repo(said: str) -> tuple[str, str]:
    name, is_one, url = said.partition("=")
    if not is_one or not name.strip() or not url.strip():
        raise BadInput(f"“{said}” names no repo: say NAME=URL, shop=https://git.example.org/shop.")
    return name.strip(), url.strip()


def _agent(said: str) -> tuple[str, first_settings.Table]:
    """The agent that is meant, or "" for all of them, and its table."""
    name, is_one, command = said.partition("=")
    if not is_one or name not in AGENTS:
        name, command = "", said
    if command.strip() in PROGRAMS:
        return name, {"adapter": command.strip()}
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise BadInput(f"“{command}” cannot be taken apart into words: {error}.") from error
    if not words:
        raise BadInput("A command needs a program.")
    return name, {"command": words}


def _agents(said: Iterable[str]) -> dict[str, first_settings.Table]:
    known = dict(map(_agent, said))
    everybody = known.pop("", None)
    if everybody is not None:
        known = dict.fromkeys(AGENTS, everybody) | known
    return known


def _among(words: tuple[str, ...], said: str) -> None:
    if said not in words:
        raise BadInput(f"Say one of {', '.join(words)}.")


_tracker = partial(_among, ("none", "folder", "plane"))
_forge = partial(_among, ("git", "gitea", "github"))


def _trackers(ask: _Answers, kind: str, repos: list[str]) -> dict[str, first_settings.Table]:
    split = partial(_with_repo, repos)
    if kind == "folder":
        words = "Folder of Markdown work items, as PATH or REPO=PATH"
        repo, path = split(ask.needed("work_folder", words, check=split))
        if not Path(path).is_dir():
            raise BadInput(f"There is no folder {path}.", suggested_fix="Make it first.")
        there = path if Path(path).is_absolute() else f"{HERE}/{path}"
        return {"main": {"kind": "folder", "path": there, "repo": repo}}
    if kind == "none":
        return {}
    found: dict[str, first_settings.Table] = {}
    for said in ask.many("projects", "Id of a project in Plane, as ID or REPO=ID", check=split):
        repo, project = split(said)
        name = f"main{len(found) + 1}" if found else "main"
        found[name] = {"kind": "plane", "project": project, "repo": repo}
    return found


def _with_repo(repos: list[str], said: str) -> tuple[str, str]:
    """What was said, and the repo that it goes with."""
    repo, is_one, rest = said.partition("=")
    if is_one and repo in repos:
        return repo, rest
    if len(repos) > 1:
        raise BadInput(
            f"Nobody can tell which repo “{said}” goes with: say REPO={said}; "
            f"known: {', '.join(repos)}."
        )
    return repos[0], said


def _try(folder: Path) -> None:
    """Raises ConfigError where orch could not work with the settings in a folder."""
    settings = config.load_settings({}, folder)
    settings = settings.model_copy(update={"data_dir": folder / "data"})
    bootstrap.build_trackers(settings)
    bootstrap.build_forge(settings)


def _tell(session: Session, answers: FirstSettings, kept: list[str]) -> None:
    written = [first_settings.OPEN_FILE, first_settings.SECRET_FILE]
    hooks = [name for name in ("gitea", "github") if f"{name}_webhook_secret" in answers.values]
    if session.wants_json:
        output.json_line({"written": written, "kept": kept, "webhooks": hooks})
        return
    output.say(f"{' and '.join(written)} are written.", "bold green")
    if kept:
        output.say(f"What was there before is kept: {', '.join(kept)}.")
    for name in hooks:
        said = f"{PREFIX}{name.upper()}_WEBHOOK_SECRET in .env"
        output.say(f"Let {name}'s webhook call /webhooks/{name} of orch, with the secret {said}.")
    output.say("Next: `orch db upgrade`, `orch up`, and then `orch doctor`.")
