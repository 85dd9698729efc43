"""The mirror of pull requests, and what becomes of a task whose pull request a person acted upon.

Only tasks that nobody works on are acted upon: a worker finds out by itself, from the forge's own
answers, and what orch does there looks like a person's act from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import structlog

from orch import stages
from orch.line import Line
from orch.ports import Forge, Outlook, Pull, Remote
from orch.store import pulls, work
from orch.store.session import Connection, Row, lock_repos

log = structlog.get_logger(__name__)


def look_at_pulls(line: Line, forge: Forge, remote: Remote) -> int:
    """Read what stands at the forge of this repo into the mirror, and park the tasks whose pull
    request a person closed or merged, or whose branch is gone; how many were looked at.

    Raises GitError when the forge cannot be asked: then the mirror keeps what it has, and its age.
    """
    known = {row["id"]: row for row in line.store.read(partial(pulls.of_repo, repo=remote.repo))}
    if not known:
        return 0
    branches = [_branch(row) for row in known.values()]
    outlook = forge.look(remote, branches)
    line.store.write(lambda conn: _note(conn, line, remote.repo, known, outlook))
    return len(known)


def _note(
    conn: Connection, line: Line, repo: str, before: Mapping[int, Row], outlook: Outlook
) -> None:
    lock_repos(conn, [repo])
    for row in pulls.of_repo(conn, repo):
        pull = outlook.pulls.get(_branch(row))
        if pull is None or row["live_job"] or not _is_same(row, before.get(row["id"])):
            continue  # what was read is older than what orch did since
        pulls.note(conn, line.now(), repo, row["id"], pull)
        reason = _parking(row, pull)
        if reason and row["paused_at"] is None:
            log.info("forge.acted_upon", repo=repo, work_item_id=row["work_item_id"], why=reason)
            work.park(conn, row["id"], line.now(), reason=reason)


def _is_same(row: Row, before: Row | None) -> bool:
    """Whether nobody worked on the task while the forge was asked."""
    facts = ("stage", "head_sha", "merge_sha", "live_job")
    return before is not None and all(row[name] == before[name] for name in facts)


def _parking(row: Row, pull: Pull) -> str:
    """Why the task cannot go on as it is, and what to do; empty when it can."""
    number, branch = f"#{pull.number}", pull.branch
    if pull.state == "closed":
        return (
            f"Somebody closed pull request {number} without merging it. Reopen it at the forge "
            "and resume the task, or cancel the task."
        )
    if pull.state == "merged":
        # At its landing orch finds the merge itself, tests it and writes it down.
        if row["seen"] == "merged" or row["merge_sha"] or row["stage"] in stages.LANDING:
            return ""
        return (
            f"Somebody merged pull request {number} at stage {row['stage']}, before orch had "
            "tested it on the default branch: it is there untested. Resume the task to go on "
            "with a new pull request, or cancel it if that was all."
        )
    if not pull.head_sha and not row["merge_sha"]:
        return (
            f"Somebody deleted the branch {branch} at the remote. Put it back at "
            f"{row['head_sha']} and resume the task, or cancel the task."
        )
    return ""


def _branch(row: Row) -> str:
    return f"feature/{row['work_item_id']}"
