"""The deploy stage: the landing, what it came to, and whether what landed is healthy."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from typing import Any, Final

from orch import landing, stages
from orch.gate_fallback import evaluated
from orch.landing import Tried
from orch.outcomes import Decision, sent_back
from orch.place import Place, Seen, again, command, outcome, stopped
from orch.ports import AgentResult, Cut, Tree
from orch.qg import documents
from orch.qg.checks import CheckContext, Landing, check_stage
from orch.qg.commands import CommandName, CommandRun
from orch.qg.verdict import Statement
from orch.store import claims, freezes, landings, ledger, work
from orch.store.recall import Past
from orch.store.session import Connection, lock_repos
from orch.turns import Outcome

NOTHING: Final = AgentResult("exited", 0, "pass", summary="only deploy and health were left to do")


def land_and_deploy(place: Place, seen: Seen, decision: Decision) -> Outcome:
    """Bring the work onto the default branch, deploy it, look whether it is healthy."""
    task, job, line = place.turn.task, place.turn.job, place.line
    repo, lease = str(task["repo"]), line.limits.lease
    if not line.store.write(lambda conn: landings.take(conn, repo, job["id"], line.now(), lease)):
        delay = line.limits.retry_delay
        reason = "another task of the repo is landing"
        waits = Decision("release", "release", reason=reason, delay=delay)
        return outcome(place, seen, waits)
    try:
        tried = landing.land(
            place,
            seen.cut,
            seen.tree.head_sha,
            partial(command, place, seen.cut),
            partial(_may_go_on, place),
        )
        return _after_landing(place, _tried(seen, tried), tried, decision)
    finally:
        line.store.write(lambda conn: _give_back(conn, place))


def _give_back(conn: Connection, place: Place) -> None:
    """Who thawed after his lease leaves the landing to his successor at the same job."""
    repo, claim = str(place.turn.task["repo"]), place.turn.claim
    lock_repos(conn, [repo])
    if claims.holds(conn, claim):
        landings.release(conn, repo, claim.job_id)


def _tried(seen: Seen, tried: Tried) -> Seen:
    tree = replace(seen.tree, head_sha=tried.head_sha)
    return replace(
        seen,
        cut=tried.cut,
        tree=tree,
        runs=(*seen.runs, *tried.runs),
        landing=tried.landing,
        rounds=tried.rounds,
        evidence=tried.evidence,
    )


def _after_landing(place: Place, seen: Seen, tried: Tried, decision: Decision) -> Outcome:
    if tried.stopped:
        return outcome(place, seen, stopped(place, tried.stopped))
    if tried.held_up:
        delay = place.line.limits.retry_delay if tried.rounds == landing.ROUNDS else 0
        waits = Decision("release", "release", reason=tried.held_up, delay=delay)
        return outcome(place, seen, waits)
    if tried.interfered:
        parked = Decision("fail", "park", "conflict", reason=tried.interfered)
        return outcome(place, seen, parked)
    if tried.failure is not None:
        back = str(stages.BY_NAME[place.stage].rework_to)
        reworks, limits = place.turn.task["reworks"], place.line.limits
        return outcome(place, seen, sent_back(tried.failure, back, tried.reason, reworks, limits))
    proof = tried.landing
    if proof is None:
        raise AssertionError("unreachable: who did not land has a reason")
    if not place.line.store.write(lambda conn: _record(conn, place, seen, proof)):
        return outcome(place, seen, stopped(place, "fenced"))
    return _deployed(place, seen, proof, decision)


def _record(conn: Connection, place: Place, seen: Seen, proof: Landing) -> bool:
    """The merge, as soon as it is: whatever happens to this worker next.

    False, and nothing is written, when the job is another's by now: that one finds the merge.
    """
    task = place.turn.task
    lock_repos(conn, [task["repo"]])
    if not claims.holds(conn, place.turn.claim):
        return False
    shas = {"base_sha": seen.cut.base_sha, "head_sha": proof.tested_sha}
    shas |= {"tested_sha": proof.tested_sha, "merge_sha": proof.merge_sha}
    work.note_turn(conn, task["id"], shas, {})
    told = {"task_id": task["id"], "job_id": place.turn.job["id"], "repo": task["repo"]}
    ledger.record(conn, place.line.now(), "task.landed", **told, data=shas)
    return True


def _deployed(place: Place, seen: Seen, proof: Landing, decision: Decision) -> Outcome:
    """Deploy and health on what has landed."""
    wanted: tuple[CommandName, ...] = ("deploy", "health")
    for name in wanted:
        if name in place.plan.commands:
            done = command(place, seen.cut, name, proof.merge_sha)
            seen = replace(seen, runs=(*seen.runs, done))
            if done.stopped:
                return outcome(place, seen, stopped(place, done.stopped))
            if not done.passed:
                break
    return _concluded(place, seen, decision)


def _concluded(place: Place, seen: Seen, decision: Decision) -> Outcome:
    """What the checks make of what has landed; red freezes the repo, for everybody's sake."""
    seen = replace(seen, checked=check_stage(context_of(place, seen)))
    refused = next((each for each in seen.checked if not each.passed), None)
    if refused is None:
        return outcome(place, seen, decision)
    red = tuple(each.tail for each in seen.runs if not each.passed)
    seen = replace(seen, evidence=(*refused.details, *red))
    if red:
        place.line.store.write(lambda conn: _freeze(conn, place, refused.reason))
        reason = f"it has landed, but {refused.reason} The repo is frozen."
        parked = Decision("fail", "park", "check_failed", seen.result.verdict, reason)
        return outcome(place, seen, parked)
    return outcome(place, seen, again(place, "check_failed", refused.reason, seen.result.verdict))


