"""How long a turn takes: given, recorded, or assumed, and in which words that is told.

Without a seed a turn takes the median of what was recorded. With one it takes one of the recorded
times, chosen by seed, work item and stage alone: a turn takes as long in one plan as in the other,
and what differs between two plans is the plan.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from statistics import median
from typing import Any, Final, Literal

ASSUMED: Final = 1800.0
"""Seconds a turn is assumed to take of whose stage nothing is recorded."""
OVERDUE: Final = 60.0
"""Seconds a turn is given still that has taken longer than any that was recorded."""
LEAST: Final = 3
"""So many turns of a repo count more than those of all repos."""

Source = Literal["given", "repo", "all", "assumed"]


@dataclass(frozen=True)
class Basis:
    """Where the durations of one stage in one repo come from."""

    stage: str
    agent: str
    repo: str
    source: Source
    seconds: tuple[float, ...]
    """What was recorded, shortest first; or the one length that was given or assumed."""

    @property
    def typical(self) -> float:
        """The median."""
        return float(median(self.seconds))

    @property
    def sentence(self) -> str:
        """The same for a person."""
        length, count = lasting(self.typical), len(self.seconds)
        match self.source:
            case "given":
                return f"{self.stage}: {length}, as given"
            case "repo":
                return f"{self.stage}: {length}, the median of {count} in {self.repo}"
            case "all":
                return f"{self.stage}: {length}, the median of {count} in all repos"
        return f"{self.stage}: no record, {length} assumed"


def lasting(seconds: float) -> str:
    """A length of time in the two units that matter: `40 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    left, said = round(seconds), []
    if left >= 600:
        left = round(seconds / 60) * 60
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            said.append(f"{count} {unit}")
    return " ".join(said[:2]) or "0 s"


@dataclass
class Durations:
    """What is known of all turns. `seed` None takes medians."""

    given: Mapping[str, float]
    """Seconds by stage, before anything that was recorded."""
    recorded: Mapping[tuple[str, ...], Sequence[float]]
    """By (repo, stage, agent) and by (stage, agent); shortest first."""
    seed: int | None = None
    used: dict[tuple[str, str], Basis] = field(default_factory=dict)
    """The basis of every repo and stage that was asked for, in the order asked."""

    def basis(self, repo: str, stage: str, agent: str) -> Basis:
        """Where the durations of this stage come from."""
        known = self.used.get((repo, stage))
        if known is None:
            known = Basis(stage, agent, repo, *self._known(repo, stage, agent))
            self.used[repo, stage] = known
        return known

    def _known(self, repo: str, stage: str, agent: str) -> tuple[Source, tuple[float, ...]]:
        if stage in self.given:
            return "given", (self.given[stage],)
        here = self.recorded.get((repo, stage, agent), ())
        anywhere = self.recorded.get((stage, agent), ())
        if len(here) >= LEAST or (here and len(here) == len(anywhere)):
            return "repo", tuple(here)
        return ("all", tuple(anywhere)) if anywhere else ("assumed", (ASSUMED,))

    def turn(self, basis: Basis, work_item: str, elapsed: float = 0.0) -> float:
        """Seconds that a turn takes from now, `elapsed` of which it has had before."""
        longer = [each for each in basis.seconds if each > elapsed]
        if not longer:
            return OVERDUE
        if self.seed is None:
            return float(median(longer)) - elapsed
        return longer[int(_share(self.seed, work_item, basis.stage) * len(longer))] - elapsed


def of_records(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, ...], list[float]]:
    """Seconds by (repo, stage, agent) and by (stage, agent), shortest first."""
    found: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for row in rows:
        seconds = (row["finished_at"] - row["started_at"]).total_seconds()
        found[row["repo"], row["stage"], row["agent"]].append(seconds)
        found[row["stage"], row["agent"]].append(seconds)
    return {key: sorted(each) for key, each in found.items()}


def _share(seed: int, work_item: str, stage: str) -> float:
    """A number from 0 to below 1 that hangs on these three alone, on every machine."""
    digest = blake2b(f"{seed}\n{work_item}\n{stage}".encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48
