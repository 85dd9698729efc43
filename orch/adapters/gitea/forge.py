"""Pull requests at Gitea, 1.25 to 1.27, over its API.

Gitea's merge with `head_commit_id` is the compare-and-swap. Its 405 and 409 say many things, so
what a refused merge means is read from the pull request and the branches, never from the number.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from orch import names
from orch.adapters.gitea.api import PAGE_SIZE, SAID_LIMIT, Api, rows_of, text_at, words_of
from orch.adapters.gitea.rights import Rights
from orch.errors import (
    BadInput,
    GitError,
    GitHeld,
    GitMissing,
    GitMoved,
    GitRefused,
    GitUnreachable,
)
from orch.ports import Mark, Message, Page, Pull, Readiness
from orch.pull_text import rewritten
from orch.repo_settings import MergeStyle
from orch.rest import Answer, Service, part

log = structlog.get_logger(__name__)

STATES: Final = {"pending": "pending", "passed": "success", "failed": "failure"}
UNFINISHED: Final = "WIP: "
"""What Gitea knows an unfinished pull request by; it merges none."""
WAITS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds between tries of a merge that Gitea is not ready for yet."""
MOST_PAGES: Final = 4
"""How many lists of pull requests are read before each is asked for."""


@dataclass(frozen=True)
class Way:
    """How one repo's work lands at Gitea."""

    repo: str
    """owner/name."""
    style: MergeStyle = "merge"
    reviewers: tuple[str, ...] = ()


