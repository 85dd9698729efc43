"""Looks into the depots and writes nothing: for pages, beside whoever works in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from orch import names
from orch.adapters.git.command import Access, Ask, GitCommand, Place
from orch.adapters.git.folders import Folders, is_folder
from orch.adapters.git.workspaces import COMMITS_SHOWN, commit_of
from orch.errors import GitMissing
from orch.ports import Change
from orch.qg.verdict import storable

PATIENCE: Final = 10.0
"""Seconds after which a page goes without."""
DIFF: Final = ("diff-tree", "-p", "-M", "-r", "--no-color", "--no-ext-diff", "--no-textconv")


class GitArchive:
    """The Changes port on real git.

    It takes no lock: commits are only added to a depot, and what is taken away with a task is
    then not found.
    """

    def __init__(self, access: Access, data: Path) -> None:
        self._git = GitCommand(replace(access, local_timeout=PATIENCE))
        self._data = data

    def between(self, repo: str, base: str, head: str, limit: int) -> Change:
        """The commits from base to head and what they change. Raises GitError."""
        if not is_folder(self._data):
            raise GitMissing(f"Nothing of {repo} is here.")
        path = Folders(self._data).depot(repo)
        if not is_folder(path):
            raise GitMissing(f"Nothing of {repo} is here.")
        place = Place(path)
        for each in (base, head):
            self._insist(place, names.sha(each))
        form = "--format=%H%n%an%n%ct%n%s"
        span = ("--end-of-options", f"{base}..{head}")
        listed = self._git.run(place, "log", "-z", f"-{COMMITS_SHOWN}", form, *span)
        said = self._git.run(
            place, *DIFF, "--end-of-options", base, head, ask=Ask(limit=max(1, limit))
        )
        text = storable(said.out.decode("utf-8", "replace"))
        return Change(tuple(commit_of(part) for part in listed.fields), text, said.truncated)

    def _insist(self, place: Place, sha: str) -> None:
        """Raise GitMissing when there is no such commit; git fetches none by itself."""
        asked = ("cat-file", "-e", "--end-of-options", f"{sha}^{{commit}}")
        try:
            found = self._git.run(place, *asked, ask=Ask(ok=(0, 1, 128))).code == 0
        except GitMissing:
            found = False
        if not found:
            raise GitMissing(f"There is no commit {sha[:12]} here.")
