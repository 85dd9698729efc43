"""A landing is a part of its job's span, from the lease to the merge; git's calls are counted."""

from __future__ import annotations

from orch import tally, tracing
from orch.counts import Counts, counted
from orch.store import entries
from orch.traces import Collector, Span
from tests.flows.pipeline_bench import Pipeline


class Heard:
    """A collector that remembers."""

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}

    def send(self, spans: object) -> str:
        self.spans |= {each.name: each for each in spans}  # type: ignore[attr-defined]
        return ""


def test_a_task_on_git_is_traced_to_its_landing_and_its_forge_calls_are_counted(
    pipeline: Pipeline,
) -> None:
    rig, heard, counts = pipeline.rig, Heard(), Counts()
    collector: Collector = heard
    pipeline.use(forge=counted(pipeline.forge, "forge", counts))
    tracing.send(rig.line, collector)
    rig.task("APP-1", "development", track="docs")
    pipeline.until("APP-1", "done")
    rig.clock.advance(entries.SETTLED_SECONDS)
    tracing.send(rig.line, collector)
    landing, job = heard.spans["landing"], heard.spans["job deploy"]
    assert landing.parent == job.id
    assert job.began <= landing.began <= landing.ended <= job.ended
    assert landing.facts["orch.merge_sha"] == rig.row("APP-1")["merge_sha"]
    (told,) = rig.events("task.landed")
    assert told["data"]["seconds"] > 0
    tally.flush(rig.line, counts)
    assert rig.counted("calls", "forge|land|ok") == 1
    assert rig.counted("call_seconds", "forge|land") > 0
    tally.count_ledger(rig.line)
    assert rig.counted("events", "task.landed") == 1
    assert rig.counted("task_lead_seconds_sum") >= 0
