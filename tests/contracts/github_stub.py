"""A GitHub of the test's own: it refuses what GitHub's specification does not have, and does with a
real bare repository what GitHub does with its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.contracts.github_state import GitHubState, PullState, Refused
from tests.contracts.schemas import contract
from tests.contracts.stubs import Answering, Call, Said, Stub
from tests.git_bench import git

KNOWN = contract("github")
REQUIRED = {
    (each["id"], int(status)): schema.get("required", [])
    for each in KNOWN["endpoints"]
    for status, schema in each["responses"].items()
}
NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
TOKEN = "ghp-of-orch"
APP_TOKEN = "ghs-of-the-app"
GRAPH_WORDS = frozenset(
    re.findall(
        r"\w+",
        """query mutation String Int ID GitObjectID owner name number id head repository pullRequest
        state mergeQueueEntry position headCommit baseCommit oid timelineItems last itemTypes nodes
        REMOVED_FROM_MERGE_QUEUE_EVENT on RemovedFromMergeQueueEvent reason enqueuePullRequest input
        pullRequestId expectedHeadOid markPullRequestReadyForReview convertPullRequestToDraft
        isDraft 1 isMergeQueueEnabled""",
    )
)


class Pulls(GitHubState):
    """Answers what is asked of pull requests."""

    def do_pulls_list(self, body: Any, state: str, base: str, head: str = "", **_: str) -> Any:
        owner = self.name.split("/")[0]
        wanted = [pull for pull in reversed(self.pulls) if pull.base == base]
        return [
            self.shown(pull, brief=True)
            for pull in wanted
            if head in ("", f"{owner}:{pull.branch}")
        ]

    def do_pulls_get(self, body: Any, pull_number: str) -> Any:
        return self.shown(self.numbered(pull_number))

    def do_pulls_create(self, body: Any) -> Any:
        branch, base = body["head"], body["base"]
        if body["draft"] and not self.has_drafts:
            raise Refused(422, "Draft pull requests are not supported in this repository.")
        if any(pull.branch == branch and pull.state == "open" for pull in self.pulls):
            raise Refused(422, f"A pull request already exists for acme:{branch}.")
        head = self.at(branch)
        if not head:
            raise Refused(422, "Validation Failed: head invalid")
        if git(self.bare, "rev-list", "--count", f"{self.at(base)}..{head}") == "0":
            raise Refused(422, f"No commits between {base} and {branch}")
        made = PullState(
            len(self.pulls) + 1, branch, base, body["title"], body["body"], body["draft"], head
        )
        self.pulls.append(made)
        return (201, self.shown(made))

    def do_pulls_update(self, body: Any, pull_number: str) -> Any:
        pull = self.numbered(pull_number)
        for name in ("title", "body", "state"):
            setattr(pull, name, body.get(name, getattr(pull, name)))
        return self.shown(pull)

    def do_pulls_list_reviews(self, body: Any, pull_number: str, **_: str) -> Any:
        return self.numbered(pull_number).reviews

    def do_pulls_request_reviewers(self, body: Any, pull_number: str) -> Any:
        pull = self.numbered(pull_number)
        if "nobody" in body["reviewers"]:
            raise Refused(422, "Reviews may only be requested from collaborators.")
        pull.reviewers += body["reviewers"]
        pull.teams += body["team_reviewers"]
        return (201, self.shown(pull))

    def do_pulls_merge(self, body: Any, pull_number: str) -> Any:
        pull = self.numbered(pull_number)
        if self.refusals:
            raise Refused(*self.refusals.pop(0))
        shown = self.shown(pull)
        if pull.state != "open" or shown["mergeable"] is not True or pull.draft:
            raise Refused(405, "Pull Request is not mergeable")
        if self.rules_of("merge_queue") or self.has_old_queue:
            raise Refused(405, "Changes must be made through the merge queue")
        if body["sha"] != self.at(pull.branch):
            raise Refused(409, "Head branch was modified. Review and try the merge again.")
        self.insist_on_checks(pull)
        if body["merge_method"] != "merge":
            raise Refused(405, "Only merges are tried here.")
        if (self.bare / "hooks" / "pre-receive").exists():
            raise Refused(405, "Repository rule violations found")
        made = self.land(pull, f"{body['commit_title']}\n\n{body['commit_message']}")
        return {"sha": made, "merged": True, "message": "Pull Request successfully merged"}


class Marks(GitHubState):
    """Answers what is asked of commits and branches."""

    def do_git_get_ref(self, body: Any, ref: str) -> Any:
        sha = self.at(ref.removeprefix("heads/"))
        if not sha:
            raise Refused(404, "Not Found")
        return {"ref": f"refs/{ref}", "object": {"type": "commit", "sha": sha}}

    def do_repos_create_commit_status(self, body: Any, sha: str) -> Any:
        if len(body.get("description", "")) > 140:
            raise Refused(422, "Validation Failed: description is too long")
        kept = {"description": None, "target_url": None, **body}
        self.statuses.setdefault(sha, []).append(kept)
        return (201, kept)

    def do_repos_get_combined_status_for_ref(self, body: Any, ref: str, **_: str) -> Any:
        newest = {one["context"]: one for one in self.statuses.get(ref, [])}
        return {"state": "pending", "sha": ref, "statuses": list(newest.values())}

    def do_checks_list_for_ref(self, body: Any, ref: str, app_id: str = "", **_: str) -> Any:
        if not self.reads_runs:
            raise Refused(403, "Resource not accessible by personal access token")
        newest = {one["name"]: one for one in self.runs if one["head_sha"] == ref}
        return {"total_count": len(newest), "check_runs": list(newest.values())}

    def do_checks_create(self, body: Any) -> Any:
        kept = {"id": len(self.runs) + 1, "conclusion": None, "details_url": None, **body}
        self.runs.append(kept)
        return (201, kept)

    def do_checks_update(self, body: Any, check_run_id: str) -> Any:
        found = self.runs[int(check_run_id) - 1]
        found.update(body)
        return found


class Graph(GitHubState):
    """Answers GraphQL."""

    def do_graphql(self, body: Any) -> Any:
        query, given = body["query"], body["variables"]
        words = set(re.findall(r"[A-Za-z_]\w*", query))
        if words - GRAPH_WORDS:
            return {"errors": [{"message": f"no field {sorted(words - GRAPH_WORDS)}"}]}
        if "number" in given:
            pull = self.numbered(given["number"])
            removed = [{"reason": pull.removed}] if pull.removed else []
            shown = {
                "state": pull.state.upper(),
                "isMergeQueueEnabled": self.has_old_queue or bool(self.rules_of("merge_queue")),
                "mergeQueueEntry": pull.entry,
                "timelineItems": {"nodes": removed},
            }
            return {"data": {"repository": {"pullRequest": shown}}}
        pull = self.numbered(given["id"].removeprefix("PR_"))
        if "enqueuePullRequest" in query:
            return self._enqueued(pull, given["head"])
        if not self.has_drafts:
            message = "Draft pull requests are not supported"
            return {"data": None, "errors": [{"type": "UNPROCESSABLE", "message": message}]}
        pull.draft = "convertPullRequestToDraft" in query
        return {"data": {"done": {"pullRequest": {"isDraft": pull.draft}}}}

    def _enqueued(self, pull: PullState, head: str) -> Any:
        message = self.queue_refuses
        if not self.rules_of("merge_queue") and not self.has_old_queue:
            message = "Merge queue is not enabled"
        elif pull.entry is not None:
            message = "The pull request is already in the queue"
        elif head != self.at(pull.branch):
            message = "Head sha was changed"
        if message:
            return {"data": None, "errors": [{"type": "UNPROCESSABLE", "message": message}]}
        pull.entry = {"state": "QUEUED", "position": 1, "headCommit": None, "baseCommit": None}
        return {"data": {"enqueuePullRequest": {"mergeQueueEntry": pull.entry}}}


class GitHubStub(Pulls, Marks, Graph):
    """All of it, behind a port of this machine."""

    def __init__(self, bare: Path, name: str = "acme/shop") -> None:
        super().__init__(bare, name)
        self.tokens = {TOKEN}
        self.jwt: Callable[[str], bool] = lambda value: False
        self.expires_at = "2026-11-02T13:00:00Z"
        self.limit: Said | None = None
        """What everything is answered with instead."""
        acts = {
            each["id"]: self._act(getattr(self, _named(each["id"]))) for each in KNOWN["endpoints"]
        }
        self.stub = Stub(KNOWN, acts, guard=self._guard)

    def _act(self, act: Callable[..., Any]) -> Answering:
        def answer(call: Call) -> Said:
            given = {**call.params, **call.query}
            named = f"{given.pop('owner', '')}/{given.pop('repo', '')}"
            try:
                if named not in ("/", self.name):
                    raise Refused(404, "Not Found")
                said = act(call.body, **given)
            except Refused as refused:
                return refused.said
            status, body = said if isinstance(said, tuple) else (200, said)
            if isinstance(body, dict):  # what is of no interest here is there all the same
                body = {**dict.fromkeys(REQUIRED[call.endpoint, status]), **body}
            return Said(status, body)

        return answer

    def _guard(self, call: Call) -> Said | None:
        kind, _, value = call.headers.get("authorization", "").partition(" ")
        is_app = call.endpoint.startswith("apps/")
        wanted = ("application/vnd.github+json", "2022-11-28")
        if tuple(map(call.headers.get, ("accept", "x-github-api-version"))) != wanted:
            self.stub.violations.append(f"{call.path}: no Accept or version of GitHub's")
        if kind == "Bearer" and (self.jwt(value) if is_app else value in self.tokens):
            return self.limit
        return Refused(401, "Bad credentials").said

    def do_apps_get_repo_installation(self, body: Any) -> Any:
        return {"id": 77, "app_id": 5}

    def do_apps_create_installation_access_token(self, body: Any, installation_id: str) -> Any:
        if installation_id != "77" or body != {"repositories": [self.name.split("/")[1]]}:
            raise Refused(404, "Not Found")
        self.tokens.add(APP_TOKEN)
        return (201, {"token": APP_TOKEN, "expires_at": self.expires_at})

    def do_repos_get(self, body: Any) -> Any:
        known = {"default_branch": "main", "full_name": self.name, "archived": self.is_archived}
        return {**known, "permissions": {"push": self.may_push, "admin": self.is_admin}}

    def do_repos_list_webhooks(self, body: Any, per_page: str) -> Any:
        if not self.is_admin:
            raise Refused(404, "Not Found")
        return self.hooks

    def do_repos_get_branch(self, body: Any, branch: str) -> Any:
        found = self.protection or {}
        checks = found.get("required_status_checks", {"enforcement_level": "off", "contexts": []})
        brief = {"enabled": bool(found), "required_status_checks": checks}
        return {"name": branch, "protected": bool(found), "protection": brief}

    def do_repos_get_branch_protection(self, body: Any, branch: str) -> Any:
        if not self.is_admin:
            raise Refused(403, "Resource not accessible by personal access token")
        return self.protection or {}

    def do_repos_get_branch_rules(self, body: Any, branch: str, per_page: str) -> Any:
        return self.rules


def _named(operation: str) -> str:
    return "do_" + re.sub(r"[/-]", "_", operation)
