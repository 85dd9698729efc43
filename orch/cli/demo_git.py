"""The demo's shared repositories: read as anybody would, pushed to as a colleague does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orch.adapters.git.command import Access, Ask, GitCommand, Place
from orch.config import agent_base_environment

BRANCH: Final = "main"
REF: Final = f"refs/heads/{BRANCH}"
COLLEAGUE: Final = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Bo Colleague"), ("EMAIL", "bo@example.org"))
}
FAR: Final = Ask(remote=True)


@dataclass(frozen=True)
class Step:
    """One commit of a default branch's own line."""

    sha: str
    parents: tuple[str, ...]
    subject: str

    @property
    def is_merge(self) -> bool:
        """Whether something landed by it."""
        return len(self.parents) > 1


class Shelf:
    """The bare repositories below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = agent_base_environment().get("PATH", Access.path)
        self._git = GitCommand(Access(env=COLLEAGUE, path=path))

    @property
    def repos(self) -> list[str]:
        """Their names."""
        return sorted(path.stem for path in self.folder.glob("*.git"))

    def bare(self, repo: str) -> Path:
        """Where one of them is."""
        return self.folder / f"{repo}.git"

    def steps(self, repo: str) -> list[Step]:
        """What `git log --first-parent` shows of the default branch, oldest first."""
        asked = ("log", "--first-parent", "--reverse", "--format=%H%x09%P%x09%s", BRANCH)
        said = self._git.run(Place(self.bare(repo)), *asked).line
        parts = (line.split("\t", 2) for line in said.splitlines())
        return [Step(sha, tuple(parents.split()), subject) for sha, parents, subject in parts]

    def stands_on(self, repo: str, commit: str, base: str) -> bool:
        """Whether a commit descends from another."""
        asked = ("merge-base", "--is-ancestor", base, commit)
        return self._git.run(Place(self.bare(repo)), *asked, ask=Ask(ok=(0, 1))).code == 0

    def put_out(self, repo: str, place: Path) -> Path:
        """The files of the default branch, in a folder of their own."""
        place.mkdir(parents=True)
        at = Place(self.bare(repo), place, place.with_name(f"{place.name}.index"))
        self._git.run(at, "checkout", "--quiet", BRANCH, "--", ".")
        return place

    def push_as_colleague(self, repo: str, name: str, text: str) -> str:
        """One more file on the default branch, from a repository of the colleague's; the commit."""
        beside = self.folder.with_name("colleague")
        beside.mkdir(exist_ok=True)
        at = Place(beside / f"{repo}.git", index=beside / f"{repo}.index")
        url = str(self.bare(repo))
        self._git.run(at, "init", "--quiet", "--bare", "--template=")
        self._git.run(at, "fetch", "--quiet", url, BRANCH, ask=FAR)
        base = self._git.run(at, "rev-parse", "FETCH_HEAD").line
        self._git.run(at, "read-tree", base)
        blob = self._git.run(at, "hash-object", "-w", "--stdin", ask=Ask(stdin=text.encode())).line
        self._git.run(at, "update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
        tree = self._git.run(at, "write-tree").line
        message = Ask(stdin=f"Add {name}\n".encode())
        commit = self._git.run(at, "commit-tree", tree, "-p", base, ask=message).line
        self._git.run(at, "push", "--quiet", url, f"{commit}:{REF}", ask=FAR)
        return commit
