"""Notices: what people away from the line are told, through which channels, and what came of it.

The ledger is read on from a bookmark; what is worth telling goes into an outbox in the transaction
that moves the bookmark, once for each channel. From there it is sent until the receiver has taken
it: at least once, under an id that stays the same.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog

from orch import names, tidings, tokens
from orch.channels import Channel, Notice
from orch.errors import (
    ChannelError,
    ChannelRefused,
    ChannelUnavailable,
    IllegalTransition,
    NotFound,
)
from orch.line import Line
from orch.notice_settings import KINDS, Kind
from orch.outcomes import ASKED
from orch.store import ledger, outbox, views
from orch.store.session import Connection, Row
from orch.tidings import Told

log = structlog.get_logger(__name__)

NEWS: Final = 24 * 3600.0
"""Seconds after which a thing is no news: an older event is passed over, and a receiver that was
away for so long is not told of it any more."""
KEPT: Final = 30 * 24 * 3600.0
"""Seconds for which the outbox remembers."""
BATCH: Final = 200
"""Events read, and notices sent by a channel, at a time."""
ROUND: Final = 60.0
"""Seconds after which a channel takes up no more: others may wait for the next round."""
PATIENCE: Final = 15.0
"""Seconds after which a receiver is given up for this time, however slowly it speaks."""
HOLD: Final = 120.0
"""Seconds for which a notice that is being sent is nobody else's."""
FIRST_DELAY, LONGEST_DELAY = 10.0, 900.0
REFUSALS: Final = 8
"""So often a receiver may say no to a notice: about twenty minutes."""
FAULT: Final = 300
"""Letters kept of what a receiver said."""


@dataclass(frozen=True)
class Subscription:
    """What is told, and through which channels."""

    channels: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset(KINDS)
    web_url: str = ""
    """The public address of the web app, for links; empty is none."""


# --- from the ledger into the outbox ----------------------------------------------------------


def collect(line: Line, wanted: Subscription) -> int:
    """Read the ledger on, and put what is to be told into the outbox; how many notices are new.

    The first time nothing is told: what happened before is no news.
    """
    if not wanted.channels or not line.store.read(outbox.anything_new):
        return 0
    posted, more = 0, True
    while more:
        count, more = line.store.write(partial(_read_on, line=line, wanted=wanted))
        posted += count
    return posted


def any_due(line: Line, wanted: Subscription) -> bool:
    """Whether something waits to be sent now."""
    return line.store.read(lambda conn: outbox.any_due(conn, wanted.channels, line.now()))


def _read_on(conn: Connection, line: Line, wanted: Subscription) -> tuple[int, bool]:
    now = line.now()
    found, more = outbox.stretch(
        conn, outbox.BOOKMARK, tidings.KIND_OF, now, young=NEWS, most=BATCH
    )
    moment = views.moment(conn, now)
    told = [(event, kind) for event in found if (kind := _kind(conn, event, found, wanted))]
    rows = [
        {"uid": line.new_id(), "channel": channel, "created_at": moment, "next_try_at": moment}
        | _texts(event, kind, others, wanted.web_url)
        for event, kind, others in tidings.gathered(told)
        for channel in wanted.channels
    ]
    return outbox.post(conn, rows), more


def _kind(
    conn: Connection, event: Told, others: Sequence[Told], wanted: Subscription
) -> Kind | None:
    """As what to tell of an event; None where nobody wants it, or another one says the same."""
    kind: Kind | None = tidings.KIND_OF[event["kind"]]
    if event["kind"] == "repo.degraded" and "frozen" in wanted.kinds:
        frozen = [each["repo"] for each in others if each["kind"] == "repo.frozen"]
        kind = kind if event["repo"] not in frozen else None
    if event["kind"] == "task.paused" and event["actor"] == "orch":
        kind = _why_parked(conn, event)
    return kind if kind in wanted.kinds else None


def _why_parked(conn: Connection, event: Told) -> Kind | None:
    before = outbox.event_before(conn, event["task_id"], event["id"])
    if before and (before["kind"], before["reason"]) == ("task.approval_asked", event["reason"]):
        return None
    return "needs_input" if event["reason"].startswith(ASKED) else "parked"


