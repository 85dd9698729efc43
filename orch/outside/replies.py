"""Answers that people write below an item whose task has asked something.

Only what was written after the question was shown, and by somebody on the allow list, is an answer;
the rest is noted and left.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from orch import controls, names
from orch.controls import Order
from orch.errors import BadInput, IllegalTransition
from orch.line import Line
from orch.outcomes import ASKED
from orch.outside.source import Source
from orch.ports.tracker import Remark, Tracker
from orch.store import ledger, tellings, tracked
from orch.store.session import Connection, Row

A_ROUND: Final = 5
"""Items whose remarks are read in a round."""
OVERLAP: Final = timedelta(seconds=1)
"""Two remarks may be of one moment: the last second is read again, and told apart by id."""


def is_asking(row: Row) -> bool:
    """Whether the task of an item waits for an answer."""
    parked = row["task_paused_at"] is not None
    return parked and (row["task_paused_reason"] or "").startswith(ASKED)


def take(line: Line, source: Source, tracker: Tracker, first: Collection[str]) -> list[str]:
    """Look for answers, at the items named `first` before others; what that did."""
    done: list[str] = []
    rows = line.store.read(lambda conn: _asking(conn, source))
    in_turn = sorted(rows, key=lambda row: (row["item_id"] not in first, _looked(row)))
    for row in in_turn[:A_ROUND]:
        after = _until(row)
        said = tracker.remarks(row["item_id"], None if after is None else after - OVERLAP)
        done += line.store.write(partial(_answer, line=line, source=source, row=row, said=said))
    return done


def _asking(conn: Connection, source: Source) -> list[Row]:
    """Items whose task has asked, and whose question people can see."""
    rows = [row for row in tracked.open_rows(conn, source.name).values() if is_asking(row)]
    shown = {row["item_id"]: tellings.newest(conn, row["task_id"], "asking") for row in rows}
    return [
        row
        for row in rows
        if (told := shown[row["item_id"]]) is not None
        and told["told_at"] is not None
        and row["facts"].get("asked") == told["uid"]
    ]


def _looked(row: Row) -> str:
    return str(row["facts"].get("looked", ""))


def _until(row: Row) -> datetime | None:
    return datetime.fromisoformat(row["remarks_until"]) if row["remarks_until"] else None


def begin(conn: Connection, source: str, item_id: str, uid: str, said: Sequence[Remark]) -> None:
    """A question is about to be shown under this uid: what was said before it is no answer."""
    row = tracked.row(conn, source, item_id)
    if row is not None:
        _note(conn, row, said, asked=uid)


def _answer(
    conn: Connection, line: Line, source: Source, row: Row, said: Sequence[Remark]
) -> list[str]:
    """Take the first answer; what comes before it is ignored, and noted."""
    current = tracked.open_rows(conn, source.name).get(row["item_id"])
    if current is None or not is_asking(current):
        return []
    seen = set(current["facts"].get("remarks", ()))
    fresh = [each for each in sorted(said, key=_order) if each.remark_id not in seen]
    for count, remark in enumerate(fresh, start=1):
        if _is_answer(conn, line, source, current, remark):
            _note(conn, current, fresh[:count], looked=_now(conn, line))
            return [f"{row['work_item_id']} was answered by {names.cleaned(remark.author, 80)}"]
    _note(conn, current, fresh, looked=_now(conn, line))
    return []


def _order(remark: Remark) -> tuple[datetime, str]:
    return remark.at, remark.remark_id


def _now(conn: Connection, line: Line) -> str:
    moment: datetime = tracked.now_of(conn, line.now())
    return moment.isoformat()


def _is_answer(conn: Connection, line: Line, source: Source, row: Row, remark: Remark) -> bool:
    """Whether the task took it as its answer."""
    if remark.author == source.myself:
        return False
    author = names.cleaned(remark.author, 80)
    if not source.may(remark.author):
        _ignore(conn, line, source, row, f"{author} is not on the allow list")
        return False
    actor, said = f"{source.actor}/{author}", names.scrubbed(remark.text).strip()
    order = Order("answer", row["task_work_item_id"], actor, said)
    try:
        controls.check(order)
        return controls.act(conn, line, order)
    except (BadInput, IllegalTransition) as error:
        _ignore(conn, line, source, row, f"what {author} wrote is no answer: {error.message}")
        return False


def _ignore(conn: Connection, line: Line, source: Source, row: Row, why: str) -> None:
    told = {"task_id": row["task_id"], "repo": row["task_repo"], "actor": source.actor}
    reason = names.cleaned(why, names.REASON_LIMIT)
    ledger.record(conn, line.now(), "task.remark_ignored", **told, reason=reason)


def _note(conn: Connection, row: Row, said: Sequence[Remark], **more: Any) -> None:
    """Keep how far remarks were read, and which are of the last moment before that."""
    until = max(
        [each.at for each in said] + [each for each in (_until(row),) if each], default=None
    )
    values: dict[str, Any] = {"facts": {**row["facts"], **more}}
    if until is not None:
        late = [each.remark_id for each in said if each.at >= until - OVERLAP]
        values["facts"]["remarks"] = sorted({*row["facts"].get("remarks", ()), *late})[-100:]
        values["remarks_until"] = until.isoformat()
    tracked.change(conn, row["tracker"], row["item_id"], **values)
