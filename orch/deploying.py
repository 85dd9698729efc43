"""The deploy stage: the landing, what it came to, and whether what landed is healthy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any, Final

import structlog

from orch import landing, stages
from orch.errors import GitUnreachable, StoreUnavailable
from orch.jobs import Failure
from orch.landing import Tried
from orch.line import Line
from orch.outcomes import Decision, sent_back
from orch.place import Place, Seen, again, command, evidence_of, listed, outcome, stopped
from orch.ports import AgentResult, Cut, Tree
from orch.qg.checks import CheckContext, Landing, check_stage, deploy_is_written_up
from orch.qg.commands import CommandName, CommandRun
from orch.qg.verdict import Statement
from orch.store import claims, freezes, holds, landings, ledger, work
from orch.store.recall import Past
from orch.store.session import Connection, lock_repos
from orch.turns import Outcome

log = structlog.get_logger(__name__)

NOTHING: Final = AgentResult("exited", 0, "pass", summary="only deploy and health were left to do")


def land_and_deploy(place: Place, seen: Seen, decision: Decision, past: Past) -> Outcome:
    """Bring the work onto the default branch, deploy it, look whether it is healthy."""
    verdict = seen.result.verdict
    if seen.protected:
        reason = f"the deploy stage touched protected paths: {listed(tuple(seen.protected))}"
        return outcome(place, seen, _back("check_failed", place, reason, verdict))
    written = deploy_is_written_up(context_of(place, seen))
    if not written.passed:  # once it has landed, no agent could write it any more
        seen = replace(seen, checked=(written,), evidence=written.details)
        return outcome(place, seen, again(place, "check_failed", written.reason, verdict))

    return _alone(place, seen, lambda: _land(place, seen, decision, past))


def _land(place: Place, seen: Seen, decision: Decision, past: Past) -> Outcome:
    head = seen.tree.head_sha
    try:
        tried = landing.land(place, seen.cut, head, past)
    except GitUnreachable as error:
        # The agent's part is done. Whether the merge happened is read back by the next try.
        kept = {"head_sha": head, "base_sha": seen.cut.base_sha}
        return outcome(place, seen, waits_for_forge(place, error.message, kept))
    return _after_landing(place, _tried(seen, tried), tried, decision)


def held_before(place: Place, cut: Cut, tree: Tree, past: Past) -> Outcome | None:
    """Try a landing again that only waited for the forge: what its agent did stands.

    None when there was none, or the head is another by now.
    """
    if past.held.get("head_sha") != tree.head_sha or tree.dirty:
        return None
    seen = Seen(cut, NOTHING, tree, offered=tree.head_sha)
    if not deploy_is_written_up(context_of(place, seen)).passed:
        return None
    passed = Decision("succeed", "advance", verdict="pass")
    return _alone(place, seen, lambda: _land(place, seen, passed, past))


def _alone(place: Place, seen: Seen, act: Callable[[], Outcome]) -> Outcome:
    """Do it while no other task of the repo lands or is deployed."""
    job, line = place.turn.job, place.line
    repo, lease = str(job["repo"]), line.limits.lease
    if not line.store.write(lambda conn: landings.take(conn, repo, job["id"], line.now(), lease)):
        return outcome(place, seen, _waits(line))
    try:
        return act()
    finally:
        _let_go(place)


def _waits(line: Line) -> Decision:
    reason = "another task of the repo is landing"
    return Decision("release", "release", reason=reason, delay=line.limits.retry_delay)


def held_up(place: Place, cut: Cut, tree: Tree) -> Outcome | None:
    """Give the job back before its agent is asked, if another task of the repo lands already."""
    line, job = place.line, place.turn.job
    holder = line.store.read(lambda conn: landings.holder(conn, job["repo"], line.now()))
    if holder in (None, job["id"]):
        return None
    return outcome(place, Seen(cut, NOTHING, tree), _waits(line))


def _let_go(place: Place) -> None:
    repo, claim = str(place.turn.job["repo"]), place.turn.claim

    def give_back(conn: Connection) -> None:
        lock_repos(conn, [repo])
        # Who thawed after his lease leaves the landing to his successor at the same job.
        if claims.holds(conn, claim):
            landings.release(conn, repo, claim.job_id)

    try:
        place.line.store.write(give_back)
    except StoreUnavailable as error:  # it runs out by itself; what was done must not be lost
        log.warning("landing.not_released", repo=repo, job_id=claim.job_id, error=error.message)


def _back(failure: Failure, place: Place, reason: str, verdict: str | None = None) -> Decision:
    """Back to where the stage's rework is done."""
    back, reworks = str(stages.BY_NAME[place.stage].rework_to), place.turn.task["reworks"]
    return sent_back(failure, back, reason, reworks, place.line.limits, verdict)


