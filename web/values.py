"""What each call may be given: the grammar is orch's own, the shape is declared here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AliasChoices, BeforeValidator, Field, WithJsonSchema

from orch import names, reports, snapshot, stages
from orch.errors import BadInput
from orch.listing import State
from web.given import LARGEST_NUMBER, Given


def _text(example: str, longest: int, grammar: str, **more: Any) -> WithJsonSchema:
    """A text in a grammar of `orch.names`, in the words of JSON Schema."""
    pattern = f"^(?:{grammar})$"
    shape = {"type": "string", "maxLength": longest, "pattern": pattern, "examples": [example]}
    return WithJsonSchema({**shape, **more})


def _time(relative: str, example: str, *others: str) -> WithJsonSchema:
    """A moment, or how far it is away; empty is none, and so are `others`."""
    spans = {"type": "string", "pattern": f"^(?:{relative})?$"}
    moment = {"type": "string", "format": "date-time"}
    kinds = [spans, moment, *({"type": kind} for kind in others)]
    return WithJsonSchema({"anyOf": kinds, "examples": [example]})


WorkItem = Annotated[
    str,
    BeforeValidator(names.work_item),
    _text("ORCH-123", names.WORK_ITEM_LIMIT, names.WORK_ITEM),
    Field(description="A work item as the tracker names it."),
]
Repo = Annotated[
    str,
    BeforeValidator(names.repo),
    _text("owner/name", names.REPO_LIMIT, names.REPO),
    Field(description="A repo, `name` or `owner/name`."),
]
RepoOrGlob = Annotated[
    str,
    BeforeValidator(names.repo_or_glob),
    _text("lib-*", names.REPO_LIMIT, names.REPO_OR_GLOB),
    Field(description="A repo, or a glob of repos with * and ?."),
]
Reason = Annotated[
    str,
    BeforeValidator(names.reason),
    _text("deploy day", names.REASON_LIMIT, names.TEXT, type=["string", "null"]),
    Field(description="Why; others will read it."),
]
NeededReason = Annotated[
    str,
    BeforeValidator(names.reason),
    _text("deploy day", names.REASON_LIMIT, names.WORDS),
    Field(description="Why; others will read it."),
]
Until = Annotated[
    str | None,
    _time(names.AFTER, "+2h", "null"),
    Field(description="When it ends by itself: ISO 8601 with a zone, or +90m, +2h, +1d."),
]


def _known_agent(value: object) -> str:
    agent = names.agent(value)
    if agent not in stages.AGENTS:
        raise BadInput(f"No agent is called {agent}.", field="agent", known=list(stages.AGENTS))
    return agent


Agent = Annotated[
    str,
    BeforeValidator(_known_agent),
    WithJsonSchema({"type": "string", "enum": list(stages.AGENTS)}),
    Field(description="An agent's name."),
]
AgentName = Annotated[
    str,
    BeforeValidator(names.agent),
    WithJsonSchema({"type": "string", "enum": list(stages.AGENTS)}),
    Field(description="An agent's name."),
]
Kind = Annotated[
    str,
    Field(
        pattern=r"^[a-z]+\.[a-z_]+$",
        max_length=64,
        examples=["task.paused"],
        description="What happened, such as task.paused or job.claimed.",
    ),
]
Actor = Annotated[
    str,
    BeforeValidator(lambda value: names.line(value, "actor", 120)),
    _text("ann", 120, names.LINE),
    Field(description="Who did it."),
]
Words = Annotated[
    str,
    BeforeValidator(lambda value: names.line(value, "text", 200)),
    _text("deploy day", 200, names.LINE),
    Field(description="What the reason holds, in whatever case."),
]
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
DOOMSDAY: Final = datetime(9000, 1, 1, tzinfo=UTC)


def _moment(value: object) -> datetime:
    """A time within what every database can compare; beyond it nothing happened."""
    found = names.absolute(value) if isinstance(value, str) else value
    if not isinstance(found, datetime):
        raise BadInput(
            f"“{names.shown(value)}” is not a time.", suggested_fix="Use 2026-12-24T18:00:00Z."
        )
    return min(max(found, EPOCH), DOOMSDAY)


Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    Field(description="ISO 8601 with a zone, such as 2026-12-24T18:00:00Z."),
]
Id = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]
Preview = Annotated[bool, Field(description="Change nothing; say what would start and wait.")]


class Queue(Given):
    """Which part of the line is asked for."""

    many: ClassVar[frozenset[str]] = frozenset({"repo"})
    repo: Annotated[
        tuple[Repo, ...], Field(max_length=100, description="Only these repos; repeatable.")
    ] = ()
    limit: Annotated[
        int, Field(ge=1, le=1000, description="Repos, and waiting jobs of each, that are shown.")
    ] = snapshot.PAGE


class Report(Given):
    """Which part of the waiting ledger is asked for."""

    many: ClassVar[frozenset[str]] = frozenset({"repo", "by"})
    repo: Annotated[
        tuple[Repo, ...], Field(max_length=100, description="Only these repos; repeatable.")
    ] = ()
    since: Annotated[
        str | None,
        _time(names.BEFORE, "-7d"),
        Field(description="From when on: ISO 8601 with a zone, or -2h, -7d, -4w. Else four weeks."),
    ] = None
    by: Annotated[
        tuple[reports.By, ...],
        Field(max_length=5, description="Put together by what; repeatable. Else by all of them."),
    ] = ()
    top: Annotated[int, Field(ge=1, le=1000, description="At most so many of a kind.")] = (
        reports.TOP
    )


class OfTask(Given):
    """One task."""

    work_item: WorkItem


class Why(OfTask):
    """One task, and how much is asked about it."""

    eta: Annotated[
        bool, Field(description="Estimate when it starts and is done, by a simulation.")
    ] = True


def _said(description: str) -> Any:
    """Words that `orch.simulation.plan` reads, each given as often as wanted."""
    return Field(max_length=100, description=f"{description}; repeatable.")


Said = Annotated[str, Field(max_length=1000)]


class Simulate(Given):
    """What is to be tried."""

    many: ClassVar[frozenset[str]] = frozenset({"repo", "control", "slots", "switch", "duration"})
    repo: Annotated[tuple[Repo, ...], _said("Only these repos are shown")] = ()
    control: Annotated[tuple[Said, ...], _said("A control to try first: pause ORCH-1")] = ()
    slots: Annotated[tuple[Said, ...], _said("Slots of an agent: developer=3")] = ()
    switch: Annotated[tuple[Said, ...], _said("A switch of the gate: yield=off")] = ()
    duration: Annotated[tuple[Said, ...], _said("How long a stage takes: development=20m")] = ()
    seed: Annotated[
        Id | None, Field(description="Draw durations by this number; without one, medians.")
    ] = None


class TaskControl(OfTask):
    """A control of one task."""

    reason: Reason = ""
    preview: Preview = False


class Pause(TaskControl):
    """How a task is parked."""

    until: Until = None
    now: Annotated[bool, Field(description="Stop its agent instead of letting it end.")] = False


class Reject(OfTask):
    """What is to be done again."""

    note: Annotated[
        str,
        BeforeValidator(names.note),
        _text("The discount is missing.", names.NOTE_LIMIT, names.WORDS),
        Field(description="What is to be done; the task's agent reads it."),
    ]
    preview: Preview = False


class Answer(OfTask):
    """The answer to a task's question."""

    text: Annotated[
        str,
        BeforeValidator(lambda value: names.note(value, "text")),
        _text("Blue, as in the logo.", names.NOTE_LIMIT, names.WORDS),
        Field(description="The answer; the task's agent reads it."),
    ]
    preview: Preview = False


