"""Watches over heads that block others: who has stood first for too long while others wait.

Only what waits for nothing but its turn counts as blocked. A head is told of once for as long as it
blocks without a break; where the settings say so it is parked as well, unless an agent is at work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, Final

from orch import mirror, names, serial_gate
from orch.gate_fallback import evaluated
from orch.line import Line
from orch.serial_gate import Gate
from orch.store import ledger, views, watches, work
from orch.store.session import Connection, Row

ACTOR: Final = "head-watch"
"""Who parks, and who acts in the events of this module."""
SHOWN: Final = 20
"""Heads that `late` tells of at most; each is asked what it waits for."""


@dataclass(frozen=True)
class Head:
    """The task that holds a repo while others wait for it alone."""

    task_id: int
    work_item_id: str
    stage: str
    live: bool
    """Whether a job of it is claimed or running."""
    waiting: int
    """How many jobs wait for nothing else."""


@dataclass(frozen=True)
class _Seen:
    """Everything at one moment."""

    gate: Gate
    moment: datetime
    heads: Mapping[str, Head]


def look(line: Line) -> list[str]:
    """Tell of each head that has blocked others for too long, park it where that is the policy, and
    answer which work items were told of now.

    While a clause of the gate cannot be evaluated nobody knows who blocks, and all stays as it is.
    """
    if not _is_on(line):
        _forget(line)
        return []

    def survey(gate: Gate) -> _Seen:
        return line.store.survey(lambda conn: _see(conn, line, gate))

    seen = evaluated(line, survey)
    if seen.gate.degraded:
        return []
    late = line.store.write(lambda conn: _keep(conn, line, seen.heads, seen.moment))
    told = [
        seen.heads[repo].work_item_id
        for repo, row in late.items()
        if row["told_at"] is None
        and line.store.write(partial(_tell, line=line, seen=seen, row=row))
    ]
    idle = [repo for repo in late if _parks(line, repo) and not seen.heads[repo].live]
    parked = [line.store.write(partial(_park, line=line, seen=seen, repo=repo)) for repo in idle]
    if any(parked):
        line.opened(line)
    return told


def _is_on(line: Line) -> bool:
    return bool(line.limits.head_watch) or any(
        each.head_watch_seconds for each in line.repos.values()
    )


def _forget(line: Line) -> None:
    """Let nobody read of heads that are not watched any more."""
    if line.store.read(watches.told_heads):
        line.store.write(lambda conn: _keep(conn, line, {}, views.moment(conn, line.now())))


def _patience(line: Line, repo: str) -> float:
    known = line.repos.get(repo)
    own = None if known is None else known.head_watch_seconds
    return line.limits.head_watch if own is None else own


def _parks(line: Line, repo: str) -> bool:
    known = line.repos.get(repo)
    own = None if known is None else known.head_watch_park
    return line.limits.head_watch_park if own is None else own


def _see(conn: Connection, line: Line, gate: Gate, repos: Sequence[str] | None = None) -> _Seen:
    now = line.now()
    moment = views.moment(conn, now)
    blocked = watches.blocked(conn, gate, now, repos)
    watched = [repo for repo in blocked if _patience(line, repo)]
    # As the snapshot has it: a task with a live job holds the repo, else the first contender does.
    holders = {row["repo"]: row for row in views.heads(conn, gate, watched)}
    for row in reversed(views.live_jobs(conn, gate, watched)):
        holders[row["repo"]] = row
    heads = {repo: _head(holders[repo], blocked[repo]) for repo in watched if repo in holders}
    return _Seen(gate, moment, heads)


def _head(row: Row, waiting: int) -> Head:
    live = row["status"] in ("claimed", "running")
    return Head(row["task_id"], row["work_item_id"], row["stage"], live, waiting)


def _keep(
    conn: Connection, line: Line, heads: Mapping[str, Head], moment: datetime
) -> dict[str, Row]:
    """Note who blocks since when and who does no more; those that have done it for too long."""
    late = {}
    known = watches.known_alarms(conn, watches.HEAD)
    for (_, repo), row in known.items():
        head = heads.get(repo)
        if head is None or _is_another(conn, row, head):
            watches.end_alarm(conn, row)
        else:
            watches.change_alarm(conn, row, detail=asdict(head))
            if (moment - row["since"]).total_seconds() >= _patience(line, repo):
                late[repo] = row
    for repo, head in heads.items():
        if repo not in late:
            watches.begin_alarm(conn, watches.HEAD, repo, moment, asdict(head))
    return late


def _is_another(conn: Connection, row: Row, head: Head) -> bool:
    """Whether this is another head than before, or the same after it was out of the line."""
    if head.task_id != row["detail"]["task_id"]:
        return True
    return watches.resumed_since(conn, head.task_id, row["since"])


def _tell(conn: Connection, line: Line, seen: _Seen, row: Row) -> bool:
    """Write the ledger's event, once for as long as the head blocks; whether that was now."""
    if not watches.tell_alarm(conn, row, line.now()):
        return False
    repo, head = row["subject"], seen.heads[row["subject"]]
    seconds = (seen.moment - row["since"]).total_seconds()
    why = mirror.view(conn, line, seen.gate, head.work_item_id)["sentence"]
    reason = f"{sentence(repo, asdict(head), seconds)}. {why}"
    data = {**asdict(head), "seconds": round(seconds), "waits_for": why}
    about = {"task_id": head.task_id, "repo": repo, "actor": ACTOR}
    ledger.record(conn, line.now(), "head.watch", **about, reason=_short(reason), data=data)
    ledger.count(conn, "head_watch")
    return True


