"""Builds everything from the settings: the only file that knows all parts."""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import orch
from orch import clock, dispatcher, notice_settings
from orch.agent_settings import AgentSettings
from orch.changes import Changes
from orch.channels import Channel
from orch.config import Settings, agent_base_environment, load_settings
from orch.counts import counted
from orch.errors import ConfigError
from orch.line import Limits, Line
from orch.monitor import Rounds, Watched
from orch.notices import Subscription
from orch.outside.mirrors import Hosted, Mirrors
from orch.outside.rounds import Known, Outside
from orch.outside_settings import OUTSIDE_SECRETS, TrackerSettings
from orch.ports import (
    AgentCommand,
    AgentRunner,
    Forge,
    JobQueue,
    PullRequests,
    Remote,
    RepoCommand,
    RepoCommands,
    Upkeep,
    Workspaces,
)
from orch.ports.tracker import Tracker
from orch.prompting import load_prompts
from orch.repo_settings import RepoSettings
from orch.serial_gate import Gate, Layers
from orch.store import revisions
from orch.store.moments import DATABASE_TIME
from orch.store.session import Store
from orch.traces import Collector
from orch.upkeep import Keeper
from orch.worker import Bench
from orch.workshop import Plan, Workshop

PATIENCE, IMPATIENCE = 1800.0, 60.0
"""Seconds for which a worker waits for a depot that another works in, and the rounds beside it."""


def build_store(settings: Settings) -> Store:
    """Open the store, making the folder of a default SQLite database."""
    if not settings.database_url.get_secret_value():
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    return Store(settings.store_url)


def build_line(settings: Settings, queue: JobQueue, *, looks_itself: bool = False) -> Line:
    """The line on its real store. Raises SchemaMismatch unless the schema is this version's.

    `looks_itself` is for a process that stays: what it lets start it claims and rings for at once,
    where one that comes and goes rings the dispatcher.
    """
    store = build_store(settings)
    revisions.require_current(store)
    line = Line(
        store=store,
        queue=queue,
        now=lambda: DATABASE_TIME,
        new_id=clock.new_id,
        gate=build_gate(settings),
        limits=build_limits(settings),
        repos=settings.repos,
    )
    return replace(line, opened=dispatcher.look) if looks_itself else line


def build_queue(settings: Settings) -> JobQueue:
    """The doorbell of a process that rings and runs no tasks itself: the web, the command line."""
    # Here, because loading Celery takes longer than most answers of the command line.
    from orch.adapters.celery_queue import CeleryQueue, ringing_app

    return CeleryQueue(ringing_app(settings.doorbell_url, settings.broker_prefix))


def build_gate(settings: Settings) -> Gate:
    """The rule under the switches of these settings."""
    switches = {name: getattr(settings, name) for name in Layers.__dataclass_fields__}
    return Gate(Layers(**switches))


def build_limits(settings: Settings) -> Limits:
    """The numbers the line runs by."""
    return Limits(
        tick=settings.tick_seconds,
        sweep=settings.sweep_seconds,
        lease=settings.lease_seconds,
        heartbeat=settings.heartbeat_seconds,
        start_deadline=settings.start_deadline_seconds,
        worker_stale=settings.worker_stale_seconds,
        retry_delay=settings.retry_delay_seconds,
        held_landing=settings.held_landing_seconds,
        max_attempts=settings.max_attempts,
        max_reworks=settings.max_reworks,
        task_budget_usd=settings.task_budget_usd,
        task_max_turns=settings.task_max_turns,
        head_watch=settings.head_watch_seconds,
        head_watch_park=settings.head_watch_park,
    )


def build_bench(
    settings: Settings,
    name: str,
    stopping: Callable[[], bool] = lambda: False,
    closing: Callable[[], bool] = lambda: False,
    turned: Callable[[], None] = lambda: None,
) -> Bench:
    """What a worker of this name works with."""
    root = Path(settings.data_dir).resolve()
    runner = _runner(settings)
    commands = {agent: _command(agent, known) for agent, known in settings.agents.items()}
    shop = build_workshop(settings, runner) if settings.repos else None
    return Bench(name, runner, commands, root, shop, stopping, closing, turned)


def _runner(settings: Settings) -> AgentRunner:
    # Here, because only workers run agents.
    from orch.adapters.agent_claude import DIALECT as CLAUDE
    from orch.adapters.agent_codex import DIALECT as CODEX
    from orch.adapters.agent_command import CommandRunner
    from orch.adapters.agent_opencode import DIALECT as OPENCODE

    root = Path(settings.data_dir).resolve()
    return CommandRunner(
        agent_base_environment(),
        _secrets(settings),
        dialects={"claude": CLAUDE, "codex": CODEX, "opencode": OPENCODE},
        hidden=(root, Path(".env").resolve()),
        now=clock.utc_now,
    )


