"""Telling trackers what happened: from the ledger into an outbox, and from there to the items.

The store is the truth, and a tracker is told: in order for each item, at least once, under an id
that stays the same, so that people see each comment once. One that is down delays the telling.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog

from orch import explain, names
from orch.errors import TrackerError, TrackerGone, TrackerRefused
from orch.line import Line
from orch.notices import delay
from orch.outside import replies, words
from orch.outside.source import Source
from orch.ports.tracker import Phase, Telling, Tracker
from orch.store import answers, freezes, ledger, outbox, tellings, tracked, views
from orch.store.session import Connection, Row
from orch.store.tables_outside import TELLER

log = structlog.get_logger(__name__)

NEWS: Final = 7 * 24 * 3600.0
"""Seconds after which nobody is told any more."""
KEPT: Final = 30 * 24 * 3600.0
"""Seconds for which the outbox remembers what was told."""
BATCH: Final = 200
"""Events read, and things told by a round, at a time."""
ROUND: Final = 60.0
"""Seconds after which a round takes up no more."""
HOLD: Final = 120.0
"""Seconds for which one that is being told is nobody else's."""
FAULT: Final = 300
"""Letters kept of what a tracker said."""
LONGEST: Final = 10_000
"""Letters of a comment."""


@dataclass
class Delivered:
    """What a round told."""

    told: int = 0
    dropped: int = 0
    fault: TrackerError | None = None


# --- from the ledger into the outbox ----------------------------------------------------------


def collect(line: Line, trackers: Collection[str], web_url: str = "") -> int:
    """Read the ledger on, and put what trackers are to be told into the outbox; how much is new."""
    if not trackers or not line.store.read(lambda conn: outbox.anything_new(conn, TELLER)):
        return 0
    posted, more = 0, True
    while more:
        count, more = line.store.write(partial(_read_on, line=line, web_url=web_url))
        posted += count
    return posted


def _read_on(conn: Connection, line: Line, web_url: str) -> tuple[int, bool]:
    now = line.now()
    kinds = (*words.OF_TASKS, *words.OF_REPOS)
    found, more = outbox.stretch(conn, TELLER, kinds, now, young=NEWS, most=BATCH)
    moment = views.moment(conn, now)
    begun: set[int] = set()
    rows = [
        {"uid": line.new_id(), "event_id": event["id"], "tracker": about["tracker"]}
        | {"item_id": about["item_id"], "task_id": about["task_id"]}
        | {"created_at": moment, "next_try_at": moment, "phase": said[0], "text": said[1]}
        for event in found
        for about in _items(conn, event)
        if (said := _words(conn, event, about, web_url, begun)) is not None
    ]
    return tellings.post(conn, rows), more


def _items(conn: Connection, event: Row | dict[str, Any]) -> list[Row]:
    if event["kind"] in words.OF_REPOS:
        return tracked.started_in(conn, freezes.matching_repos(conn, event["repo"]))
    return tracked.of_tasks(conn, [event["task_id"]])


def _words(
    conn: Connection, event: dict[str, Any], about: Row, web_url: str, begun: set[int]
) -> words.Words | None:
    task_id = about["task_id"]
    if event["kind"] == "job.started":
        if task_id in begun or tellings.newest(conn, task_id, "working") is not None:
            return None
        begun.add(task_id)
    said = words.words(event, dict(about), _remedy(conn, about))
    if said is None:
        return None
    phase, text = said
    page = words.page(about["task_work_item_id"], web_url) if text else ""
    return phase, names.scrubbed(text, LONGEST) + page


def _remedy(conn: Connection, about: Row) -> str:
    task = {name.removeprefix("task_"): value for name, value in about.items()}
    verdict = answers.verdict_of(conn, about["task_id"])
    return explain.remedy(task, verdict)


# --- from the outbox to the tracker -----------------------------------------------------------


def any_due(line: Line, tracker: str) -> bool:
    """Whether there is something to tell it now."""
    return line.store.read(lambda conn: tellings.any_due(conn, tracker, line.now()))


