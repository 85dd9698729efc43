"""The waiting ledger of a rig, for reading, and what must hold of it at any time."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import select

from orch import waits
from orch.jobs import JobEvent
from orch.ports import Claim
from orch.store import endings
from orch.store.schema import counters, tasks
from orch.store.spells import WORK
from orch.store.tables_waits import waits as table
from tests.factories import START, Rig


class SpellBook:
    """What the observer has written down about one line."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    def look(self, after: float = 0) -> int:
        """Let so many seconds pass, and the observer look; how many spells it began."""
        self.rig.clock.advance(after)
        return waits.watch(self.rig.line, 1000)

    def ends(self, claim: Claim, *step: str, event: JobEvent = "succeed") -> None:
        """Let a started job end, and its task take this step."""
        move = endings.Move(*step) if step else None
        now = self.rig.clock()
        self.rig.store.write(lambda conn: endings.finish(conn, claim, now, event, move=move))

    def rows(self) -> list[dict[str, Any]]:
        """Every spell, task by task, oldest first."""
        its = select(table, tasks.c.work_item_id).join(tasks, tasks.c.id == table.c.task_id)
        statement = its.order_by(table.c.task_id, table.c.since, table.c.id)
        return self.rig.store.read(
            lambda conn: [dict(row) for row in conn.execute(statement).mappings()]
        )

    def of(self, item: str) -> list[tuple[str, float, float | None]]:
        """A task's spells: reason, and the seconds since the start of the test from, to."""
        return [
            (row["reason"], seconds(row["since"]), seconds(row["until"]) if row["until"] else None)
            for row in self.rows()
            if row["work_item_id"] == item
        ]

    def now(self) -> dict[str, str]:
        """What each task does or waits for, as the open spells say."""
        return {row["work_item_id"]: row["reason"] for row in self.rows() if row["until"] is None}

    def check(self) -> None:
        """No spell of a task lies over another, none is of the future, one at most goes on."""
        of_task = defaultdict(list)
        for row in self.rows():
            of_task[row["task_id"]].append(row)
        for spells in of_task.values():
            for row in spells:
                assert row["since"] <= (row["until"] or self.rig.clock()) <= self.rig.clock()
            for before, after in pairwise(spells):
                assert before["until"] is not None, (before, after)
                assert before["until"] <= after["since"], (before, after)
        assert self.counted() == pytest.approx(self.waited()), "the counter tells another time"

    def waited(self) -> dict[str, float]:
        """Seconds of all spells that are over, by reason, as its rows tell."""
        found: dict[str, float] = defaultdict(float)
        for row in self.rows():
            if row["until"] is not None and row["reason"] != WORK:
                found[row["reason"]] += (row["until"] - row["since"]).total_seconds()
        return found

    def counted(self) -> dict[str, float]:
        """The same as /metrics counts it."""
        its = select(counters.c.label, counters.c.value).where(counters.c.name == "waited_seconds")
        return dict(self.rig.store.read(lambda conn: conn.execute(its).tuples().all()))


def seconds(moment: datetime) -> float:
    return (moment - START).total_seconds()
