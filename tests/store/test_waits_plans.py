"""Neither the observer nor a report of the last weeks reads the history from end to end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, insert, literal, select, text

from orch import affected, reports, waits
from orch.store import spells, sums
from orch.store.ledger import record
from orch.store.schema import events, tasks
from orch.store.sums import Part
from orch.store.tables_waits import waits as table
from tests.factories import START, Rig
from tests.store import test_plans
from tests.store.test_plans import NAMES, NOW, found_in, history

WAITED = 20
LATELY = Part(NOW - timedelta(minutes=1), NOW)


def past(conn: Connection) -> None:
    """Many spells that are over, one that goes on for each task that is not."""
    history(conn)
    rows: list[dict[str, Any]] = []
    about = {"agent": "analyst", "reason": "active-task", "until": None, "job_id": 1}
    for task in conn.execute(select(tasks.c.id, tasks.c.repo, tasks.c.stage)).mappings():
        its = about | {"task_id": task["id"], "repo": task["repo"], "stage": "analysis"}
        for turn in range(WAITED):
            begin = START - timedelta(hours=turn + 1)
            rows.append(its | {"since": begin, "until": begin + timedelta(hours=1)})
        if task["stage"] != "done":
            rows.append(its | {"since": START, "reason": "start"})
    conn.execute(insert(table), rows)
    told = [{"kind": "job.claimed", "task_id": row["task_id"], "at": START} for row in rows]
    conn.execute(insert(events), told)


@pytest.fixture
def watched(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A line with a past, of which the ledger knows."""
    monkeypatch.setattr(test_plans, "LONG", f"{test_plans.LONG}|waits")
    rig.store.write(past)
    rig.clock.now = NOW
    waits.watch(rig.line, 1000)
    told = {"repo": "repo-7", "task_id": 709}
    rig.store.write(lambda conn: record(conn, NOW, "job.claimed", job_id=1, **told))
    rig.store.write(lambda conn: conn.execute(text("ANALYZE")))
    return rig


def a_look(conn: Connection, rig: Rig) -> object:
    holds = dict.fromkeys(("analyst", "developer"), "no-worker")
    return affected.Affected(conn, rig.gate, NOW, now=NOW, holds=holds)


HOLDS = {"analyst": "start", "developer": "capacity"}
ACTS: dict[str, Callable[[Connection, Rig], object]] = {
    "a look": lambda conn, rig: waits._found(conn, rig.line, rig.gate),
    "whom": a_look,
    "states": lambda conn, rig: spells.states(conn, rig.gate, NOW, HOLDS, [708, 709, 8], [709]),
    "first in line": lambda conn, rig: spells.first_in_line(conn, rig.gate, NAMES),
    "due": lambda conn, rig: spells.due(conn, NOW, 10),
    "held": lambda conn, rig: spells.held(conn, "analyst", "capacity", 10),
    "a repo": lambda conn, rig: spells.queued_after(conn, "repo-7", 0, 10),
    "everybody": lambda conn, rig: spells.everybody_after(conn, 700, 10),
    "parked": lambda conn, rig: spells.parked_unseen(conn, 10),
    "dependents": lambda conn, rig: spells.dependents(conn, [708]),
    "events": lambda conn, rig: spells.events_of(conn, [708, 709], 0),
    "task": lambda conn, rig: sums.of_task(conn, 709, 100),
    "by reason": lambda conn, rig: sums.by_reason(conn, LATELY),
    "by repo": lambda conn, rig: sums.by_key(conn, LATELY, "repo", 10),
    "by task": lambda conn, rig: sums.by_key(conn, LATELY, "task", 10),
    "by week": lambda conn, rig: sums.by_week(conn, LATELY, reports._weeks(START, NOW)),
    "one repo": lambda conn, rig: sums.by_reason(conn, Part(START, NOW, ("repo-7",))),
}


def test_the_ledger_is_read_and_written_by_index(watched: Rig) -> None:
    found: dict[str, list[str]] = {}
    for name, act in ACTS.items():
        with watched.store.rolled_back() as conn:
            found[name] = found_in(conn, partial(act, conn, watched))
    # The last events are looked through for gaps, and no more than so many of them.
    bounded = "events.at >"
    long = {name: [step for step in steps if bounded not in step] for name, steps in found.items()}
    assert {name: steps for name, steps in long.items() if steps} == {}
    # The eye itself sees a whole read where there is one.
    with watched.store.rolled_back() as conn:
        whole = select(literal(1)).where(table.c.blocker == "x")
        assert found_in(conn, partial(conn.execute, whole))
