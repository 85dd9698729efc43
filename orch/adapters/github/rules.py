"""What GitHub wants before it merges into a branch: by its rule sets and by branch protection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from orch.adapters.github.api import Repository
from orch.adapters.github.marks import Marked
from orch.adapters.github.pulls import PullRequest
from orch.errors import GitRefused
from orch.rest import part

PAGE: Final = 100
MERGE: Final = "merge"


@dataclass(frozen=True)
class Rules:
    """What has to be so before a pull request may be merged into one branch."""

    checks: tuple[str, ...] = ()
    approvals: int = 0
    queue: str = ""
    """The method of the branch's merge queue, such as MERGE; empty when it has none."""
    takes_merges: bool = True
    """False where the history has to be linear, or only other methods are allowed."""

    def insist_on_merging(self, branch: str) -> None:
        """Raises GitRefused when the tested head could not come in as it is."""
        why = ""
        if self.queue not in ("", "MERGE"):
            why = f"the merge queue of {branch} uses the method {self.queue}"
        elif not self.takes_merges:
            why = f"the rules of {branch} take no merge commits"
        if why:
            raise GitRefused(
                f"Nothing can land through GitHub: {why}, and would write new commits "
                "in the place of those that were tested.",
                suggested_fix="Allow merge commits for this branch, and for its merge queue.",
            )


def read_rules(repository: Repository, branch: str) -> Rules:
    """What holds for a branch. Raises GitUnreachable, GitRefused."""
    # An Enterprise of before rule sets answers 404.
    path = f"/rules/branches/{part(branch)}"
    answer = repository.ask("GET", path, query={"per_page": PAGE}, also=(404,))
    rules = answer.body if answer.ok else []
    wanted, reviews, queues = (
        [rule.get("parameters") or {} for rule in rules if rule["type"] == kind]
        for kind in ("required_status_checks", "pull_request", "merge_queue")
    )
    checks, approvals = _protection(repository, branch)
    for each in wanted:
        checks |= {str(check["context"]) for check in each.get("required_status_checks", ())}
    methods = [each.get("allowed_merge_methods") or (MERGE,) for each in reviews]
    return Rules(
        checks=tuple(sorted(checks)),
        approvals=max(
            approvals, *(int(each.get("required_approving_review_count", 0)) for each in reviews), 0
        ),
        queue=str(queues[0].get("merge_method", "MERGE")) if queues else "",
        takes_merges=all(MERGE in each for each in methods)
        and not any(rule["type"] == "required_linear_history" for rule in rules),
    )


def _protection(repository: Repository, branch: str) -> tuple[set[str], int]:
    """The required checks and approvals of the older branch protection."""
    said = repository.read(f"/branches/{part(branch)}")
    if not said.get("protected"):
        return set(), 0
    brief = (said.get("protection") or {}).get("required_status_checks") or {}
    is_on = brief.get("enforcement_level") != "off"
    checks = {str(name) for name in brief.get("contexts", ()) if is_on}
    # Only an administrator is told the rest; what it holds up shows in the state of the merge.
    path = f"/branches/{part(branch)}/protection"
    whole = repository.ask("GET", path, also=(403, 404))
    reviews: Any = (whole.body.get("required_pull_request_reviews") if whole.ok else None) or {}
    return checks, int(reviews.get("required_approving_review_count", 0))


def missing(repository: Repository, pull: PullRequest, rules: Rules, marked: Marked) -> list[str]:
    """What stands between a pull request and its merge, each a few words."""
    found = []
    for name in rules.checks:
        mark = marked.marks.get(name)
        if mark is not None and mark.state != "passed":
            found.append(f"the check {name} is {'running' if mark.state == 'pending' else 'red'}")
        elif mark is None and marked.is_whole:
            found.append(f"the check {name} is missing")
    if rules.approvals:
        given = _approvals(repository, pull.number)
        if given < rules.approvals:
            found.append(f"{given} of {rules.approvals} approvals are given")
    return found


def _approvals(repository: Repository, number: int) -> int:
    """How many people approve, by each one's newest word."""
    newest: dict[str, str] = {}
    for page in range(1, 11):
        query = {"per_page": PAGE, "page": page}
        reviews = repository.read(f"/pulls/{number}/reviews", dict(query))
        for review in reviews:
            who = str((review.get("user") or {}).get("login", ""))
            if review["state"] in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED"):
                newest[who] = review["state"]
        if len(reviews) < PAGE:
            break
    return list(newest.values()).count("APPROVED")