class GiteaPulls:
    """The PullRequests port on Gitea's API."""

    def __init__(
        self,
        service: Service,
        way: Way,
        token: Callable[[], str],
        wait: Callable[[float], object],
    ) -> None:
        """`service` is at `…/api/v1`; `token` is asked before each request, `wait` takes
        seconds."""
        self._api = Api(service, way.repo, token)
        self._why = _Refusals(self._api)
        self._way = way
        self._wait = wait

    def find(self, base: str, branches: Sequence[str]) -> Mapping[str, Pull]:
        """The open pull request of each branch, or else the newest. Raises GitError."""
        base = base or self._api.default_branch()
        wanted, found = set(branches), dict[str, Pull]()
        for body in self._candidates(found, wanted, base):
            pull = _pull(body)
            mine = pull.branch in wanted and _is_own(body) and text_at(body, "base", "ref") == base
            if mine and (pull.branch not in found or pull.state == "open"):
                found[pull.branch] = pull
        return found

    def show(self, page: Page, known: Pull | None) -> Pull:
        """Bring the open one up to this page, or open one. Raises GitError."""
        title = names.cleaned(("" if page.ready else UNFINISHED) + page.title)
        if known is None or known.state != "open":
            return self._opened(page, title)
        there = self._api.ask("GET", self._api.of(known))
        wanted = {"title": title, "body": rewritten(text_at(there, "body"), page.text)}
        changed = {name: new for name, new in wanted.items() if text_at(there, name) != new}
        if changed:
            there = self._api.ask("PATCH", self._api.of(known), changed)
        if page.ready and "title" in changed:
            self._ask_reviewers(known)
        return _pull(there)

    def mark(self, sha: str, marks: Sequence[Mark]) -> None:
        """Put these beside a commit, unless they are its newest already. Raises GitError."""
        if not marks:
            return
        newest = self._api.statuses(sha)
        for mark in marks:
            body = {
                "context": mark.name,
                "state": STATES[mark.state],
                "description": names.cleaned(mark.said, SAID_LIMIT),
                "target_url": mark.link,
            }
            said = newest.get(mark.name, {})
            if (said.get("status"), said.get("description")) != (
                body["state"],
                body["description"],
            ):
                self._api.ask("POST", f"{self._api.repo}/statuses/{part(sha)}", body)

    def merge(self, pull: Pull, sha: str, message: Message) -> None:
        """Merge an open one whose head is exactly this commit. Raises GitError."""
        body = {
            # The names up to 1.25, which later versions take as well.
            "Do": self._way.style,
            "MergeTitleField": message.subject,
            "MergeMessageField": message.text,
            "head_commit_id": sha,
            "delete_branch_after_merge": False,
        }
        why: GitError | None = None
        for seconds in (0.0, *WAITS):
            if seconds:
                self._wait(seconds)
            answer = self._api.answer("POST", f"{self._api.of(pull)}/merge", body)
            if answer.status == 200:
                return
            why = self._why.of_merge(pull, sha, answer)
            if why is None:
                return
            if not isinstance(why, _NotYet):
                raise why
        raise GitHeld(f"{why.message if why else ''} It is tried again later.")

    def close(self, pull: Pull) -> None:
        """Close an open one without merging it. Raises GitError."""
        self._api.ask("PATCH", self._api.of(pull), {"state": "closed"})

    def prepare(self, base: str, hook: str) -> Readiness:
        """Look at rights, protection and webhook. Raises GitUnreachable."""
        return Rights(self._api).look(base, hook)

    # --- pull requests

    def _candidates(self, found: Mapping[str, Pull], wanted: set[str], base: str) -> Iterator[Any]:
        """The open pull requests, then the newest of the others, then each by its branches, until
        all that are wanted are found."""
        query = {"state": "open", "sort": "recentupdate"}
        for number in range(1, MOST_PAGES + 1):
            listed = self._listed(query, number)
            yield from listed
            if len(listed) < PAGE_SIZE:
                break
        if not wanted <= found.keys():
            yield from self._listed(query | {"state": "closed"}, 1)
        for branch in sorted(wanted - found.keys()):
            path = f"{self._api.repo}/pulls/{part(base)}/{part(branch)}"
            answer = self._api.answer("GET", path)
            if answer.status != 404:
                yield self._api.good(answer, "GET")

    def _listed(self, query: Mapping[str, str], number: int) -> list[Any]:
        paged = {**query, "limit": PAGE_SIZE, "page": number}
        return rows_of(self._api.ask("GET", f"{self._api.repo}/pulls", query=paged))

    def _opened(self, page: Page, title: str) -> Pull:
        base = page.base or self._api.default_branch()
        body = {"base": base, "head": page.branch, "title": title}
        body["body"] = rewritten("", page.text)
        answer = self._api.answer("POST", f"{self._api.repo}/pulls", body)
        if answer.status == 409:  # ours, and its answer got lost; or a person was faster
            known = self.find(base, (page.branch,)).get(page.branch)
            if known is not None and known.state == "open":
                return self.show(page, known)
        if answer.status == 422 and "no changes" in words_of(answer):
            return Pull(page.branch, "")
        pull = _pull(self._api.good(answer, "POST"))
        if page.ready:
            self._ask_reviewers(pull)
        return pull

    def _ask_reviewers(self, pull: Pull) -> None:
        """Ask people to look; one whom Gitea does not know is no reason not to go on."""
        if not self._way.reviewers:
            return
        body = {"reviewers": list(self._way.reviewers)}
        answer = self._api.answer("POST", f"{self._api.of(pull)}/requested_reviewers", body)
        if not answer.ok:
            log.warning(
                "forge.reviewers_not_asked",
                repo=self._way.repo,
                number=pull.number,
                error=words_of(answer),
            )


