"""The merge gate: rebase, test again, compare and swap, prove it, deploy.

One task of a repo lands at a time. What lands was tested by orch itself on exactly the commit it
stands on, and every step asks first whether it still may.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import structlog

from orch import showing
from orch.clock import stopwatch
from orch.errors import GitConflict, GitError, GitHeld, GitMissing, GitMoved
from orch.gate_fallback import evaluated
from orch.jobs import Failure
from orch.place import Place, command, listed
from orch.ports import Cut, Landed, MarkState
from orch.qg.checks import Landing
from orch.qg.commands import CommandRun
from orch.serial_gate import Gate
from orch.store import claims, landings
from orch.store.recall import Past
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
    by_forge: bool = False
    """Whether it is the forge that it waits for."""
    interfered: str = ""
    """What a person did to the branch under orch's feet."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be done for it in this turn."""
        return bool(self.failure or self.stopped or self.held_up or self.interfered)

    @property
    def stopped(self) -> str:
        """Why a command was stopped from outside."""
        return next((run.stopped for run in self.runs if run.stopped), "")


def land(place: Place, cut: Cut, head_sha: str, past: Past) -> Tried:
    """Bring the head of a task onto the default branch, tested on what it lands on.

    Raises the GitErrors with which nothing can be done here.
    """
    tried, elapsed = Tried(cut, head_sha), stopwatch()
    for number in range(1, ROUNDS + 1):
        tried = replace(tried, rounds=number)
        if not _may_go_on(place):
            return replace(tried, held_up="the gate closed before the landing")
        tried = _tested(place, _shown(place, _rebased(place, tried), past, "pending"), past)
        if tried.is_over:
            return tried
        if not _may_go_on(place):
            return replace(tried, held_up="the gate closed between the test and the merge")
        tried = _merged(place, tried, past, elapsed)
        if tried.landing is not None or tried.is_over:
            return tried
        log.info("landing.moved", repo=cut.remote.repo, work_item_id=cut.work_item, round=number)
    held_up = f"the default branch moved {ROUNDS} times while the work was tested"
    return replace(tried, held_up=held_up)


def _rebased(place: Place, tried: Tried) -> Tried:
    """The head on the newest default branch."""
    try:
        with place.kept():
            rebased = place.shop.workspaces.rebase(tried.cut)
    except GitConflict as conflict:
        files = tuple(str(name) for name in conflict.facts.get("files", ()))
        reason = f"the work conflicts with what landed meanwhile, in {listed(files)}"
        hunks = (str(conflict.facts.get("hunks", "")),)
        return replace(tried, failure="conflict", reason=reason, evidence=hunks)
    cut = replace(tried.cut, base_sha=rebased.base_sha)
    return replace(tried, cut=cut, head_sha=rebased.head_sha)


def _shown(place: Place, tried: Tried, past: Past, state: MarkState) -> Tried:
    """Where a service shows it, offer the head with how its test stands."""
    if not place.plan.shown or tried.interfered:
        return tried
    # A head that waits for the forge alone is marked already: each look would mark it twice anew.
    if state == "pending" and (tried.failure or _known(tried, past) is not None):
        return tried
    mark = showing.retest(state, tried.reason or f"on {tried.cut.base_sha[:12]}")
    try:
        with place.kept():
            shown = showing.showing(place, past, mark)
            place.shop.forge.offer(tried.cut, tried.head_sha, shown)
    except (GitMoved, GitMissing) as error:
        return replace(tried, interfered=what_to_do(error))
    return replace(tried, offered=tried.head_sha)


def _tested(place: Place, tried: Tried, past: Past) -> Tried:
    """The head, tested by orch itself where it stands now."""
    if tried.failure or tried.interfered:
        return tried
    known = _known(tried, past)
    if known is not None:
        return replace(tried, runs=(*tried.runs, known))
    again = command(place, tried.cut, "test", tried.head_sha)
    tried = replace(tried, runs=(*tried.runs, again))
    if again.passed or again.stopped:
        return tried
    reason = f"the tests are red on the newest default branch: {again.detail or again.exit_code}"
    red = replace(tried, failure="check_failed", reason=reason, evidence=(again.tail,))
    return replace(_shown(place, red, past, "failed"), interfered="")


def _known(tried: Tried, past: Past) -> CommandRun | None:
    """What orch's tests said of this very head on this very base in an earlier turn."""
    is_same = past.held.get("base_sha") == tried.cut.base_sha
    return run_of(past.held, tried.head_sha) if is_same else None


def _merged(place: Place, tried: Tried, past: Past, elapsed: Callable[[], float]) -> Tried:
    """Offer and merge what was tested; neither landed nor over when the default branch moved."""
    forge, title = place.shop.forge, str(place.turn.task["title"])
    try:
        with place.kept():
            mark = showing.retest("passed", f"on {tried.cut.base_sha[:12]}")
            forge.offer(tried.cut, tried.head_sha, showing.showing(place, past, mark))
            tried = replace(tried, offered=tried.head_sha)
            landed = forge.land(tried.cut, tried.head_sha, tried.cut.base_sha, title)
            proof = replace(_proof(place.shop, place.plan, landed), seconds=elapsed())
    except GitHeld as held:
        return replace(tried, held_up=held.message, by_forge=True)
    except GitMoved as moved:
        is_topic = moved.facts.get("branch") == tried.cut.branch
        return replace(tried, interfered=what_to_do(moved)) if is_topic else tried
    except GitMissing as missing:
        return replace(tried, interfered=what_to_do(missing))
    tried = replace(tried, landing=proof)
    if landed.base_sha == tried.cut.base_sha:
        return tried
    # A person merged it, or a service that does not ask for the base: on something nobody tested.
    again = command(place, tried.cut, "test", landed.merge_sha)
    return replace(tried, runs=(*tried.runs, again))


def what_to_do(error: GitError) -> str:
    """What a person did to the branch, and what is to be done now."""
    if isinstance(error, GitMissing):
        return f"{error.message} {error.suggested_fix}"
    return (
        f"{error.message} Resume the task to let its next turn begin from what is there, or put "
        "the branch back first."
    )


def run_of(told: Mapping[str, Any], sha: str) -> CommandRun | None:
    """What orch's own tests said of this commit, as it was written down; None if it was not."""
    test = told.get("test") or {}
    if test.get("head_sha") != sha:
        return None
    return CommandRun(**{each.name: test[each.name] for each in fields(CommandRun)})


def _proof(shop: Workshop, plan: Plan, landed: Landed) -> Landing:
    contains = shop.forge.contains(plan.remote, landed.tested_sha)
    return Landing(landed.tested_sha, landed.merge_sha, contains, landed.anew)


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
