"""As much of PromQL as it takes to find the names and labels in an expression."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<range>\[[^\]]+\])"""
    r"""|(?P<number>\d+(?:\.\d+)?(?:e\d+)?)|(?P<word>[A-Za-z_:][\w:]*)"""
    r"""|(?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^<>=(){},])"""
)
GROUPING = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
OPERATORS = frozenset({"and", "or", "unless", "bool", "offset"})
FUNCTIONS = frozenset(
    {"absent", "clamp_min", "histogram_quantile", "increase", "rate", "sum", "time", "topk"}
)
INTERVAL = re.compile(r"\[(?:\d+[smhdw]|\$__rate_interval)\]\Z")


@dataclass
class Found:
    """What an expression names."""

    metrics: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)
    """Of matchers and groupings."""
    values: list[tuple[str, str, str]] = field(default_factory=list)
    """Metric, label and value of each matcher."""


def tokens(expr: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(expr):
        match = TOKEN.match(expr, at)
        if match is None:
            raise ValueError(f"not PromQL from here: {expr[at:]}")
        if match.lastgroup != "space":
            found.append((str(match.lastgroup), match.group()))
        at = match.end()
    return found


def read(expr: str) -> Found:
    """Raises ValueError for what is no PromQL: unknown functions, brackets that do not match."""
    found, told, place = Found(), tokens(expr), 0
    signs = [text for kind, text in told if kind == "sign"]
    if any(signs.count(one) != signs.count(other) for one, other in ("()", "{}")):
        raise ValueError("a bracket is not closed")
    while place < len(told):
        kind, text = told[place]
        if kind == "word":
            place = _word(told, place, found)
        elif kind == "range" and not INTERVAL.match(text):
            raise ValueError(f"{text} is no interval")
        place += 1
    return found


def _word(told: list[tuple[str, str]], place: int, found: Found) -> int:
    """What a word is, and the place of its last token."""
    text = told[place][1]
    after = told[place + 1][1] if place + 1 < len(told) else ""
    if text in GROUPING:
        end = told.index(("sign", ")"), place)
        found.labels |= {word for kind, word in told[place + 1 : end] if kind == "word"}
        return end
    if after == "(" or (after in GROUPING and text in FUNCTIONS):
        if text not in FUNCTIONS | OPERATORS:
            raise ValueError(f"{text} is no function known here")
    elif text not in OPERATORS:
        found.metrics.add(text)
        return _matchers(told, place, found) if after == "{" else place
    return place


def _matchers(told: list[tuple[str, str]], place: int, found: Found) -> int:
    metric, end = told[place][1], told.index(("sign", "}"), place)
    parts = told[place + 2 : end]
    for at in range(0, len(parts), 4):
        (_, label), (_, sign), (kind, value) = parts[at : at + 3]
        if kind != "text" or sign not in ("=", "!=", "=~", "!~"):
            raise ValueError(f"no matcher: {parts[at : at + 3]}")
        found.labels.add(label)
        given = value.strip('"').split("|") if "~" in sign else [value.strip('"')]
        found.values += [(metric, label, each) for each in given]
    return end
