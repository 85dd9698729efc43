"""The documents a stage delivers: how each has to look, and what is wrong with those it finds.

They lie in `docs/work-items/<ID>/` of the worktree, are written by agents, and are only ever read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orch import names
from orch.qg import plain_yaml, reading
from orch.qg.front_matter import FrontMatter, front_matter, line_of
from orch.qg.plain_yaml import YamlError
from orch.qg.reading import RefusedError
from orch.qg.verdict import OwnDocument, digest
from orch.stages import BY_NAME, TABLE

FOLDER: Final = "docs/work-items"
CRITERIA: Final = "03-acceptance-criteria.md"
SUMMARY_LIMIT: Final = 300
"""Characters of a document's summary that a prompt gets."""
SAYABLE: Final = ("pass", "rework", "needs_input", "fail")
"""What a document may say of the work: a document is work, so `no_work` is not among it."""


@dataclass(frozen=True)
class Document:
    """How one document has to look; YAML by its suffix, else Markdown."""

    name: str
    """As `Stage.delivers` has it; `NNN` stands for three digits, `<slug>` for a few words."""
    sections: tuple[str, ...] = ()
    """Headings of the second level that have to be there with something below them."""
    verdict: str = "none"
    """Whether its front matter says `verdict` and `summary`: `none`, `may` or `must`."""


_KNOWN: Final = (
    Document("01-brief.md", ("Goal", "Scope"), verdict="may"),
    Document("02-requirements.md", ("Requirements",)),
    Document(CRITERIA, ("Acceptance criteria",)),
    Document("04-test-plan.yaml"),
    Document("06-adr/ADR-NNN-<slug>.md", ("Context", "Decision", "Consequences")),
    Document("07-design.md", ("Design",), verdict="may"),
    Document("12-review.md", ("Findings",), verdict="must"),
    Document("13-test-report.md", ("Results",), verdict="must"),
    Document("14-staging-log.md", ("Log",), verdict="must"),
    Document("15-deploy-log.md", ("Log",), verdict="must"),
)
DOCUMENTS: Final[dict[str, Document]] = {document.name: document for document in _KNOWN}
"""By the name the stage table has for it."""

OWN: Final[dict[str, str]] = {
    stage.name: name
    for stage in TABLE
    for name in stage.delivers
    if DOCUMENTS[name].verdict != "none"
}
"""Per stage: the document in which it may say its verdict."""


@dataclass(frozen=True)
class Produced:
    """A document that is there: its path in the worktree, and in a few words what it says."""

    path: str
    summary: str


@dataclass(frozen=True)
class _Section:
    name: str
    line: int
    filled: bool


def folder_of(work_item: str) -> str:
    """The folder of a work item's documents, from the root of the worktree. Raises BadInput."""
    return f"{FOLDER}/{names.work_item(work_item)}"


def own_document(worktree: Path, work_item: str, stage: str) -> OwnDocument | None:
    """Where this stage may say its verdict, as it is now; None where it has no such document.

    To be asked before the agent starts: what the document says already is not this turn's word.
    """
    if stage not in OWN:
        return None
    path = f"{folder_of(work_item)}/{OWN[stage]}"
    return OwnDocument(worktree, path, digest(worktree, path))


def problems(worktree: Path, work_item: str, stage: str) -> tuple[str, ...]:
    """What is wrong with the documents of a stage, as sentences with file and line."""
    return tuple(
        problem
        for name in BY_NAME[stage].delivers
        for problem in _problems_of(DOCUMENTS[name], worktree, folder_of(work_item))
    )


def own_verdict(worktree: Path, work_item: str, stage: str) -> FrontMatter | None:
    """What the stage's own document says, None when it says nothing that can be read."""
    if stage not in OWN:
        return None
    try:
        text = reading.text(worktree, f"{folder_of(work_item)}/{OWN[stage]}")
        return None if text is None else front_matter(text)
    except (RefusedError, YamlError):
        return None


def produced(worktree: Path, work_item: str, besides: str = "") -> tuple[Produced, ...]:
    """The documents that are there and can be read, but for those of the stage `besides`."""
    found = []
    for stage in TABLE:
        for name in stage.delivers if stage.name != besides else ():
            for path in _findable(DOCUMENTS[name], worktree, folder_of(work_item)):
                text = _readable(worktree, path)
                if text is not None:
                    found.append(Produced(path, _summary(text)))
    return tuple(found)


def acceptance_criteria(worktree: Path, work_item: str) -> str:
    """The text of the acceptance criteria, empty when there is none that can be read."""
    return _readable(worktree, f"{folder_of(work_item)}/{CRITERIA}") or ""


def _findable(document: Document, worktree: Path, folder: str) -> list[str]:
    try:
        return _paths(document, worktree, folder)
    except RefusedError:
        return []


def _readable(worktree: Path, path: str) -> str | None:
    try:
        return reading.text(worktree, path)
    except RefusedError:
        return None


