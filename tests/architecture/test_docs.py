"""Docs and code cannot disagree: every event of the code is explained, and none beside them."""

from __future__ import annotations

import re

from orch import docs
from tests.architecture import tree

LOG = re.compile(
    r"""\blog\.(?:debug|info|warning|error|exception)\(\s*["']([a-z_]+\.[a-z_.]+)["']"""
)
LEDGER = re.compile(
    r"""["']((?:task|job|repo|dependency|token|agent|head|line|notice|person|session|feed)\.(?!html)[a-z_]+)["']"""
)
ENDINGS = {f"job.{ending}" for ending in ("succeeded", "failed", "cancelled")}
"""Written as `job.` and the state the job ended in."""


def _explained(heading: str) -> set[str]:
    section = tree.text("docs/operating.md").split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def _code() -> dict[str, str]:
    return {
        name: tree.text(name)
        for name in tree.modules()
        if name.startswith(("orch/", "web/")) and name != "orch/docs.py"
    }


def test_every_event_of_the_log_is_explained_and_none_beside_them() -> None:
    logged = {event for text in _code().values() for event in LOG.findall(text)}
    assert _explained("Events in the log") == logged


def test_every_event_of_the_ledger_is_explained_and_none_beside_them() -> None:
    logged = {event for text in _code().values() for event in LOG.findall(text)}
    written = {event for text in _code().values() for event in LEDGER.findall(text)} - logged
    assert _explained("Events in the ledger") == written | ENDINGS


def test_generated_pages_are_in_step_with_the_code() -> None:
    assert docs.out_of_step() == []


def test_every_word_of_the_glossary_stands_once() -> None:
    rows = [line for line in tree.text("docs/glossary.md").splitlines() if line.startswith("| ")]
    words = [word.strip() for row in rows[2:] for word in row.split("|")[1].split(",")]
    assert len(words) == len(set(words))


def test_every_link_between_the_pages_leads_somewhere() -> None:
    pages = [*sorted(tree.ROOT.glob("docs/**/*.md")), *tree.ROOT.glob("*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []
