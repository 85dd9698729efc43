"""What orch writes into a pull request: its own part of the text, and other people's words as data.

A forge acts on words: `closes #3` closes, `@team` calls people. What comes from a tracker or an
agent may hold any of that, and is to do nothing.
"""

from __future__ import annotations

import re
from typing import Final

from orch import names

MARKERS: Final = ("<!-- orch -->", "<!-- /orch -->")
"""Between them orch writes; the rest of a pull request's text is people's."""
_ACTS: Final = re.compile(r"(?<![\w&])([#@!])(?=\w)")


def inert(value: str, limit: int = names.TITLE_LIMIT) -> str:
    """Anybody's words on one line, in which no forge finds a reference or a name."""
    return _ACTS.sub("\\1\N{WORD JOINER}", names.cleaned(value, limit))


def quoted(value: str, limit: int) -> str:
    """Anybody's words as a block of plain text, which nothing in them ends."""
    text = value[:limit].replace("\r\n", "\n")
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text) or [""]))
    return f"{fence}text\n{text}\n{fence}"


def rewritten(there: str, text: str) -> str:
    """A pull request's text with orch's part of it made anew; people's parts stay."""
    part = "\n".join((MARKERS[0], text.replace("<!--", "<\N{WORD JOINER}!--"), MARKERS[1]))
    before, begun, rest = there.partition(MARKERS[0])
    if not begun:
        return f"{there.rstrip()}\n\n{part}".lstrip()
    _, _, after = rest.partition(MARKERS[1])
    return f"{before}{part}{after}"
