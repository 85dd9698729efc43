"""What the store, git and the agents' own lines say about the demo once it has been played."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from typing import Any, Final

from orch import stages
from orch.cli.demo_play import Play
from orch.cli.demo_repos import BREAKING, FIX, MOVED, REBASED, WAITING

EARLIER, URGENT, DEPENDENT, BEHIND = "ORCH-116", "ORCH-123", "SITE-2", "SITE-3"
NOT_STARTED: Final = ("ORCH-118", "ORCH-120")
UNWANTED, ASKING, REVIEWED = "SITE-4", "LIB-3", "LIB-2"
TESTS: Final = (sys.executable, "-B", "-m", "unittest", "-q")
TEST_SECONDS: Final = 60.0


def proofs(play: Play) -> None:
    """Settle everything that only shows at the end."""
    screen = play.stage.screen
    screen.say("")
    screen.say("— Checked from the store, from git and from what the agents wrote", "bold")
    _order_of_the_shop(play)
    _dependent(play)
    _mishaps(play)
    _rebased(play)
    for repo in play.stage.shelf.repos:
        _log_of(play, repo)
    _tested(play)
    unexpected = [task["work_item_id"] for task in play.all_tasks() if not _as_expected(task)]
    play.claim(
        f"{len(play.all_tasks())} tasks are where they should be: {UNWANTED} cancelled, "
        f"{ASKING} parked with a question, the others done",
        not unexpected,
    )
    turns, faults = overlaps(play)
    play.claim(f"in {turns} turns no two of one repo overlapped, and none ran twice", not faults)


def _order_of_the_shop(play: Play) -> None:
    resumed = play.events(EARLIER, "task.resumed")[-1]["at"]
    again = [moment for moment in play.starts(EARLIER) if moment >= resumed]
    ended, others = play.task(URGENT)["finished_at"], play.starts(*NOT_STARTED)
    play.claim(
        f"{EARLIER} went on after {URGENT} was done and before {' and '.join(NOT_STARTED)}",
        again and ended and others and ended <= again[0] < others[0],
    )


def _dependent(play: Play) -> None:
    done, dependent = play.task(EARLIER)["finished_at"], play.starts(DEPENDENT)
    play.claim(
        f"{DEPENDENT} started after {EARLIER} was done", dependent and done and done <= dependent[0]
    )
    play.claim(
        f"{BEHIND} did not wait behind {DEPENDENT}, which could not use its place",
        dependent and play.starts(BEHIND)[0] < dependent[0],
    )


def _mishaps(play: Play) -> None:
    red = _failures(play, EARLIER)
    play.claim(
        f"{EARLIER}: its agent said `pass`, orch ran the tests, and sent it back once",
        red == [("development", "check_failed")] and _ran_red(play, EARLIER),
    )
    play.claim(
        f"{REVIEWED}: the review asked for rework once, and its words reached the developer",
        _failures(play, REVIEWED) == [("review", "rework_requested")] and play.is_over(REVIEWED),
    )
    play.claim(
        f"{BREAKING} was brought out again once {FIX} was in, and landed only once",
        _failures(play, BREAKING) == [("deploy", "check_failed")]
        and len(play.events(BREAKING, "task.landed")) == 1
        and play.starts(WAITING)[0] >= play.task(FIX)["finished_at"],
    )


def _failures(play: Play, work_item: str) -> list[tuple[str, str]]:
    return [
        (job["stage"], job["failure"]) for job in play.jobs(work_item) if job["status"] == "failed"
    ]


def _ran_red(play: Play, work_item: str) -> bool:
    (job,) = [job for job in play.jobs(work_item) if job["status"] == "failed"]
    return bool(job["verdict"] == "pass" and job["report"]["runs"][-1]["exit_code"])


def _rebased(play: Play) -> None:
    """The landing that met a main which had moved."""
    shelf, landed = play.stage.shelf, _landed(play, REBASED)
    cut = next(job["report"]["base_sha"] for job in play.jobs(REBASED))
    play.claim(
        f"{REBASED}, cut before the colleague's push, was rebased onto it and tested there",
        cut != play.pushed == landed.get("base_sha")
        and shelf.stands_on(MOVED, landed["tested_sha"], play.pushed)
        and landed["tested_sha"] in _tested_shas(play, REBASED),
    )


def _tested_shas(play: Play, work_item: str) -> set[str]:
    """The commits on which orch saw the tests of a task pass in its deploy stage."""
    runs = (job["report"].get("runs", ()) for job in play.jobs(work_item))
    return {
        run["head_sha"] for each in runs for run in each if run["name"] == "test" and run["passed"]
    }


def _log_of(play: Play, repo: str) -> None:
    """Whether git's own log of a repo shows what landed, in the order the gate let it in."""
    items = [item for item in play.of_repo(repo) if play.events(item, "task.landed")]
    order = sorted(items, key=lambda item: _admitted(play, item))
    steps = play.stage.shelf.steps(repo)
    merges = {step.sha: step for step in steps if step.is_merge}
    landed = [_landed(play, item) for item in order]
    done = {
        task["work_item_id"]
        for task in play.all_tasks()
        if task["repo"] == repo and task["stage"] == stages.DONE
    }
    play.claim(
        f"`git log` of {repo} shows {len(merges)} landed merges in the order of the gate",
        list(merges) == [each["merge_sha"] for each in landed]
        and [merges[each["merge_sha"]].parents for each in landed]
        == [(each["base_sha"], each["tested_sha"]) for each in landed]
        and set(items) == done,
    )
    for step in steps[::-1]:
        play.stage.screen.say(f"      {step.sha[:8]} {step.subject}", "dim")


