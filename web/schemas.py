"""The things that calls answer with, as JSON Schema: every field, and none beside."""

from __future__ import annotations

from typing import Final, get_args

from orch import reports
from orch.listing import State
from web.shapes import (
    MOMENT,
    MOMENT_OR_NOT,
    NUMBER,
    NUMBER_OR_NOT,
    SAID,
    TEXT,
    TEXT_OR_NOT,
    TEXTS,
    WHOLE,
    WHOLE_OR_NOT,
    YES,
    Schema,
    a,
    begun,
    by_name,
    list_of,
    one_of,
    or_null,
    ref,
    whole,
    word,
)

_STATE: Final = word(get_args(State))
_COMMITS: Final = dict.fromkeys(("base_sha", "head_sha", "tested_sha", "merge_sha"), TEXT_OR_NOT)
_PAUSE: Final = {
    "paused_at": MOMENT_OR_NOT,
    "paused_by": TEXT_OR_NOT,
    "paused_reason": TEXT_OR_NOT,
    "paused_until": MOMENT_OR_NOT,
}

# --- tasks and jobs ---------------------------------------------------------------------------

TASK: Final = whole(
    task_id=WHOLE,
    plane_id=TEXT_OR_NOT,
    work_item_id=TEXT,
    repo=TEXT,
    branch=TEXT,
    stage=TEXT,
    title=TEXT,
    description=TEXT,
    track=TEXT,
    created_at=MOMENT,
    rank=WHOLE,
    admitted_at=MOMENT_OR_NOT,
    **_PAUSE,
    reworks=WHOLE,
    finished_at=MOMENT_OR_NOT,
    approval=TEXT_OR_NOT | {"description": "The stage whose approval it waits for."},
    **_COMMITS,
    cost_usd=NUMBER,
    turns=WHOLE,
)
LISTED_TASK: Final = whole(
    task_id=WHOLE,
    work_item_id=TEXT,
    repo=TEXT,
    title=TEXT,
    stage=TEXT,
    track=TEXT,
    rank=WHOLE,
    created_at=MOMENT,
    **_PAUSE,
    finished_at=MOMENT_OR_NOT,
    job_id=WHOLE_OR_NOT,
    agent=TEXT_OR_NOT,
    state=_STATE,
)
JOB: Final = {
    "job_id": WHOLE,
    "agent": TEXT,
    "repo": TEXT,
    "task_id": WHOLE,
    "stage": TEXT_OR_NOT,
    "status": TEXT,
    "attempt": WHOLE,
    "available_at": MOMENT,
    "ready_at": MOMENT_OR_NOT,
    "claimed_at": MOMENT_OR_NOT,
    "started_at": MOMENT_OR_NOT,
    "lease_until": MOMENT_OR_NOT,
    "worker": TEXT_OR_NOT,
    "stop_requested": TEXT_OR_NOT,
    "finished_at": MOMENT_OR_NOT,
    "failure": TEXT_OR_NOT,
    "verdict": TEXT_OR_NOT,
    "summary": TEXT,
    "exit_code": WHOLE_OR_NOT,
    "usage": SAID,
    "report": SAID,
    "log": TEXT | {"description": "The address of its log."},
}
WAITING_JOB: Final = whole(
    job_id=WHOLE,
    task_id=WHOLE,
    work_item_id=TEXT,
    title=TEXT,
    agent=TEXT,
    stage=TEXT_OR_NOT,
    attempt=WHOLE,
    position=WHOLE_OR_NOT,
    reason=TEXT_OR_NOT | {"description": "The first clause of the gate that is false for it."},
    hold=TEXT_OR_NOT | {"description": "What it waits for behind an open gate."},
    since=MOMENT,
    queued_at=MOMENT,
    blockers=list_of(ref("Blocker")),
)
LIVE_JOB: Final = whole(
    job_id=WHOLE,
    repo=TEXT,
    agent=TEXT,
    status=word(("claimed", "running")),
    attempt=WHOLE,
    worker=TEXT_OR_NOT,
    since=MOMENT_OR_NOT,
    started_at=MOMENT_OR_NOT,
    lease_until=MOMENT_OR_NOT,
    stop_requested=TEXT_OR_NOT,
    task_id=WHOLE,
    work_item_id=TEXT,
    title=TEXT,
    stage=TEXT,
    paused_at=MOMENT_OR_NOT,
)
BLOCKER: Final = whole(
    {"until": MOMENT_OR_NOT, "stage": TEXT, "agent": TEXT_OR_NOT},
    clause=TEXT,
    id=WHOLE_OR_NOT,
    work_item_id=TEXT_OR_NOT,
    since=MOMENT_OR_NOT,
    set_by=TEXT_OR_NOT,
    clear_with=TEXT_OR_NOT | {"description": "The command that takes it away."},
    detail=TEXT,
)
HOLDER: Final = whole(
    task_id=WHOLE,
    work_item_id=TEXT,
    stage=TEXT,
    agent=TEXT_OR_NOT,
    job_id=WHOLE_OR_NOT,
    since=MOMENT_OR_NOT,
    live=YES,
)
HEAD_WATCH: Final = whole(
    since=MOMENT, task_id=WHOLE, work_item_id=TEXT, stage=TEXT, live=YES, waiting=WHOLE
)
TRACKER: Final = whole(
    name=TEXT,
    state=TEXT_OR_NOT,
    url=TEXT_OR_NOT,
    as_of=MOMENT_OR_NOT,
    failing_since=MOMENT_OR_NOT,
    stopped=YES,
    reason=TEXT_OR_NOT,
)
PULL: Final = whole(
    branch=TEXT_OR_NOT,
    number=WHOLE_OR_NOT,
    url=TEXT_OR_NOT,
    state=TEXT_OR_NOT,
    head_sha=TEXT_OR_NOT,
    merge_sha=TEXT_OR_NOT,
    seen_at=MOMENT_OR_NOT,
    held=TEXT_OR_NOT,
    held_since=MOMENT_OR_NOT,
    held_job=WHOLE_OR_NOT,
)
_NOW: Final = {
    "generated_at": MOMENT,
    "degraded": TEXTS | {"description": "Clauses of the gate that cannot be read."},
    "task": ref("Task"),
    "state": _STATE,
    "job": one_of(ref("WaitingJob"), ref("LiveJob"), a("null")),
    "reason": TEXT_OR_NOT,
    "hold": TEXT_OR_NOT,
    "suspended": or_null(whole(agent=TEXT, until=MOMENT, reason=TEXT_OR_NOT, clear_with=TEXT)),
    "blockers": list_of(ref("Blocker")),
    "holder": or_null(ref("Holder")),
    "ahead": TEXTS,
    "frozen": YES,
    "head_watch": or_null(ref("HeadWatch")),
    "pull": or_null(ref("Pull")),
    "tracker": or_null(ref("Tracker")),
    "sentence": TEXT,
}
ETA: Final = whole(starts_at=MOMENT_OR_NOT, done_at=MOMENT_OR_NOT, basis=TEXT, sentence=TEXT)
NEIGHBOUR: Final = whole(work_item_id=TEXT, repo=TEXT, stage=TEXT, source=TEXT)
SAID_OF_TASK: Final = whole(
    at=MOMENT,
    kind=TEXT,
    actor=TEXT,
    reason=TEXT,
    from_state=TEXT_OR_NOT,
    to_state=TEXT_OR_NOT,
    data=SAID,
)
STORY: Final = whole(
    **{
        name: _NOW[name]
        for name in ("generated_at", "task", "state", "sentence", "blockers", "holder", "ahead")
    },
    tracker=_NOW["tracker"],
    pull=_NOW["pull"],
    seconds=NUMBER,
    stages=list_of(
        whole(stage=TEXT, since=MOMENT_OR_NOT, until=MOMENT_OR_NOT, seconds=NUMBER_OR_NOT)
    ),
    jobs=list_of(whole(**JOB, queued_at=MOMENT, waited_seconds=NUMBER, worked_seconds=NUMBER)),
    said=list_of(SAID_OF_TASK),
    held=list_of(
        whole(why=TEXT, since=MOMENT, until=MOMENT_OR_NOT, seconds=NUMBER, by=TEXT, reason=TEXT)
    ),
    spent=by_name(NUMBER),
    commits=whole(**_COMMITS),
    landing=or_null(SAID),
    usage=whole(dict.fromkeys(("cost_usd", "turns", "input_tokens", "output_tokens"), NUMBER)),
    not_known=TEXTS,
)
SPELL: Final = whole(
    reason=TEXT,
    kind=word(reports.KINDS),
    says=TEXT,
    since=MOMENT,
    until=MOMENT_OR_NOT,
    seconds=NUMBER,
    stage=TEXT_OR_NOT,
    agent=TEXT_OR_NOT,
    job_id=WHOLE_OR_NOT,
    blocker_id=WHOLE_OR_NOT,
    blocker=TEXT_OR_NOT,
)

