"""GitHub's merge queue, where the rules of a branch want one.

The queue makes a merge commit of its own for each pull request, tests it and moves the branch to
it. The tested head comes in as it is, but perhaps on top of others' work: so orch's own marks stand
on the queue's commit only where it is made of the very base orch tested on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from orch import names
from orch.adapters.github.api import Repository
from orch.adapters.github.marks import Marks
from orch.adapters.github.pulls import PullRequest
from orch.errors import GitHeld, GitRefused
from orch.ports import Mark

OWN: Final = "orch/"
"""How the names of orch's own marks begin."""
MARK: Final = "orch/merge-queue"
"""On a head that orch put into the queue; red once the queue gave it back."""
REASON_LIMIT: Final = 80
MERGING: Final = frozenset({"merge", "merged"})
"""With these words the queue lets go of what it has merged."""
FORBIDDEN: Final = frozenset({"FORBIDDEN", "INSUFFICIENT_SCOPES"})
READ: Final = """query($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) { pullRequest(number: $number) {
    state
    mergeQueueEntry { state position headCommit { oid } baseCommit { oid } }
    timelineItems(last: 1, itemTypes: [REMOVED_FROM_MERGE_QUEUE_EVENT]) {
      nodes { ... on RemovedFromMergeQueueEvent { reason } }
    }
  } }
}"""
IS_ON: Final = """query($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) { pullRequest(number: $number) { isMergeQueueEnabled } }
}"""
ENQUEUE: Final = """mutation($id: ID!, $head: GitObjectID!) {
  enqueuePullRequest(input: {pullRequestId: $id, expectedHeadOid: $head}) {
    mergeQueueEntry { state position }
  }
}"""


@dataclass(frozen=True)
class Entry:
    """A pull request in the queue."""

    state: str
    position: int
    head_sha: str
    """The queue's own merge commit; empty until it is made."""
    base_sha: str
    """What that stands on: the default branch, or the work before it in the queue."""


@dataclass(frozen=True)
class Seen:
    """A pull request, and what its queue says of it, at one moment."""

    entry: Entry | None
    is_open: bool
    removed: str
    """Why it was last taken out of the queue; empty when it never was."""


class MergeQueue:
    """The merge queue of one repository's default branch."""

    def __init__(self, repository: Repository, marks: Marks) -> None:
        self._repository = repository
        self._marks = marks

    def insist_on_nothing_there(self, pull: PullRequest, sha: str, base_sha: str) -> None:
        """Raises GitHeld while the pull request is in the queue, GitRefused once when this head was
        and the queue gave it back. Raises nothing for one that is merged."""
        seen = self._read(pull.number)
        if seen.entry is not None:
            self._tell(seen.entry, sha, base_sha)
            raise _held(pull, seen.entry)
        mark = self._marks.read(sha).marks.get(MARK)
        if mark is None or mark.state == "failed" or not seen.is_open:
            return
        if seen.removed.lower() in MERGING:
            raise _held(pull, None)
        why = f"the merge queue gave it back: {seen.removed or 'GitHub names no reason'}"
        self._marks.write(sha, [Mark(MARK, "failed", why)])
        raise GitRefused(
            f"{pull.url} did not land: {why}.",
            suggested_fix="Look at the checks of the merge queue; a retry puts it there again.",
        )

    def is_on(self, number: int) -> bool:
        """Whether the branch it goes to has a merge queue; False where GitHub knows of none."""
        try:
            data = self._asked(IS_ON, number)
        except GitRefused:  # an Enterprise of before merge queues
            return False
        return data.get("isMergeQueueEnabled") is True

    def put(self, pull: PullRequest, sha: str) -> GitHeld:
        """Put exactly this head into the queue; what to raise then.

        Raises GitRefused when orch may not.
        """
        try:
            self._repository.graph(ENQUEUE, {"id": pull.node_id, "head": sha})
        except GitRefused as error:
            if FORBIDDEN & set(error.facts.get("kinds", ())):
                raise
            if self._read(pull.number).entry is None:
                return GitHeld(f"The merge queue does not take {pull.url} yet: {error.message}")
        # By this it is known at the next look that it was there.
        self._marks.write(sha, [Mark(MARK, "passed", "put into the merge queue")])
        return _held(pull, None)

    def _read(self, number: int) -> Seen:
        pull = self._asked(READ, number)
        entry = pull.get("mergeQueueEntry")
        nodes = (pull.get("timelineItems") or {}).get("nodes") or [{}]
        return Seen(
            _entry(entry) if entry else None,
            pull.get("state") == "OPEN",
            names.cleaned(str((nodes[-1] or {}).get("reason") or ""), REASON_LIMIT),
        )

    def _asked(self, query: str, number: int) -> dict[str, Any]:
        """What GraphQL says of a pull request."""
        repository = self._repository
        asked = {"owner": repository.owner, "name": repository.short, "number": number}
        data = repository.graph(query, asked)
        return (data.get("repository") or {}).get("pullRequest") or {}

    def _tell(self, entry: Entry, sha: str, base_sha: str) -> None:
        """Put orch's marks of the tested head on the queue's own commit.

        They hold there only if the queue put it on the base orch tested on: the files are the same
        then. On top of work that may still fail nothing is said; once that has landed the base has
        moved, and orch takes the head back to test it again.
        """
        if entry.head_sha and entry.base_sha == base_sha:
            marks = self._marks.read(sha).marks
            own = [mark for name, mark in marks.items() if name.startswith(OWN) and name != MARK]
            self._marks.write(entry.head_sha, own)


def _entry(entry: Any) -> Entry:
    return Entry(
        str(entry["state"]),
        int(entry["position"]),
        str((entry.get("headCommit") or {}).get("oid", "")),
        str((entry.get("baseCommit") or {}).get("oid", "")),
    )


def _held(pull: PullRequest, entry: Entry | None) -> GitHeld:
    """In the queue, and how far."""
    where = ""
    if entry is not None:
        where = f", at place {entry.position} ({entry.state.lower().replace('_', ' ')})"
    return GitHeld(
        f"{pull.url} is in the merge queue{where}.",
        suggested_fix="Nothing to do: the queue lands it or says why not.",
        queued=True,
    )