def _tried(seen: Seen, tried: Tried) -> Seen:
    tree = replace(seen.tree, head_sha=tried.head_sha)
    return replace(
        seen,
        cut=tried.cut,
        tree=tree,
        runs=(*seen.runs, *tried.runs),
        landing=tried.landing,
        rounds=tried.rounds,
        offered=tried.offered or seen.offered,
        evidence=tried.evidence,
    )


def _after_landing(place: Place, seen: Seen, tried: Tried, decision: Decision) -> Outcome:
    if tried.stopped:
        return outcome(place, seen, stopped(place, tried.stopped))
    if tried.held_up and tried.by_forge:
        return outcome(place, seen, _held_by_forge(place, tried))
    if tried.held_up:
        delay = place.line.limits.retry_delay if tried.rounds == landing.ROUNDS else 0
        waits = Decision("release", "release", reason=tried.held_up, delay=delay)
        return outcome(place, seen, waits)
    if tried.interfered:
        parked = Decision("fail", "park", "conflict", reason=tried.interfered)
        return outcome(place, seen, parked)
    if tried.failure is not None:
        return outcome(place, seen, _back(tried.failure, place, tried.reason))
    proof = tried.landing
    if proof is None:
        raise AssertionError("unreachable: who did not land has a reason")
    return _recorded(place, seen, proof, decision)


def _held_by_forge(place: Place, tried: Tried) -> Decision:
    """Wait for the forge with what was tested, so that nothing is tested twice."""
    tested = [asdict(run) | {"tail": ""} for run in tried.runs if run.name == "test"]
    kept = {"head_sha": tried.head_sha, "base_sha": tried.cut.base_sha, "test": tested[-1]}
    return waits_for_forge(place, tried.held_up, kept)


def waits_for_forge(place: Place, why: str, kept: Mapping[str, Any]) -> Decision:
    """Give the job back uncounted, to be tried again soon; after too long, park its task.

    `kept` is what the next try need not do again.
    """
    job, line = place.turn.job, place.line

    def note(conn: Connection) -> bool:
        lock_repos(conn, [job["repo"]])
        if claims.holds(conn, place.turn.claim):
            holds.note(conn, line.now(), job, why, kept)
        return holds.is_over(conn, line.now(), job, line.limits.held_landing)

    if not line.store.write(note):
        return Decision("release", "release", reason=why, delay=line.limits.retry_delay)
    minutes = line.limits.held_landing / 60
    reason = f"the forge has made it wait for {minutes:g} minutes: {why}"
    return Decision("fail", "park", "check_failed", reason=reason)


def _recorded(place: Place, seen: Seen, proof: Landing, decision: Decision) -> Outcome:
    """Write the merge down, as soon as it is; then deploy it."""
    if not place.line.store.write(lambda conn: _record(conn, place, seen, proof)):
        return outcome(place, seen, stopped(place, "fenced"))
    return _deployed(place, seen, proof, decision)


def _record(conn: Connection, place: Place, seen: Seen, proof: Landing) -> bool:
    """False, and nothing is written, when the job is another's by now: that one finds the merge."""
    task = place.turn.task
    lock_repos(conn, [task["repo"]])
    if not claims.holds(conn, place.turn.claim):
        return False
    shas = {"base_sha": seen.cut.base_sha, "head_sha": proof.tested_sha}
    shas |= {"tested_sha": proof.tested_sha, "merge_sha": proof.merge_sha}
    work.note_turn(conn, task["id"], shas, {})
    told = {"task_id": task["id"], "job_id": place.turn.job["id"], "repo": task["repo"]}
    # The run that let it land is not in the report of a job whose worker dies now.
    tested = [asdict(run) | {"tail": ""} for run in seen.runs if run.name == "test"]
    ledger.record(
        conn,
        place.line.now(),
        "task.landed",
        **told,
        reason="" if proof.anew else "it was there already: a person or an earlier turn merged it",
        data=shas | {"test": tested[-1], "seconds": proof.seconds},
    )
    return True


