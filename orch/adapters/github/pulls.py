"""Pull requests at GitHub: found, opened, kept up to date, closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from orch import names
from orch.adapters.github.answers import refusal, said
from orch.adapters.github.api import Repository
from orch.errors import GitRefused, GitUnreachable
from orch.ports import Page, Pull, PullState
from orch.pull_text import rewritten

log = structlog.get_logger(__name__)

TITLE_LIMIT: Final = 250
UNFINISHED: Final = "WIP: "
"""Before the title where a repository has no drafts: GitHub keeps them for some plans."""
MANY: Final = 100
FEW: Final = 3
"""Up to so many branches are asked for one by one."""
READY: Final = """mutation($id: ID!) {
  markPullRequestReadyForReview(input: {pullRequestId: $id}) { pullRequest { isDraft } }
}"""
DRAFT: Final = """mutation($id: ID!) {
  convertPullRequestToDraft(input: {pullRequestId: $id}) { pullRequest { isDraft } }
}"""


@dataclass(frozen=True)
class PullRequest:
    """One pull request, as GitHub has it at one moment."""

    number: int
    node_id: str
    title: str
    text: str
    branch: str
    base: str
    head_sha: str
    state: PullState
    is_draft: bool
    url: str
    merge_sha: str = ""
    mergeable: bool | None = None
    """None while GitHub works it out."""
    merge_state: str = ""
    """GitHub's word: blocked, behind, clean, dirty, draft, has_hooks, unstable, unknown."""
    asked: frozenset[str] = frozenset()
    """Who is asked to look at it, in small letters: users, and teams as `/team`."""

    @property
    def pull(self) -> Pull:
        """The same in the port's words."""
        return Pull(self.branch, self.head_sha, self.state, self.number, self.url, self.merge_sha)