def build_workshop(settings: Settings, runner: AgentRunner) -> Workshop:
    """Git and the repos' commands, and the plan of each repo. Raises ConfigError for a prompt that
    cannot be used."""
    rooms, forge = _git(settings)
    plans = {name: _plan(name, known, settings.web_url) for name, known in settings.repos.items()}
    return Workshop(rooms, forge, _commands(runner), plans, clock.new_id)


def check_prompts(settings: Settings) -> None:
    """Raise ConfigError for the first repo whose prompts cannot be used."""
    for known in settings.repos.values():
        load_prompts(known.prompts)


def _plan(name: str, known: RepoSettings, web_url: str) -> Plan:
    commands = {
        each: RepoCommand(each, words, timeout=known.command_timeout)
        for each, words in known.commands().items()
    }
    remote = _remote(name, known)
    prompts, approvals = load_prompts(known.prompts), frozenset(known.approvals)
    is_shown = known.forge != "git"
    return Plan(remote, prompts, commands, approvals, shown=is_shown, web_url=web_url)


def build_keeper(settings: Settings, leaving: Callable[[], bool] = lambda: False) -> Keeper:
    """What upkeep of this host's workspaces works with."""
    rooms, forge = _git(settings, IMPATIENCE)
    remotes = {name: _remote(name, known) for name, known in settings.repos.items()}
    host, keep = os.uname().nodename, settings.keep_ended_seconds
    return Keeper(rooms, rooms, forge, remotes, keep, host, leaving)


def build_rounds(settings: Settings, leaving: Callable[[], bool] = lambda: False) -> Rounds:
    """What the monitor works with: every repo that has a health command."""
    rooms, _ = _git(settings, IMPATIENCE)
    watched = [
        Watched(_remote(name, known), RepoCommand("health", known.health, known.command_timeout))
        for name, known in sorted(settings.repos.items())
        if known.health
    ]
    root = Path(settings.data_dir).resolve() / "monitor"
    return Rounds(rooms, _commands(_runner(settings)), watched, root, leaving)


def build_collector(settings: Settings) -> Collector:
    """Where spans are sent. Raises ConfigError when nobody said where, or with what."""
    if not settings.otel_endpoint:
        raise ConfigError(
            "No collector of traces is configured.",
            suggested_fix="Set ORCH_OTEL_ENDPOINT to its OTLP/HTTP address, http://host:4318.",
        )
    try:
        # Here, because nobody else is to load OpenTelemetry.
        from orch.adapters.otlp import OtlpCollector
    except ImportError as error:
        raise ConfigError(
            "Traces need OpenTelemetry, which is not installed.",
            suggested_fix="Install it beside orch: `pip install 'orch[traces]'`.",
        ) from error
    return OtlpCollector(settings.otel_endpoint, orch.__version__)


def build_channels(settings: Settings) -> list[Channel]:
    """The channels that are configured."""
    # Here, because most processes send nothing.
    from orch.adapters.notice_mail import MailChannel
    from orch.adapters.notice_webhook import WebhookChannel

    found: list[Channel] = []
    url, smtp = (
        each.get_secret_value() for each in (settings.notify_webhook_url, settings.notify_smtp_url)
    )
    if url:
        keys = notice_settings.keys(settings.notify_webhook_secret.get_secret_value())
        found.append(WebhookChannel(url, keys))
    if smtp:
        server = notice_settings.mail_server(smtp)
        found.append(MailChannel(server, settings.notify_mail_from, settings.notify_mail_to))
    return found


def build_subscription(settings: Settings) -> Subscription:
    """What is told, and through which channels."""
    urls = {"webhook": settings.notify_webhook_url, "mail": settings.notify_smtp_url}
    names = tuple(name for name, url in urls.items() if url.get_secret_value())
    kinds = frozenset(settings.notify_kinds or notice_settings.KINDS)
    return Subscription(names, kinds, settings.web_url)


TRACKERS = {
    "plane": ("orch.adapters.plane", "plane_tracker"),
    "folder": ("orch.adapters.work_folder", "folder_tracker"),
}
"""Per kind of tracker what makes one, of all settings and its own."""


def build_trackers(settings: Settings) -> Mapping[str, Tracker]:
    """The trackers of these settings, by their names. Raises ConfigError."""
    return {name: _tracker(settings, known) for name, known in settings.trackers.items()}


def _tracker(settings: Settings, known: TrackerSettings) -> Tracker:
    module, make = TRACKERS[known.kind]
    # Loaded here, because most processes ask no tracker.
    tracker: Tracker = getattr(importlib.import_module(module), make)(settings, known)
    return counted(tracker, "tracker")


