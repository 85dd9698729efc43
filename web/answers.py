"""What each call answers, as JSON Schema."""

from __future__ import annotations

from typing import Final

from orch import reports
from orch.health import TIMES
from web import schemas
from web.schemas import AGENT, JOB, NOTICE
from web.shapes import (
    MOMENT,
    MOMENT_OR_NOT,
    NUMBER,
    NUMBER_OR_NOT,
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
    ref,
    whole,
    word,
)

OF_TASK: Final = one_of(ref("TaskAfter"), ref("Preview"))
"""What the control of a task answers, if nothing else is said below."""
_OF_REPO: Final = one_of(ref("LineAfter"), ref("Preview"))
_OF_AGENT: Final = whole(agent=TEXT, changed=YES, **AGENT)

_MEASURES: Final = {"seconds": NUMBER, "share": NUMBER, "spells": WHOLE}
_PARTED: Final[dict[str, Schema]] = {
    **_MEASURES,
    **dict.fromkeys(reports.KINDS, NUMBER),
    "reasons": by_name(NUMBER),
}
_GROUPS: Final[dict[reports.By, Schema]] = {
    "reason": whole(reason=TEXT, kind=word(reports.KINDS), says=TEXT, **_MEASURES, tasks=WHOLE),
    "repo": whole(repo=TEXT, **_PARTED),
    "stage": whole(stage=TEXT_OR_NOT, agent=TEXT_OR_NOT, **_PARTED),
    "week": whole(week=TEXT, begins=MOMENT, **_PARTED),
    "task": whole(
        task_id=WHOLE,
        work_item_id=TEXT_OR_NOT,
        title=TEXT,
        repo=TEXT_OR_NOT,
        stage=TEXT_OR_NOT,
        **_PARTED,
    ),
}
_REPORT: Final = whole(
    {f"by_{name}": list_of(row) for name, row in _GROUPS.items()},
    generated_at=MOMENT,
    since=MOMENT,
    until=MOMENT,
    repos=TEXTS,
    watched_since=MOMENT_OR_NOT,
    looked_at=MOMENT_OR_NOT,
    seconds=NUMBER,
    totals=whole(**dict.fromkeys(reports.KINDS, whole(**_MEASURES))),
    sentence=TEXT,
    not_known=TEXTS,
)
_SIMULATION: Final = whole(
    generated_at=MOMENT,
    sentence=TEXT,
    seed=WHOLE_OR_NOT,
    drained_at=MOMENT_OR_NOT,
    drain_seconds=NUMBER_OR_NOT,
    rows=list_of(
        whole(
            number=WHOLE,
            work_item_id=TEXT,
            repo=TEXT,
            stage=TEXT,
            agent=TEXT,
            attempt=WHOLE,
            starts_at=MOMENT,
            ends_at=MOMENT,
            seconds=NUMBER,
            waited_seconds=NUMBER,
            running=YES,
        )
    ),
    tasks=list_of(
        whole(
            work_item_id=TEXT,
            repo=TEXT,
            title=TEXT,
            stage=TEXT,
            starts_at=MOMENT_OR_NOT,
            done_at=MOMENT_OR_NOT,
            waits_for=TEXT_OR_NOT,
        )
    ),
    never=list_of(
        whole(
            work_item_id=TEXT,
            repo=TEXT,
            stage=TEXT,
            reason=TEXT_OR_NOT,
            detail=TEXT,
            clear_with=TEXT_OR_NOT,
        )
    ),
    agents=by_name(whole(slots=WHOLE, turns=WHOLE, busy_seconds=NUMBER, utilisation=NUMBER_OR_NOT)),
    basis=list_of(
        whole(
            repo=TEXT,
            stage=TEXT,
            agent=TEXT,
            source=TEXT,
            seconds=NUMBER,
            count=WHOLE,
            sentence=TEXT,
        )
    ),
    assumed=TEXTS,
    changed=list_of(whole(verb=TEXT, target=TEXT, changed=YES)),
)

