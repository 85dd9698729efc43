"""What-if: the line as it stands, played forward on a copy of it by the gate itself.

`run(line, plan)` is the whole interface; `plan.read` makes a plan of words.
"""

from __future__ import annotations

from orch.simulation.answer import Watch, run
from orch.simulation.plan import Plan

__all__ = ["Plan", "Watch", "run"]
