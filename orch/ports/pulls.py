"""The pull requests of one repo at a service: what a hosted forge adds to plain git."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from orch.ports.forge import Mark, Pull
from orch.ports.tracker import Readiness


@dataclass(frozen=True)
class Page:
    """What a pull request is to show. Its texts may hold anybody's words, and are only data."""

    branch: str
    base: str
    """The branch it is to be merged into; empty is the service's default branch."""
    title: str
    text: str
    ready: bool
    """Whether it may be merged and reviewers are asked; until then it is marked as unfinished."""


@dataclass(frozen=True)
class Message:
    """What a merge says of itself."""

    subject: str
    text: str = ""


@runtime_checkable
class Preparing(Protocol):
    """What a service may be able to do beside its pull requests: say what is in their way."""

    def prepare(self, base: str, hook: str) -> Readiness:
        """Look at what orch may do there, at the protection of this branch (empty: the default
        one), and at the webhook to this address (empty: none is wanted). Changes nothing. Raises
        GitUnreachable."""
        ...


class PullRequests(Protocol):
    """The pull requests of one repo at a service.

    A service that gives no answer is GitUnreachable, and what was asked may have happened; one that
    says no until a person acts is GitRefused. Whoever comes from a fork is not looked at.
    """

    def find(self, base: str, branches: Sequence[str]) -> Mapping[str, Pull]:
        """The pull request of each of these branches that has one: the open one, or else the
        newest. `head_sha` is the head the service knows of it."""
        ...

    def show(self, page: Page, known: Pull | None) -> Pull:
        """Bring the open pull request `known` up to this page, or open one. Who finds one open
        already takes that; state `none` when the branch holds nothing to show."""
        ...

    def mark(self, sha: str, marks: Sequence[Mark]) -> None:
        """Put these beside a commit; of each name the newest counts."""
        ...

    def merge(self, pull: Pull, sha: str, message: Message) -> None:
        """Merge an open pull request whose head is exactly this commit.

        Raises GitHeld while the service wants something else first, in words that name it; GitMoved
        when a branch is elsewhere; GitRefused. Whoever called finds out by git what it came to.
        """
        ...

    def close(self, pull: Pull) -> None:
        """Close an open pull request without merging it."""
        ...
