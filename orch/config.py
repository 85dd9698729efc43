"""Settings: read once from orch.toml, .env and the environment, validated, every problem at once.

The environment wins over `.env`, which wins over `orch.toml`. Secrets come from the environment or
from files only and are never shown.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from orch import names, stages, toml_lines
from orch.agent_settings import AgentSettings
from orch.door_settings import DoorSettings
from orch.errors import BadInput, ConfigError
from orch.notice_settings import (
    Kinds,
    Mailbox,
    SmtpUrl,
    WebhookSecret,
    WebhookUrl,
    WebUrl,
    require_whole,
)
from orch.outside_settings import OUTSIDE_SECRETS, OutsideSettings, TrackerSettings
from orch.repo_settings import RepoSettings, Seconds, WebPattern
from orch.stages import AGENTS

PREFIX: Final = "ORCH_"
OTEL_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""What every program that sends spans goes by; read where nobody told orch itself."""
OTLP_HTTP: Final = r"^(https?://[^\s@]+)?$"
"""No password: one goes into OTEL_EXPORTER_OTLP_HEADERS."""
TABLES: Final = ("repos", "agents", "trackers")
"""Settings of orch.toml alone: tables of tables."""
SECRETS: Final = OUTSIDE_SECRETS | {
    "database_url",
    "broker_url",
    "notify_webhook_url",
    "notify_webhook_secret",
    "notify_smtp_url",
    "mcp_token",
}
"""Settings whose value may hold a password: masked whenever settings are shown."""

BROKER_NOTE: Final = "broker.url"
"""File in the data folder in which `orch up` notes where its broker is while it runs."""
HERE: Final = "{here}"
"""In an agent's settings: the folder of orch.toml, so that scripts may lie beside it."""


