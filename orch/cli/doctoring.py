"""`orch doctor`: everything orch stands on, looked at one by one."""

from __future__ import annotations

import ipaddress
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

import orch
from orch import bootstrap, clock, config
from orch import doctor as checks
from orch.adapters import programs
from orch.agent_settings import AgentSettings
from orch.cli import output
from orch.cli.session import Session, pass_session
from orch.doctor import Check, Finding
from orch.line import Line
from orch.ports import Preparing
from orch.rest import NoAnswer, Service

_MARKS: Final = {"well": ("✓", "green"), "look": ("!", "yellow"), "wrong": ("✗", "bold red")}


@click.command(name="doctor")
@output.as_json
@pass_session
def doctor(session: Session) -> None:
    """Look at everything orch stands on: database, broker, dispatcher, workers, programs, disk,
    repos and trackers. Changes nothing.

    Each finding is a sentence, with what to do where something is to be done. Exit code 1 when
    something is wrong.
    """
    worst = "well"
    for finding in _findings(session):
        worst = finding.verdict if finding.verdict == "wrong" else worst
        if session.wants_json:
            output.json_line(asdict(finding))
            sys.stdout.flush()
        else:
            _say(finding)
    if not session.wants_json:
        told = "Something is wrong: see ✗." if worst == "wrong" else "Nothing is wrong."
        output.say(told, "bold red" if worst == "wrong" else "bold green")
    if worst == "wrong":
        sys.exit(1)


def _say(finding: Finding) -> None:
    from rich.text import Text

    mark, style = _MARKS[finding.verdict]
    about = output.visible(finding.about)
    said = "\n  ".join(map(output.visible, finding.said.splitlines()))
    output.console().print(Text.assemble((mark, style), f" {about}: ", (said, "")))
    if finding.fix:
        output.console().print(Text(f"    → {output.visible(finding.fix)}", "dim"))


def _findings(session: Session) -> Iterator[Finding]:
    usable = True
    for finding in checks.examine({"settings": partial(_settings, session)}):
        usable = finding.verdict != "wrong"
        yield finding
    if not usable:
        return  # nobody can tell what else there is to look at
    for finding in checks.examine({"database": partial(_database, session)}):
        usable = finding.verdict != "wrong"
        yield finding
    if usable:
        yield from checks.examine(_of_the_line(session))
    yield from checks.examine(_of_this_machine(session.settings))


def _settings(session: Session) -> Iterator[Finding]:
    _ = session.settings  # a ConfigError says all that is wrong with them
    yield Finding("settings", "well", "They can be used; `orch check` shows them.")


def _database(session: Session) -> Iterator[Finding]:
    url = session.settings.store_url
    path = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None
    if path is not None and not path.exists():  # to open it would make it
        yield Finding("database", "wrong", "There is none yet.", "Run `orch db upgrade`.")
        return
    store = bootstrap.build_store(session.settings)
    try:
        yield from checks.database(store)
    finally:
        store.dispose()


def _of_the_line(session: Session) -> dict[str, Check]:
    line, settings = session.line, session.settings
    agents = sorted(settings.agents)
    return {
        "indexes": partial(checks.complete, line.store),
        "clock": partial(checks.clock, line, clock.utc_now),
        "broker": partial(checks.broker, line),
        "dispatcher": partial(checks.attendance, line, agents),
        "feeds": partial(checks.feeds_of, line),
        "webhooks": partial(_heard, line, settings),
        "workers": partial(checks.versions, line, orch.__version__),
    }


def _of_this_machine(settings: config.Settings) -> dict[str, Check]:
    """What is built is built within its check: what cannot be, is a finding about that alone."""
    found: dict[str, Check] = {
        "webhooks": partial(_doors, settings),
        "git": partial(_git, settings),
        "disk": partial(_disk, settings.data_dir),
    }
    for name, known in sorted(settings.agents.items()):
        found[f"agent {name}"] = partial(_program, name, known)
    for name in sorted(settings.repos):
        alone = settings.model_copy(update={"repos": {name: settings.repos[name]}})
        found[f"repo {name}"] = partial(_repo, alone, name)
        if settings.repos[name].forge != "git":
            found[f"forge of {name}"] = partial(_forge, alone, name)
    for name in sorted(settings.trackers):
        alone = settings.model_copy(update={"trackers": {name: settings.trackers[name]}})
        found[f"tracker {name}"] = partial(_tracker, alone, name)
    return found


def _repo(settings: config.Settings, name: str) -> Iterator[Finding]:
    bootstrap.check_prompts(settings)
    remote = bootstrap.build_remote(settings, name)
    yield from checks.repository(bootstrap.build_forge(settings), remote)


def _forge(settings: config.Settings, name: str) -> Iterator[Finding]:
    """What the service says of a repo, where it can be asked."""
    pulls, known = bootstrap.build_pulls(settings, name), settings.repos[name]
    is_hooked = settings.web_url and known.forge in _senders(settings)
    hook = f"{settings.web_url}/webhooks/{known.forge}" if is_hooked else ""
    if isinstance(pulls, Preparing):
        found = pulls.prepare(known.default_branch, hook)
        yield from checks.readiness(f"forge of {name}", found, clock.utc_now)


def _tracker(settings: config.Settings, name: str) -> Iterator[Finding]:
    yield from checks.tracker(name, bootstrap.build_trackers(settings)[name], clock.utc_now)


def _heard(line: Line, settings: config.Settings) -> Iterator[Finding]:
    host = urlsplit(settings.web_url).hostname or ""
    private = host if host and _is_private(host) else ""
    yield from checks.heard(line, _senders(settings), clock.utc_now, private)


def _is_private(host: str) -> bool:
    """Whether others on this network alone could reach it, as far as can be told."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return any(not ipaddress.ip_address(each.partition("%")[0]).is_global for each in found)


def _doors(settings: config.Settings) -> Iterator[Finding]:
    """Whether the public address of each webhook leads to orch, as seen from this machine."""
    for source in _senders(settings) if settings.web_url else ():
        service, path = Service(settings.web_url, read=5.0), f"/webhooks/{source}"
        try:
            status: int | None = service.ask("GET", path).status
        except NoAnswer:
            status = None
        yield checks.door(source, f"{service.url}{path}", status)


def _git(settings: config.Settings) -> Iterator[Finding]:
    yield Finding("git", "well", f"It is version {bootstrap.git_version(settings)}.")


def _disk(folder: Path) -> Iterator[Finding]:
    there = next(each for each in (folder.resolve(), *folder.resolve().parents) if each.exists())
    yield checks.disk("disk", str(folder), shutil.disk_usage(there).free)


def _senders(settings: config.Settings) -> list[str]:
    """Whose webhooks are taken in."""
    secrets = {
        "gitea": settings.gitea_webhook_secret,
        "github": settings.github_webhook_secret,
        "plane": settings.plane_webhook_secret,
    }
    return [name for name, secret in secrets.items() if secret.get_secret_value()]


def _program(agent: str, known: AgentSettings) -> Iterator[Finding]:
    environ = {**config.agent_base_environment(), **known.env}
    name = known.command[0] if known.command else known.adapter
    path = programs.find(name, environ)
    # A command of somebody's own may do anything when asked for its version.
    said = programs.version(path, environ) if path and known.adapter != "command" else ""
    yield checks.program(f"agent {agent}", name, path, said)
