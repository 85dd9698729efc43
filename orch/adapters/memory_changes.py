"""Changes that a test wrote down: the stateful fake of the Changes port."""

from __future__ import annotations

from datetime import UTC, datetime

from orch.errors import GitMissing
from orch.ports import Change, Commit


class MemoryChanges:
    """Knows the spans it was told of, and no others."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str, str], str] = {}

    def tell(self, repo: str, base: str, head: str, text: str) -> None:
        """Let this be what lies between the two."""
        self.known[repo, base, head] = text

    def between(self, repo: str, base: str, head: str, limit: int) -> Change:
        """What was told of the two. Raises GitMissing."""
        text = self.known.get((repo, base, head))
        if text is None:
            raise GitMissing(f"There is no commit {head[:12]} here.")
        one = Commit(head, "Ann", datetime.fromtimestamp(0, UTC), "Work")
        return Change((one,), text[:limit], len(text) > limit)
