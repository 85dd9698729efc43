"""Reads what an agent said of its work. Everything it says is data, and may be wrong or hostile."""

from __future__ import annotations

import json
import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orch.jobs import VERDICTS
from orch.stages import AGENTS, BY_NAME

RESULT_LIMIT: Final = 1024 * 1024
"""Bytes a result file may have."""
TEXT_LIMIT: Final = 10_000
"""Characters of a summary or a question that are kept."""
MARK: Final = "ORCH-VERDICT:"


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


class RefusedError(Exception):
    """The result file cannot be used."""


def read_statement(result_file: Path, output_tail: bytes) -> Statement:
    """The first statement found: the result file, then the last line of standard output.

    A result file that is there but unusable is not passed over: the agent meant to say
    something, and a person should see what became of it.
    """
    try:
        content = _content(result_file)
        return _last_line(output_tail) if content is None else _parsed(content)
    except RefusedError as refusal:
        return Statement(detail=f"The result file was refused: {refusal}.")


def _content(path: Path) -> bytes | None:
    """The bytes of the file, None when there is none. Follows no link and waits for no FIFO."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = "it is a symbolic link" if path.is_symlink() else (error.strerror or "unreadable")
        raise RefusedError(reason) from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise RefusedError("it is not a regular file")
        with os.fdopen(fd, "rb", closefd=False) as file:
            content = file.read(RESULT_LIMIT + 1)
    except OSError as error:
        raise RefusedError(error.strerror or "it cannot be read") from error
    finally:
        os.close(fd)
    if len(content) > RESULT_LIMIT:
        raise RefusedError(f"it is larger than {RESULT_LIMIT} bytes")
    return content


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
