"""The merge gate: rebase, test again, compare and swap, prove it, deploy.

One task of a repo lands at a time. What lands was tested by orch itself on exactly the commit it
stands on, and every step asks first whether it still may.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import structlog

from orch.clock import stopwatch
from orch.errors import GitConflict, GitMissing, GitMoved
from orch.gate_fallback import evaluated
from orch.jobs import Failure
from orch.place import Place, command, listed
from orch.ports import Cut, Landed
from orch.qg.checks import Landing
from orch.qg.commands import CommandRun
from orch.serial_gate import Gate
from orch.store import claims, landings
from orch.workshop import Plan, Workshop

log = structlog.get_logger(__name__)

ROUNDS: Final = 5
"""How often a landing is begun again because the default branch moved meanwhile."""


@dataclass(frozen=True)
class Tried:
    """How far a landing came."""

    cut: Cut
    head_sha: str
    runs: tuple[CommandRun, ...] = ()
    landing: Landing | None = None
    rounds: int = 0
    offered: str = ""
    """The head that the topic branch was moved to."""
    failure: Failure | None = None
    """Why it did not land; None when it did, or when it was held up."""
    reason: str = ""
    evidence: tuple[str, ...] = ()
    """What the next prompt should show: conflicting hunks, the end of the tests' output."""
    held_up: str = ""
    """Why it has to wait: nothing is wrong with the work."""
    interfered: str = ""
    """What a person did to the branch under orch's feet."""

    @property
    def stopped(self) -> str:
        """Why a command was stopped from outside."""
        return next((run.stopped for run in self.runs if run.stopped), "")


def land(place: Place, cut: Cut, head_sha: str) -> Tried:
    """Bring the head of a task onto the default branch, tested on what it lands on.

    Raises the GitErrors with which nothing can be done here.
    """
    shop, title = place.shop, str(place.turn.task["title"])
    tried, elapsed = Tried(cut, head_sha), stopwatch()
    for number in range(1, ROUNDS + 1):
        tried = replace(tried, rounds=number)
        if not _may_go_on(place):
            return replace(tried, held_up="the gate closed before the landing")
        tried = _tested(place, tried)
        if tried.failure or tried.stopped:
            return tried
        if not _may_go_on(place):
            return replace(tried, held_up="the gate closed between the test and the merge")
        try:
            with place.kept():
                shop.forge.offer(tried.cut, tried.head_sha)
                tried = replace(tried, offered=tried.head_sha)
                landed = shop.forge.land(tried.cut, tried.head_sha, tried.cut.base_sha, title)
                proof = replace(_proof(shop, place.plan, landed), seconds=elapsed())
                return replace(tried, landing=proof)
        except GitMoved as moved:
            if moved.facts.get("branch") == tried.cut.branch:
                return replace(tried, interfered=moved.message)
            log.info(
                "landing.moved", repo=cut.remote.repo, work_item_id=cut.work_item, round=number
            )
            continue
        except GitMissing as missing:
            return replace(tried, interfered=missing.message)
    held_up = f"the default branch moved {ROUNDS} times while the work was tested"
    return replace(tried, held_up=held_up)


def _tested(place: Place, tried: Tried) -> Tried:
    """The head on the newest default branch, tested there."""
    try:
        with place.kept():
            rebased = place.shop.workspaces.rebase(tried.cut)
    except GitConflict as conflict:
        files = tuple(str(name) for name in conflict.facts.get("files", ()))
        reason = f"the work conflicts with what landed meanwhile, in {listed(files)}"
        hunks = (str(conflict.facts.get("hunks", "")),)
        return replace(tried, failure="conflict", reason=reason, evidence=hunks)
    cut = replace(tried.cut, base_sha=rebased.base_sha)
    tried = replace(tried, cut=cut, head_sha=rebased.head_sha)
    again = command(place, cut, "test", rebased.head_sha)
    tried = replace(tried, runs=(*tried.runs, again))
    if again.passed or again.stopped:
        return tried
    reason = f"the tests are red on the newest default branch: {again.detail or again.exit_code}"
    return replace(tried, failure="check_failed", reason=reason, evidence=(again.tail,))


def _proof(shop: Workshop, plan: Plan, landed: Landed) -> Landing:
    contains = shop.forge.contains(plan.remote, landed.tested_sha)
    return Landing(landed.tested_sha, landed.merge_sha, contains)


def _may_go_on(place: Place) -> bool:
    """Whether the landing is still ours, and the gate open."""
    line, job = place.line, place.turn.job
    repo, lease = str(job["repo"]), line.limits.lease

    def ask(gate: Gate) -> bool:
        return line.store.read(lambda conn: claims.stands(conn, gate, place.turn.claim, line.now()))

    # A lease that ran out while nobody renewed it may be another's by now.
    if not line.store.write(lambda conn: landings.take(conn, repo, job["id"], line.now(), lease)):
        return False
    return evaluated(line, ask)
