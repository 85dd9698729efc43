"""Feeds: what is asked regularly, by one process at a time, and what is known of each.

`tracker:NAME` is a tracker, `forge:REPO` a forge. One that does not answer is asked again after as
long as it has failed already, or as it said itself; one that refuses is stopped until a person has
acted, or its settings have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from orch import names
from orch.errors import IllegalTransition, OrchError, StoreUnavailable, TrackerRefused
from orch.line import Line
from orch.store import feeds, ledger, views
from orch.store.session import Connection, Row

log = structlog.get_logger(__name__)

HOLD: Final = 300.0
"""Seconds after which a round that says nothing any more is somebody else's."""
SHORTEST, LONGEST = 10.0, 300.0
"""Seconds before one that fails is asked again; never later at first than it is asked anyhow."""
FAULT: Final = 500
"""Letters kept of what went wrong."""


@dataclass(frozen=True)
class Feed:
    """Something that is asked regularly."""

    name: str
    every: float
    """Seconds."""
    settings: str = ""
    """Changes when what it is asked with changes: then one that was stopped goes on."""
    refusals: tuple[type[OrchError], ...] = (TrackerRefused,)
    """Errors that only a person can help with."""


@dataclass
class Answered:
    """What a round found."""

    done: list[str] = field(default_factory=list)
    """What it did, in sentences."""
    wait: float | None = None
    """Seconds until it wants to come again; None is as always."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What the next round is to know."""
    fault: OrchError | None = None
    """What went wrong, though a part was done."""


@dataclass(frozen=True)
class Ran:
    """How a round went."""

    done: Sequence[str] = ()
    fault: str = ""
    stopped: bool = False


def run(
    line: Line, feed: Feed, ask: Callable[[Row], Answered], *, urgent: bool = False
) -> Ran | None:
    """Ask it, if it is its turn; None if it is not, or somebody else is at it.

    `ask` is given the feed's row, and raises OrchError where nothing could be done.
    """
    taken = line.store.write(lambda conn: _taken(conn, line, feed, urgent))
    if taken is None:
        return None
    try:
        answer = ask(taken)
    except StoreUnavailable:
        raise
    except OrchError as error:
        answer = Answered(fault=error)
    except Exception:
        log.exception("feed.crashed", feed=feed.name)
        answer = Answered(fault=OrchError("A fault in orch kept it from being asked; see its log."))
    return line.store.write(lambda conn: _settle(conn, line, feed, taken, answer))


def _taken(conn: Connection, line: Line, feed: Feed, urgent: bool) -> Row | None:
    now = line.now()
    feeds.know(conn, [feed.name], now)
    known = feeds.row(conn, feed.name)
    if known and known["stopped"] and known["notes"].get("settings", "") != feed.settings:
        _go_on(conn, line, feed.name, "orch", "its settings have changed")
    return feeds.take(conn, feed.name, now, HOLD, urgent=urgent)


def _settle(conn: Connection, line: Line, feed: Feed, taken: Row, answer: Answered) -> Ran:
    now, error = line.now(), answer.fault
    notes = {**answer.notes, "settings": feed.settings}
    if error is None:
        wait = feed.every if answer.wait is None else answer.wait
        feeds.answered(conn, taken, now, wait, notes)
        return Ran(answer.done)
    fault = names.cleaned(f"{error.message} {error.fix if _is_final(feed, error) else ''}", FAULT)
    log.warning("feed.failed", feed=feed.name, error=fault)
    if not _is_final(feed, error):
        feeds.failed(conn, taken, now, _delay(conn, line, feed, taken, error), fault)
        return Ran(answer.done, fault)
    if feeds.stop(conn, taken, now, fault):
        feeds.note(conn, feed.name, notes)
        ledger.record(conn, now, "feed.stopped", reason=fault, data={"feed": feed.name})
    return Ran(answer.done, fault, stopped=True)


def _is_final(feed: Feed, error: OrchError) -> bool:
    return isinstance(error, feed.refusals)


def _delay(conn: Connection, line: Line, feed: Feed, taken: Row, error: OrchError) -> float:
    """As long again as it has failed, within bounds: that doubles; and never before it asked."""
    since = taken["failing_since"]
    failed = 0.0 if since is None else (views.moment(conn, line.now()) - since).total_seconds()
    asked = float(error.facts.get("retry_after") or 0)
    return max(min(max(failed, min(SHORTEST, feed.every)), LONGEST), asked)


def resume(line: Line, name: str, actor: str) -> dict[str, Any]:
    """Let one that was stopped be asked again, at once. Raises IllegalTransition."""

    def change(conn: Connection) -> dict[str, Any]:
        if not _go_on(conn, line, name, actor, "resumed"):
            raise IllegalTransition(
                f"{name} was not stopped.", suggested_fix="`orch tracker list` shows how it is."
            )
        return {"changed": True, **shown(name, feeds.row(conn, name))}

    return line.store.write(change)


def shown(name: str, row: Row | None) -> dict[str, Any]:
    """A feed as the interfaces show it."""
    times = {each: row[each] if row else None for each in ("answered_at", "failing_since")}
    words = {each: row[each] if row else "" for each in ("fault", "stopped")}
    state = "new"
    if row is not None and (row["answered_at"] or row["failing_since"]):
        state = "stopped" if row["stopped"] else "failing" if row["failing_since"] else "ok"
    return {"feed": name, "state": state, **times, **words}


def _go_on(conn: Connection, line: Line, name: str, actor: str, reason: str) -> bool:
    if not feeds.go_on(conn, name, line.now()):
        return False
    told = {"actor": actor, "reason": reason, "data": {"feed": name}}
    ledger.record(conn, line.now(), "feed.resumed", **told)
    return True
