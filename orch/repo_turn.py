"""One turn on a repo with an address: workspace, prompt, agent, what it left, checks, landing.

Nothing an agent says counts alone. What it left in its workspace is looked at, what has to hold is
run by orch, and only then the task moves.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from orch import ports, showing, stages
from orch.deploying import (
    NOTHING,
    already_landed,
    context_of,
    held_before,
    held_up,
    land_and_deploy,
    waits_for_forge,
)
from orch.errors import (
    BadInput,
    GitError,
    GitFenced,
    GitMissing,
    GitMoved,
    GitRefused,
    GitUnreachable,
)
from orch.landing import what_to_do
from orch.outcomes import Decision, decide, failed, sent_back
from orch.place import Place, Seen, again, command, decided, evidence_of, listed, outcome, stopped
from orch.ports import AgentResult, AgentWork, Cut, Tree
from orch.qg import documents
from orch.qg.checks import Checked, check_stage
from orch.qg.commands import CommandName
from orch.qg.protected import fingerprints
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
    except (GitRefused, BadInput) as error:
        result = AgentResult("spawn_failed", detail=error.message)
        return Outcome(result, Decision("fail", "park", "spawn_failed", reason=error.message))
    except GitError as error:
        result = AgentResult("spawn_failed", detail=error.message)
        if isinstance(error, (GitMissing, GitMoved)) and "branch" in error.facts:
            # Somebody moved or deleted the task's branch: no attempt of an agent mends that.
            return Outcome(result, Decision("fail", "park", "conflict", reason=what_to_do(error)))
        again = failed("spawn_failed", error.message, place.turn.job["attempt"], place.line.limits)
        return Outcome(result, again)


def _run(place: Place) -> Outcome:
    task = place.turn.task
    past = place.line.store.read(partial(recall.past_of, task_id=task["id"]))
    try:
        with place.kept():
            cut = _cut(place, past)
            before = place.shop.workspaces.inspect(cut)
    except GitUnreachable as error:
        # Nobody has been asked for anything yet: that costs the task none of its attempts.
        return Outcome(NOTHING, waits_for_forge(place, error.message, past.held))
    if place.stage in stages.LANDING:
        no_turn = (
            held_up(place, cut, before)
            or already_landed(place, cut, before, past)
            or held_before(place, cut, before, past)
        )
        if no_turn is not None:
            return no_turn
    asked = _asked(place, cut, past)
    result = place.run_agent(asked)
    decision = decided(place, result)
    if result.ending == "stopped":
        return outcome(place, Seen(cut, result, before), decision)
    with place.kept():
        seen = Seen(cut, result, place.shop.workspaces.inspect(cut))
        faults = _faults(seen.tree, cut)
        if not faults:
            place.shop.forge.offer(cut, seen.tree.head_sha, showing.showing(place, past))
            seen = replace(seen, offered=seen.tree.head_sha)
    ended = _ended(place, seen, decision, past, faults)
    if place.stage not in stages.LANDING:
        showing.show_end(place, past, seen, ended.decision)
    return ended


def _ended(place: Place, seen: Seen, decision: Decision, past: Past, faults: list[str]) -> Outcome:
    """What the turn comes to, now that its agent has ended and its work is offered."""
    if decision.next != "advance":
        return outcome(place, seen, decision)
    result, cut = seen.result, seen.cut
    if faults:
        reason = f"the workspace cannot be taken as it is: {'; '.join(faults)}"
        return outcome(place, seen, again(place, "agent_failed", reason, result.verdict))
    touched = fingerprints(cut.path, seen.tree.changed).items() - past.cleared
    return _judged(place, replace(seen, protected=dict(sorted(touched))), decision, past)


# --- before the agent


def _cut(place: Place, past: Past) -> Cut:
    job, task = place.turn.job, place.turn.task
    number = job["id"] * TURN_STEP + job["attempt"]
    mine = ports.Turn(number, place.turn.claim.token)
    known = task["head_sha"] or ""
    cut = partial(place.shop.workspaces.cut, place.plan.remote, task["work_item_id"], mine)
    # The attempt before this one has ended, or it was lost: then this is the same job again.
    last = past.last
    before = (place.stage, "failed", job["attempt"] - 1)
    ended = last is not None and (last["stage"], last["status"], last["attempt"]) == before
    lost = job["attempt"] > 1 and not ended
    try:
        # What an agent left that was lost with its worker is no ground to build on.
        return cut(known=known, fresh=lost)
    except GitFenced:
        raise
    except GitRefused as error:
        if lost:
            raise
        log.info("workspace.renewed", work_item_id=task["work_item_id"], why=error.message)
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
        f"not committed: {listed(tree.dirty)}": bool(tree.dirty),
        f"links that lead out of the tree: {listed(tree.escaping_symlinks)}": bool(
            tree.escaping_symlinks
        ),
        f"files that are too large: {listed(tree.oversize)}": bool(tree.oversize),
        f"submodules: {listed(tree.submodules)}": bool(tree.submodules),
    }
    return [what for what, is_so in found.items() if is_so]


def _judged(place: Place, seen: Seen, decision: Decision, past: Past) -> Outcome:
    """What the checks make of an agent's pass."""
    if place.stage in stages.LANDING:
        return land_and_deploy(place, seen, decision, past)
    for name in _commands_of(place.stage, place.plan):
        seen = replace(seen, runs=(*seen.runs, command(place, seen.cut, name, seen.tree.head_sha)))
        if seen.runs[-1].stopped:
            return outcome(place, seen, stopped(place, seen.runs[-1].stopped))
    seen = replace(seen, checked=check_stage(context_of(place, seen)))
    refused = next((each for each in seen.checked if not each.passed), None)
    if refused is not None:
        return _refused(place, seen, refused)
    if seen.protected:
        reason = f"the change touches protected paths: {listed(tuple(seen.protected))}"
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
    seen = replace(seen, evidence=evidence_of(seen, refused))
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
