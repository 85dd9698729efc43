"""What checks say of a commit: read from statuses and check runs alike, written as one of the two.

A user can only write statuses; an App writes check runs, which show more. Never both: a rule that
requires `orch/re-test` would find two of that name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orch import names
from orch.adapters.github.api import Repository
from orch.ports import Mark, MarkState

PAGE: Final = 100
PAGES: Final = 10
SAID_LIMIT: Final = 140
"""GitHub refuses a longer description of a status."""
STATUS: Final[Mapping[MarkState, str]] = {
    "pending": "pending",
    "passed": "success",
    "failed": "failure",
}
_FROM_STATUS: Final[Mapping[str, MarkState]] = {"pending": "pending", "success": "passed"}
_PASSING: Final = frozenset({"success", "neutral", "skipped"})
"""Conclusions of a check run with which GitHub merges."""


@dataclass(frozen=True)
class Marked:
    """The newest mark of each name on one commit."""

    marks: Mapping[str, Mark] = field(default_factory=dict)
    is_whole: bool = True
    """False when the token may not read check runs: a name that is missing may be there."""


class Marks:
    """The marks of one repository's commits."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def read(self, sha: str) -> Marked:
        """All marks of a commit, whoever made them."""
        runs = self._runs(sha)
        marks = {str(run["name"]): _of_run(run) for run in runs or ()}
        for status in self._statuses(sha):
            marks[str(status["context"])] = _of_status(status)
        return Marked(marks, is_whole=runs is not None)

    def write(self, sha: str, marks: Iterable[Mark]) -> None:
        """Put these on a commit; those that are there already are not written again."""
        wanted = [_as_kept(mark) for mark in marks]
        if wanted and self._repository.app_id is not None:
            self._write_runs(sha, wanted)
        elif wanted:
            self._write_statuses(sha, wanted)

    def _write_statuses(self, sha: str, wanted: Sequence[Mark]) -> None:
        there = {str(one["context"]): _of_status(one) for one in self._statuses(sha)}
        for mark in wanted:
            if there.get(mark.name) != mark:
                body = {"state": STATUS[mark.state], "context": mark.name}
                body |= {"description": mark.said}
                body |= {"target_url": mark.link} if mark.link else {}
                self._repository.ask("POST", f"/statuses/{sha}", body=body)

    def _write_runs(self, sha: str, wanted: Sequence[Mark]) -> None:
        own = {str(run["name"]): run for run in self._runs(sha, own=True) or ()}
        for mark in wanted:
            run = own.get(mark.name)
            if run is not None and _of_run(run) == mark:
                continue
            body = _run(mark, sha)
            if run is not None and run["status"] != "completed":
                del body["head_sha"]
                self._repository.ask("PATCH", f"/check-runs/{run['id']}", body=body)
            else:
                self._repository.ask("POST", "/check-runs", body=body)

    def _statuses(self, sha: str) -> list[Any]:
        """The newest of each context: GitHub picks them."""
        return self._pages(f"/commits/{sha}/status", "statuses", {}) or []

    def _runs(self, sha: str, *, own: bool = False) -> list[Any] | None:
        query: dict[str, str | int] = {"filter": "latest"}
        if own and self._repository.app_id is not None:
            query["app_id"] = self._repository.app_id
        return self._pages(f"/commits/{sha}/check-runs", "check_runs", query)

    def _pages(self, path: str, key: str, query: Mapping[str, str | int]) -> list[Any] | None:
        """All of a list that comes in pages; None where the token may not see it."""
        found: list[Any] = []
        for page in range(1, PAGES + 1):
            asked = {**query, "per_page": PAGE, "page": page}
            answer = self._repository.ask("GET", path, query=asked, also=(403, 404))
            if not answer.ok:
                return None
            found += answer.body[key]
            if len(answer.body[key]) < PAGE:
                break
        return found


def _as_kept(mark: Mark) -> Mark:
    """As GitHub gives it back, so that the two can be compared."""
    return Mark(mark.name, mark.state, names.cleaned(mark.said, SAID_LIMIT), mark.link)


def _of_status(status: Any) -> Mark:
    return Mark(
        str(status["context"]),
        _FROM_STATUS.get(str(status["state"]), "failed"),
        str(status.get("description") or ""),
        str(status.get("target_url") or ""),
    )


def _of_run(run: Any) -> Mark:
    state: MarkState = "pending"
    if run["status"] == "completed":
        state = "passed" if run.get("conclusion") in _PASSING else "failed"
    said = str((run.get("output") or {}).get("title") or "")
    return Mark(str(run["name"]), state, said, str(run.get("details_url") or ""))


def _run(mark: Mark, sha: str) -> dict[str, Any]:
    done = mark.state != "pending"
    body: dict[str, Any] = {
        "name": mark.name,
        "head_sha": sha,
        "status": "completed" if done else "in_progress",
    }
    body |= {"conclusion": STATUS[mark.state]} if done else {}
    body |= {"details_url": mark.link} if mark.link else {}
    # GitHub wants a summary beside the title.
    body |= {"output": {"title": mark.said, "summary": mark.said}} if mark.said else {}
    return body