def build_outside(settings: Settings, leaving: Callable[[], bool] = lambda: False) -> Outside:
    """What rounds of trackers work with. Raises ConfigError."""
    built = build_trackers(settings)
    known = {
        name: Known(tracker, settings.trackers[name], _fingerprint(settings))
        for name, tracker in built.items()
    }
    return Outside(known, settings.poll_seconds, settings.web_url, leaving)


def build_mirrors(settings: Settings, leaving: Callable[[], bool] = lambda: False) -> Mirrors:
    """What looks at the pull requests of repos. Raises ConfigError."""
    _, forge = _git(settings, IMPATIENCE)
    hosted = {
        name: Hosted(_remote(name, known), known.forge)
        for name, known in settings.repos.items()
        if known.forge != "git"
    }
    return Mirrors(forge, hosted, settings.poll_seconds, leaving)


def _fingerprint(settings: Settings) -> str:
    """Changes with where Plane is and with its key: what was stopped for them may go on then."""
    words = (settings.plane_url, settings.plane_workspace, settings.plane_token.get_secret_value())
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


class _Rooms(Workspaces, Upkeep, Protocol):
    """What keeps workspaces, and their disk."""


def build_changes(settings: Settings) -> Changes:
    """What a page looks into the depots of this machine with."""
    from orch.adapters.git.archive import GitArchive
    from orch.adapters.git.command import Access

    path = agent_base_environment().get("PATH", os.defpath)
    return GitArchive(Access(path=path), Path(settings.data_dir).resolve())


def build_forge(settings: Settings) -> Forge:
    """Where the work of all repos is shared. Raises ConfigError."""
    return _git(settings, IMPATIENCE)[1]


def build_remote(settings: Settings, name: str) -> Remote:
    """The shared repository of the repo of this name."""
    return _remote(name, settings.repos[name])


def build_pulls(settings: Settings, name: str) -> PullRequests:
    """The pull requests of the repo of this name. Raises ConfigError."""
    from orch import forge_building

    return forge_building.build_pulls(settings, name, settings.repos[name])


def git_version(settings: Settings) -> str:
    """The version of git here. Raises GitError when it is too old for orch."""
    from orch.forge_building import build_command

    return build_command(settings).insist_on_version()


def _git(settings: Settings, patience: float = PATIENCE) -> tuple[_Rooms, Forge]:
    from orch.adapters.git.forge import PlainForge
    from orch.adapters.git.workspaces import GitWorkspaces
    from orch.forge_building import build_command, build_forges

    git, root = build_command(settings), Path(settings.data_dir).resolve()
    forge = build_forges(settings, PlainForge(git, root, patience))
    return GitWorkspaces(git, root, patience), counted(forge, "forge")


def _commands(runner: AgentRunner) -> RepoCommands:
    from orch.adapters.repo_command import SupervisedCommands

    return SupervisedCommands(runner, agent_base_environment())


def _remote(name: str, known: RepoSettings) -> Remote:
    return Remote(name, known.url, known.default_branch)


def _command(agent: str, known: AgentSettings) -> AgentCommand:
    return AgentCommand(
        agent=agent,
        argv=known.command,
        timeout=known.timeout,
        stall_timeout=known.stall_timeout,
        stop_grace=known.stop_grace,
        env=known.env,
        adapter=known.adapter,
        model=known.model,
        max_turns=known.max_turns,
        budget_usd=known.budget_usd,
        sandbox=() if known.sandbox == "none" else known.sandbox,
        network=known.network,
    )


def _secrets(settings: Settings) -> list[str]:
    """What no log may show: passwords, addresses that hold one, and the agents' own keys."""
    from orch.forge_building import secrets_of

    known = (settings.database_url, settings.broker_url, settings.notify_smtp_url)
    urls = [secret.get_secret_value() for secret in known]
    passwords = [urlsplit(url).password for url in urls]
    keys = [
        value
        for known in settings.agents.values()
        for name, value in known.env.items()
        if name.upper().endswith(("KEY", "TOKEN", "SECRET", "PASSWORD"))
    ]
    keys += settings.notify_webhook_secret.get_secret_value().replace(",", " ").split()
    keys += filter(None, [settings.notify_webhook_url.get_secret_value()])
    hidden = (settings.mcp_token, *(getattr(settings, name) for name in sorted(OUTSIDE_SECRETS)))
    keys += filter(None, [secret.get_secret_value() for secret in hidden])
    keys += secrets_of(settings)
    return [url for url in urls if "@" in url] + [word for word in passwords if word] + keys


def load() -> Settings:
    """The settings of this process. Raises ConfigError."""
    return load_settings()