def deliver(
    line: Line, source: Source, tracker: Tracker, leaving: Callable[[], bool] = lambda: False
) -> Delivered:
    """Tell what is due, oldest first. What the tracker refuses stays where it is.

    Raises TrackerRefused. Ends with the first that the tracker cannot take now.
    """
    line.store.write(lambda conn: tellings.forget(conn, line.now(), KEPT))
    done = Delivered()
    for row in _due(line, source.name, leaving):
        try:
            _tell(line, source, tracker, row)
        except TrackerError as error:
            if not _settle(line, row, error):
                done.fault = error
                return done
            done.dropped += 1
        else:
            line.store.write(partial(_told, line=line, row=row))
            done.told += 1
    return done


def _due(line: Line, name: str, leaving: Callable[[], bool]) -> Iterator[Row]:
    """What is to be told, one by one, each taken up when the one before is done with."""
    moment: datetime = line.store.read(lambda conn: views.moment(conn, line.now()))
    end = moment + timedelta(seconds=ROUND)
    for _ in range(BATCH):
        row = line.store.write(lambda conn: tellings.take(conn, name, line.now(), HOLD))
        if row is None or leaving():
            return
        yield row
        if row["moment"] >= end:
            return


def _tell(line: Line, source: Source, tracker: Tracker, row: Row) -> None:
    if row["phase"] == "asking":
        _listen_from_here(line, source.name, tracker, row)
    phase = _phase(line, source, tracker, row)
    if phase or row["text"]:
        tracker.tell(Telling(row["uid"], row["item_id"], phase, row["text"]))


def _phase(line: Line, source: Source, tracker: Tracker, row: Row) -> Phase | None:
    """The state to move the item to; None where it is there, or a person has put it elsewhere: what
    that means is for the next round of asking to find out, and not to be written over."""
    known = line.store.read(lambda conn: tracked.row(conn, source.name, row["item_id"]))
    phase: Phase | None = row["phase"]
    if known is None or phase in (None, known["facts"].get("phase")):
        return None
    item = tracker.item(row["item_id"])
    if item is None:
        raise TrackerGone(f"{known['work_item_id']} is not there any more.")
    if item.group in ("completed", "cancelled") or known["facts"].get("held"):
        return None
    is_news = item.state != known["facts"]["state"]
    return None if is_news and item.moved_by and item.moved_by != source.myself else phase


def _listen_from_here(line: Line, name: str, tracker: Tracker, row: Row) -> None:
    """Note how far remarks go before a question is shown for the first time: what comes after may
    be its answer."""
    item_id = row["item_id"]
    known = line.store.read(lambda conn: tracked.row(conn, name, item_id))
    if known is not None and known["facts"].get("asked") != row["uid"]:
        said = tracker.remarks(item_id)
        line.store.write(lambda conn: replies.begin(conn, name, item_id, row["uid"], said))


def _told(conn: Connection, line: Line, row: Row) -> None:
    moment = views.moment(conn, line.now())
    known = tracked.row(conn, row["tracker"], row["item_id"])
    if tellings.settle(conn, row, told_at=moment, last_error="") and known and row["phase"]:
        told = {**known["facts"], "phase": row["phase"]}
        tracked.change(conn, row["tracker"], row["item_id"], facts=told)


def _settle(line: Line, row: Row, error: TrackerError) -> bool:
    """Put it off, or drop what will never be heard; whether the next can be told all the same."""
    said = names.cleaned(error.message, FAULT)
    log.warning("telling.failed", tracker=row["tracker"], telling=row["uid"], error=said)
    is_gone = isinstance(error, TrackerGone)
    is_old = row["moment"] - row["created_at"] >= timedelta(seconds=NEWS)

    def write(conn: Connection) -> None:
        moment = views.moment(conn, line.now())
        if is_gone or is_old:
            tellings.settle(conn, row, failed_at=moment, last_error=said)
            about = {"tracker": row["tracker"], "item": row["item_id"], "event": row["event_id"]}
            told = {"task_id": row["task_id"], "reason": said, "data": about}
            ledger.record(conn, line.now(), "task.untold", **told)
            return
        waits = 0.0
        if not isinstance(error, TrackerRefused):
            asked = float(error.facts.get("retry_after") or 0)
            waits = max(delay(row["uid"], row["tries"]), asked)
        then = moment + timedelta(seconds=waits)
        tellings.settle(conn, row, next_try_at=then, last_error=said)

    line.store.write(write)
    return is_gone or is_old