def _park(conn: Connection, line: Line, seen: _Seen, repo: str) -> bool:
    """Park the head if it still blocks and no agent is at work on it."""
    if not serial_gate.pause_layer_enabled(seen.gate):
        return False
    task = work.locked_task(conn, seen.heads[repo].task_id)
    if task is None or task["paused_at"] is not None:
        return False
    # Once more, now that nothing can start here: it may have been claimed since it was looked at.
    head = _see(conn, line, seen.gate, [repo]).heads.get(repo)
    if head is None or head.task_id != task["id"] or head.live:
        return False
    one = head.waiting == 1
    others = "one other task" if one else f"{head.waiting} other tasks"
    reason = f"it held {repo} for longer than {lasting(_patience(line, repo))} before {others}"
    return work.set_task_paused(conn, task["id"], line.now(), actor=ACTOR, reason=reason)


def late(line: Line) -> dict[str, dict[str, Any]]:
    """Per repo the head that has kept others waiting for too long, as somebody was told: with
    `since`, the `sentence` that says how many wait, and `waits_for`, what it waits for itself."""

    def look(gate: Gate) -> dict[str, dict[str, Any]]:
        return line.store.survey(lambda conn: _late(conn, line, gate))

    return evaluated(line, look)


def _late(conn: Connection, line: Line, gate: Gate) -> dict[str, dict[str, Any]]:
    now = views.moment(conn, line.now())
    return {
        repo: {
            **row["detail"],
            "since": row["since"],
            "sentence": sentence(repo, row["detail"], (now - row["since"]).total_seconds()),
            "waits_for": mirror.view(conn, line, gate, row["detail"]["work_item_id"])["sentence"],
        }
        for repo, row in islice(watches.told_heads(conn).items(), SHOWN)
    }


def sentence(repo: str, head: Mapping[str, Any], seconds: float) -> str:
    """What is wrong, without a full stop."""
    others = "1 other waits" if head["waiting"] == 1 else f"{head['waiting']} others wait"
    return f"{head['work_item_id']} has held {repo} for {lasting(seconds)} while {others}"


def lasting(seconds: float) -> str:
    """A length of time in the one unit that matters."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (unit != "days" and seconds >= size):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _short(reason: str) -> str:
    return names.cleaned(reason, names.REASON_LIMIT)
