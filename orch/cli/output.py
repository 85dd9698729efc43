"""Answers: tables and sentences for a person at a terminal, JSON lines for everything else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Verb = TypeVar("Verb", bound=Callable[..., Any])
_CONTROL: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
"""Characters that would move the cursor, colour the screen or turn the text around."""
_LOG_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def as_json(verb: Verb) -> Verb:
    """Give a verb the pair --json/--table; without either, a terminal gets tables."""

    def note(ctx: click.Context, _param: click.Parameter, value: bool | None) -> None:
        ctx.obj.json_lines = value

    return click.option(
        "--json/--table",
        "json_lines",
        default=None,
        expose_value=False,
        callback=note,
        help="JSON lines, or tables. By default: tables on a terminal, JSON when piped.",
    )(verb)


def json_line(fact: Mapping[Any, Any]) -> None:
    """One fact on one line, on standard output at once."""
    click.echo(json.dumps(fact, default=_plain, ensure_ascii=False))


def json_lines_of(facts: Iterable[Mapping[Any, Any]]) -> None:
    """Several facts, a line each."""
    for fact in facts:
        json_line(fact)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return dict(value)
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


@cache
def console() -> Console:
    """The terminal. Made once, and only where there is something to draw."""
    from rich.console import Console

    return Console(highlight=False)


def say(sentence: str, style: str = "") -> None:
    """A sentence of ours, which may hold somebody's words."""
    console().print(shown(sentence, style), soft_wrap=True)


def visible(words: Any) -> str:
    """Somebody's words with every control character made visible: ␛ for an escape."""
    return _CONTROL.sub(_picture, "" if words is None else str(words))


def visible_log(line: str) -> str:
    """A piece of a log for a terminal: tabs and line breaks stay, the rest cannot act."""
    return _LOG_CONTROL.sub(_picture, line)


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else "\N{REPLACEMENT CHARACTER}"


def shown(words: Any, style: str = "") -> Text:
    """Somebody's words for rich: visible, and never taken for markup."""
    from rich.text import Text

    return Text(visible(words), style=style)


def ago(moment: datetime | None, now: datetime) -> str:
    """How long ago, in the one unit that matters: `42 s`, `7 min`, `3 h`, `5 d`."""
    return "" if moment is None else lasting((now - moment).total_seconds())


def lasting(seconds: float | None) -> str:
    """A length of time in the same words; nothing for one that is not known."""
    if seconds is None:
        return ""
    seconds = max(0.0, seconds)
    for unit, size, least in (("d", 86400, 2), ("h", 3600, 1), ("min", 60, 1)):
        if seconds >= least * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def disk_sentence(host: dict[str, Any]) -> str:
    """What one host's disk holds for the repos, as it was last measured."""
    takes = [
        f"{repo} {_size(use['depot'] + use['workspaces'])}" for repo, use in host["repos"].items()
    ]
    taken = ", ".join(takes) or "nothing"
    when = f"{host['at']:%Y-%m-%d %H:%M} UTC"
    return f"Disk of {host['host']} at {when}: {taken}; {_size(host['free'])} free."


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
