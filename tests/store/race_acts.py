"""What the two sides of a race do, each as something a line of its own can carry out."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from orch import dispatcher, stages, worker
from orch.controls import Order, carry_out
from orch.line import Line
from orch.ports import AgentCommand, AgentResult, AgentWork, Claim, Watch
from orch.serial_gate import Gate
from orch.store import claims, work
from orch.task_deps import add_dependency
from tests.store.interleave import PATIENCE, Arena, Background


def tick(line: Line) -> list[int]:
    return [each.task_id for each in dispatcher.tick(line).claimed]


def order(verb: str, target: str, **more: Any) -> Any:
    """A control, to be carried out by either side; answers whether it changed something."""
    said = Order(verb, target, "me", "because", **more)
    return lambda line: carry_out(line, said)["changed"]


def start(claim: Claim) -> Any:
    """A worker's first act on a message: what it came to."""

    def act(line: Line) -> str:
        def begin(conn: Any) -> bool:
            return claims.start(conn, Gate(), claim, line.now(), worker="w") is not None

        if line.store.write(begin):
            return "running"
        return line.store.write(lambda conn: claims.hand_back(conn, claim, line.now()))

    return act


def claimed(arena: Arena) -> Claim:
    """The one claim of a tick of the arena's own side."""
    (each,) = dispatcher.tick(arena.setup).claimed
    return each.claim


def heartbeat(claim: Claim) -> Any:
    """The lease renewed: whether it was still held, and what the worker is asked to do."""
    return lambda line: line.store.write(lambda c: claims.heartbeat(c, claim, line.now()))


class Turn:
    """An agent at work on a claim, until the test lets it end well."""

    def __init__(self, arena: Arena, claim: Claim, root: Path) -> None:
        self.line = arena.side("w")
        self._running, self._end = threading.Event(), threading.Event()
        commands = {agent: AgentCommand(agent, ("true",)) for agent in stages.AGENTS}
        bench = worker.Bench("w", self, commands, root)
        self.outcome = Background(lambda: worker.work_on(self.line, bench, claim))
        assert self._running.wait(PATIENCE)

    def run(self, work: AgentWork, watch: Watch, beat: float) -> AgentResult:
        self._running.set()
        assert self._end.wait(PATIENCE)
        return AgentResult("exited", 0, "pass")

    def end(self, line: Line) -> str:
        """Let the agent end; what the worker made of it."""
        self._end.set()
        return self.outcome.join()


def the_claim(arena: Arena) -> Claim:
    """The claim of the only live job."""
    (item,) = arena.live()
    job = arena.job(item)
    return Claim(job.id, job.claim_token, job.agent)


def end_under(turn: Turn, line: Line) -> str:
    """Let the turn end, held where this side is held."""
    turn.line.store.hold = line.store.hold  # type: ignore[attr-defined]
    return turn.end(line)


def depends(task_id: int, on: int) -> Any:
    return lambda line: line.store.write(lambda c: add_dependency(c, task_id, on, line.now()))


def enqueue(task_id: int) -> Any:
    def run(line: Line) -> int | None:
        return line.store.write(
            lambda c: work.enqueue_job(c, "analyst", "alpha", None, task_id, line.now())
        )

    return run
