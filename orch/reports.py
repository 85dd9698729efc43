"""Where did the time go: the waiting ledger summed by reason, repo, stage, week and task.

All of a task's time is one of three: it waited, an agent worked, or it was parked for a person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args

from orch import mirror, stages
from orch.line import Line
from orch.serial_gate import DEFAULT
from orch.store import sums, views
from orch.store.session import Connection, Row
from orch.store.sums import Part

By = Literal["reason", "repo", "stage", "week", "task"]
GROUPS: Final[tuple[By, ...]] = get_args(By)
Kind = Literal["waited", "worked", "parked"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
REASONS: Final[dict[str, tuple[Kind, str]]] = {
    "work": ("worked", "an agent was at work"),
    "freeze": ("waited", "its repo was frozen"),
    "dependency": ("waited", "waited for a task it depends on"),
    "active-task": ("waited", "another task held its repo"),
    "backoff": ("waited", "a further attempt waited for its time"),
    "capacity": ("waited", "waited for a free slot of its agent"),
    "suspended": ("waited", "its agent was suspended"),
    "no-worker": ("waited", "no worker served its agent"),
    "start": ("waited", "nothing held it: it was about to start"),
    "unseen": ("waited", "waited while nobody looked, or between two looks"),
    "paused": ("parked", "parked, until somebody takes it back"),
    "needs-input": ("parked", "waited for a person's answer"),
    "approval": ("parked", "waited for a person's approval"),
}
"""Every reason of the ledger: which kind of time it is, and how it reads."""

USUAL: Final = timedelta(weeks=4)
WEEKS: Final = 53
"""Most weeks that are told apart: the last ones."""
TOP: Final = 20
SPELLS: Final = 1000
STALE: Final = timedelta(seconds=60)
"""After so long without a look the ledger has stopped."""


@dataclass(frozen=True)
class Wanted:
    """Which part of the ledger is asked for, and put together by what."""

    repos: tuple[str, ...] = ()
    """Empty is every repo."""
    since: datetime | None = None
    """None is four weeks ago."""
    by: tuple[By, ...] = GROUPS
    top: int = TOP
    """How many repos, stages and tasks are told, those with the most time."""


EVERYTHING: Final = Wanted()


def report(line: Line, wanted: Wanted = EVERYTHING) -> dict[str, Any]:
    """Where the time went between `since` and now, as `GET /report` answers it.

    `totals` has waited, worked, parked. `by_reason`, `by_repo`, `by_stage`, `by_week` and `by_task`
    are lists, as far as they are asked for. Each row has `seconds`, its `share` of all time of the
    report, and how many `spells` that were; those of `by_reason` also say of how many `tasks`, all
    others what of it was waited, worked and parked, and their seconds by reason under `reasons`.
    """
    return line.store.survey(lambda conn: _report(conn, line, wanted))


def _report(conn: Connection, line: Line, wanted: Wanted) -> dict[str, Any]:
    now: datetime = views.moment(conn, line.now())
    began, looked = sums.watched(conn)
    part = Part(min(wanted.since or now - USUAL, now), now, wanted.repos)
    rows = sums.by_reason(conn, part)
    whole = sum(row["seconds"] for row in rows)
    found: dict[str, Any] = {
        "generated_at": now,
        "since": part.since,
        "until": now,
        "repos": list(wanted.repos),
        "watched_since": began,
        "looked_at": looked,
        "seconds": round(whole, 3),
        "totals": _totals(rows, whole),
    }
    for each in wanted.by:
        found[f"by_{each}"] = _group(conn, part, each, wanted.top, whole)
    found["sentence"] = _sentence(found, rows)
    found["not_known"] = _not_known(found)
    return found


def _group(conn: Connection, part: Part, by: By, top: int, whole: float) -> list[dict[str, Any]]:
    match by:
        case "reason":
            return _by_reason(sums.by_reason(conn, part), whole)
        case "week":
            weeks = _weeks(part.since, part.until)
            found = _grouped(sums.by_week(conn, part, weeks), ("week",), whole)
            return sorted((_week(row) for row in found), key=lambda row: str(row["week"]))
        case "task":
            return _tasks(conn, _grouped(sums.by_key(conn, part, by, top), ("task_id",), whole))
        case _:
            return _grouped(sums.by_key(conn, part, by, top), sums.KEYS[by], whole)


def _by_reason(rows: Iterable[Row], whole: float) -> list[dict[str, Any]]:
    found = [
        {
            "reason": row["reason"],
            "kind": kind_of(row["reason"]),
            "says": REASONS[row["reason"]][1],
            **_measures([row], whole),
            "tasks": row["tasks"],
        }
        for row in rows
    ]
    return sorted(found, key=_largest)


def _grouped(rows: Iterable[Row], names: tuple[str, ...], whole: float) -> list[dict[str, Any]]:
    """Rows of the same key put together, those with the most time first."""
    of: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        of[tuple(row[name] for name in names)].append(row)
    found = [
        {
            **dict(zip(names, key, strict=True)),
            **_measures(its, whole),
            **{kind: each["seconds"] for kind, each in _totals(its, whole).items()},
            "reasons": {row["reason"]: round(row["seconds"], 3) for row in its},
        }
        for key, its in of.items()
    ]
    return sorted(found, key=_largest)


def _measures(rows: Sequence[Row], whole: float) -> dict[str, Any]:
    seconds = sum(row["seconds"] for row in rows)
    return {
        "seconds": round(seconds, 3),
        "share": round(seconds / whole, 4) if whole else 0.0,
        "spells": sum(row["spells"] for row in rows),
    }


def _totals(rows: Sequence[Row], whole: float) -> dict[str, dict[str, Any]]:
    return {
        kind: _measures([row for row in rows if kind_of(row["reason"]) == kind], whole)
        for kind in KINDS
    }


def kind_of(reason: str) -> Kind:
    """Whether a reason is time waited, worked or parked."""
    return REASONS[reason][0]


def _largest(row: Mapping[str, Any]) -> tuple[float, str]:
    return -row["seconds"], str(row)


def _weeks(since: datetime, until: datetime) -> list[datetime]:
    """The Mondays between which the weeks lie that the part touches; the last so many."""
    monday = (since - timedelta(days=since.weekday())).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    count = int((until - monday).days // 7) + 2
    return [monday + timedelta(weeks=number) for number in range(count)][-WEEKS - 1 :]


def _week(row: dict[str, Any]) -> dict[str, Any]:
    begins = row.pop("week")
    year, week, _ = begins.isocalendar()
    return {"week": f"{year}-W{week:02d}", "begins": begins, **row}


def _tasks(conn: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    known = sums.of_tasks(conn, [row["task_id"] for row in rows])
    unnamed = {"work_item_id": None, "title": "", "repo": None, "stage": None}
    names = {task_id: dict(row) for task_id, row in known.items()}
    found = []
    for row in rows:
        name = {key: names.get(row["task_id"], unnamed)[key] for key in unnamed}
        found.append({"task_id": row["task_id"], **name, **row})
    return found


def _sentence(found: Mapping[str, Any], rows: Sequence[Row]) -> str:
    if not found["seconds"]:
        return "Nothing has waited, worked or been parked in this time."
    shares = {kind: each["share"] for kind, each in found["totals"].items()}
    said = ", ".join(f"{share:.0%} {kind}" for kind, share in shares.items())
    waits = [row for row in rows if kind_of(row["reason"]) == "waited" and row["seconds"]]
    if not waits:
        return f"Of the tasks' time: {said}."
    most = max(waits, key=lambda row: float(row["seconds"]))
    return f"Of the tasks' time: {said}; most of the waiting: {REASONS[most['reason']][1]}."


def _not_known(found: Mapping[str, Any]) -> list[str]:
    """What the ledger cannot tell, each as a sentence."""
    began, looked, now = found["watched_since"], found["looked_at"], found["generated_at"]
    if began is None:
        return ["Anything: nobody has looked yet. `orch beat` and `orch control` do."]
    said = []
    if began > found["since"]:
        said.append(f"What was before {began:%Y-%m-%d %H:%M} UTC: the ledger begins there.")
    if now - looked > STALE:
        said.append(
            f"What changed since {looked:%Y-%m-%d %H:%M:%S} UTC: nobody has looked since. "
            "Do `orch beat` and `orch control` run?"
        )
    return said


# --- one task ---------------------------------------------------------------------------------


def task(line: Line, work_item_id: str) -> dict[str, Any]:
    """How one task spent its time, spell after spell, as `GET /tasks/<work_item>/waits` answers it.

    `spent` has seconds by reason, and under `idle` what no spell tells of: together they are all of
    the task's life, or of what its last thousand spells are about. Raises UnknownTask.
    """
    return line.store.survey(lambda conn: _task(conn, line, work_item_id))


def _task(conn: Connection, line: Line, work_item_id: str) -> dict[str, Any]:
    row = views.task_row(conn, DEFAULT, work_item_id)
    if row is None:
        raise mirror.unknown(conn, work_item_id)
    now: datetime = views.moment(conn, line.now())
    spells = [_spell(each, now) for each in sums.of_task(conn, row["id"], SPELLS)]
    end = now
    if row["stage"] in stages.TERMINAL:
        last = [each["until"] or now for each in spells]
        end = max([row["finished_at"] or row["created_at"], *last])
    first = [each["since"] for each in spells[:1]]
    began = first[0] if len(spells) == SPELLS else min([row["created_at"], *first])
    spent: dict[str, float] = defaultdict(float)
    for each in spells:
        spent[each["reason"]] += each["seconds"]
    life = (end - began).total_seconds()
    idle = round(life - sum(spent.values()), 3)
    return {
        "generated_at": now,
        "work_item_id": row["work_item_id"],
        "task_id": row["id"],
        "repo": row["repo"],
        "stage": row["stage"],
        "since": began,
        "until": end,
        "seconds": round(life, 3),
        "spent": {reason: round(seconds, 3) for reason, seconds in spent.items()}
        | ({"idle": idle} if idle > 0 else {}),
        "spells": spells,
    }


def _spell(row: Row, now: datetime) -> dict[str, Any]:
    until = row["until"]
    seconds = ((until or max(now, row["since"])) - row["since"]).total_seconds()
    return {
        "reason": row["reason"],
        "kind": kind_of(row["reason"]),
        "says": REASONS[row["reason"]][1],
        "since": row["since"],
        "until": until,
        "seconds": round(seconds, 3),
        "stage": row["stage"],
        "agent": row["agent"],
        "job_id": row["job_id"],
        "blocker_id": row["blocker_id"],
        "blocker": row["blocker"],
    }