class Settings(DoorSettings, OutsideSettings):
    """Everything orch can be told. `docs/operating.md` explains, `.env.example` lists."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Field(Path(".orch"), description="Folder for the database, logs and work.")
    database_url: SecretStr = Field(
        SecretStr(""), description="SQLAlchemy URL; empty is SQLite in the data folder."
    )
    broker_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="Redis URL of the doorbell."
    )
    broker_prefix: str = Field(
        "orch:", pattern=r"^[A-Za-z0-9_:-]{0,40}$", description="Prefix of every Redis key."
    )
    broker_socket_timeout: Seconds = Field(
        10, description="Seconds after which a silent broker connection is given up."
    )
    tick_seconds: Seconds = Field(2, description="How often beat rings the dispatcher.")
    sweep_seconds: Seconds = Field(60, description="How often every repo is looked at.")
    lease_seconds: Seconds = Field(60, description="How long a silent worker keeps its job.")
    heartbeat_seconds: Seconds = Field(15, description="How often a worker renews its lease.")
    start_deadline_seconds: Seconds = Field(
        60, description="After this a claimed job that nobody started counts as lost."
    )
    worker_stale_seconds: Seconds = Field(
        45, description="After this silence a worker counts as gone."
    )
    max_attempts: int = Field(3, ge=1, le=100, description="Attempts per stage before parking.")
    max_reworks: int = Field(5, ge=0, le=1000, description="Reworks per task before parking.")
    retry_delay_seconds: Seconds = Field(
        30, description="Wait before a second attempt; doubles with each, up to ten minutes."
    )
    held_landing_seconds: Seconds = Field(
        3600,
        description="How long a forge may hold a task up, or not answer, before it is parked.",
    )
    serial_gate_enabled: bool = Field(True, description="Off: no active-task clause anywhere.")
    serial_gate_repos: tuple[str, ...] = Field(
        (), description="Comma-separated repos or globs to serialise; empty is all."
    )
    serial_gate_pause_enabled: bool = Field(True, description="Off: pauses are ignored.")
    serial_gate_freeze_enabled: bool = Field(True, description="Off: freezes are ignored.")
    serial_gate_yield_enabled: bool = Field(
        True, description="Off: a task waiting on a dependency holds its place."
    )
    serial_gate_entry_only: bool = Field(False, description="On: only entry jobs are serialised.")
    task_deps_enabled: bool = Field(True, description="Off: dependencies are ignored.")
    web_host: str = Field("127.0.0.1", description="Address the web app binds to.")
    web_port: int = Field(8765, ge=0, le=65535, description="Port of the web app; 0 picks one.")
    web_names: tuple[str, ...] = Field(
        (), description="Comma-separated host names the web app answers to, besides its address."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least important events that are logged."
    )
    log_format: Literal["text", "json"] = Field("text", description="How events are logged.")
    task_budget_usd: float = Field(
        0, ge=0, le=1_000_000, description="Cost after which a task is parked; 0 is no limit."
    )
    task_max_turns: int = Field(
        0, ge=0, le=1_000_000, description="Agents' turns after which a task is parked; 0 is none."
    )
    keep_ended_seconds: Seconds = Field(
        7 * 24 * 3600, description="How long the workspace of an ended task is kept."
    )
    monitor_seconds: Seconds = Field(
        300, description="How often a repo's health command is run on its default branch."
    )
    metrics_repos: int = Field(
        50, ge=0, le=1000, description="Repos with series of their own in /metrics: the busiest."
    )
    otel_endpoint: str = Field(
        "",
        pattern=OTLP_HTTP,
        description="OTLP/HTTP collector that gets a trace per task; empty sends none.",
    )
    head_watch_seconds: float = Field(
        4 * 3600,
        ge=0,
        le=30 * 24 * 3600,
        description="Blocking longer, a head is told of; 0: never.",
    )
    head_watch_park: bool = Field(False, description="On: such a head is parked, unless at work.")
    web_url: WebUrl = Field("", description="Public address of the web app; empty: no links.")
    notify_webhook_url: WebhookUrl = Field(
        SecretStr(""), description="Where notices are posted, signed; empty: nowhere."
    )
    notify_webhook_secret: WebhookSecret = Field(
        SecretStr(""),
        description="whsec_ and base64; a second one after a space while it is changed.",
    )
    notify_smtp_url: SmtpUrl = Field(
        SecretStr(""), description="smtps:// or smtp+starttls://user:password@host; empty: no mail."
    )
    notify_mail_from: Mailbox = Field("", description="From whom notices by mail come.")
    notify_mail_to: tuple[Mailbox, ...] = Field((), description="Comma-separated receivers.")
    notify_kinds: Kinds = Field((), description="Comma-separated kinds of notices; empty is all.")
    mcp_token: SecretStr = Field(
        SecretStr(""), description="Token under which `orch mcp --controls` acts for its agent."
    )
    work_item_url: WebPattern = Field(
        "", description="Page of a work item in its tracker, with {work_item} in it; empty is none."
    )
    waits_seconds: float = Field(
        20, gt=0, le=30, description="How often is looked at what each task waits for."
    )
    repos: dict[str, RepoSettings] = Field(
        default_factory=dict, description="Per repo: address, commands, tracks (orch.toml)."
    )
    agents: dict[str, AgentSettings] = Field(
        default_factory=dict, description="Per agent: command, timeouts, environment (orch.toml)."
    )
    trackers: dict[str, TrackerSettings] = Field(
        default_factory=dict, description="Per tracker: project, repo, who may start (orch.toml)."
    )

    _places: dict[str, str] = PrivateAttr(default_factory=dict)

    @field_validator(
        "serial_gate_repos", "web_names", "notify_mail_to", "notify_kinds", mode="before"
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("repos")
    @classmethod
    def _sound_repos(cls, value: dict[str, RepoSettings]) -> dict[str, RepoSettings]:
        for name, repo in value.items():
            try:
                names.repo(name)
            except BadInput as error:
                raise ValueError(error.message) from error
            known = stages.TRACKS | repo.tracks
            if repo.track not in known:
                raise ValueError(f"{name}: {repo.track} is no track; known: {', '.join(known)}")
        return value

    @field_validator("agents")
    @classmethod
    def _known_agents(cls, value: dict[str, AgentSettings]) -> dict[str, AgentSettings]:
        strangers = sorted(set(value) - set(AGENTS))
        if strangers:
            raise ValueError(f"unknown agent {', '.join(strangers)}; known: {', '.join(AGENTS)}")
        return value

    @model_validator(mode="after")
    def _beats_within_the_lease(self) -> Self:
        if self.heartbeat_seconds >= self.lease_seconds:
            raise ValueError("heartbeat_seconds must be shorter than lease_seconds")
        return self

    @model_validator(mode="after")
    def _whole_channels(self) -> Self:
        hidden = (self.notify_webhook_url, self.notify_webhook_secret, self.notify_smtp_url)
        url, secret, smtp = (each.get_secret_value() for each in hidden)
        require_whole(url, secret, smtp, self.notify_mail_from, self.notify_mail_to)
        return self

    def place(self, *parts: str) -> str:
        """Where the value of this name stands; empty when nobody wrote it down anywhere."""
        return next((self._places[name] for name in _prefixes(parts) if name in self._places), "")

    @property
    def store_url(self) -> str:
        """The database's URL, with the default filled in."""
        given = self.database_url.get_secret_value()
        return given or f"sqlite:///{(self.data_dir / 'orch.db').resolve()}"

    @property
    def broker_is_given(self) -> bool:
        """Whether somebody named a broker; else `orch up` starts its own."""
        return "broker_url" in self.model_fields_set

    @property
    def doorbell_url(self) -> str:
        """The broker's URL: the one given, else that of the `orch up` in this data folder."""
        if not self.broker_is_given:
            with suppress(OSError, UnicodeDecodeError):
                return (self.data_dir / BROKER_NOTE).read_text(encoding="utf-8").strip()
        return self.broker_url.get_secret_value()