class Depend(TaskControl):
    """Which task comes first."""

    on: WorkItem


class RepoControl(Given):
    """A control of a repo, or of a glob of repos."""

    repo: RepoOrGlob
    reason: Reason = ""
    preview: Preview = False


class Freeze(RepoControl):
    """How a repo is frozen."""

    reason: NeededReason
    until: Until = None
    allow: Annotated[WorkItem | None, Field(description="The work item that may pass.")] = None


class AgentControl(Given):
    """A control of one agent, for all tasks."""

    agent: AgentName
    reason: Reason = ""


class Suspend(AgentControl):
    """For how long an agent gets nothing to do, and why."""

    reason: NeededReason
    until: Until = None


class Add(Given):
    """A work item as it comes in."""

    work_item: WorkItem = Field(validation_alias=AliasChoices("work_item", "work_item_id"))
    repo: Repo
    title: Annotated[str, _text("Show the discount", names.TITLE_LIMIT, names.LINE)] = ""
    description: Annotated[str, _text("In the cart, too.", names.TEXT_LIMIT, names.TEXT)] = ""
    track: Annotated[
        str,
        Field(description="full, fast, docs or one of the repo's own; empty is the repo's usual."),
    ] = ""
    depends_on: Annotated[
        tuple[WorkItem, ...], Field(max_length=1000, description="Work items that come first.")
    ] = ()
    paused: Annotated[bool, Field(description="Take it in parked.")] = False


class Tasks(Given):
    """Which tasks are asked for."""

    repo: Repo | None = None
    stage: stages.StageName | None = None
    state: State | None = None
    agent: Agent | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[Id | None, Field(description="`next` of the page before.")] = None


class Events(Given):
    """Which events are asked for."""

    work_item: WorkItem | None = None
    repo: Repo | None = None
    kind: Kind | None = None
    actor: Actor | None = None
    since: Moment | None = None
    until: Moment | None = None
    text: Words | None = None
    after: Annotated[Id | None, Field(description="Go on from here, oldest first.")] = None
    before: Annotated[Id | None, Field(description="Look further back than this.")] = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class JobLog(Given):
    """Which part of a job's log is asked for."""

    job_id: Annotated[Id, Field(examples=[1])]
    tail: Annotated[
        int | None, Field(ge=1, le=10_000, description="Only the last so many lines.")
    ] = None
    follow: Annotated[bool, Field(description="Go on until the job ends.")] = False


class Notices(Given):
    """Which notices are asked for."""

    state: Literal["waiting", "sent", "failed"] | None = None
    before: Annotated[Id | None, Field(description="Look further back than this.")] = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class OfNotice(Given):
    """One notice."""

    notice_id: Annotated[Id, Field(examples=[1])]