class _Refusals:
    """What it means that Gitea has not merged."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def of_merge(self, pull: Pull, sha: str, answer: Answer) -> GitError | None:
        """Why it has not been merged; None when it has."""
        if answer.status not in (201, 404, 405, 409):
            return self._api.no(answer, "merge")
        body = self._api.ask("GET", self._api.of(pull))
        now = _pull(body)
        if now.state == "merged":
            return None
        if now.state == "closed":
            message = f"Somebody closed pull request #{now.number} without merging it."
            fix = "Reopen it in Gitea and resume the task, or cancel the task."
            return GitMissing(message, suggested_fix=fix, branch=pull.branch)
        if now.head_sha != sha:
            return self._head_elsewhere(pull, sha, now)
        if answer.status == 201:
            self._api.answer("DELETE", f"{self._api.of(pull)}/merge")
            return GitHeld(
                f"Gitea put the merge of #{now.number} off, which orch never asks for; it was "
                "called off again."
            )
        if answer.status == 409:
            return self._conflict(answer, now, text_at(body, "base", "ref"))
        return self._not_allowed(answer, now, text_at(body, "base", "ref"))

    def _head_elsewhere(self, pull: Pull, sha: str, now: Pull) -> GitError:
        """Gitea learns of a push a little later than git; or somebody pushed."""
        there = self._api.ask("GET", f"{self._api.repo}/branches/{part(pull.branch)}")
        at = text_at(there, "commit", "id")
        if at == sha:
            return _NotYet(f"Gitea has not taken up the newest push to #{now.number} yet.")
        message = f"{pull.branch} is at {at}, not at {sha}: somebody pushed meanwhile."
        return GitMoved(message, branch=pull.branch, expected=sha, actual=at)

    def _conflict(self, answer: Answer, now: Pull, base: str) -> GitError:
        said = words_of(answer)
        if "head out of date" in said:
            return _NotYet(f"Gitea has not taken up the newest push to #{now.number} yet.")
        if "push out of date" in said:
            return GitMoved(f"{base} moved while Gitea merged.", branch=base)
        if "rejected" in said.lower():
            return GitRefused(f"Gitea did not let the merge of #{now.number} through: {said}")
        return GitHeld(f"Gitea sees a conflict between #{now.number} and {base}: {said}")

    def _not_allowed(self, answer: Answer, now: Pull, base: str) -> GitError:
        said = words_of(answer)
        if "try again later" in said:
            # The same words while it finds out and for a conflict: git says later which it was.
            return _NotYet(f"Gitea does not know #{now.number} to be free of conflicts.")
        if "not allowed to merge pr" in said.lower():
            return GitRefused(
                f"Gitea does not let orch's user merge into {base}.",
                suggested_fix=f"Let the user merge into {base}: a line in its branch protection.",
            )
        if answer.status == 404:
            return GitRefused(f"Gitea knows no way to merge #{now.number}: {said}")
        lacking = self._lacking(base, now.head_sha)
        return GitHeld(f"Gitea does not merge #{now.number} yet: {'; '.join((said, *lacking))}.")

    def _lacking(self, base: str, sha: str) -> list[str]:
        """The checks that the branch requires and this very commit has not passed."""
        branch = self._api.ask("GET", f"{self._api.repo}/branches/{part(base)}")
        if not branch.get("enable_status_check"):
            return []
        statuses = self._api.statuses(sha)
        found = []
        for pattern in branch.get("status_check_contexts") or ():
            fitting = [name for name in statuses if fnmatch.fnmatchcase(name, str(pattern))]
            if not fitting:
                found.append(f"status {names.shown(pattern)} is missing")
            bad = [name for name in fitting if statuses[name].get("status") != "success"]
            found += [f"{names.shown(each)} is {statuses[each].get('status')}" for each in bad]
        return found


class _NotYet(GitHeld):
    """It may be merged in a moment."""


def _pull(body: Any) -> Pull:
    """A pull request as Gitea tells of it."""
    number = body.get("number") if isinstance(body, dict) else None
    if not isinstance(number, int):
        raise GitUnreachable("Gitea answered something that is no pull request.")
    merged = bool(body.get("merged"))
    is_open = body.get("state") == "open"
    return Pull(
        text_at(body, "head", "ref"),
        text_at(body, "head", "sha"),
        "merged" if merged else "open" if is_open else "closed",
        number,
        _page_url(text_at(body, "html_url")),
        text_at(body, "merge_commit_sha") if merged else "",
    )


def _page_url(url: str) -> str:
    try:
        return names.web_url(url)
    except BadInput:
        return ""


def _is_own(body: Any) -> bool:
    """Whether it comes from the repo itself: a fork may have a branch of any name."""
    head, base = (body.get(side) or {} for side in ("head", "base"))
    return bool(head.get("repo_id") == base.get("repo_id"))