class PullPages:
    """The pull requests of one repository, as people see them."""

    def __init__(self, repository: Repository, reviewers: Sequence[str] = ()) -> None:
        self._repository = repository
        self._reviewers = tuple(reviewers)

    def find(self, base: str, branches: Sequence[str]) -> dict[str, PullRequest]:
        """The open pull request of each branch, or else its newest, in few questions."""
        base = base or self._default()
        found = self._listed(base) if len(branches) > FEW else {}
        for branch in branches:
            if branch not in found:
                found |= self._listed(base, head=f"{self._repository.owner}:{branch}")
        return {branch: found[branch] for branch in branches if branch in found}

    def read(self, number: int) -> PullRequest:
        """One pull request with all that is known of it."""
        return _pull(self._repository.read(f"/pulls/{number}"))

    def open(self, page: Page) -> PullRequest | None:
        """A new pull request; None when the branch holds nothing that the base has not.

        The one that somebody else opened meanwhile is brought up to the page.
        """
        base = page.base or self._default()
        for is_draft in (False,) if page.ready else (True, False):
            body = {
                "title": _title(page, is_draft=is_draft),
                "head": page.branch,
                "base": base,
                "body": rewritten("", page.text),
                "draft": is_draft,
                "maintainer_can_modify": False,
            }
            answer = self._repository.ask("POST", "/pulls", body=body, also=(422,))
            if answer.ok:
                return _pull(answer.body)
            words = said(answer).lower()
            if "draft" not in words:  # else once more without: not every plan has drafts
                break
        if "already exists" in words:
            found = self.find(base, (page.branch,)).get(page.branch)
            return self.update(self.read(found.number), page) if found else None
        if "no commits between" in words:
            return None
        if "invalid" in words:
            raise GitUnreachable(f"GitHub does not see the branch {page.branch} yet: {words}.")
        raise refusal(answer, f"a pull request for {page.branch}", self._repository.now())

    def update(self, pull: PullRequest, page: Page) -> PullRequest:
        """Show this instead; what is shown already is not written again."""
        is_draft = self._drafted(pull, page)
        there = {"title": pull.title, "body": pull.text.replace("\r\n", "\n")}
        text = rewritten(there["body"], page.text)
        wanted = {"title": _title(page, is_draft=is_draft), "body": text}
        body = {name: value for name, value in wanted.items() if there[name] != value}
        if not body:
            return pull
        return _pull(self._repository.ask("PATCH", f"/pulls/{pull.number}", body=body).body)

    def make_ready(self, pull: PullRequest) -> None:
        """Let it be merged: it is no draft any more."""
        if pull.is_draft:
            self._repository.graph(READY, {"id": pull.node_id})

    def ask_reviewers(self, pull: PullRequest) -> None:
        """Ask whom the settings name, each once: who has answered already is not asked again."""
        missing = [name for name in self._reviewers if _key(name) not in pull.asked]
        path = f"/pulls/{pull.number}"
        if missing:
            reviews = self._repository.read(f"{path}/reviews", {"per_page": MANY})
            said_so = {str((one.get("user") or {}).get("login", "")).lower() for one in reviews}
            missing = [name for name in missing if _key(name) not in said_so]
        if not missing:
            return
        body = {
            "reviewers": [name for name in missing if "/" not in name],
            "team_reviewers": [name.partition("/")[2] for name in missing if "/" in name],
        }
        answer = self._repository.ask(
            "POST", f"{path}/requested_reviewers", body=body, also=(403, 422)
        )
        if not answer.ok:  # somebody without access holds up no work
            log.warning(
                "forge.reviewers_not_asked",
                repo=self._repository.name,
                reviewers=missing,
                error=said(answer),
            )

    def close(self, number: int) -> None:
        """Close it without merging it."""
        self._repository.ask("PATCH", f"/pulls/{number}", body={"state": "closed"})

    def _default(self) -> str:
        """The repository's default branch."""
        return str(self._repository.read("")["default_branch"])

    def _drafted(self, pull: PullRequest, page: Page) -> bool:
        """Make it a draft or none, as it is to be; whether it is one."""
        if pull.is_draft and page.ready:
            self.make_ready(pull)
            return False
        if pull.is_draft is not page.ready or pull.title.startswith(UNFINISHED):
            return pull.is_draft
        try:
            self._repository.graph(DRAFT, {"id": pull.node_id})
        except GitRefused:  # the repository has none: the title says it
            return False
        return True

    def _listed(self, base: str, head: str = "") -> dict[str, PullRequest]:
        query: dict[str, str | int] = {"state": "all", "base": base, "direction": "desc"}
        query |= {"sort": "created" if head else "updated", "per_page": 20 if head else MANY}
        listed = self._repository.read("/pulls", query | ({"head": head} if head else {}))
        own = self._repository.name.lower()
        pulls = [_pull(one) for one in listed if _home(one) == own]
        best: dict[str, PullRequest] = {}
        for pull in sorted(pulls, key=lambda pull: (pull.state == "open", pull.number)):
            best[pull.branch] = pull
        return best


def _title(page: Page, *, is_draft: bool) -> str:
    """Where there are no drafts, it says that the work is unfinished."""
    title = names.cleaned(page.title, TITLE_LIMIT) or page.branch
    return title if page.ready or is_draft else f"{UNFINISHED}{title}"


def _key(reviewer: str) -> str:
    """A user, or a team without its organisation, as `PullRequest.asked` has them."""
    _, slash, team = reviewer.lower().partition("/")
    return f"/{team}" if slash else reviewer.lower()


def _home(one: Any) -> str:
    """Where the branch lies: `owner/name`, empty for a fork that was deleted."""
    return str((one["head"].get("repo") or {}).get("full_name", "")).lower()


def _pull(one: Any) -> PullRequest:
    merged = bool(one.get("merged_at"))
    return PullRequest(
        number=int(one["number"]),
        node_id=str(one["node_id"]),
        title=str(one["title"]),
        text=str(one.get("body") or ""),
        branch=str(one["head"]["ref"]),
        base=str(one["base"]["ref"]),
        head_sha=names.sha(one["head"]["sha"]),
        state="merged" if merged else "open" if one["state"] == "open" else "closed",
        is_draft=bool(one.get("draft")),
        url=names.cleaned(str(one["html_url"]), 500),
        # While it is open this names a commit that GitHub only tried the merge with.
        merge_sha=str(one.get("merge_commit_sha") or "") if merged else "",
        mergeable=one.get("mergeable"),
        merge_state=str(one.get("mergeable_state") or ""),
        asked=frozenset(
            {str(user["login"]).lower() for user in one.get("requested_reviewers") or ()}
            | {f"/{team['slug']}".lower() for team in one.get("requested_teams") or ()}
        ),
    )
