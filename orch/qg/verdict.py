"""Reads what an agent said of its work. Everything it says is data, and may be wrong or hostile."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orch.jobs import MARK, VERDICTS
from orch.qg import reading
from orch.qg.front_matter import front_matter, line_of
from orch.qg.plain_yaml import YamlError
from orch.qg.reading import RefusedError
from orch.stages import AGENTS, BY_NAME

RESULT_LIMIT: Final = reading.LIMIT
"""Bytes a result file may have."""
TEXT_LIMIT: Final = 10_000
"""Characters of a summary or a question that are kept."""


@dataclass(frozen=True)
class Statement:
    """What an agent said; without a word it said nothing that counts, and `detail` tells why."""

    word: str | None = None
    """One of `orch.jobs.VERDICTS`."""
    summary: str = ""
    question: str = ""
    rework_to: str = ""
    cost_usd: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class OwnDocument:
    """The document in which a stage may say its verdict, as it was when the turn began."""

    root: Path
    """The worktree."""
    path: str
    """Where it lies below the worktree."""
    before: str = ""
    """What `digest` said when the turn began; with the same content it says nothing new."""


def digest(root: Path, path: str) -> str:
    """A fingerprint of a file below `root`; empty when there is none that can be used."""
    try:
        content = reading.content(root, path)
    except RefusedError:
        return ""
    return "" if content is None else _fingerprint(content)


def read_statement(
    result_file: Path, output_tail: bytes, document: OwnDocument | None = None
) -> Statement:
    """The first statement found: result file, the stage's own document, last line of the output.

    A result file or a front matter that is there but unusable is not passed over: the agent meant
    to say something, and a person should see what became of it. A document that is what it was
    before the turn belongs to an earlier attempt and says nothing.
    """
    try:
        content = reading.content(result_file.parent, result_file.name)
        if content is not None:
            return _parsed(content)
    except RefusedError as refusal:
        return Statement(detail=f"The result file was refused: {refusal}.")
    try:
        said = None if document is None else _documented(document)
    except RefusedError as refusal:
        where = "The document" if document is None else document.path
        return Statement(detail=f"{where} was refused: {refusal}.")
    return _last_line(output_tail) if said is None else said


def _fingerprint(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _documented(document: OwnDocument) -> Statement | None:
    content = reading.content(document.root, document.path)
    if content is None or _fingerprint(content) == document.before:
        return None
    text = reading.decoded(content)
    try:
        said = front_matter(text)
    except YamlError as error:
        raise RefusedError(str(error)) from error
    if said is None or not said.verdict:
        return None
    if said.verdict not in VERDICTS:
        line = line_of(text, "verdict")
        allowed = ", ".join(VERDICTS)
        raise RefusedError(
            f"line {line}: `verdict` is {_shown(said.verdict)}, not one of {allowed}"
        )
    return Statement(word=said.verdict, summary=storable(said.summary))


def _parsed(content: bytes) -> Statement:
    try:
        said = json.loads(content.decode("utf-8-sig"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError("it is not JSON in UTF-8") from error
    if not isinstance(said, dict):
        raise RefusedError("it is not a JSON object")
    word = said.get("verdict")
    if not isinstance(word, str) or word not in VERDICTS:
        raise RefusedError(f"`verdict` is {_shown(word)}, not one of {', '.join(VERDICTS)}")
    return Statement(
        word=word,
        summary=_text(said, "summary"),
        question=_text(said, "question"),
        rework_to=_stage(said) if word == "rework" else "",
        cost_usd=_cost(said),
    )


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _text(said: dict[str, Any], key: str) -> str:
    value = said.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RefusedError(f"`{key}` is {_shown(value)}, not a text")
    return storable(value)


def _stage(said: dict[str, Any]) -> str:
    stage = _text(said, "rework_to")
    if stage and (stage not in BY_NAME or BY_NAME[stage].agent not in AGENTS):
        raise RefusedError(f"`rework_to` is {_shown(stage)}, which is no stage of an agent")
    return stage


def _cost(said: dict[str, Any]) -> float | None:
    value = said.get("cost_usd")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedError(f"`cost_usd` is {_shown(value)}, not a number")
    try:
        cost = float(value)
    except OverflowError as error:
        raise RefusedError("`cost_usd` is too large") from error
    if not math.isfinite(cost) or cost < 0:
        raise RefusedError(f"`cost_usd` is {_shown(cost)}, not an amount")
    return cost


def _last_line(output: bytes) -> Statement:
    lines = output.decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if not last.startswith(MARK):
        return Statement()
    word = last.removeprefix(MARK).strip()
    if word not in VERDICTS:
        return Statement(detail=f"The last line says {_shown(word)}, which is no verdict.")
    return Statement(word=word)


def storable(text: str) -> str:
    """The text as every database takes it: no NUL, no lone surrogate, not endless."""
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    return clean if len(clean) <= TEXT_LIMIT else clean[: TEXT_LIMIT - 1] + "…"


def _shown(value: object) -> str:
    """A value from outside, short enough for a sentence."""
    text = storable(ascii(value))
    return text if len(text) <= 60 else text[:59] + "…"