def _freeze(conn: Connection, place: Place, why: str) -> None:
    task, now = place.turn.task, place.line.now()
    reason, source = f"DEGRADED: {why}", str(task["work_item_id"])
    if freezes.set_repo_freeze(conn, task["repo"], reason, source, now):
        told = {"task_id": task["id"], "repo": task["repo"], "reason": reason}
        ledger.record(conn, now, "repo.degraded", **told)


def landed_before(place: Place, cut: Cut, tree: Tree, past: Past) -> Outcome | None:
    """What is left to do, without an agent, for work that has landed; None if it has not.

    Where nobody wrote the landing down, the default branch tells of it: a worker may have died
    between the merge and the note.
    """
    task, contains = place.turn.task, place.shop.forge.contains
    noted = bool(task["merge_sha"])
    if not noted and not _landing_was_begun(place, cut, tree):
        return None
    sha = str(task["tested_sha"] if noted else tree.head_sha)
    if not noted and not contains(place.plan.remote, sha):
        return None
    seen = Seen(cut, NOTHING, replace(tree, head_sha=sha), _tests_of(past, sha))
    if not seen.runs and tree.head_sha == sha and not tree.dirty:
        # What an earlier worker saw of the tests was lost with it.
        seen = replace(seen, runs=(command(place, cut, "test", sha),))
        if seen.runs[0].stopped:
            return outcome(place, seen, stopped(place, seen.runs[0].stopped))
    if noted:
        proof = Landing(sha, task["merge_sha"], contains(place.plan.remote, sha))
    else:
        found = place.shop.forge.land(cut, sha, cut.base_sha, str(task["title"]))
        proof = Landing(found.tested_sha, found.merge_sha, contains(place.plan.remote, sha))
    return _rest(place, replace(seen, landing=proof), noted)


def _landing_was_begun(place: Place, cut: Cut, tree: Tree) -> bool:
    """Whether the stage's agent had delivered: only then can a landing of orch's have followed."""
    item = str(place.turn.task["work_item_id"])
    there = tree.head_sha != cut.base_sha and not tree.dirty
    return there and not documents.problems(cut.path, item, place.stage)


def _rest(place: Place, seen: Seen, noted: bool) -> Outcome:
    proof, decision = seen.landing, Decision("succeed", "advance", verdict="pass")
    if proof is None:
        raise AssertionError("unreachable: what has landed has its proof")
    if not noted and not place.line.store.write(lambda conn: _record(conn, place, seen, proof)):
        return outcome(place, seen, stopped(place, "fenced"))
    if seen.runs and not any(run.passed for run in seen.runs):
        return _concluded(place, seen, decision)  # red on main: nothing of it is deployed
    return _deployed(place, seen, proof, decision)


def _tests_of(past: Past, sha: str) -> tuple[CommandRun, ...]:
    """What orch's own tests said of this commit when it landed."""
    told = (run for job in past.jobs for run in job["report"].get("runs", ()))
    mine = (run for run in told if (run["name"], run["head_sha"]) == ("test", sha))
    known = [each.name for each in fields(CommandRun)]
    return tuple(CommandRun(**{name: run[name] for name in known}) for run in mine)


def _may_go_on(place: Place) -> bool:
    line = place.line

    def ask(gate: Any) -> bool:
        return line.store.read(lambda conn: claims.stands(conn, gate, place.turn.claim, line.now()))

    return evaluated(line.store, line.gate, line.now(), ask)


def context_of(place: Place, seen: Seen) -> CheckContext:
    """What the checks of this turn's stage may look at."""
    result = seen.result
    return CheckContext(
        work_item=place.turn.task["work_item_id"],
        stage=place.stage,
        worktree=seen.cut.path,
        base_sha=seen.cut.base_sha,
        head_sha=seen.tree.head_sha,
        statement=Statement(result.verdict, result.summary, result.question),
        statement_sha=seen.tree.head_sha,
        runs=seen.runs,
        landing=seen.landing,
        configured=frozenset(place.plan.commands),
    )
