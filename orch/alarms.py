"""Tells once when something about the line itself goes wrong, and once when it has come right.

A moment's trouble is not told: it has to last, and so does its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

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
Wrong = Mapping[tuple[str, str], str]
"""What is wrong now: kind and subject, and a sentence."""


def look(line: Line, tick_seconds: float) -> list[str]:
    """Compare what is wrong now with what was; the sentences that were told."""
    found = health.report(line, tick_seconds)
    if not found["database"]:
        return []  # nothing can be written down
    troubles = health.troubles(found, tick_seconds)
    wrong = {
        ("degraded", name): sentence
        for name, sentence in troubles.items()
        if name.partition(":")[0] in ("beat", "broker", "clause", "stalled")
    }
    serving = found["agents"]

    def keep(conn: Connection) -> list[str]:
        unserved = {
            ("no_worker", agent): f"{count} jobs wait for {agent}, and no worker serves it"
            if count > 1
            else f"a job waits for {agent}, and no worker serves it"
            for agent, count in watches.waiting_agents(conn).items()
            if not serving.get(agent, {}).get("workers")
        }
        return _keep(conn, line, {**wrong, **unserved})

    return line.store.write(keep)


def _keep(conn: Connection, line: Line, wrong: Wrong) -> list[str]:
    moment: datetime = views.moment(conn, line.now())
    known = watches.known_alarms(conn, *EVENTS)
    told = []
    for key, row in known.items():
        said = _still(conn, line, row, wrong[key], moment) if key in wrong else None
        said = said or (None if key in wrong else _passing(conn, line, row, moment))
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
