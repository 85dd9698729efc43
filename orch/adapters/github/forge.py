"""The pull requests of one repository at GitHub, as a hosted forge wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orch.adapters.github.answers import as_known
from orch.adapters.github.api import Gateway, Repository, Wait
from orch.adapters.github.marks import Marks
from orch.adapters.github.merging import Merging
from orch.adapters.github.pulls import PullPages
from orch.adapters.github.rights import look
from orch.errors import ConfigError
from orch.ports import Mark, Message, Page, Pull, Readiness


class GitHubPulls:
    """The PullRequests port on GitHub and GitHub Enterprise."""

    def __init__(
        self,
        gateway: Gateway,
        name: str,
        *,
        wait: Wait,
        reviewers: Sequence[str] = (),
        merge_style: str = "merge",
    ) -> None:
        """`name` is `owner/name`. Raises ConfigError for a style that would write new commits."""
        if merge_style != "merge":
            raise ConfigError(
                f"The repo {name} is to land by merge_style {merge_style}, but GitHub writes new "
                "commits for that: what landed would not be what was tested.",
                suggested_fix="Leave merge_style out, or say merge.",
            )
        repository = Repository(gateway, name)
        self._pages = PullPages(repository, reviewers)
        self._marks = Marks(repository)
        self._merging = Merging(repository, self._pages, wait)
        self._repository = repository

    @as_known()
    def find(self, base: str, branches: Sequence[str]) -> Mapping[str, Pull]:
        """The pull request of each of these branches that has one: the open one, or else the
        newest. Raises GitUnreachable, GitRefused."""
        return {name: found.pull for name, found in self._pages.find(base, branches).items()}

    @as_known()
    def show(self, page: Page, known: Pull | None) -> Pull:
        """Bring the open pull request `known` up to this page, or open one; state `none` when the
        branch holds nothing to show. Raises GitUnreachable, GitRefused."""
        if known is not None and known.state == "open" and known.number is not None:
            pull = self._pages.update(self._pages.read(known.number), page)
        else:
            opened = self._pages.open(page)
            if opened is None:
                return Pull(page.branch, "")
            pull = opened
        if page.ready:
            self._pages.ask_reviewers(pull)
        return pull.pull

    @as_known()
    def mark(self, sha: str, marks: Sequence[Mark]) -> None:
        """Put these beside a commit. Raises GitUnreachable, GitRefused."""
        self._marks.write(sha, marks)

    @as_known()
    def merge(self, pull: Pull, sha: str, message: Message) -> None:
        """Merge exactly this head, or put it into the merge queue of its branch.

        Raises GitHeld, in words, while GitHub wants something else first or has it in its queue;
        GitMoved, GitMissing, GitRefused, GitUnreachable.
        """
        self._merging.merge(pull, sha, message)

    @as_known()
    def close(self, pull: Pull) -> None:
        """Close an open pull request without merging it. Raises GitUnreachable, GitRefused."""
        if pull.number is not None:
            self._pages.close(pull.number)

    @as_known()
    def prepare(self, base: str, hook: str) -> Readiness:
        """Look at rights, rules and webhook. Raises GitUnreachable."""
        return look(self._repository, base, hook)