def _deployed(place: Place, seen: Seen, proof: Landing, decision: Decision) -> Outcome:
    """Deploy and health on what has landed; red freezes the repo, for everybody's sake."""
    wanted: tuple[CommandName, ...] = ("deploy", "health")
    for name in wanted:
        if name in place.plan.commands and all(run.passed for run in seen.runs):
            done = command(place, seen.cut, name, proof.merge_sha)
            seen = replace(seen, runs=(*seen.runs, done))
            if done.stopped:
                return outcome(place, seen, stopped(place, done.stopped))
    seen = replace(seen, checked=check_stage(context_of(place, seen)))
    refused = next((each for each in seen.checked if not each.passed), None)
    if refused is None:
        return outcome(place, seen, decision)
    seen = replace(seen, evidence=evidence_of(seen, refused))
    if not all(run.passed for run in seen.runs):
        place.line.store.write(lambda conn: _freeze(conn, place, refused.reason))
        reason = f"it has landed, and its repo is frozen: {refused.reason}"
        parked = Decision("fail", "park", "check_failed", seen.result.verdict, reason)
        return outcome(place, seen, parked)
    return outcome(place, seen, again(place, "check_failed", refused.reason, seen.result.verdict))


def _freeze(conn: Connection, place: Place, why: str) -> None:
    task, now = place.turn.task, place.line.now()
    reason, source = f"DEGRADED: {why.rstrip('.')}", str(task["work_item_id"])
    if freezes.set_repo_freeze(conn, task["repo"], reason, source, now):
        told = {"task_id": task["id"], "repo": task["repo"], "reason": reason}
        ledger.record(conn, now, "repo.degraded", **told)


def already_landed(place: Place, cut: Cut, tree: Tree, past: Past) -> Outcome | None:
    """What is left of a landing that an earlier turn made: deploy and health, and no agent.

    None when nothing has landed yet.
    """
    task, remote = place.turn.task, place.plan.remote
    passed = Decision("succeed", "advance", verdict="pass")
    if task["merge_sha"]:
        with place.kept():
            contains = place.shop.forge.contains(remote, task["tested_sha"])
        proof = Landing(task["tested_sha"], task["merge_sha"], contains)
        tree = replace(tree, head_sha=task["tested_sha"])
        seen = Seen(cut, NOTHING, tree, _test_of(past, task["tested_sha"]), landing=proof)
        return _alone(place, seen, lambda: _deployed(place, seen, proof, passed))
    seen = Seen(cut, NOTHING, tree)
    written = deploy_is_written_up(context_of(place, seen)).passed
    nothing_new = not written or tree.head_sha == cut.base_sha
    if nothing_new:
        return None
    with place.kept():
        contains = place.shop.forge.contains(remote, tree.head_sha)
    if not contains:
        return None
    return _alone(place, seen, lambda: _taken_down(place, seen, passed))


def _taken_down(place: Place, seen: Seen, decision: Decision) -> Outcome:
    """The worker that merged did not live to write it down: what it knew is found out again."""
    head, title = seen.tree.head_sha, str(place.turn.task["title"])
    tested = command(place, seen.cut, "test", head)
    if tested.stopped:
        return outcome(place, seen, stopped(place, tested.stopped))
    with place.kept():
        landed = place.shop.forge.land(seen.cut, head, seen.cut.base_sha, title)
    proof = Landing(landed.tested_sha, landed.merge_sha, contains=True, anew=landed.anew)
    return _recorded(place, replace(seen, runs=(tested,), landing=proof), proof, decision)


def _test_of(past: Past, sha: str) -> tuple[CommandRun, ...]:
    """What orch's own tests said of this commit when it landed."""
    known = landing.run_of(past.landed, sha)
    return () if known is None else (known,)


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
