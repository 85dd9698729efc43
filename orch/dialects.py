"""How the programs of agents are called without a screen, and how what they print is read.

A dialect knows one program. Its reader runs inside the supervisor, on lines already masked, while
the program still works; so these modules import the standard library only, and whatever a line
holds, reading it keeps a bounded amount and never fails.
"""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from orch.jobs import Failure
    from orch.ports import AgentCommand

TEXT_KEPT: Final = 16 * 1024
"""Characters of the end of an agent's closing words that are kept."""
DETAIL_KEPT: Final = 1000
SESSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
"""What may come back to a program as an argument; it never looks like an option."""
STALE: Final = re.compile(
    r"no conversation found|session not found|no rollout found|thread not found", re.IGNORECASE
)
"""How a program says that it does not know the session it was to resume."""

_REFUSED: Final = re.compile(
    r"unauthori[sz]ed|authentication[_ ](failed|error)|invalid (x-)?api[- ]key|not logged in"
    r"|please run /login|token (has |is )?(been )?(expired|revoked)|incorrect api key",
    re.IGNORECASE,
)
_LIMITED: Final = re.compile(
    r"(usage|rate|session|weekly|spend|5-hour)[ _-]limit|hit your limit|too many requests"
    r"|quota (exceeded|exhausted)|insufficient[_ ]quota|exceeded your current quota"
    r"|credit balance|out of credits|billing[_ ]error",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Call:
    """One call of a program, as far as its options depend on it."""

    command: AgentCommand
    workdir: str
    resume: str = ""
    """The session to go on with; empty for a new one."""

    @property
    def walled(self) -> bool:
        """Whether orch's sandbox is around it, so that the program need not ask or wall itself."""
        return bool(self.command.sandbox)

    def given(self, *options: str) -> bool:
        """Whether the operator's own command names one of these options already."""
        return any(word.partition("=")[0] in options for word in self.command.argv)


def _none(_: Call) -> list[str]:
    return []


@dataclass(frozen=True)
class Dialect:
    """One program: its options for a turn, and the module whose `Reader` reads its output."""

    program: str = ""
    """What is run when the operator names no command."""
    options: Callable[[Call], list[str]] = _none
    reader: str = ""
    """Empty when the output has no grammar."""
    end: str = ""
    """Its end line, as a sentence can name it; empty when only the exit is the end."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Beside the agent's own environment, which wins."""
    walled_env: Mapping[str, str] = field(default_factory=dict)
    """What comes on top behind orch's sandbox."""
    obeys: tuple[str, ...] = ()
    """Names in the working folder it obeys whatever it is told: with one there it is not run."""
    state: tuple[str, ...] = ()
    """Paths below HOME that the program has to write, whatever wall is around it."""


PLAIN: Final = Dialect()
"""A plain command: the prompt on standard input, the last line of standard output."""


class Reader(ABC):
    """What one turn of a program said so far. A subclass knows the meaning of an event."""

    def __init__(self) -> None:
        self.ended = self.failed = False
        self.session = self.text = self.detail = ""
        self.failure: Failure | None = None
        """The class of the last trouble; it only counts when the turn came to nothing."""
        self.resets = 0.0
        """When the provider's limit ends, in seconds of the epoch; 0 when nothing stated it."""
        self.usage: dict[str, float] = {}

    def line(self, data: bytes) -> None:
        """Read one line of standard output; one that is no event is passed over."""
        data = data.replace(b"\0", b"").strip()
        if not data.startswith(b"{"):
            return
        try:
            said = json.loads(data.decode("utf-8", "replace"), strict=False)
        except (ValueError, RecursionError):
            return
        self.event(said)

    @abstractmethod
    def event(self, said: dict[str, Any]) -> None:
        """Take in one event."""

    def heard(self) -> dict[str, Any]:
        """Everything that was understood, in plain values."""
        return dict(vars(self))

    def says(self, text: str) -> None:
        """Remember the end of what may be the closing words."""
        self.text = text[-TEXT_KEPT:]

    def knows(self, session: str) -> None:
        """Remember the session, when it can be named on a command line."""
        self.session = session if SESSION.fullmatch(session) else ""

    def trouble(self, detail: str, failure: Failure | None = None) -> None:
        """Remember what went wrong; it may yet be overcome."""
        self.detail = detail[:DETAIL_KEPT]
        self.failure = failure or failure_in(detail)

    def count(self, name: str, value: object, times: float = 1.0) -> None:
        """Add a number to the usage."""
        self.usage[name] = self.usage.get(name, 0.0) + number(value) * times


def failure_in(text: str) -> Failure | None:
    """The class of a failure that only the provider can explain, by the words of its message."""
    if _LIMITED.search(text):
        return "provider_limited"
    return "auth_invalid" if _REFUSED.search(text) else None


def inner(value: object, *path: str) -> Any:
    """What lies below these keys; None when anything on the way is of another shape."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def words(value: object, *path: str) -> str:
    """The text below these keys; empty when there is none."""
    found = inner(value, *path)
    return found if isinstance(found, str) else ""


def number(value: object) -> float:
    """A finite amount that is not negative, else 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    try:
        amount = float(value)
    except OverflowError:
        return 0.0
    return amount if math.isfinite(amount) and amount >= 0 else 0.0
