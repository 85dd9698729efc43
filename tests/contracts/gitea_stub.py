"""A Gitea that keeps its state, merges in a real bare repository, and fails as it is told."""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.contracts.schemas import contract
from tests.contracts.smart_http import SmartHttp
from tests.contracts.stubs import Call, Said, Stub
from tests.git_bench import git

TOKEN: Final = "0123456789abcdef0123456789abcdef01234567"
AT: Final = "2026-01-02T03:04:05Z"


@dataclass
class Request:
    """A pull request."""

    number: int
    head: str
    base: str
    title: str
    body: str
    sha: str
    state: str = "open"
    merge_sha: str = ""
    reviewers: list[str] = field(default_factory=list)
    repo_id: int = 11
    """Of the head: another is a fork."""


def known() -> dict[str, Any]:
    """The contract, in which a merge may only have the names up to 1.25, and with the request for
    reviews, which the trimmed one leaves out."""
    found = contract("gitea")
    for each in found["endpoints"]:
        if each["id"] == "repoMergePullRequest":
            each["body"] = {"$ref": "#/definitions/MergePullRequestOption_1_25"}
    names = {"type": "array", "items": {"type": "string"}}
    found["endpoints"].append(
        {
            "id": "repoCreatePullReviewRequests",
            "method": "POST",
            "path": "/api/v1/repos/{owner}/{repo}/pulls/{index}/requested_reviewers",
            "query": {},
            "body": {
                "type": "object",
                "properties": {"reviewers": names, "team_reviewers": names},
            },
            "responses": {},
        }
    )
    return found


