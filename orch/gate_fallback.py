"""Never wedge: what happens when a clause of the gate cannot be evaluated.

An open clause is left out, a closed one counts as false; both are logged and counted, and the
answer says which (`degraded`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import structlog

from orch.errors import OrchError
from orch.line import Line
from orch.serial_gate import Gate
from orch.store import probes

log = structlog.get_logger(__name__)
Result = TypeVar("Result")


def evaluated(line: Line, ask: Callable[[Gate], Result]) -> Result:
    """`ask` under the line's gate, and when that fails under the gate without its broken clauses.

    Errors that have nothing to do with a clause are raised as they are.
    """
    try:
        return ask(line.gate)
    except OrchError:
        raise
    except Exception as error:
        usable = line.store.write(lambda conn: probes.probe(conn, line.gate, line.now()))
        if usable == line.gate:
            raise
        log.warning("gate.degraded", clauses=sorted(usable.degraded), error=str(error))
        line.store.write(lambda conn: probes.count_fallbacks(conn, usable))
        return ask(usable)
