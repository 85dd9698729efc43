"""One Forge for all repos: each repo has its own, or plain git."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orch.ports import Cut, Forge, Landed, Outlook, Pull, Remote, Showing


class Forges:
    """The Forge port that asks the forge of the repo in question."""

    def __init__(self, plain: Forge, hosted: Mapping[str, Forge]) -> None:
        """`hosted` is by repo; every other repo has plain git."""
        self._plain = plain
        self._hosted = dict(hosted)

    def look(self, remote: Remote, branches: Sequence[str] = ()) -> Outlook:
        """As the repo's forge sees it. Raises GitError."""
        return self._of(remote).look(remote, branches)

    def offer(self, cut: Cut, head_sha: str, showing: Showing | None = None) -> Pull:
        """Offered at the repo's forge. Raises GitError."""
        return self._of(cut.remote).offer(cut, head_sha, showing)

    def land(self, cut: Cut, tested_sha: str, expected_base: str, title: str = "") -> Landed:
        """Landed at the repo's forge. Raises GitError."""
        return self._of(cut.remote).land(cut, tested_sha, expected_base, title)

    def contains(self, remote: Remote, sha: str) -> bool:
        """As the repo's forge has it. Raises GitError."""
        return self._of(remote).contains(remote, sha)

    def withdraw(self, cut: Cut) -> bool:
        """Withdrawn from the repo's forge. Raises GitError."""
        return self._of(cut.remote).withdraw(cut)

    def _of(self, remote: Remote) -> Forge:
        return self._hosted.get(remote.repo, self._plain)