def _texts(event: Told, kind: Kind, more: Sequence[Told], web_url: str) -> dict[str, Any]:
    return {
        "source": f"event:{event['id']}",
        "kind": kind,
        "repo": event["repo"],
        "work_item_id": event["work_item_id"],
        "title": tidings.title(event, kind, more),
        "text": tidings.text(event, kind, more),
        "link": tidings.link(event, web_url),
        "data": tidings.parts(event, more),
        "happened_at": event["at"],
    }


# --- from the outbox to the receivers ---------------------------------------------------------


def deliver(
    line: Line,
    channels: Sequence[Channel],
    *,
    leaving: Callable[[], bool] = lambda: False,
    patience: float = PATIENCE,
) -> dict[str, Counter[str]]:
    """Send what is due, oldest first, each channel beside the others; how many were `sent`, put off
    as `failed`, and `given_up`.

    A channel ends its round with the first notice that has to wait: those behind it wait as well.
    """
    if not channels:
        return {}
    line.store.write(lambda conn: outbox.forget(conn, line.now(), KEPT))
    with ThreadPoolExecutor(len(channels)) as side_by_side:
        rounds = side_by_side.map(partial(_drain, line, leaving, patience), channels)
        return {channel.name: done for channel, done in zip(channels, rounds, strict=True)}


def _drain(
    line: Line, leaving: Callable[[], bool], patience: float, channel: Channel
) -> Counter[str]:
    done: Counter[str] = Counter()
    moment = line.store.read(lambda conn: views.moment(conn, line.now()))
    end = moment + timedelta(seconds=ROUND)
    while moment < end and not done["failed"] and done.total() < BATCH and not leaving():
        row = line.store.write(
            lambda conn: outbox.take(conn, channel.name, line.now(), HOLD + patience)
        )
        if row is None:
            break
        moment = row["moment"]
        error = _handed_over(channel, _notice(row), moment, patience)
        done[line.store.write(partial(_settle, line=line, row=row, error=error))] += 1
    return done


def _notice(row: Row) -> Notice:
    return Notice(
        uid=row["uid"],
        kind=row["kind"],
        title=row["title"],
        text=row["text"],
        happened_at=row["happened_at"],
        link=row["link"],
        data={**row["data"], "notice": row["id"]},
    )


def _handed_over(
    channel: Channel, notice: Notice, now: datetime, patience: float
) -> ChannelError | None:
    """Send it; what went wrong, or None.

    In a thread of its own: no time-out of a single step ends a receiver that says a letter now and
    then. A thread that is given up ends by itself, at the latest with this process.
    """
    said: queue.SimpleQueue[ChannelError | None] = queue.SimpleQueue()

    def send() -> None:
        try:
            channel.send(notice, now)
            said.put(None)
        except ChannelError as error:
            said.put(error)
        except Exception:
            log.exception("notice.crashed", channel=channel.name, notice=notice.uid)
            said.put(ChannelRefused("A fault in orch kept it from being sent; see its log."))

    threading.Thread(target=send, name=f"orch-{channel.name}", daemon=True).start()
    try:
        return said.get(timeout=patience)
    except queue.Empty:
        return ChannelUnavailable(f"{channel.name} did not take it in time.")


def _settle(conn: Connection, line: Line, row: Row, error: ChannelError | None) -> str:
    now = line.now()
    if error is None:
        outbox.note_sent(conn, row, now)
        ledger.count(conn, "notices_sent", row["channel"])
        return "sent"
    said = names.cleaned(error.message, FAULT)
    log.warning("notice.failed", channel=row["channel"], notice=row["uid"], error=said)
    ledger.count(conn, "notices_failed", row["channel"])
    if not _is_spent(row, error):
        seconds = max(delay(row["uid"], row["tries"]), float(error.facts.get("wait", 0)))
        outbox.put_off(conn, row, now, seconds, said)
        return "failed"
    if outbox.give_up(conn, row, now, said):
        told = {"notice": row["id"], "channel": row["channel"], "tries": row["tries"]}
        ledger.record(
            conn, now, "notice.given_up", repo=row["repo"], reason=said,
            data={**told, "kind": row["kind"], "title": row["title"]},
        )  # fmt: skip
    return "given_up"


