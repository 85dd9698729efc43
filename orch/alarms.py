"""Tells once when something about the line itself goes wrong, and once when it has come right.

A moment's trouble is not told: it has to last, and so does its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from orch import health
from orch.line import Line
from orch.store import ledger, views, watches
from orch.store.session import Connection, Row

LASTS: Final = 50.0
"""Seconds for which it has to be wrong, or right again, before it is told: two looks a minute apart
see it."""
EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    "degraded": ("line.degraded", "line.recovered"),
    "no_worker": ("agent.unserved", "agent.served"),
}
"""What the ledger says when an alarm of a kind begins and ends."""
TOLD: Final = ("beat", "broker", "clause", "feed", "stalled", "sweep")
"""Which troubles of the line are told."""
Wrong = Mapping[tuple[str, str], str]
"""What is wrong now: kind and subject, and a sentence."""


def look(line: Line) -> list[str]:
    """Compare what is wrong now with what was; the sentences that were told."""
    found = health.report(line)
    if not found["database"]:
        return []  # nothing can be written down
    wrong = {
        ("degraded", name): sentence
        for name, sentence in health.troubles(found, line.limits).items()
        if name.partition(":")[0] in TOLD
    }
    if found["sweep"]["at"] is None:
        wrong.pop(("degraded", "sweep"), None)  # a new line is swept first when its time has come
    gate = replace(line.gate, degraded=frozenset(found["degraded"]))

    def keep(conn: Connection) -> list[str]:
        waiting = watches.waiting_agents(conn, gate)
        return _keep(conn, line, wrong | _unserved(waiting, found["agents"]))

    return line.store.write(keep)


def _unserved(waiting: Mapping[str, int], serving: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    missing = [name for name in waiting if not serving.get(name, {}).get("workers")]
    counted = {name: f"{waiting[name]} jobs wait" for name in missing} | {
        name: "a job waits" for name in missing if waiting[name] == 1
    }
    return {
        ("no_worker", name): f"{said} for {name}, and no worker serves it"
        for name, said in counted.items()
    }


def _keep(conn: Connection, line: Line, wrong: Wrong) -> list[str]:
    moment: datetime = views.moment(conn, line.now())
    known = watches.known_alarms(conn, *EVENTS)
    told = []
    for key, row in known.items():
        if key in wrong:
            said = _still(conn, line, row, wrong[key], moment)
        else:
            said = _passing(conn, line, row, moment)
        told += [said] if said else []
    for (kind, subject), sentence in wrong.items():
        if (kind, subject) not in known:
            watches.begin_alarm(conn, kind, subject, moment, {"sentence": sentence})
    return told


def _still(conn: Connection, line: Line, row: Row, sentence: str, moment: datetime) -> str | None:
    """It is wrong as before: tell of it when it has lasted."""
    watches.change_alarm(conn, row, clear_since=None, detail={"sentence": sentence})
    lasted = (moment - row["since"]).total_seconds() >= LASTS
    if row["told_at"] is not None or not lasted or not watches.tell_alarm(conn, row, line.now()):
        return None
    return _told(conn, line, row, 0, sentence)


def _passing(conn: Connection, line: Line, row: Row, moment: datetime) -> str | None:
    """It is right again: forget it, and tell of that when it was told of and has lasted."""
    if row["told_at"] is None:
        watches.end_alarm(conn, row)
        return None
    if row["clear_since"] is None:
        watches.change_alarm(conn, row, clear_since=moment)
        return None
    lasted = (moment - row["clear_since"]).total_seconds() >= LASTS
    if not lasted or not watches.end_alarm(conn, row):
        return None
    return _told(conn, line, row, 1, f"over: {row['detail']['sentence']}")


def _told(conn: Connection, line: Line, row: Row, which: int, sentence: str) -> str:
    data = {"about": row["subject"], "since": row["since"].isoformat()}
    ledger.record(conn, line.now(), EVENTS[row["kind"]][which], reason=sentence, data=data)
    return sentence
