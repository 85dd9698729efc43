"""What /metrics, the tally and the traces ask is found by index, however long the history is."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import insert

from orch import readings
from orch.store import entries, vitals
from orch.store.schema import events
from tests.factories import START, Rig
from tests.store.test_plans import NOW, found_in, grown

__all__ = ["grown"]


def test_no_number_is_read_from_the_history(grown: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    # As many of these tasks as a thousand are of a million: for half of all tasks PostgreSQL
    # rightly reads what they depend on as a whole.
    monkeypatch.setattr(vitals, "SAMPLE", 10)
    look = partial(readings._readings, line=grown.line, gate=grown.gate, named=5)
    with grown.store.rolled_back() as conn:
        assert found_in(conn, partial(look, conn)) == []


def test_the_ledger_is_read_on_from_where_a_reader_stands(grown: Rig) -> None:
    told = [
        {"at": START, "kind": kind, "task_id": task, "job_id": task, "repo": "repo-1"}
        for task in range(1, 500)
        for kind in ("job.queued", "job.claimed", "job.succeeded")
    ]
    grown.store.write(lambda conn: conn.execute(insert(events), told))
    grown.store.write(lambda conn: conn.exec_driver_sql("ANALYZE"))
    with grown.store.rolled_back() as conn:
        read_on = partial(entries.read_on, conn, NOW, 1400, 2000)
        assert found_in(conn, read_on) == []
        assert found_in(conn, partial(entries.behind, conn, "tally")) == []
        (last, *_) = read_on()[::-1]
    assert (last["before"]["kind"], last["before"]["id"]) == ("job.claimed", last["id"] - 1)