def _is_spent(row: Row, error: ChannelError) -> bool:
    if isinstance(error, ChannelRefused):
        return bool(row["tries"] >= REFUSALS)
    return bool(row["moment"] - row["created_at"] >= timedelta(seconds=NEWS))


def delay(uid: str, tries: int) -> float:
    """Seconds until the next try: doubling, up to a quarter of an hour, and up to a quarter more,
    by the notice's id, so that many do not come at once."""
    doubled = FIRST_DELAY * 2 ** min(tries - 1, 20)
    share = int.from_bytes(hashlib.sha256(f"{uid}:{tries}".encode()).digest()[:4], "big") / 2**32
    return float(min(doubled, LONGEST_DELAY) * (1 + share / 4))


# --- what a person asks -----------------------------------------------------------------------


def test(line: Line, actor: str, channels: Sequence[Channel]) -> list[dict[str, Any]]:
    """Send a true notice through every channel, now and past the outbox; what came of each.

    Raises IllegalTransition when no channel is configured.
    """
    if not channels:
        raise IllegalTransition(
            "No channel is configured, so nobody can be told anything.",
            suggested_fix="Set ORCH_NOTIFY_WEBHOOK_URL or ORCH_NOTIFY_SMTP_URL; docs/notices.md.",
        )
    moment = line.store.read(lambda conn: views.moment(conn, line.now()))
    text = f"{actor} asked orch for a test of its notices. Nothing is wrong, nothing is to be done."
    notice = partial(Notice, kind="test", title="A test of orch's notices", text=text)

    def send(channel: Channel) -> dict[str, Any]:
        told = notice(uid=line.new_id(), happened_at=moment, data={"actor": actor})
        error = _handed_over(channel, told, moment, PATIENCE)
        fault = {} if error is None else {"error": error.message, "suggested_fix": error.fix}
        return {"channel": channel.name, "ok": error is None, **fault}

    with ThreadPoolExecutor(len(channels)) as side_by_side:
        results = list(side_by_side.map(send, channels))
    came_to = {each["channel"]: each.get("error", "sent") for each in results}
    line.store.write(
        lambda conn: ledger.record(conn, line.now(), "notice.tested", actor=actor, data=came_to)
    )
    return results


@dataclass(frozen=True)
class Wanted:
    """Which notices are asked for; `before` is the id of the last one already seen."""

    state: str | None = None
    before: int | None = None
    limit: int = 100


EVERYTHING: Final = Wanted()


def listed(line: Line, wanted: Wanted = EVERYTHING) -> dict[str, Any]:
    """Notices, newest first, a page at a time, and how many wait by channel."""

    def look(conn: Connection) -> dict[str, Any]:
        found = outbox.newest(conn, wanted.state, wanted.before, wanted.limit)
        full = len(found) == wanted.limit
        return {
            "notices": [shown(row) for row in found],
            "waiting": {row["channel"]: row["notices"] for row in outbox.waiting(conn)},
            "before": found[-1]["id"] if full else None,
        }

    return line.store.read(look)


def shown(row: Row) -> dict[str, Any]:
    """A notice as the interfaces show it."""
    state = "sent" if row["sent_at"] else "failed" if row["failed_at"] else "waiting"
    return {**row, "state": state}


def retry(line: Line, notice_id: int, actor: str, within: tuple[str, ...] = ()) -> dict[str, Any]:
    """Try one that was given up, or that waits for its time, now.

    Raises NotFound, and Forbidden for whoever may steer some repos only, `within`, and not its own.
    """

    def ask(conn: Connection) -> dict[str, Any]:
        known = outbox.notice_by_id(conn, notice_id)
        if known is not None:
            tokens.require_reach(within, actor, known["repo"] or tokens.EVERYWHERE)
        changed = outbox.again(conn, notice_id, line.now())
        row = outbox.notice_by_id(conn, notice_id)
        if row is None:
            raise NotFound(
                f"No notice has the number {notice_id}.",
                suggested_fix="`orch notify list` shows them; they are kept for a month.",
            )
        if changed:
            told = {"notice": notice_id, "channel": row["channel"]}
            ledger.record(
                conn, line.now(), "notice.retried", actor=actor, repo=row["repo"], data=told
            )
        return {"changed": changed, **shown(row)}

    return line.store.write(ask)
