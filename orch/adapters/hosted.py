"""A forge that a service hosts: git does what git can, pull requests show it and land it.

Every push is plain git's, with its lease and its notes. The service is asked to merge, and what
came of that is read by git afterwards: an answer that got lost, a person who was faster and a merge
that is no proof look the same from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

import structlog

from orch import names
from orch.errors import GitError, GitHeld, GitMissing, GitMoved, GitRefused, GitUnreachable
from orch.ports import (
    Cut,
    Forge,
    Landed,
    Message,
    Outlook,
    Page,
    Pull,
    PullRequests,
    Remote,
    Showing,
)
from orch.pull_text import inert

log = structlog.get_logger(__name__)

TEXT_LIMIT: Final = 20_000
"""Letters of a pull request's text."""


class GitSide(Forge, Protocol):
    """A forge of plain git that can also tell what has landed without landing it."""

    def landed(self, cut: Cut, tested_sha: str, expected_base: str) -> Landed | None:
        """What has become of this landing; None when nothing has, and nothing is in its way."""
        ...


class HostedForge:
    """The Forge port where a service has the pull requests of a repo."""

    def __init__(self, git: GitSide, pulls: PullRequests) -> None:
        self._git = git
        self._pulls = pulls

    def look(self, remote: Remote, branches: Sequence[str] = ()) -> Outlook:
        """The default branch as it is now, and these branches with their pull requests."""
        seen = self._git.look(remote, branches)
        if not branches:
            return seen
        found = self._pulls.find(remote.default_branch, branches)
        pulls = {
            name: _current(found.get(name), there.head_sha) or there
            for name, there in seen.pulls.items()
        }
        return Outlook(seen.tip, pulls)

    def offer(self, cut: Cut, head_sha: str, showing: Showing | None = None) -> Pull:
        """Push this head as plain git does, and show it at the service.

        A service that does not answer delays no work: unless the head is on its way to land, it is
        shown with the next offer. Raises GitError.
        """
        if showing is None:
            return self._git.offer(cut, head_sha)
        try:
            known = self._known(cut)
        except GitUnreachable:
            if showing.ready:
                raise
            known = None
        if known is not None and known.state == "closed":
            raise _closed(known, cut.branch)
        offered = self._git.offer(cut, head_sha)
        if head_sha == cut.base_sha:
            return offered
        try:
            return self._show(cut, head_sha, showing, known)
        except GitUnreachable as error:
            if showing.ready:
                raise
            repo = cut.remote.repo
            log.warning(
                "forge.not_shown", repo=repo, work_item_id=cut.work_item, error=error.message
            )
            return offered

    def land(self, cut: Cut, tested_sha: str, expected_base: str, title: str = "") -> Landed:
        """Let the service merge exactly this head, and prove it by git. Raises GitError."""
        found = self._git.landed(cut, tested_sha, expected_base)
        if found is not None:
            return found
        pull = self._open(cut, tested_sha)
        refused: GitError | None = None
        try:
            self._pulls.merge(pull, tested_sha, _message(cut, title))
        except GitError as error:
            refused = error
        try:
            found = self._git.landed(cut, tested_sha, expected_base)
        except GitMoved as moved:
            if refused is None:
                raise _something_else(pull, tested_sha, moved) from moved
            raise
        if found is not None:
            return replace(found, anew=refused is None)
        raise refused or GitHeld(
            f"The forge took the order to merge pull request #{pull.number}, but has not merged."
        )

    def contains(self, remote: Remote, sha: str) -> bool:
        """Whether the default branch, read anew by git, contains this commit. Raises GitError."""
        return self._git.contains(remote, sha)

    def withdraw(self, cut: Cut) -> bool:
        """Delete the branch if it is as orch offered it, and close what shows it.

        Raises GitError.
        """
        known = self._pulls.find(cut.remote.default_branch, (cut.branch,)).get(cut.branch)
        gone = self._git.withdraw(cut)
        if gone and known is not None and known.state == "open":
            self._pulls.close(known)
        return gone

    def _known(self, cut: Cut) -> Pull | None:
        """The pull request of what is at the topic branch now."""
        known = self._pulls.find(cut.remote.default_branch, (cut.branch,)).get(cut.branch)
        if known is None or known.state == "open":
            return known
        there = self._git.look(cut.remote, (cut.branch,)).pulls[cut.branch]
        return _current(known, there.head_sha) if there.head_sha else None

    def _show(self, cut: Cut, head_sha: str, showing: Showing, known: Pull | None) -> Pull:
        if known is not None and known.state == "merged":
            if known.head_sha == head_sha:
                return known  # a person merged just this: there is nothing more to show
            known = None
        plain = inert(showing.title)
        title = f"{cut.work_item}: {plain}" if plain else cut.work_item
        text = showing.text[:TEXT_LIMIT]
        page = Page(cut.branch, cut.remote.default_branch, title, text, showing.ready)
        shown = self._pulls.show(page, known)
        self._pulls.mark(head_sha, showing.marks)
        return replace(shown, head_sha=head_sha)

    def _open(self, cut: Cut, tested_sha: str) -> Pull:
        pull = self._pulls.find(cut.remote.default_branch, (cut.branch,)).get(cut.branch)
        if pull is not None and pull.state == "closed":
            raise _closed(pull, cut.branch)
        if pull is None or pull.state != "open":
            raise GitMissing(
                f"No pull request of {cut.branch} is open at the forge.",
                suggested_fix="Resume the task: orch opens one with its next offer.",
                branch=cut.branch,
            )
        return replace(pull, head_sha=tested_sha)


def _current(found: Pull | None, there: str) -> Pull | None:
    """A pull request with where its branch is now; None for one of an earlier branch of that
    name."""
    if found is None:
        return None
    if found.state != "open" and there and found.head_sha != there:
        return None
    return replace(found, head_sha=there)


def _message(cut: Cut, title: str) -> Message:
    """The subject is made of checked names only; the title is data, on a line of its own."""
    default = cut.remote.default_branch
    where = f" on {names.branch(default)}" if default else ""
    subject = f"{cut.work_item}: land {names.branch(cut.branch)}{where}"
    plain = inert(title)
    return Message(subject, f"“{plain}”" if plain else "")


def _closed(pull: Pull, branch: str) -> GitMissing:
    return GitMissing(
        f"Somebody closed pull request #{pull.number} of {branch} without merging it.",
        suggested_fix="Reopen it at the forge and resume the task, or cancel the task.",
        branch=branch,
        url=pull.url,
    )


def _something_else(pull: Pull, tested: str, moved: GitMoved) -> GitError:
    """A merge that was taken, and a default branch that moved without the tested head."""
    default = str(moved.facts.get("branch", ""))
    if default == pull.branch:
        return moved
    return GitRefused(
        f"The forge took the merge of pull request #{pull.number}, but {default} does not contain "
        f"{tested}: what landed is not what was tested.",
        suggested_fix="Let the repo's merge_style keep commits as they are: merge.",
    )
