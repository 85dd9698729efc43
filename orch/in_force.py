"""The settings in force, each with where it comes from; what is secret is never among the texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from orch import config
from orch.config import Settings

DEFAULT: Final = "default"


@dataclass(frozen=True)
class InForce:
    """One setting as it is."""

    name: str
    value: str
    origin: str
    """`default`, or the line of orch.toml, or the variable in .env or the environment."""
    meaning: str = ""


def every(settings: Settings) -> list[InForce]:
    """All settings, those of single repos and agents one by one."""
    plain = config.shown(settings)
    found = [
        InForce(name, _text(plain[name], getattr(settings, name)), _origin(settings, name), meaning)
        for name, meaning in _flat()
    ]
    for agent in settings.agents:
        found += of_table(settings, "agents", agent)
    for repo in settings.repos:
        found += of_table(settings, "repos", repo)
    return found


def of_table(settings: Settings, table: str, name: str) -> list[InForce]:
    """What holds for one repo or one agent; nothing when orch.toml does not name it."""
    known: Mapping[str, BaseModel] = getattr(settings, table)
    if name not in known:
        return []
    return [
        InForce(
            f"{table}.{name}.{field}",
            _text(_masked(field, value), value),
            settings.place(table, name, field)
            if field in known[name].model_fields_set
            else DEFAULT,
        )
        for field, value in known[name]
    ]


def _flat() -> Iterator[tuple[str, str]]:
    for name, field in Settings.model_fields.items():
        if name not in config.TABLES:
            yield name, field.description or ""


def _origin(settings: Settings, name: str) -> str:
    return settings.place(name) or DEFAULT


def _masked(field: str, value: Any) -> Any:
    """The environment of an agent by name only: its own keys may be there."""
    return dict.fromkeys(value, "***") if field == "env" else value


def _text(shown: Any, value: Any) -> str:
    """A value as a person would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:.12g}"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(shown, Mapping):
        return ", ".join(f"{name} = {_text(each, each)}" for name, each in shown.items())
    return "" if shown is None else str(shown)
