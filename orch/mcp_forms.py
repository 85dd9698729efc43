"""What goes into a tool and what comes out: arguments by orch's own grammar, answers small enough
for whoever reads them with a bounded memory."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from orch import listing, names, stages
from orch.errors import BadInput

LONGEST_TEXT: Final = 2000
LONGEST_ANSWER: Final = 60_000
"""Characters of an answer: some fifteen thousand tokens."""
MOST: Final = (100, 50, 25, 10, 5, 2)
"""Entries of a list, the first number under which the answer is small enough."""
NEWEST_LAST: Final = frozenset({"jobs", "stages", "said", "held", "told"})
"""Lists that are in the order of time: of these the end is kept."""
_UNSEEN: Final = frozenset({"Cc", "Cf", "Co", "Cs"})


class Asked(BaseModel):
    """The arguments of one call. One that nobody asked for is an error, not a surprise."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _text(example: str, longest: int, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "maxLength": longest, "examples": [example], **more})


WorkItem = Annotated[
    str,
    BeforeValidator(names.work_item),
    _text("ORCH-123", 64, pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$"),
    Field(description="A work item as the tracker names it."),
]
Repo = Annotated[
    str,
    BeforeValidator(names.repo),
    _text("owner/name", 201),
    Field(description="A repo, `name` or `owner/name`."),
]
RepoOrGlob = Annotated[
    str,
    BeforeValidator(names.repo_or_glob),
    _text("lib-*", 201),
    Field(description="A repo, or a glob of repos with * and ?."),
]
Reason = Annotated[
    str,
    BeforeValidator(names.reason),
    _text("deploy day", names.REASON_LIMIT),
    Field(description="Why; people will read it."),
]
Until = Annotated[
    str | None,
    _text("+2h", 40),
    Field(description="When it ends by itself: ISO 8601 with a zone, or +90m, +2h, +1d."),
]
Kind = Annotated[
    str,
    Field(
        pattern=r"^[a-z]+\.[a-z_]+$",
        max_length=64,
        description="What happened, such as task.paused or job.claimed.",
    ),
]
Id = Annotated[int, Field(ge=0, le=2**63 - 1)]


class Queue(Asked):
    """Which part of the line."""

    repo: Annotated[
        tuple[Repo, ...],
        Field(max_length=50, description="Only these repos; empty is all at work."),
    ] = ()
    limit: Annotated[
        int, Field(ge=1, le=100, description="Repos, and waiting tasks of each, that are shown.")
    ] = 10


class OfTask(Asked):
    """One task."""

    work_item: WorkItem


class Tasks(Asked):
    """Which tasks."""

    repo: Repo | None = None
    stage: stages.StageName | None = None
    state: listing.State | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    cursor: Annotated[Id | None, Field(description="`next` of the page before.")] = None


class Events(Asked):
    """Which events."""

    work_item: WorkItem | None = None
    repo: Repo | None = None
    kind: Kind | None = None
    after: Annotated[Id | None, Field(description="Go on from here, oldest first.")] = None
    before: Annotated[Id | None, Field(description="Look further back than this.")] = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50


class Preview(Asked):
    """A control that is thought of."""

    verb: Annotated[
        Literal[
            "pause", "resume", "promote", "cancel", "retry", "approve", "reject", "answer",
            "depend", "undepend", "freeze", "unfreeze",
        ],
        Field(description="The control."),
    ]  # fmt: skip
    target: Annotated[
        str,
        Field(max_length=201, description="A work item; for freeze and unfreeze a repo or a glob."),
    ]
    reason: Annotated[
        str, Field(max_length=names.NOTE_LIMIT, description="As the control would be given it.")
    ] = ""
    until: Until = None
    now: Annotated[bool, Field(description="Pause: stop its agent as well.")] = False
    allow: Annotated[WorkItem | None, Field(description="Freeze: the task that may pass.")] = None
    on: Annotated[
        WorkItem | None, Field(description="Depend and undepend: the task that comes first.")
    ] = None


class TaskControl(OfTask):
    """A control of one task."""

    reason: Reason = ""


class Pause(TaskControl):
    """How a task is parked."""

    until: Until = None
    now: Annotated[bool, Field(description="Stop its agent instead of letting it end.")] = False


class Reject(OfTask):
    """What is to be done again."""

    note: Annotated[
        str,
        BeforeValidator(names.note),
        _text("The discount is missing.", names.NOTE_LIMIT),
        Field(description="What is to be done; the task's agent reads it."),
    ]


class Answer(OfTask):
    """The answer to a task's question."""

    text: Annotated[
        str,
        BeforeValidator(lambda value: names.note(value, "text")),
        _text("Blue, as in the logo.", names.NOTE_LIMIT),
        Field(description="The answer; the task's agent reads it."),
    ]


class RepoControl(Asked):
    """A control of a repo, or of a glob of repos."""

    repo: RepoOrGlob
    reason: Reason = ""


class Freeze(RepoControl):
    """How a repo is frozen."""

    reason: Reason
    until: Until = None
    allow: Annotated[WorkItem | None, Field(description="The task that may pass: the fix.")] = None


def read(model: type[Asked], arguments: dict[str, Any]) -> Any:
    """The arguments, checked by orch's own grammar. Raises BadInput naming each that is wrong."""
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        said = [
            f"{names.shown('.'.join(map(str, each['loc'])))}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False)[:5]
        ]
        known = ", ".join(model.model_fields) or "none"
        raise BadInput(
            f"{'; '.join(said)}.", suggested_fix=f"The arguments of this tool: {known}."
        ) from None


# --- answers ----------------------------------------------------------------------------------


def bounded(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer as plain JSON, no longer than allowed; `truncated` names every list and text that
    was cut, and by how much."""
    found: dict[str, Any] = {}
    for most in MOST:
        cut: list[str] = []
        found = {name: _plain(value, name, most, cut) for name, value in answer.items()}
        found["truncated"] = cut[:50]
        if len(json.dumps(found, ensure_ascii=False)) <= LONGEST_ANSWER:
            break
    return found


def _plain(value: Any, path: str, most: int, cut: list[str]) -> Any:
    if isinstance(value, str):
        return _seen(value, path, cut)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bool | int | float) or value is None:
        return value
    if hasattr(value, "items"):
        kept = list(value.items())
        if path.endswith(".per_repo"):  # the only mapping that grows with the line
            kept = _kept(kept, path, most, cut)
        return {str(key): _plain(each, f"{path}.{key}", most, cut) for key, each in kept}
    return [_plain(each, path, most, cut) for each in _kept(list(value), path, most, cut)]


def _kept(entries: list[Any], path: str, most: int, cut: list[str]) -> list[Any]:
    if len(entries) <= most:
        return entries
    cut.append(f"{path}: {most} of {len(entries)}")
    return entries[-most:] if path.rpartition(".")[2] in NEWEST_LAST else entries[:most]


def _seen(text: str, path: str, cut: list[str]) -> str:
    """A text of bounded length in which nothing is unseen: what a person would not see, an agent
    must not read."""
    if len(text) > LONGEST_TEXT:
        cut.append(f"{path}: {LONGEST_TEXT} of {len(text)} characters")
        text = text[:LONGEST_TEXT]
    return visible(text)


def visible(text: str) -> str:
    """The same text, with a mark for every character that nobody would see."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(each) in _UNSEEN and each not in "\n\t"
        else each
        for each in text
    )