def _paths(document: Document, worktree: Path, folder: str) -> list[str]:
    """Where the document is or, under a fixed name, would be. Raises RefusedError."""
    if "NNN" not in document.name:
        return [f"{folder}/{document.name}"]
    below, _, name = document.name.rpartition("/")
    pattern = re.escape(name).replace("NNN", "[0-9]{3}")
    pattern = pattern.replace("<slug>", "[A-Za-z0-9][A-Za-z0-9._-]*")
    there = reading.entries(worktree, f"{folder}/{below}")
    return [f"{folder}/{below}/{each}" for each in there if re.fullmatch(pattern, each)]


def _problems_of(document: Document, worktree: Path, folder: str) -> Iterator[str]:
    try:
        paths = _paths(document, worktree, folder)
    except RefusedError as refusal:
        yield f"{folder}/{document.name} was refused: {refusal}."
        return
    if not paths:
        yield f"{folder}/{document.name} is missing: no file has such a name."
    for path in paths:
        yield from _problems_at(document, worktree, path)


def _problems_at(document: Document, worktree: Path, path: str) -> Iterator[str]:
    try:
        text = reading.text(worktree, path)
    except RefusedError as refusal:
        yield f"{path} was refused: {refusal}."
        return
    if text is None:
        yield f"{path} is missing."
    elif not text.strip():
        yield f"{path}, line 1: it is empty."
    elif path.endswith(".yaml"):
        yield from _problems_of_yaml(path, text)
    else:
        yield from _problems_of_markdown(document, path, text)


def _problems_of_yaml(path: str, text: str) -> Iterator[str]:
    try:
        said = plain_yaml.parsed(text)
    except YamlError as error:
        yield f"{path}, line {error.line}: {error.what}."
        return
    if not isinstance(said, dict | list) or not said:
        yield f"{path}, line 1: it is neither a mapping nor a list with something in it."


def _problems_of_markdown(document: Document, path: str, text: str) -> Iterator[str]:
    body_from = 0
    if document.verdict != "none":
        try:
            head = front_matter(text)
        except YamlError as error:
            yield f"{path}, line {error.line}: {error.what}."
            return
        body_from = 0 if head is None else head.lines
        yield from _problems_of_head(document, path, text, head)
    lines = text.rstrip().split("\n")
    there = list(_sections(lines, body_from))
    for name in document.sections:
        same = [section for section in there if section.name.casefold() == name.casefold()]
        if not same:
            yield f"{path}, line {len(lines)} (its end): there is no section `## {name}`."
        elif not any(section.filled for section in same):
            yield f"{path}, line {same[0].line}: the section `## {name}` is empty."


def _problems_of_head(
    document: Document, path: str, text: str, head: FrontMatter | None
) -> Iterator[str]:
    due = document.verdict == "must"
    if head is None:
        if due:
            yield f"{path}, line 1: it has no front matter with `verdict` and `summary`."
        return
    if head.verdict and head.verdict not in SAYABLE:
        line, word = line_of(text, "verdict"), names.shown(head.verdict)
        yield f"{path}, line {line}: `verdict` is “{word}”, not one of {', '.join(SAYABLE)}."
    for key, said in (("verdict", head.verdict), ("summary", head.summary)):
        if due and not said:
            yield f"{path}, line {line_of(text, key)}: `{key}` is missing or empty."


def _sections(lines: list[str], body_from: int) -> Iterator[_Section]:
    """The sections of the second level; a heading inside a block of code is none."""
    name, began, filled = None, 0, False
    for number, (line, in_code) in enumerate(_marked(lines[body_from:]), body_from + 1):
        level = 0 if in_code else _level(line)
        if level in (1, 2):
            if name is not None:
                yield _Section(name, began, filled)
            name = line.strip(" \t#") if level == 2 else None
            began, filled = number, False
        elif line.strip():
            filled = True
    if name is not None:
        yield _Section(name, began, filled)


def _level(line: str) -> int:
    """The level of the heading this line is, 0 when it is none."""
    bare = line.lstrip(" ")
    level = len(bare) - len(bare.lstrip("#"))
    indented = len(line) - len(bare) > 3
    return 0 if indented or bare[level : level + 1].strip() else level


def _marked(lines: list[str]) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it belongs to a fenced block of code."""
    fence = ""
    for line in lines:
        found = re.match(r" {0,3}(`{3,}|~{3,})", line)
        yield line, bool(fence or found)
        if found and not fence:
            fence = found[1]
        elif found and found[1].startswith(fence) and not line.strip(" " + fence[0]):
            fence = ""


def _summary(text: str) -> str:
    """What a document says in short: its own summary, else its first line that is no heading."""
    try:
        head = front_matter(text)
    except YamlError:
        head = None
    lines = text.split("\n")[head.lines if head else 0 :]
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    said = " ".join(((head.summary if head else "") or first).split())
    return said if len(said) <= SUMMARY_LIMIT else said[: SUMMARY_LIMIT - 1] + "…"