def load_settings(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """Read and validate all settings. Raises ConfigError naming every problem and its place."""
    environ = os.environ if environ is None else environ
    folder = Path.cwd() if folder is None else folder
    places: dict[str, str] = {}
    values = _from_toml(folder / environ.get("ORCH_CONFIG", "orch.toml"), places)
    for source, pairs in ((".env", _from_dotenv(folder / ".env")), ("environment", environ)):
        for name, text in pairs.items():
            key = name.removeprefix(PREFIX).lower()
            if name.startswith(PREFIX) and key in Settings.model_fields and key not in TABLES:
                values[key] = text
                places[key] = f"{source}, {name}"
    # Meant for every program here, so that what is no address for orch is no reason to stop.
    usual = environ.get(OTEL_ENDPOINT, "")
    if usual and "otel_endpoint" not in values and re.match(OTLP_HTTP, usual):
        values["otel_endpoint"] = usual
        places["otel_endpoint"] = f"environment, {OTEL_ENDPOINT}"
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_all_problems(error, places)) from error
    settings._places.update(places)
    return settings


def child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """An environment for a process of orch that is to have these settings and no others."""
    given = {f"{PREFIX}{name.upper()}": text for name, text in settings.items()}
    return agent_base_environment() | given


def agent_base_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The part of orch's environment an agent may start from: nothing that is orch's own."""
    environ = os.environ if environ is None else environ
    return {name: value for name, value in environ.items() if not name.startswith(PREFIX)}


def shown(settings: Settings) -> dict[str, str]:
    """Every setting as text, with secrets masked."""
    plain = settings.model_dump(mode="json")
    for agent in plain["agents"].values():
        agent["env"] = dict.fromkeys(agent["env"], "***")  # the agent's own keys may be there
    return {
        name: "***"
        if name in SECRETS and getattr(settings, name).get_secret_value()
        else str(value)
        for name, value in plain.items()
    }


def env_example() -> str:
    """The text of `.env.example`: every setting with its meaning and default."""
    lines = ["# Every setting of orch with its default. Copy to .env and change what you need.", ""]
    for name, known in Settings.model_fields.items():
        if name in TABLES:
            continue
        lines += [
            f"# {known.description}",
            f"#{PREFIX}{name.upper()}={default_text(known.default)}",
            "",
        ]
    return "\n".join(lines)


def default_text(value: Any) -> str:
    """A default as it is written in the environment."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _from_toml(path: Path, places: dict[str, str]) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} cannot be read: {error}.") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name} is not valid TOML: {error}.") from error
    for name, number in toml_lines.lines(text).items():
        places[name] = f"{path.name}, line {number}"
    secrets = sorted(
        name
        for name in SECRETS & set(values)
        if "@" in str(values[name]).partition("//")[2] or name.endswith(("_secret", "_token"))
    )
    if secrets:
        raise ConfigError(
            f"{path.name} holds a password in {', '.join(secrets)}.",
            suggested_fix="Move it to the environment or to .env, which is not committed.",
        )
    for name in TABLES:
        values.update(_located(name, values.get(name), path.parent.resolve()))
    return values


def _located(name: str, table: Any, folder: Path) -> dict[str, Any]:
    """A table with `{here}` replaced; what is not of the right shape is left to validation."""
    if not isinstance(table, dict):
        return {}

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(HERE, str(folder))
        if isinstance(value, list):
            return [fill(each) for each in value]
        if isinstance(value, dict):
            return {key: fill(each) for key, each in value.items()}
        return value

    return {name: fill(table)}


def _from_dotenv(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} cannot be read: {error}.") from error
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): _unquoted(value.strip()) for name, sign, value in pairs if sign}


def _unquoted(value: str) -> str:
    """Without one pair of quotes around it: more of them belong to the value."""
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if is_quoted else value


def _all_problems(error: ValidationError, places: dict[str, str]) -> str:
    problems = []
    for each in error.errors():
        path = ".".join(str(part) for part in each["loc"])
        place = next((places[name] for name in _prefixes(each["loc"]) if name in places), "")
        problems.append(f"{path}{f' ({place})' if place else ''}: {each['msg']}")
    return "The settings cannot be used:\n  " + "\n  ".join(problems)


def _prefixes(parts: tuple[int | str, ...]) -> list[str]:
    names = [str(part) for part in parts]
    return [".".join(names[:size]) for size in range(len(names), 0, -1)]
