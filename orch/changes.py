"""What a task changes, as lines for a page: read from what this machine has of the repo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from orch.errors import BadInput, GitError, GitMissing, NotFound
from orch.line import Line
from orch.mirror import unknown
from orch.names import sha
from orch.ports import Change
from orch.store import history
from orch.store.session import Connection
from orch.store.work import task_by_work_item

LIMIT: Final = 200_000
"""Bytes of a change that are shown."""
LINES: Final = 5_000
WIDTH: Final = 1_000
"""Characters of one line that are shown."""

Kind = Literal["file", "about", "place", "added", "removed", "same"]


class Changes(Protocol):
    """What this machine has of the repos, only looked at: it waits for nobody, runs nothing of the
    repo's and asks no remote."""

    def between(self, repo: str, base: str, head: str, limit: int) -> Change:
        """The commits from base to head and what they change; `limit` is in bytes.

        Raises GitMissing when one of them is not here, and GitError.
        """
        ...


@dataclass(frozen=True)
class Marked:
    """One line of a change, and what it is."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class Shown:
    """A task's change as far as it is shown."""

    base: str
    head: str
    change: Change
    lines: tuple[Marked, ...]
    truncated: bool

    @property
    def added(self) -> int:
        """How many lines of those shown were added."""
        return sum(line.kind == "added" for line in self.lines)

    @property
    def removed(self) -> int:
        """How many lines of those shown were taken away."""
        return sum(line.kind == "removed" for line in self.lines)


def of_task(line: Line, changes: Changes, work_item_id: str, job_id: int | None = None) -> Shown:
    """What a task changes, or what it did when one of its attempts ended.

    Raises UnknownTask, NotFound when there is nothing yet, GitMissing when it is not on this
    machine, GitError.
    """
    repo, base, head = line.store.read(lambda conn: _span(conn, work_item_id, job_id))
    try:
        span = sha(base), sha(head)
    except BadInput as error:
        raise NotFound(
            f"{work_item_id} has no change to show: no attempt has ended with a commit.",
            suggested_fix="Look again when an agent has committed something.",
        ) from error
    try:
        change = changes.between(repo, *span, LIMIT)
    except GitMissing as error:
        raise NotFound(
            f"The commits of {work_item_id} are not on this machine: {error.message}",
            suggested_fix="Look at the forge, or on the machine of the worker that made them.",
        ) from error
    except GitError as error:
        raise NotFound(
            f"The change of {work_item_id} cannot be read now: {error.message}"
        ) from error
    every = change.text.rstrip("\n").split("\n")
    shown = tuple(marked(every[:LINES]))
    return Shown(*span, change, shown, change.truncated or len(every) > LINES)


def _span(conn: Connection, work_item_id: str, job_id: int | None) -> tuple[str, str, str]:
    task = task_by_work_item(conn, work_item_id)
    if task is None:
        raise unknown(conn, work_item_id)
    jobs = [
        job["report"]
        for job in reversed(history.jobs_of(conn, task["id"]))
        if (job_id is None or job["job_id"] == job_id) and span_of(job["report"])
    ]
    if jobs:
        return task["repo"], *span_of(jobs[0])
    ends = ("", "") if job_id is not None else (task["base_sha"] or "", task["head_sha"] or "")
    return task["repo"], *ends


def span_of(report: dict[str, Any]) -> tuple[str, str] | tuple[()]:
    """Base and head of what an attempt changed, by its report; nothing where it changed nothing."""
    base, head = report.get("base_sha"), report.get("head_sha")
    return (str(base), str(head)) if base and head and base != head else ()


def marked(lines: Sequence[str]) -> Iterator[Marked]:
    """The lines of a unified diff with what each is; within a hunk its numbers say how far it goes,
    so that no line of a file is taken for a head."""
    left = [0, 0]
    for text in lines:
        kind: Kind = "about"
        if left[0] > 0 or left[1] > 0:
            kind = _in_hunk(text, left)
        elif text.startswith("@@ "):
            kind, left = "place", _counts(text)
        elif text.startswith("diff --git "):
            kind = "file"
        yield Marked(kind, text if len(text) <= WIDTH else f"{text[:WIDTH]}…")


def _in_hunk(text: str, left: list[int]) -> Kind:
    if text.startswith("+"):
        left[1] -= 1
        return "added"
    if text.startswith("-"):
        left[0] -= 1
        return "removed"
    if text.startswith("\\"):
        return "about"
    left[0] -= 1
    left[1] -= 1
    return "same"


def _counts(text: str) -> list[int]:
    """How many lines of the old and of the new file a hunk has: `@@ -12,3 +12,4 @@`."""
    counts = []
    for word in text.split(" ")[1:3]:
        number = word.partition(",")[2] or "1"
        counts.append(int(number) if number.isdigit() and len(number) < 10 else 0)
    return counts
