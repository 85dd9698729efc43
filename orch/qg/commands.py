"""What orch itself runs in a worktree, and what it keeps of it: the facts behind the checks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

CommandName = Literal["test", "staging", "deploy", "health"]
COMMANDS: Final[tuple[str, ...]] = get_args(CommandName)

TAIL_LIMIT: Final = 8 * 1024
"""Bytes of the end of an output that are kept with a run."""
PASSED_ON: Final = frozenset({"PATH", "HOME", "LANG", "TERM", "TMPDIR", "USER", "SHELL", "TZ"})
"""What a command gets of the worker's environment, beside LC_*; secrets live in other names."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class CommandRun:
    """One command of a repo, as orch ran it and saw it end."""

    name: CommandName
    argv: tuple[str, ...]
    exit_code: int | None
    """None when it could not be started or its end was not seen."""
    seconds: float
    tail: str
    """The end of its output, at most `TAIL_LIMIT` bytes."""
    head_sha: str
    """The commit that was checked out when it ran."""
    timed_out: bool = False
    stopped: str = ""
    """Why it was stopped from outside; empty when it was not."""
    detail: str = ""
    """One sentence about what went wrong with the running itself, empty when nothing did."""

    @property
    def passed(self) -> bool:
        """Whether it ran to its end and answered 0."""
        return self.exit_code == 0 and not self.timed_out and not self.stopped


def environment(
    base: Mapping[str, str], given: Mapping[str, str], own: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of a command.

    Of the worker's (`base`) the harmless names, of the repo's settings (`given`) all that are no
    setting of orch, and what orch says of the work (`own`).
    """
    allowed = {
        name: value for name, value in base.items() if name in PASSED_ON or name.startswith("LC_")
    }
    settings = {
        name: value
        for name, value in given.items()
        if _NAME.match(name) and not name.startswith("ORCH_")
    }
    return allowed | settings | dict(own)


def tail_of(output: bytes) -> str:
    """The last `TAIL_LIMIT` bytes of an output as a text every database takes, from a whole line.

    NUL and what is not UTF-8 become replacement characters, and may not make it longer.
    """
    end = output[-TAIL_LIMIT:]
    if len(output) > TAIL_LIMIT and b"\n" in end[:-1]:
        end = end.partition(b"\n")[2]
    text = end.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text.encode()[-TAIL_LIMIT:].decode("utf-8", "ignore")
