"""A job's start and its end, beside the least a transition can cost: one row, one commit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

from sqlalchemy import text

from bench.databases import Backlog, Kind, filled, slots
from bench.measuring import Ratio, milliseconds
from orch import dispatcher, worker
from orch.line import Line
from orch.ports import AgentCommand, AgentResult, AgentWork, Claim, Watch
from orch.stages import AGENTS


class NoWork:
    """An agent that is done before it began."""

    def run(self, work: AgentWork, watch: Watch, beat: float) -> AgentResult:
        return AgentResult("exited", 0, "pass")


def bench_at(root: Path) -> worker.Bench:
    """A place to work with agents that do nothing."""
    commands = {agent: AgentCommand(agent, ("true",)) for agent in AGENTS}
    return worker.Bench("bench", NoWork(), commands, root)


def measure(quick: bool) -> Iterator[Ratio]:
    """Start and end of one job after another, on both databases."""
    count = 200 if quick else 1_000
    kinds: list[Kind] = ["postgres", "sqlite"]
    for kind in kinds:
        backlog = Backlog(count * 5, count)
        with filled(kind, backlog) as line, tempfile.TemporaryDirectory() as folder:
            slots(line, count)
            line.store.write(
                lambda conn: conn.execute(text("INSERT INTO wakes (repo) SELECT name FROM repos"))
            )
            claimed = [each.claim for each in dispatcher.tick(line).claimed]
            yield _moves(kind, line, bench_at(Path(folder)), claimed)


def _moves(kind: Kind, line: Line, bench: worker.Bench, claimed: list[Claim]) -> Ratio:
    ours: list[float] = []
    floor: list[float] = []
    for claim in claimed:
        ours.append(milliseconds(partial(worker.work_on, line, bench, claim)))
        floor.append(milliseconds(partial(_one_row, line, claim.job_id)))
    return Ratio(
        f"start and end of one job, {kind}",
        1000 / median(ours), 1000 / (2 * median(floor)), "jobs/s", "two commits of one row",
        note="two transitions with events, the next job and the wake mark",
    )  # fmt: skip


def _one_row(line: Line, job_id: int) -> None:
    raw = line.store.writer.raw_connection()
    try:
        mark = "?" if line.store.is_sqlite else "%s"
        raw.cursor().execute(f"UPDATE jobs SET summary = 'x' WHERE id = {mark}", (job_id,))  # noqa: S608
        raw.commit()
    finally:
        raw.close()
