"""Finding out which clauses of the gate cannot be evaluated, once an evaluation has failed."""

from __future__ import annotations

from dataclasses import replace

import structlog
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from orch import serial_gate
from orch.serial_gate import Gate
from orch.store import ledger
from orch.store.moments import Moment
from orch.store.session import is_broken_query

log = structlog.get_logger(__name__)


def probe(conn: Connection, gate: Gate, now: Moment) -> Gate:
    """The gate without the clauses that cannot be evaluated, each of them logged and counted."""
    broken = {name for name in serial_gate.CLAUSES if not _answers(conn, gate, name, now)}
    for name in sorted(broken - gate.degraded):
        log.warning("gate.fallback", clause=name)
    return replace(gate, degraded=gate.degraded | broken)


def _answers(conn: Connection, gate: Gate, name: str, now: Moment) -> bool:
    alone = replace(gate, degraded=frozenset(serial_gate.CLAUSES) - {name})
    try:
        condition = serial_gate.clauses(alone, now)[name]
        with conn.begin_nested():
            conn.execute(select(condition).select_from(serial_gate.job_of_task()).limit(1)).all()
    except DBAPIError as error:
        if not is_broken_query(error):
            raise
        return False
    except Exception:
        log.exception("gate.clause_unbuildable", clause=name)
        return False
    return True


def count_fallbacks(conn: Connection, gate: Gate) -> None:
    """Add one to `orch_gate_fallback_total` for each clause that was left out."""
    for name in sorted(gate.degraded):
        ledger.count(conn, "gate_fallback", name)