_TIME: Final = {"at": MOMENT_OR_NOT, "seconds": NUMBER_OR_NOT}
_HOW: Final = {
    "status": word(("ok", "degraded")),
    "problems": TEXTS,
    "database": YES,
    "broker": YES,
}
_HEALTH: Final = whole(
    **_HOW,
    generated_at=MOMENT,
    degraded=TEXTS,
    # What rings and what sweeps may say more about it than when.
    **dict.fromkeys(TIMES, begun(**_TIME)),
    workers=list_of(
        whole(name=TEXT, queue=TEXT, concurrency=WHOLE, version=TEXT_OR_NOT, heartbeat_at=MOMENT)
    ),
    agents=by_name(whole(**AGENT, free=WHOLE)),
    stalled=list_of(whole(agent=TEXT, claims=WHOLE, oldest=MOMENT, seconds=NUMBER)),
    late_heads=WHOLE,
    notices=list_of(whole(channel=TEXT, notices=WHOLE, tries=WHOLE)),
    webhooks=by_name(whole(seen_at=MOMENT_OR_NOT, waiting=WHOLE, seconds=NUMBER_OR_NOT)),
    feeds=list_of(
        whole(
            name=TEXT,
            answered_at=MOMENT_OR_NOT,
            seconds=NUMBER_OR_NOT,
            failing_seconds=NUMBER_OR_NOT,
            stopped=YES,
        )
    ),
)
_FOR_ANYBODY: Final = whole(**_HOW, generated_at=MOMENT, **dict.fromkeys(TIMES, whole(**_TIME)))
_AWAY: Final = whole(**_HOW) | {"description": "All there is to say without the database."}

ANSWERS: Final[dict[str, Schema]] = {
    "GET /queue": ref("Snapshot"),
    "GET /why": ref("TaskNow"),
    "GET /simulate": _SIMULATION,
    "GET /report": _REPORT,
    "POST /serial-gate/freeze": _OF_REPO,
    "POST /serial-gate/unfreeze": _OF_REPO,
    "GET /agents": whole(agents=list_of(whole(agent=TEXT, **AGENT))),
    "POST /agents/<agent>/suspend": _OF_AGENT,
    "POST /agents/<agent>/resume": _OF_AGENT,
    "GET /tasks": whole(tasks=list_of(ref("ListedTask")), next=WHOLE_OR_NOT),
    "POST /tasks": ref("TaskAfter"),
    "GET /tasks/<work_item>": whole(
        task=ref("Task"),
        depends_on=list_of(ref("Neighbour")),
        dependents=list_of(ref("Neighbour")),
        jobs=list_of(whole(**JOB, created_at=MOMENT)),
        events=list_of(ref("Event")),
    ),
    "GET /tasks/<work_item>/story": schemas.STORY,
    "GET /tasks/<work_item>/waits": whole(
        generated_at=MOMENT,
        work_item_id=TEXT,
        task_id=WHOLE,
        repo=TEXT,
        stage=TEXT,
        since=MOMENT,
        until=MOMENT,
        seconds=NUMBER,
        spent=by_name(NUMBER),
        spells=list_of(schemas.SPELL),
    ),
    "GET /events": one_of(
        whole(events=list_of(ref("Event")), last=WHOLE, before=WHOLE_OR_NOT),
        whole(events=list_of(ref("Event")), last=WHOLE, more=YES)
        | {"description": "Where `after` asked for what came since."},
    ),
    "GET /notices": whole(
        notices=list_of(ref("Notice")), waiting=by_name(WHOLE), before=WHOLE_OR_NOT
    ),
    "POST /notices/test": whole(
        channels=list_of(whole({"error": TEXT, "suggested_fix": TEXT}, channel=TEXT, ok=YES))
    ),
    "POST /notices/<notice_id>/retry": whole(changed=YES, **NOTICE),
    "GET /healthz": one_of(_HEALTH, _FOR_ANYBODY, _AWAY),
    "GET /readyz": whole(status=word(("ready",))),
    **{f"POST /webhooks/{name}": whole(outcome=TEXT) for name in ("plane", "gitea", "github")},
    "GET /openapi.json": begun(openapi=TEXT, info=a("object"), paths=a("object")),
}
"""By endpoint; a control of a task that is not named here answers as `OF_TASK`."""
