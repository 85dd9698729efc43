"""What the next prompt tells of a task and of the turns before."""

from __future__ import annotations

from dataclasses import replace

from orch.place import Place
from orch.ports import Cut
from orch.prompting import Earlier, PromptFacts
from orch.qg import documents
from orch.store.recall import Past
from orch.store.session import Row


def facts_of(place: Place, cut: Cut, past: Past) -> PromptFacts:
    """The facts of this turn: the task, what is there already, what failed, what a person said."""
    job, task = place.turn.job, place.turn.task
    item = str(task["work_item_id"])
    produced = documents.produced(cut.path, item)
    facts = PromptFacts(
        work_item=item,
        repo=task["repo"],
        job=job["id"],
        title=task["title"],
        description=task["description"],
        attempt=job["attempt"],
        attempts=place.line.limits.max_attempts,
        base_sha=cut.base_sha,
        earlier=tuple(Earlier(each.path, each.summary) for each in produced),
        criteria=documents.acceptance_criteria(cut.path, item),
    )
    return _with_past(place.stage, facts, past)


def _with_past(stage: str, facts: PromptFacts, past: Past) -> PromptFacts:
    last = past.last
    if last is not None and last["status"] == "failed":
        tail = "\n".join(last["report"].get("evidence", ()))
        if last["stage"] == stage:
            failure = str(last["failure"] or "")
            facts = replace(facts, failure=failure, failure_reason=_reason(last), failure_tail=tail)
        else:
            summary = f"{_reason(last)}\n{tail}".strip()
            facts = replace(facts, rework_from=last["stage"] or "", rework_summary=summary)
    if facts.attempt > 1 and not facts.failure:
        facts = replace(facts, failure="lost", failure_reason="its worker was lost")
    if past.said is not None and past.said["kind"] == "task.rejected":
        facts = replace(facts, note=past.said["reason"])
    elif past.said is not None and last is not None:
        facts = replace(facts, question=last["summary"], answer=past.said["reason"])
    return facts


def _reason(last: Row) -> str:
    """Why orch did not let it pass, which is not what its agent said of it."""
    return str(last["report"].get("reason") or last["summary"])
