"""The head of a document between two lines of dashes, with what its author says of the work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from orch.qg import plain_yaml
from orch.qg.plain_yaml import YamlError

RULE: Final = "---"


@dataclass(frozen=True)
class FrontMatter:
    """What a document says of itself: an empty text where it says nothing."""

    verdict: str
    summary: str
    lines: int
    """Lines it takes up, its two rules among them."""


def front_matter(text: str) -> FrontMatter | None:
    """The front matter of a document, None when it has none. Raises YamlError naming the line."""
    lines = text.split("\n")
    if lines[0].rstrip() != RULE:
        return None
    end = next((at for at, line in enumerate(lines[1:], 1) if line.rstrip() == RULE), None)
    if end is None:
        raise YamlError(1, f"its front matter is not closed by a line `{RULE}`")
    try:
        said = plain_yaml.parsed("\n".join(lines[1:end]))
    except YamlError as error:
        raise YamlError(error.line + 1, error.what) from error
    if said is None:
        said = {}
    if not isinstance(said, dict):
        raise YamlError(2, "its front matter is not a list of `key: value` lines")
    return FrontMatter(_text(said, "verdict", lines), _text(said, "summary", lines), end + 1)


def line_of(text: str, key: str) -> int:
    """The line in which the front matter has this key, its first line when it has not."""
    return _line_of(text.split("\n"), key)


def _text(said: dict[Any, Any], key: str, lines: list[str]) -> str:
    value = said.get(key, "")
    if not isinstance(value, str):
        raise YamlError(_line_of(lines, key), f"`{key}` is not a text")
    return value.strip()


def _line_of(lines: list[str], key: str) -> int:
    for number, line in enumerate(lines[1:], 2):
        if line.rstrip() == RULE:
            break
        if line.startswith(f"{key}:"):
            return number
    return 1
