"""What each call answers, as JSON Schema: the names a caller may rely on. More may come."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]


def _a(*kinds: str, **more: Any) -> Schema:
    return {"type": kinds[0] if len(kinds) == 1 else list(kinds), **more}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _by_name(of: Schema) -> Schema:
    return {"type": "object", "additionalProperties": of}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": [*properties], "properties": properties}


def _or_null(of: Schema) -> Schema:
    return {"anyOf": [of, _a("null")]}


YES: Final = _a("boolean")
TEXT: Final = _a("string")
NUMBER: Final = _a("number")
WHOLE: Final = _a("integer")
TEXT_OR_NOT: Final = _a("string", "null")
WHOLE_OR_NOT: Final = _a("integer", "null")
SOMETHING: Final = _a("object")
MOMENT: Final = _a("string", format="date-time")
MOMENT_OR_NOT: Final = _a("string", "null", format="date-time")
TEXTS: Final = _list(TEXT)
TASK: Final = _object(
    task_id=WHOLE,
    work_item_id=TEXT,
    repo=TEXT,
    stage=TEXT,
    title=TEXT,
    track=TEXT_OR_NOT,
    created_at=MOMENT,
    rank=WHOLE,
    admitted_at=MOMENT_OR_NOT,
    paused_at=MOMENT_OR_NOT,
    paused_by=TEXT_OR_NOT,
    paused_reason=TEXT_OR_NOT,
    paused_until=MOMENT_OR_NOT,
    finished_at=MOMENT_OR_NOT,
    cost_usd=_a("number", "null"),
    turns=WHOLE_OR_NOT,
)
AGENT: Final = _object(
    live=WHOLE,
    slots=WHOLE,
    workers=WHOLE,
    suspended_until=MOMENT_OR_NOT,
    suspended_reason=TEXT_OR_NOT,
)
_STATE: Final = {
    "generated_at": MOMENT,
    "degraded": _list({}),
    "task": _ref("Task"),
    "state": TEXT,
    "job": _a("object", "null"),
    "reason": TEXT_OR_NOT,
    "blockers": _list(_ref("Blocker")),
    "holder": _a("object", "null"),
    "ahead": TEXTS,
    "frozen": YES,
    "sentence": TEXT,
}
PREVIEW: Final = _object(
    preview=_a("boolean", const=True),
    changed=YES,
    starts=TEXTS,
    begins_waiting=TEXTS,
    held=TEXTS,
    changes=_list(SOMETHING),
    not_compared=TEXT_OR_NOT,
    sentence=TEXT,
)
SNAPSHOT: Final = _object(
    generated_at=MOMENT,
    degraded=_list({}),
    serial_gate=_object(per_repo=_by_name(_ref("Lane"))),
    agents=_by_name(_ref("Agent")),
)
LANE: Final = _object(
    active_task=_a("object", "null"),
    paused=_list(SOMETHING),
    waiting=_list(SOMETHING),
    waiting_total=WHOLE | {"description": "How many wait; who is parked does not."},
    listed_total=WHOLE | {"description": "How many rows `waiting` has as a whole."},
    frozen=YES,
    frozen_reason=TEXT_OR_NOT,
    frozen_at=MOMENT_OR_NOT,
    frozen_by=TEXT_OR_NOT,
    frozen_until=MOMENT_OR_NOT,
    frozen_allow=TEXT_OR_NOT | {"description": "The work item that may pass."},
    live=_list(SOMETHING),
)
EVENT: Final = _object(
    id=WHOLE,
    at=MOMENT,
    kind=TEXT,
    actor=TEXT,
    repo=TEXT_OR_NOT,
    work_item_id=TEXT_OR_NOT,
    job_id=WHOLE_OR_NOT,
    reason=TEXT_OR_NOT,
    data=_a("object", "null"),
)
PROBLEM: Final = _object(
    type=TEXT,
    title=TEXT,
    status=WHOLE,
    detail=TEXT | {"description": "One sentence for a person."},
    code=TEXT | {"description": "The same for a program."},
    suggested_fix=TEXT | {"description": "What to do next."},
)
SCHEMAS: Final[dict[str, Schema]] = {
    "Problem": PROBLEM,
    "Task": TASK,
    "Blocker": _object(clause=TEXT, since=MOMENT_OR_NOT, clear_with=TEXT_OR_NOT, detail=TEXT),
    "TaskNow": _object(**_STATE),
    "Agent": AGENT,
    "Lane": LANE,
    "Snapshot": SNAPSHOT,
    "Preview": PREVIEW,
    "Event": EVENT,
}

_CHANGED: Final = {"type": "object", "required": ["changed"], "properties": {"changed": YES}}
_OF_TASK: Final = {"anyOf": [{"allOf": [_ref("TaskNow"), _CHANGED]}, _ref("Preview")]}
_OF_REPO: Final = {"anyOf": [{"allOf": [_ref("Snapshot"), _CHANGED]}, _ref("Preview")]}
_OF_AGENT: Final = {"allOf": [_ref("Agent"), _object(agent=TEXT, changed=YES)]}

ANSWERS: Final[dict[str, Schema]] = {
    "GET /queue": _ref("Snapshot"),
    "GET /why": _ref("TaskNow"),
    "GET /simulate": _object(
        generated_at=MOMENT,
        sentence=TEXT,
        seed=WHOLE_OR_NOT,
        drained_at=MOMENT_OR_NOT,
        drain_seconds=_a("number", "null"),
        rows=_list(SOMETHING),
        tasks=_list(SOMETHING),
        never=_list(SOMETHING),
        agents=_by_name(SOMETHING),
        basis=_list(SOMETHING),
    ),
    "GET /report": _object(
        generated_at=MOMENT,
        since=MOMENT,
        until=MOMENT,
        repos=TEXTS,
        seconds=NUMBER,
        totals=_by_name(SOMETHING),
    ),
    "POST /serial-gate/freeze": _OF_REPO,
    "POST /serial-gate/unfreeze": _OF_REPO,
    "GET /agents": _object(agents=_list({"allOf": [_ref("Agent"), _object(agent=TEXT)]})),
    "POST /agents/<agent>/suspend": _OF_AGENT,
    "POST /agents/<agent>/resume": _OF_AGENT,
    "GET /tasks": _object(tasks=_list(SOMETHING), next=WHOLE_OR_NOT),
    "POST /tasks": {"allOf": [_ref("TaskNow"), _CHANGED]},
    "GET /tasks/<work_item>": _object(
        task=_ref("Task"),
        depends_on=_list({}),
        dependents=_list({}),
        jobs=_list(SOMETHING),
        events=_list(_ref("Event")),
    ),
    "GET /tasks/<work_item>/story": _object(
        generated_at=MOMENT,
        task=_ref("Task"),
        state=TEXT,
        sentence=TEXT,
        seconds=NUMBER,
        stages=_list(SOMETHING),
        jobs=_list(SOMETHING),
    ),
    "GET /tasks/<work_item>/waits": _object(
        generated_at=MOMENT,
        work_item_id=TEXT,
        task_id=WHOLE,
        repo=TEXT,
        stage=TEXT,
        since=MOMENT,
        until=MOMENT,
        seconds=NUMBER,
        spent=_by_name(NUMBER),
        spells=_list(SOMETHING),
    ),
    "GET /events": _object(events=_list(_ref("Event")), last=WHOLE_OR_NOT, before=WHOLE_OR_NOT),
    "GET /notices": _object(notices=_list(SOMETHING), waiting=SOMETHING, before=WHOLE_OR_NOT),
    "POST /notices/test": _object(channels=_list(SOMETHING)),
    "POST /notices/<notice_id>/retry": SOMETHING,
    "GET /healthz": _object(
        status=TEXT,
        problems=TEXTS,
        database=YES,
        broker=YES,
        generated_at=MOMENT,
        beat=SOMETHING,
        workers=_list(SOMETHING),
        agents=_by_name(_ref("Agent")),
    ),
    "GET /readyz": _object(status=TEXT),
    **{f"POST /webhooks/{name}": _object(outcome=TEXT) for name in ("plane", "gitea", "github")},
    "GET /openapi.json": _object(openapi=TEXT, info=SOMETHING, paths=SOMETHING),
}
"""By endpoint; a control of a task that is not named here answers as `OF_TASK`."""

OF_TASK: Final = _OF_TASK
