"""One turn on a repo with an address: workspace, prompt, agent, what it left, checks, landing.

Nothing an agent says counts alone. What it left in its workspace is looked at, what has to hold is
run by orch, and only then the task moves.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from orch import names, ports, stages
from orch.deploying import context_of, land_and_deploy, landed_before
from orch.errors import GitError, GitFenced, GitMissing, GitMoved, GitRefused
from orch.outcomes import Decision, decide, failed, sent_back
from orch.place import Place, Seen, again, command, decided, outcome, stopped
from orch.ports import AgentResult, AgentWork, Cut, Tree
from orch.qg import documents
from orch.qg.checks import Checked, check_stage
from orch.qg.commands import CommandName
from orch.qg.protected import protected
from orch.store import recall
from orch.store.recall import Past
from orch.turn_facts import facts_of
from orch.turns import Outcome
from orch.workshop import Plan

log = structlog.get_logger(__name__)

TURN_STEP: Final = 1000
"""Attempts of one job a workspace can tell apart."""


def run(place: Place) -> Outcome:
    """Work on the turn to its end. What goes wrong with git is an outcome as well."""
    try:
        return _run(place)
    except GitFenced as error:
        result = AgentResult("stopped", stop_reason="fenced", detail=error.message)
        return Outcome(result, decide(result, place.stage, 1, 0, place.line.limits))
    except GitRefused as error:
        result = AgentResult("spawn_failed", detail=error.message)
        return Outcome(result, Decision("fail", "park", "spawn_failed", reason=error.message))
    except GitError as error:
        result = AgentResult("spawn_failed", detail=error.message)
        if isinstance(error, (GitMissing, GitMoved)) and "branch" in error.facts:
            # Somebody moved or deleted the task's branch: no attempt of an agent mends that.
            return Outcome(result, Decision("fail", "park", "conflict", reason=error.message))
        again = failed("spawn_failed", error.message, place.turn.job["attempt"], place.line.limits)
        return Outcome(result, again)


def _run(place: Place) -> Outcome:
    over = _over_budget(place)
    if over:
        result = AgentResult("spawn_failed", detail=over)
        return Outcome(result, Decision("fail", "park", "agent_failed", reason=over))
    task = place.turn.task
    past = place.line.store.read(partial(recall.past_of, task_id=task["id"]))
    cut = _cut(place, past)
    before = place.shop.workspaces.inspect(cut)
    landed = landed_before(place, cut, before, past) if place.stage == "deploy" else None
    if landed is not None:
        return landed
    asked = _asked(place, cut, past)
    result = place.run_agent(asked)
    decision = decided(place, result)
    if result.ending == "stopped":
        return outcome(place, Seen(cut, result, before), decision)
    seen = Seen(cut, result, place.shop.workspaces.inspect(cut))
    faults = _faults(seen.tree, cut)
    if not faults:
        place.shop.forge.offer(cut, seen.tree.head_sha)
    if decision.next != "advance":
        return outcome(place, seen, decision)
    if faults:
        reason = f"the workspace cannot be taken as it is: {'; '.join(faults)}"
        return outcome(place, seen, again(place, "agent_failed", reason, result.verdict))
    return _judged(place, seen, decision, before)


def _over_budget(place: Place) -> str:
    task, limits = place.turn.task, place.line.limits
    if limits.task_budget_usd and task["cost_usd"] >= limits.task_budget_usd:
        return (
            f"the task's budget is spent: {task['cost_usd']:.2f} of "
            f"{limits.task_budget_usd:.2f} USD"
        )
    if limits.task_max_turns and task["turns"] >= limits.task_max_turns:
        return f"the task's turns are spent: {task['turns']} of {limits.task_max_turns}"
    return ""


# --- before the agent


def _cut(place: Place, past: Past) -> Cut:
    job, task = place.turn.job, place.turn.task
    number = job["id"] * TURN_STEP + job["attempt"]
    mine = ports.Turn(number, place.turn.claim.token)
    known = task["head_sha"] or ""
    cut = partial(place.shop.workspaces.cut, place.plan.remote, task["work_item_id"], mine)
    last = past.of_stage(place.stage)
    lost = job["attempt"] > 1 and (last is None or last["attempt"] != job["attempt"] - 1)
    try:
        # What an agent left that was lost with its worker is no ground to build on.
        return cut(known=known, fresh=lost)
    except GitFenced:
        raise
    except GitRefused as error:
        if lost:
            raise
        log.info("workspace.renewed", work_item=task["work_item_id"], why=error.message)
        return cut(known=known, fresh=True)


def _asked(place: Place, cut: Cut, past: Past) -> AgentWork:
    item = str(place.turn.task["work_item_id"])
    facts = facts_of(place, cut, past)
    last = past.of_stage(place.stage)
    corrective = last is not None and last is past.last and last["status"] == "failed"
    session = str(last["report"].get("session_id", "")) if last is not None else ""
    return replace(
        place.asked,
        prompt=place.plan.prompts.render(place.stage, facts, place.shop.fence()),
        workdir=cut.path,
        base_sha=cut.base_sha,
        resume_session=session if corrective else "",
        document=documents.own_document(cut.path, item, place.stage),
    )


# --- after the agent


def _faults(tree: Tree, cut: Cut) -> list[str]:
    """Why what lies in the workspace cannot be taken as it is, in a few words each."""
    found = {
        f"{tree.branch or 'no branch'} is checked out and not {cut.branch}": tree.branch
        != cut.branch,
        "the branch does not stand on its base any more": not tree.on_base,
        f"{tree.merges} commits are merges": tree.merges > 0,
        f"not committed: {_listed(tree.dirty)}": bool(tree.dirty),
        f"links that lead out of the tree: {_listed(tree.escaping_symlinks)}": bool(
            tree.escaping_symlinks
        ),
        f"files that are too large: {_listed(tree.oversize)}": bool(tree.oversize),
        f"submodules: {_listed(tree.submodules)}": bool(tree.submodules),
    }
    return [what for what, is_so in found.items() if is_so]


def _listed(paths: tuple[str, ...], most: int = 5) -> str:
    shown = ", ".join(names.shown(path) for path in paths[:most])
    return f"{shown} and {len(paths) - most} more" if len(paths) > most else shown


def _judged(place: Place, seen: Seen, decision: Decision, before: Tree) -> Outcome:
    """What the checks make of an agent's pass."""
    if place.stage == "deploy":
        return land_and_deploy(place, seen, decision)
    for name in _commands_of(place.stage, place.plan):
        seen = replace(seen, runs=(*seen.runs, command(place, seen.cut, name, seen.tree.head_sha)))
        if seen.runs[-1].stopped:
            return outcome(place, seen, stopped(place, seen.runs[-1].stopped))
    seen = replace(seen, checked=check_stage(context_of(place, seen)))
    refused = next((each for each in seen.checked if not each.passed), None)
    if refused is not None:
        return _refused(place, seen, refused)
    touched = protected(sorted(set(seen.tree.changed) - set(before.changed)))
    if touched:
        reason = f"the change touches protected paths: {_listed(tuple(touched))}"
        return outcome(place, seen, Decision("succeed", "approve", verdict="pass", reason=reason))
    if place.stage in place.plan.approvals:
        reason = f"waits for approval of {place.stage}"
        return outcome(place, seen, Decision("succeed", "approve", verdict="pass", reason=reason))
    return outcome(place, seen, decision)


def _commands_of(stage: str, plan: Plan) -> list[CommandName]:
    wanted: list[CommandName] = []
    checks = stages.BY_NAME[stage].checks
    if "check_tests_pass" in checks:
        wanted.append("test")
    if "check_staging_healthy" in checks:
        wanted += ["staging", "health"]
    return [name for name in wanted if name in plan.commands]


def _refused(place: Place, seen: Seen, refused: Checked) -> Outcome:
    """Red where others have to mend it goes back to them, anything else is tried again here."""
    seen = replace(
        seen, evidence=(*refused.details, *(run.tail for run in seen.runs if not run.passed))
    )
    back = stages.BY_NAME[place.stage].rework_to
    by_command = any(not run.passed for run in seen.runs)
    verdict = seen.result.verdict
    if back is not None and by_command:
        reworks = place.turn.task["reworks"]
        limits = place.line.limits
        decision = sent_back("check_failed", back, refused.reason, reworks, limits, verdict)
    else:
        decision = again(place, "check_failed", refused.reason, verdict)
    return outcome(place, seen, decision)
