"""On which line of a TOML file each key stands: the parser of the standard library does not tell.

Read by eye, for messages only: what is not found is simply not told.
"""

from __future__ import annotations

import re
from typing import Final

_PART: Final = r"(?:[A-Za-z0-9_-]+|\"[^\"\n]*\"|'[^'\n]*')"
_KEY: Final = rf"{_PART}(?:\s*\.\s*{_PART})*"
_TABLE: Final = re.compile(rf"\s*\[\s*({_KEY})\s*\]")
_VALUE: Final = re.compile(rf"\s*({_KEY})\s*=")
_QUOTES: Final = re.compile(r"\"\"\"|'''")


def lines(text: str) -> dict[str, int]:
    """The line of every table and key, under its full name with dots between its parts."""
    found: dict[str, int] = {}
    table, is_text = "", False
    for number, line in enumerate(text.splitlines(), 1):
        if not is_text:
            if head := _TABLE.match(line):
                table = _name(head[1])
                found.setdefault(table, number)
            elif key := _VALUE.match(line):
                name = _name(key[1])
                found.setdefault(f"{table}.{name}" if table else name, number)
        if len(_QUOTES.findall(line)) % 2:
            is_text = not is_text
    return found


def _name(key: str) -> str:
    return ".".join(part.strip("\"'") for part in re.findall(_PART, key))