# --- the line ---------------------------------------------------------------------------------

AGENT: Final = {
    "live": WHOLE,
    "slots": WHOLE,
    "workers": WHOLE,
    "suspended_until": MOMENT_OR_NOT,
    "suspended_reason": TEXT_OR_NOT,
}
LANE: Final = whole(
    active_task=or_null(ref("Holder")),
    paused=list_of(
        whole(
            task_id=WHOLE,
            work_item_id=TEXT,
            stage=TEXT,
            title=TEXT,
            **_PAUSE,
            approval=TEXT_OR_NOT,
            clear_with=TEXT,
        )
    ),
    waiting=list_of(ref("WaitingJob")),
    waiting_total=WHOLE | {"description": "How many wait; who is parked does not."},
    listed_total=WHOLE | {"description": "How many rows `waiting` has as a whole."},
    frozen=YES,
    frozen_reason=TEXT_OR_NOT,
    frozen_at=MOMENT_OR_NOT,
    frozen_by=TEXT_OR_NOT,
    frozen_until=MOMENT_OR_NOT,
    frozen_allow=TEXT_OR_NOT | {"description": "The work item that may pass."},
    live=list_of(ref("LiveJob")),
    head_watch=or_null(ref("HeadWatch")),
)
GATE: Final = whole(
    **dict.fromkeys(
        (
            "serial_gate_enabled",
            "serial_gate_pause_enabled",
            "serial_gate_freeze_enabled",
            "serial_gate_yield_enabled",
            "serial_gate_entry_only",
            "task_deps_enabled",
        ),
        YES,
    ),
    serial_gate_repos=TEXTS,
    per_repo=by_name(ref("Lane")),
)
_SNAPSHOT: Final = {
    "generated_at": MOMENT,
    "degraded": _NOW["degraded"],
    "serial_gate": ref("Gate"),
    "agents": by_name(ref("Agent")),
}
FREEZE: Final = whole(
    id=WHOLE,
    repo=TEXT,
    frozen_at=MOMENT,
    reason=TEXT,
    source=TEXT,
    expires_at=MOMENT_OR_NOT,
    allow_task_id=WHOLE_OR_NOT,
)
_SEEN: Final = or_null(whole(reason=TEXT_OR_NOT, hold=TEXT_OR_NOT, blockers=TEXTS, starts=YES))
PREVIEW: Final = whole(
    preview=a("boolean", const=True),
    changed=YES,
    starts=TEXTS,
    begins_waiting=TEXTS,
    held=TEXTS,
    changes=list_of(whole(work_item_id=TEXT, before=_SEEN, after=_SEEN, said=TEXT)),
    not_compared=TEXT_OR_NOT,
    sentence=TEXT,
)
EVENT: Final = whole(
    id=WHOLE,
    at=MOMENT,
    kind=TEXT,
    task_id=WHOLE_OR_NOT,
    job_id=WHOLE_OR_NOT,
    repo=TEXT_OR_NOT,
    actor=TEXT,
    reason=TEXT,
    from_state=TEXT_OR_NOT,
    to_state=TEXT_OR_NOT,
    data=SAID,
    work_item_id=TEXT_OR_NOT,
)
NOTICE: Final = {
    "id": WHOLE,
    "uid": TEXT,
    "channel": TEXT,
    "kind": TEXT,
    "repo": TEXT_OR_NOT,
    "work_item_id": TEXT_OR_NOT,
    "title": TEXT,
    "text": TEXT,
    "link": TEXT,
    "happened_at": MOMENT,
    "created_at": MOMENT,
    "next_try_at": MOMENT_OR_NOT,
    "tries": WHOLE,
    "sent_at": MOMENT_OR_NOT,
    "failed_at": MOMENT_OR_NOT,
    "last_error": TEXT,
    "state": word(("waiting", "sent", "failed")),
}
# RFC 9457 lets a problem tell more: which fields, what looks like it, when to come back.
PROBLEM: Final = begun(
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
    "ListedTask": LISTED_TASK,
    "Blocker": BLOCKER,
    "WaitingJob": WAITING_JOB,
    "LiveJob": LIVE_JOB,
    "Holder": HOLDER,
    "HeadWatch": HEAD_WATCH,
    "Tracker": TRACKER,
    "Pull": PULL,
    "TaskNow": whole({"eta": or_null(ETA)}, **_NOW),
    "TaskAfter": whole(**_NOW, changed=YES),
    "Agent": whole(**AGENT),
    "Lane": LANE,
    "Gate": GATE,
    "Snapshot": whole(**_SNAPSHOT),
    "LineAfter": whole(**_SNAPSHOT, changed=YES, freeze=or_null(FREEZE)),
    "Preview": PREVIEW,
    "Event": EVENT,
    "Neighbour": NEIGHBOUR,
    "Notice": whole(**NOTICE),
}