class Repo:
    """One repo, acme/shop, and what people do with it."""

    def __init__(self, bare: Path) -> None:
        self.bare = bare
        self.requests: list[Request] = []
        self.statuses: defaultdict[str, list[tuple[str, str, str]]] = defaultdict(list)
        """By commit, oldest first: context, state, description."""
        self.contexts: tuple[str, ...] = ()
        """Patterns of the statuses that main requires."""
        self.approvals = 0
        self.outdated_blocked = True
        self.may_merge = True
        self.archived = False
        self.permissions = {"admin": False, "push": True, "pull": True}
        self.protection: dict[str, Any] | None = None
        """What administrators are told of main's protection; None is none of its own."""
        self.hooks: list[dict[str, Any]] = []
        self.token = TOKEN
        self.scopes = ("write:repository", "write:issue")
        self.computing = 0
        """How often still a merge is answered with "try again later"."""
        self.schedules = False
        self.rejects = False
        self.lags = 0
        """How often still it has not heard of the newest push."""
        self.merges: list[dict[str, Any]] = []
        """What was asked to be merged."""

    def at(self, branch: str) -> str:
        """Where a branch is; empty when there is none."""
        return git(self.bare, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")

    def of(self, branch: str) -> Request:
        """The newest pull request of a branch."""
        return next(each for each in reversed(self.requests) if each.head == branch)

    def newest(self, sha: str) -> dict[str, str]:
        """The newest state of each context of a commit."""
        return {context: state for context, state, _ in self.statuses[sha]}

    def say(self, sha: str, context: str, state: str) -> None:
        """Another program posts a status."""
        self.statuses[sha].append((context, state, ""))

    def merge(self, request: Request, style: str = "merge", title: str = "Merge") -> str:
        """Merge one, whoever asks; the commit by which it is merged."""
        sha, base = self._sha(request), self.at(request.base)
        if style in ("merge", "rebase-merge"):
            tree = git(self.bare, "merge-tree", "--write-tree", base, sha).splitlines()[0]
            made = git(self.bare, "commit-tree", tree, "-p", base, "-p", sha, "-m", title)
        else:
            made = sha  # it stands on the base, or it would not have been let through
        git(self.bare, "update-ref", f"refs/heads/{request.base}", made, base)
        request.sha, request.state, request.merge_sha = sha, "merged", made
        return made

    def _sha(self, request: Request) -> str:
        """Where the head is, as far as Gitea has heard; a branch that goes closes what it shows."""
        if request.state != "open" or request.repo_id != 11:
            return request.sha
        if self.lags > 0:
            self.lags -= 1
            return request.sha
        request.sha = self.at(request.head) or request.sha
        if not self.at(request.head):
            request.state = "closed"
        return request.sha


class Gitea(Repo):
    """The repo behind Gitea's API, and its git behind smart HTTP."""

    def __init__(self, bare: Path) -> None:
        super().__init__(bare)
        self.git = SmartHttp(bare, "/acme/shop.git", TOKEN)
        self.stub = Stub(known(), self._answers(), guard=self._guard, errors=_ERRORS)
        self.stub.bare["/acme/shop.git/"] = self.git

    @property
    def url(self) -> str:
        """Where it is."""
        return self.stub.url

    def go_down(self) -> None:
        """Answer nobody any more, over git as over the API."""
        self.git.down = True
        self.stub.fail("503", times=None)

    def come_up(self) -> None:
        """Answer again."""
        self.git.down = False
        self.stub.mend()

    def _answers(self) -> dict[str, Any]:
        return {
            "repoGet": self._repo,
            "repoListHooks": lambda call: self._for_admins(self.hooks),
            "repoGetBranchProtection": lambda call: self._for_admins(self.protection or {}),
            "userGetCurrent": lambda call: Said(200, {"id": 7, "login": "orch-bot"}),
            "getVersion": lambda call: Said(200, {"version": "1.27.0"}),
            "repoGetBranch": self._branch,
            "repoListPullRequests": self._list,
            "repoCreatePullRequest": self._create,
            "repoGetPullRequest": lambda call: self._one(call.params["index"]),
            "repoGetPullRequestByBaseHead": self._by_branches,
            "repoEditPullRequest": self._edit,
            "repoCreatePullReviewRequests": self._reviewers,
            "repoMergePullRequest": self._merge,
            "repoCancelScheduledAutoMerge": lambda call: Said(204),
            "repoCreateStatus": self._status,
            "repoGetCombinedStatusByRef": self._combined,
        }

    def _guard(self, call: Call) -> Said | None:
        if call.headers.get("authorization") != f"token {self.token}":
            return Said(401, {"message": "invalid username, password or token", "url": ""})
        if call.method != "GET" and self.archived:
            return Said(423, {"message": "repo is archived", "url": ""})
        wanted = "write:repository"
        if call.method != "GET" and wanted not in self.scopes:
            has = ",".join(self.scopes)
            said = f"token does not have at least one of required scope(s), required=[{wanted}]"
            return Said(403, {"message": f"{said}, token scope={has}", "url": ""})
        return None

    def _shown(self, request: Request) -> dict[str, Any]:
        sha, merged = self._sha(request), request.state == "merged"
        body: dict[str, Any] = {
            "number": request.number,
            "title": request.title,
            "body": request.body,
            "state": "open" if request.state == "open" else "closed",
            "merged": merged,
            "mergeable": not self.computing,
            "draft": request.title.startswith("WIP:"),
            "html_url": f"{self.url}/acme/shop/pulls/{request.number}",
            "head": {"ref": request.head, "sha": sha, "repo_id": request.repo_id},
            "base": {"ref": request.base, "sha": self.at(request.base), "repo_id": 11},
        }
        return body | ({"merge_commit_sha": request.merge_sha} if merged else {})

    def _one(self, number: str) -> Said:
        found = [each for each in self.requests if str(each.number) == number]
        return Said(200, self._shown(found[0])) if found else _not_found()

    def _repo(self, call: Call) -> Said:
        body = {"default_branch": "main", "id": 11, "archived": self.archived}
        return Said(200, {**body, "permissions": self.permissions})

    def _for_admins(self, body: Any) -> Said:
        is_told = self.permissions["admin"]
        return Said(200, body) if is_told else _error(403, "user should be an owner or admin")

    def _branch(self, call: Call) -> Said:
        name = call.params["branch"]
        if not self.at(name):
            return _not_found()
        asked = self.contexts or self.approvals or self.protection is not None
        protected = name == "main" and bool(asked)
        body = {
            "name": name,
            "commit": {"id": self.at(name)},
            "protected": protected,
            "enable_status_check": protected and bool(self.contexts),
            "status_check_contexts": list(self.contexts) if protected else [],
            "required_approvals": self.approvals if protected else 0,
            "user_can_merge": self.may_merge,
        }
        return Said(200, body)

    def _list(self, call: Call) -> Said:
        shown = [self._shown(each) for each in reversed(self.requests)]
        wanted = call.query.get("state", "open")
        listed = [each for each in shown if wanted in ("all", each["state"])]
        limit, page = int(call.query.get("limit", "50")), int(call.query.get("page", "1"))
        return Said(200, listed[(page - 1) * limit : page * limit])

    def _by_branches(self, call: Call) -> Said:
        wanted = (call.params["base"], call.params["head"])
        found = [each for each in self.requests if (each.base, each.head) == wanted]
        return Said(200, self._shown(found[0])) if found else _not_found()

    def _create(self, call: Call) -> Said:
        head, base, sha = call.body["head"], call.body["base"], self.at(call.body["head"])
        if not sha or not self.at(base):
            return _not_found()
        if any(each.head == head and each.state == "open" for each in self.requests):
            return _error(409, f"pull request already exists for these targets [head: {head}]")
        if sha == self.at(base):
            return _error(
                422, "Invalid PullRequest: There are no changes between the head and the base"
            )
        number = len(self.requests) + 1
        made = Request(number, head, base, call.body["title"], call.body.get("body", ""), sha)
        self.requests.append(made)
        return Said(201, self._shown(made))

    def _edit(self, call: Call) -> Said:
        found = next(each for each in self.requests if str(each.number) == call.params["index"])
        for name in ("title", "body", "state"):
            if name in call.body:
                setattr(found, name, call.body[name])
        return Said(201, self._shown(found))

    def _reviewers(self, call: Call) -> Said:
        found = next(each for each in self.requests if str(each.number) == call.params["index"])
        if "nobody" in call.body["reviewers"]:
            return _error(404, "user does not exist [name: nobody]")
        found.reviewers += call.body["reviewers"]
        return Said(201, [])

    def _merge(self, call: Call) -> Said:
        found = next(each for each in self.requests if str(each.number) == call.params["index"])
        self.merges.append(call.body)
        sha = self._sha(found)
        if self.computing:
            self.computing -= 1
            return _error(405, "Please try again later")
        if (refused := self._in_the_way(found, sha, call.body)) is not None:
            return refused
        self.merge(found, call.body["Do"], call.body.get("MergeTitleField", "Merge"))
        return Said(200)

    def _in_the_way(self, found: Request, sha: str, body: Mapping[str, Any]) -> Said | None:
        """What keeps it from being merged, in Gitea's order; the first that is so counts."""
        behind = self.outdated_blocked and self._is_behind(found, sha)
        wrongs = [
            (found.state == "closed", _not_found()),
            (found.state == "merged", _error(405, "The PR is already merged")),
            (found.title.startswith("WIP:"), _error(405, _WIP)),
            (not self.may_merge, _error(405, "User not allowed to merge PR")),
            (self._lacks_checks(sha), _error(405, "Not all required status checks successful")),
            (self.approvals > 0, _error(405, "Does not have enough approvals")),
            (behind, _error(405, "The head branch is behind the base branch")),
            (body["head_commit_id"] != sha, _error(409, "head out of date")),
            (self.rejects, _error(409, "PushRejected with remote message: not on a Friday")),
            (self.schedules, Said(201)),
        ]
        return next((said for is_so, said in wrongs if is_so), None)

    def _is_behind(self, found: Request, sha: str) -> bool:
        return git(self.bare, "rev-list", "--count", f"{sha}..{self.at(found.base)}") != "0"

    def _lacks_checks(self, sha: str) -> bool:
        newest = self.newest(sha)
        fitting = [fnmatch.filter(newest, pattern) for pattern in self.contexts]
        return not all(each and {newest[name] for name in each} == {"success"} for each in fitting)

    def _status(self, call: Call) -> Said:
        body = call.body
        row = (body["context"], body["state"], body.get("description", ""))
        self.statuses[call.params["sha"]].append(row)
        return Said(201, {"context": row[0], "status": row[1], "created_at": AT})

    def _combined(self, call: Call) -> Said:
        newest = {row[0]: row for row in self.statuses[call.params["ref"]]}
        listed = [
            {"context": context, "status": state, "description": said}
            for context, state, said in newest.values()
        ]
        return Said(200, {"sha": call.params["ref"], "statuses": listed, "state": "pending"})


_WIP: Final = "Work in progress PRs cannot be merged"
_ERRORS: Final = {
    status: {"message": "", "url": "http://gitea.test/api/swagger"}
    for status in ("404", "429", "500", "503")
}


@contextmanager
def gitea(bare: Path) -> Iterator[Gitea]:
    """A Gitea that serves this bare repository as acme/shop, until the end of the block."""
    known_to_people = Gitea(bare)
    with known_to_people.stub:
        yield known_to_people


def _error(status: int, message: str) -> Said:
    return Said(status, {"message": message, "url": "http://gitea.test/api/swagger"})


def _not_found() -> Said:
    return _error(404, "not found")