def _landed(play: Play, work_item: str) -> dict[str, str]:
    told: dict[str, str] = play.events(work_item, "task.landed")[-1]["data"]
    return told


def _admitted(play: Play, work_item: str) -> datetime:
    """When a task took the place from which it landed: at its start, or when it was resumed."""
    landed: datetime = play.events(work_item, "task.landed")[-1]["at"]
    begun = [job["claimed_at"] for job in play.jobs(work_item) if job["claimed_at"]]
    moments: list[datetime] = [
        min(begun),
        *(each["at"] for each in play.events(work_item, "task.resumed")),
    ]
    # A resume after the landing gives a new place in the line, and takes nothing off main.
    return max(moment for moment in moments if moment < landed)


def _tested(play: Play) -> None:
    """Run every repo's tests once more, by hand and on what is on main now."""
    shelf, red = play.stage.shelf, []
    for repo in shelf.repos:
        place = shelf.put_out(repo, play.stage.folder / "seen" / repo)
        done = subprocess.run(
            TESTS,
            cwd=place,
            env=play.stage.environment,
            capture_output=True,
            timeout=TEST_SECONDS,
            check=False,
        )
        red += [repo] if done.returncode else []
    play.claim(f"on main of {', '.join(shelf.repos)} all tests pass", not red)


def overlaps(play: Play) -> tuple[int, list[str]]:
    """How many turns the agents wrote down, and every line that is out of turn."""
    turns, faults, seen = 0, [], set()
    for path in sorted(play.stage.settings.data_dir.glob("work/*/turns.log")):
        at_work: str | None = None
        for line in path.read_text("utf-8").splitlines():
            word, _, turn = line.partition(" ")
            if word == "start":
                turns += 1
                faults += [line] if at_work is not None or turn in seen else []
                at_work = turn
                seen.add(turn)
            else:
                faults += [line] if at_work != turn else []
                at_work = None
        faults += [f"{path}: {at_work} did not end"] if at_work else []
    begun = {str(job["job_id"]) for job in play.every_job() if job["started_at"]}
    # What has landed is brought out again by orch itself, without an agent.
    alone = {str(job["job_id"]) for job in play.jobs(BREAKING)[-1:]}
    written = {turn.rsplit(" ", 1)[-1] for turn in seen}
    return turns, faults + sorted((begun - alone) ^ written)


def _as_expected(task: dict[str, Any]) -> bool:
    match task["work_item_id"]:
        case item if item == UNWANTED:
            return bool(task["state"] == stages.CANCELLED)
        case item if item == ASKING:
            return task["state"] == "parked" and "needs input" in (task["paused_reason"] or "")
        case _:
            return bool(task["state"] == stages.DONE)
