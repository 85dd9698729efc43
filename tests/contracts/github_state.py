"""A repository at GitHub as a test keeps it: pull requests, marks, rules over a real bare one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.contracts.stubs import Said
from tests.git_bench import git


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.said = Said(status, {"message": message, "documentation_url": "d"}, headers or {})


@dataclass
class PullState:
    """A pull request as the stub keeps it."""

    number: int
    branch: str
    base: str
    title: str
    body: str
    draft: bool
    head: str
    state: str = "open"
    merge: str = ""
    reviewers: list[str] = field(default_factory=list)
    teams: list[str] = field(default_factory=list)
    reviews: list[dict[str, Any]] = field(default_factory=list)
    unknown: int = 0
    """For so many reads it is not known whether it can be merged."""
    lag: int = 0
    """For so many reads the head is the one of before the newest push."""
    entry: dict[str, Any] | None = None
    """Its place in the merge queue."""
    removed: str = ""


class GitHubState:
    """What one repository holds, and what people do there."""

    def __init__(self, bare: Path, name: str = "acme/shop") -> None:
        self.bare = bare
        self.name = name
        self.pulls: list[PullState] = []
        self.statuses: dict[str, list[dict[str, Any]]] = {}
        self.runs: list[dict[str, Any]] = []
        self.rules: list[dict[str, Any]] = []
        self.protection: dict[str, Any] | None = None
        self.is_admin = True
        self.may_push = True
        self.is_archived = False
        self.hooks: list[dict[str, Any]] = []
        self.reads_runs = True
        self.has_drafts = True
        self.blocked = False
        """Something of GitHub's own holds pull requests back, and the API does not say what."""
        self.has_old_queue = False
        """The older branch protection wants a merge queue, which no rule tells."""
        self.queue_refuses = ""
        self.refusals: list[tuple[int, str]] = []
        """What merges are answered with first, whatever is so."""

    def of(self, branch: str) -> PullState:
        """The newest pull request of a branch."""
        return [pull for pull in self.pulls if pull.branch == branch][-1]

    def said(self, sha: str) -> dict[str, str]:
        """The newest state of each status of a commit."""
        return {one["context"]: one["state"] for one in self.statuses.get(sha, [])}

    def land(self, pull: PullState, message: str = "Merge") -> str:
        """Merge a pull request; the merge commit."""
        base = self.at(pull.base)
        tree = git(self.bare, "merge-tree", "--write-tree", base, pull.head).split()[0]
        made = git(self.bare, "commit-tree", tree, "-p", base, "-p", pull.head, "-m", message)
        git(self.bare, "update-ref", f"refs/heads/{pull.base}", made, base)
        pull.state, pull.merge, pull.entry = "merged", made, None
        return made

    def queue_goes_on(self, pull: PullState, base: str = "") -> str:
        """The queue makes its own merge commit of a pull request, to be tested; that commit."""
        base = base or self.at(pull.base)
        tree = git(self.bare, "merge-tree", "--write-tree", base, pull.head).split()[0]
        made = git(self.bare, "commit-tree", tree, "-p", base, "-p", pull.head, "-m", "Queue")
        state = {"state": "AWAITING_CHECKS", "position": 1}
        pull.entry = {**state, "headCommit": {"oid": made}, "baseCommit": {"oid": base}}
        return made

    def queue_lands(self, pull: PullState) -> None:
        """The queue moves the branch to its own merge commit."""
        assert pull.entry is not None
        pull.merge, pull.state = pull.entry["headCommit"]["oid"], "merged"
        pull.entry, pull.removed = None, "MERGE"
        git(self.bare, "update-ref", f"refs/heads/{pull.base}", pull.merge)

    def rule(self, kind: str, **parameters: Any) -> None:
        """Another rule of the default branch."""
        self.rules.append({"type": kind, "parameters": parameters})

    def require(self, *checks: str, strict: bool = False) -> None:
        """These checks have to be green."""
        wanted = [{"context": name} for name in checks]
        self.rule(
            "required_status_checks",
            required_status_checks=wanted,
            strict_required_status_checks_policy=strict,
        )

    def mark(self, sha: str, context: str, state: str) -> None:
        """Somebody else's check says this."""
        one = {"context": context, "state": state, "description": None, "target_url": None}
        self.statuses.setdefault(sha, []).append(one)

    def insist_on_checks(self, pull: PullState) -> None:
        said = self.said(pull.head)
        for rule in self.rules_of("required_status_checks"):
            wanted = [check["context"] for check in rule["required_status_checks"]]
            missing = [name for name in wanted if said.get(name) != "success"]
            is_behind = self.at(pull.base) != git(
                self.bare, "merge-base", self.at(pull.base), pull.head
            )
            if missing or (rule["strict_required_status_checks_policy"] and is_behind):
                of = f"{len(missing) or len(wanted)} of {len(wanted)}"
                raise Refused(405, f"{of} required status checks are expected.")

    def rules_of(self, kind: str) -> list[dict[str, Any]]:
        return [rule["parameters"] for rule in self.rules if rule["type"] == kind]

    def numbered(self, number: str | int) -> PullState:
        found = [pull for pull in self.pulls if pull.number == int(number)]
        if not found:
            raise Refused(404, "Not Found")
        return found[0]

    def at(self, branch: str) -> str:
        """Where a branch is; a pushed one is a file, which is read faster than git starts."""
        path = self.bare / "refs" / "heads" / branch
        return path.read_text().strip() if path.is_file() else ""

    def shown(self, pull: PullState, *, brief: bool = False) -> dict[str, Any]:
        if pull.state == "open":
            there = self.at(pull.branch)
            if there and pull.lag:
                pull.lag -= 1
            elif there:
                pull.head = there
            elif not brief:
                pull.state = "closed"  # GitHub closes what has lost its branch
        page = f"https://github.example.org/{self.name}/pull/{pull.number}"
        shown = {
            "number": pull.number,
            "node_id": f"PR_{pull.number}",
            "title": pull.title,
            "body": pull.body,
            "draft": pull.draft,
            "state": "open" if pull.state == "open" else "closed",
            "html_url": page,
            "head": {
                "ref": pull.branch,
                "sha": pull.head,
                "repo": {"full_name": self.name},
            },
            "base": {"ref": pull.base, "sha": self.at(pull.base)},
            "merged_at": "2026-11-02T12:00:00Z" if pull.merge else None,
            "merge_commit_sha": pull.merge or "0" * 40,
            "requested_reviewers": [{"login": name} for name in pull.reviewers],
            "requested_teams": [{"slug": name} for name in pull.teams],
        }
        return shown if brief else shown | self._mergeable(pull)

    def _mergeable(self, pull: PullState) -> dict[str, Any]:
        if pull.unknown:
            pull.unknown -= 1
            return {"mergeable": None, "mergeable_state": "unknown", "merged": bool(pull.merge)}
        state = "draft" if pull.draft else "blocked" if self.blocked else "clean"
        return {"mergeable": True, "mergeable_state": state, "merged": bool(pull.merge)}
