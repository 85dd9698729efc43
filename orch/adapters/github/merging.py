"""The merge of a pull request at GitHub.

A refusal of GitHub's is one status for many reasons (405), and an answer may get lost: so what it
came to is never taken from the answer but read again.
"""

from __future__ import annotations

import re
from typing import Final

from orch import names
from orch.adapters.github.answers import said
from orch.adapters.github.api import Repository, Wait
from orch.adapters.github.marks import Marks
from orch.adapters.github.pulls import PullPages, PullRequest
from orch.adapters.github.queue import MergeQueue
from orch.adapters.github.rules import Rules, missing, read_rules
from orch.errors import GitHeld, GitMissing, GitMoved, GitRefused, GitUnreachable
from orch.ports import Message, Pull
from orch.rest import Answer, part

PAUSES: Final = (1.0, 2.0, 4.0, 8.0)
"""Seconds between looks while GitHub works something out; after the last it is asked no more."""
PASSING: Final = (
    "base branch was modified",
    "merge already in progress",
    "head branch was modified",
)
"""Refusals that are of the moment, if a look shows that nothing has moved."""
_CLOSING: Final = re.compile(r"\b([cfr])(?=(?:lose|ix|esolve)[sd]?\b|ixe[sd]\b)", re.IGNORECASE)
"""The words by which a commit's message would close issues: a title may hold them by chance."""


class Merging:
    """Merges pull requests of one repository."""

    def __init__(self, repository: Repository, pages: PullPages, wait: Wait) -> None:
        self._repository = repository
        self._pages = pages
        self._marks = Marks(repository)
        self._queue = MergeQueue(repository, self._marks)
        self._wait = wait

    def merge(self, wanted: Pull, sha: str, message: Message) -> None:
        """Merge exactly this head, or put it into the merge queue.

        Raises GitHeld while GitHub wants something else first, GitMoved, GitMissing, GitRefused.
        """
        pull = self._pages.read(_number(wanted))
        base_sha = self._at(pull.base)
        rules = read_rules(self._repository, pull.base)
        rules.insist_on_merging(pull.base)
        if rules.queue:
            self._queue.insist_on_nothing_there(pull, sha, base_sha)
        why: str | None = ""
        for pause in (*PAUSES, None):
            if pull.state == "merged":
                return
            self._insist_unmoved(pull, sha, base_sha)
            why = self._tried(pull, sha, base_sha, rules, message)
            if why is None:
                return
            if pause is not None:
                self._wait(pause)
                pull = self._pages.read(pull.number)
        raise GitHeld(f"GitHub does not merge {pull.url} yet: {why}.")

    def _tried(
        self, pull: PullRequest, sha: str, base_sha: str, rules: Rules, message: Message
    ) -> str | None:
        """None when it is merged, or why it may be in a moment. Raises what `merge` does."""
        if pull.head_sha != sha:
            return "it has not seen the newest push"
        if pull.mergeable is None:
            return "it is still working out whether it can"
        self._insist_ready(pull, sha, rules)
        if rules.queue:  # what else it wants the queue says better than the state of the merge
            raise self._queue.put(pull, sha)
        if pull.merge_state == "blocked":  # or it has not yet seen the mark of a moment ago
            if self._queue.is_on(pull.number):
                raise self._queued(pull, sha, base_sha)
            return (
                "it calls it blocked, by a review, a conversation, a signature or a deployment "
                f"that the rules of {pull.base} want"
            )
        answer = self._put(pull, sha, message)
        if answer is None or answer.ok:
            return None
        why = said(answer)
        if "merge queue" in why.lower():
            raise self._queued(pull, sha, base_sha)
        self._explain(self._pages.read(pull.number), sha, base_sha, rules, why)
        return why

    def _queued(self, pull: PullRequest, sha: str, base_sha: str) -> GitHeld:
        """What to raise for a queue of the older branch protection, of which no rule tells."""
        self._queue.insist_on_nothing_there(pull, sha, base_sha)
        return self._queue.put(pull, sha)

    def _at(self, branch: str) -> str:
        """Where GitHub has this branch; empty when it is not there."""
        answer = self._repository.ask("GET", f"/git/ref/heads/{part(branch)}", also=(404,))
        return names.sha(answer.body["object"]["sha"]) if answer.ok else ""

    def _put(self, pull: PullRequest, sha: str, message: Message) -> Answer | None:
        """GitHub's answer to the merge; None when it got lost, and the merge was made."""
        body = {
            "sha": sha,
            "merge_method": "merge",
            "commit_title": message.subject,
            "commit_message": _CLOSING.sub("\\1\N{WORD JOINER}", message.text),
        }
        path = f"/pulls/{pull.number}/merge"
        try:
            return self._repository.ask("PUT", path, body=body, also=(405, 409, 422))
        except GitUnreachable:
            if self._pages.read(pull.number).state == "merged":
                return None
            raise

    def _insist_unmoved(self, pull: PullRequest, sha: str, base_sha: str) -> None:
        """Raises GitMissing or GitMoved when a person was at the pull request or a branch."""
        if pull.state != "open":
            raise GitMissing(f"The pull request {pull.url} was closed.", branch=pull.branch)
        tip = self._at(pull.base)
        if tip != base_sha:
            raise GitMoved.between(pull.base, base_sha, tip)
        if pull.head_sha != sha:
            # Right after a push GitHub may show the head of before.
            there = self._at(pull.branch)
            if there != sha:
                raise GitMoved.between(pull.branch, sha, there)

    def _insist_ready(self, pull: PullRequest, sha: str, rules: Rules) -> None:
        """Raises GitHeld naming what is missing."""
        if pull.is_draft:
            raise GitHeld(f"{pull.url} is a draft: somebody holds it back.")
        found = missing(self._repository, pull, rules, self._marks.read(sha))
        if found:
            raise GitHeld(f"GitHub does not merge {pull.url} yet: {'; '.join(found)}.")

    def _explain(self, pull: PullRequest, sha: str, base_sha: str, rules: Rules, why: str) -> None:
        """Why a merge was refused, by what is there now; returns when it may yet go through."""
        if pull.state == "merged":
            return
        self._insist_unmoved(pull, sha, base_sha)
        if pull.mergeable is None or pull.head_sha != sha:
            return
        self._insist_ready(pull, sha, rules)
        low = why.lower()
        if any(each in low for each in PASSING):
            return
        if "required" in low or "review" in low:
            raise GitHeld(f"GitHub does not merge {pull.url} yet: {why}.")
        raise GitRefused(f"GitHub does not merge {pull.url}: {why}.")


def _number(pull: Pull) -> int:
    if pull.number is None:
        raise GitMissing(f"{pull.branch} has no pull request at GitHub.", branch=pull.branch)
    return pull.number
