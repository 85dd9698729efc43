"""What becomes of each verb of a port under each fault, per adapter: what the suites run, and what
docs/adapters.md shows. `python -m tests.contracts.matrix` writes the page's tables anew.

An adapter's row names the faults that its world can bring about; a suite takes its cells with
`@pytest.mark.parametrize(("verb", "fault", "outcome"), GRID.cells("plane"))` and does what the
outcome says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import pytest

from tests.contracts.stubs import FAULTS

PAGE: Final = Path(__file__).parents[2] / "docs" / "adapters.md"
BEGIN, END = (
    "<!-- Tables written by `make docs`; change tests/contracts/matrix.py. -->",
    "<!-- end -->",
)

Outcome = Literal["done", "later", "once", "refused", "named", "gone", "none"]
WORDS: Final[Mapping[Outcome, str]] = {
    "done": "works all the same",
    "later": "*unavailable*; the same call works once the fault is over",
    "once": "*unavailable*, though it happened; the same call again changes nothing",
    "refused": "*refused*, in words a person can act on; no retry",
    "named": "a problem in the answer, in the same words",
    "gone": "*gone*: what was to be told is dropped",
    "none": "answers that there is nothing",
}
"""What an outcome means."""

FAULT_WORDS: Final[Mapping[str, str]] = {
    **FAULTS,
    "bad-key": "the key was revoked",
    "no-entry": "no permission, or no such workspace",
    "no-project": "no such project",
    "deleted": "the item was deleted",
    "moved-away": "the address leads elsewhere",
    "no-folder": "the folder is not there",
    "empty-folder": "the folder is empty, as one whose disk is not mounted",
    "half-written": "a file is not whole",
}


@dataclass(frozen=True)
class Grid:
    """One port: its verbs, its adapters with the faults their suites bring about, and outcomes."""

    port: str
    verbs: tuple[str, ...]
    adapters: Mapping[str, tuple[str, ...]]
    by_fault: Mapping[str, Outcome]
    """What a fault comes to, at any verb."""
    by_cell: Mapping[tuple[str, str], Outcome | None] = field(default_factory=dict)
    """Verbs to which a fault comes otherwise; None where it cannot happen."""
    own: Mapping[tuple[str, str, str], Outcome | None] = field(default_factory=dict)
    """The same for one adapter: by adapter, verb and fault."""

    def outcome(self, adapter: str, verb: str, fault: str) -> Outcome | None:
        """What becomes of a verb; None where that adapter's suite does not bring it about."""
        if fault not in self.adapters[adapter]:
            return None
        common = self.by_cell.get((verb, fault), self.by_fault[fault])
        return self.own.get((adapter, verb, fault), common)

    def cells(self, adapter: str) -> list[Any]:
        """Parameters of a test: verb, fault, outcome."""
        return [
            pytest.param(verb, fault, outcome, id=f"{verb}-{fault}")
            for verb in self.verbs
            for fault in self.adapters[adapter]
            if (outcome := self.outcome(adapter, verb, fault)) is not None
        ]

    def table(self) -> list[str]:
        """The lines of its table in Markdown: a fault, a verb, and each adapter."""
        faults = dict.fromkeys(each for of in self.adapters.values() for each in of)
        head = ["fault", *(f"`{verb}`" for verb in self.verbs)]
        lines = [f"### {self.port}"]
        for adapter in self.adapters:
            lines += ["", f"**{adapter}**", "", _row(head), _row(["---"] * len(head))]
            for fault in faults:
                found = [self.outcome(adapter, verb, fault) for verb in self.verbs]
                if any(found):
                    lines.append(_row([FAULT_WORDS[fault], *(each or "–" for each in found)]))
        return lines


TRACKER: Final = Grid(
    port="Tracker",
    verbs=("items", "item", "remarks", "tell", "prepare"),
    adapters={
        "plane": (*FAULTS, "bad-key", "no-entry", "no-project", "moved-away", "deleted"),
        "folder": ("no-folder", "empty-folder", "half-written", "deleted"),
        "memory": ("reset", "429", "bad-key", "lost", "deleted"),
    },
    by_fault={
        **dict.fromkeys(FAULTS, "later"),
        "slow": "done",
        **dict.fromkeys(("no-folder", "empty-folder", "half-written"), "later"),
        **dict.fromkeys(("bad-key", "no-entry", "no-project", "moved-away"), "refused"),
        "deleted": "none",
    },
    by_cell={
        **{("tell", fault): "once" for fault in ("lost", "not-json", "other-json")},
        # These answers of Plane's say all that is asked of them, whatever else stands there.
        ("tell", "deleted"): "gone",
        ("items", "deleted"): "none",
        ("prepare", "deleted"): None,
        # A new folder is empty as well: only who asks for what was there is told to wait.
        ("items", "empty-folder"): "none",
        ("prepare", "empty-folder"): None,
    },
    own={
        **{
            ("plane", "prepare", fault): "named"
            for fault in ("bad-key", "no-entry", "no-project", "moved-away")
        },
        **{("memory", verb, "lost"): None for verb in ("items", "item", "remarks", "prepare")},
    },
)
GRIDS: Final[Sequence[Grid]] = (TRACKER,)


def page(text: str) -> str:
    """The page with its tables as they should be."""
    lines = [BEGIN, ""]
    for grid in GRIDS:
        lines += [*grid.table(), ""]
    lines += ["| outcome | is |", "|---|---|"]
    lines += [f"| {name} | {words} |" for name, words in WORDS.items()]
    whole = "\n".join([*lines, "", END])
    return re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: whole, text, flags=re.DOTALL)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
