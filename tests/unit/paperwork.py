"""Writes the documents of a stage as they should be, for tests to spoil."""

from __future__ import annotations

from pathlib import Path

from orch.qg.documents import DOCUMENTS, folder_of
from orch.stages import BY_NAME

ITEM = "ACME-7"
FOLDER = folder_of(ITEM)


def good(name: str, verdict: str = "pass") -> str:
    """The text of a document with nothing wrong."""
    if name.endswith(".yaml"):
        return "cases:\n  - name: it works\n    covers: [AC-1]\n"
    known = DOCUMENTS[name]
    head = "" if known.verdict == "none" else f"---\nverdict: {verdict}\nsummary: In short.\n---\n"
    return head + "# Title\n" + "".join(f"\n## {name}\n\nText.\n" for name in known.sections)


def place(worktree: Path, name: str) -> Path:
    """Where a document lies; the folders above it are made."""
    path = worktree / FOLDER / name.replace("NNN", "001").replace("<slug>", "first-choice")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def hand_in(worktree: Path, stage: str, verdict: str = "pass") -> None:
    """Write all documents of the stage."""
    for name in BY_NAME[stage].delivers:
        place(worktree, name).write_text(good(name, verdict), encoding="utf-8")
