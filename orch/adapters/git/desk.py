"""One task's workspace on disk: a small repository of its own that borrows the depot's objects.

An agent may do in it what it likes. orch believes only its commits: everything else in its `.git`
is either written anew before git looks at it, or not read. What is dirty is found out with the
depot's configuration and an index of orch's own, so nothing the agent left can run or hide.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orch import names
from orch.adapters.git.command import Ask, Place
from orch.adapters.git.depot import FETCH, SHA256_DIGITS, Depot
from orch.adapters.git.folders import Folders, clear_locks, disk_errors, is_folder, write_anew
from orch.errors import GitBroken, GitError, GitMissing, GitRefused

SHA1_CONFIG: Final = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
[user]
\tname = orch agent
\temail = agent@localhost
[gc]
\tauto = 0
"""
SHA256_CONFIG: Final = (
    SHA1_CONFIG.replace("= 0", "= 1", 1) + "[extensions]\n\tobjectformat = sha256\n"
)
FRESH: Final = "Start the task's next turn in a fresh workspace."
CHECKED: Final = "-c", "fetch.fsckObjects=true"
"""What an agent made is checked before it comes in: broken trees, `.git` in paths, odd modules."""


@dataclass(frozen=True)
class Head:
    """What is checked out in a workspace."""

    sha: str
    branch: str
    """Empty when it is no branch."""


class Desk:
    """The workspace of one task, while the depot's lock is held."""

    def __init__(self, depot: Depot, folders: Folders, work_item: str) -> None:
        self.depot = depot
        self.work_item = work_item
        self.folders = folders
        self.path = folders.workspace(depot.remote.repo, work_item)
        self._index = depot.drawer(work_item) / "index"
        self._outer = Place(depot.git_dir, self.path, self._index, depot.place.lock)

    @property
    def whole(self) -> bool:
        """Whether there is a workspace at first sight."""
        return is_folder(self.path / ".git") and (self.path / ".git" / "HEAD").is_file()

    def make(self, branch: str, head: str, base_ref: tuple[str, str]) -> None:
        """Make the workspace on this branch at this commit; it appears as a whole or not at all.

        Whatever stands in its place is set aside, where it stays until the next one is.
        """
        new = self.path.with_name(f".{self.work_item}.new")
        self.folders.remove(new)
        with disk_errors(f"{new} cannot be made"):
            new.mkdir(parents=True)
            self._index.unlink(missing_ok=True)
        inner = Place(new / ".git", new, lock=self.depot.place.lock)
        outer = Place(self.depot.git_dir, new, self._index, self.depot.place.lock)
        form = "sha256" if len(head) == SHA256_DIGITS else "sha1"
        init = ("init", "--quiet", "--template=", f"--object-format={form}", "-b", branch)
        run = self.depot.command.run
        run(Place(inner.git_dir, lock=inner.lock), *init)
        self._seal(inner.git_dir)
        refs = f"update refs/heads/{branch} {head}\nupdate {base_ref[0]} {base_ref[1]}\n"
        run(inner, "update-ref", "--stdin", ask=Ask(stdin=refs.encode()))
        run(outer, "read-tree", "-m", "-u", head)
        self._hand_out_index(inner.git_dir)
        self.set_aside()
        with disk_errors(f"{self.path} cannot be put in place"):
            new.rename(self.path)

    def set_aside(self) -> None:
        """Move what stands in the workspace's place out of the way; the one before is removed."""
        if os.path.lexists(self.path):
            aside = self.path.with_name(f".{self.work_item}.aside")
            self.folders.remove(aside)
            with disk_errors(f"{self.path} cannot be set aside"):
                self.path.rename(aside)

    def remove(self) -> None:
        """Remove the workspace and what was set aside of it."""
        for name in (f".{self.work_item}.new", f".{self.work_item}.aside", self.work_item):
            self.folders.remove(self.path.with_name(name))

    def repair(self) -> None:
        """Remove what killed processes left, and finish the checkout that one began."""
        self._seal(self.path / ".git")
        clear_locks(self.path / ".git")
        unfinished = self.depot.notes(self.work_item).get("rebasing")
        if unfinished:
            self._check_out(unfinished, "--reset")

    def look(self) -> Head:
        """What is checked out, its commits brought into the depot. Raises GitError."""
        git_dir = self.path / ".git"
        self._seal(git_dir)
        try:
            return self._taken_in(git_dir)
        except GitBroken as error:  # the agent's own, whatever else git says; the depot is sound
            raise GitRefused(
                f"The repository in the workspace cannot be read. {error.message}",
                suggested_fix=FRESH,
            ) from error

    def _taken_in(self, git_dir: Path) -> Head:
        said = self.depot.git("ls-remote", "--symref", "--end-of-options", str(git_dir), "HEAD")
        sha = branch = ""
        for line in said.line.splitlines():
            value, _, name = line.partition("\t")
            if name == "HEAD" and value.startswith("ref: "):
                branch = value.removeprefix("ref: refs/heads/")
            elif name == "HEAD":
                sha = value
        if not sha:
            raise GitMissing("Nothing is checked out in the workspace: its HEAD names no commit.")
        if self.depot.notes(self.work_item).get("seen") != sha:
            spec = f"+HEAD:refs/orch/{self.work_item}/seen"
            self.depot.git(*CHECKED, *FETCH, "--end-of-options", str(git_dir), spec)
        return Head(sha, branch)

    def dirty(self, head: str) -> tuple[list[bytes], list[bytes]]:
        """Tracked paths that differ from this commit, and untracked ones that are not ignored."""
        run = self.depot.command.run
        try:
            run(self._outer, "read-tree", "-m", head)
        except GitError:  # an index of a process that was killed; the next one is made from nothing
            with disk_errors(f"{self._index} cannot be removed"):
                self._index.unlink(missing_ok=True)
            run(self._outer, "read-tree", "-m", head)
        run(self._outer, "update-index", "-q", "--ignore-submodules", "--refresh", ask=EITHER)
        # git must not go into a submodule: it would believe what is configured there.
        asked = ("diff-files", "--name-only", "--ignore-submodules=all", "--no-ext-diff", "-z")
        changed = run(self._outer, *asked).fields
        return changed, run(self._outer, "ls-files", "--others", "--exclude-standard", "-z").fields

    def move_to(self, new: str, default: str, tip: str) -> None:
        """Check out another commit on the same branch; the workspace is clean before and after.

        `default` and `tip` are what its repository is to know of the remote's default branch.
        """
        self.depot.note(self.work_item, {"rebasing": new})
        self._write_ref(f"refs/remotes/origin/{default}", tip)
        self._check_out(new, "-m")

    def _check_out(self, new: str, how: str) -> None:
        branch = topic_of(self.work_item)
        try:
            self.depot.command.run(self._outer, "read-tree", how, "-u", new)
        except GitError as error:
            if how == "-m" and type(error) is GitError:  # git looked first and touched nothing
                self.depot.note(self.work_item, {"rebasing": ""})
                raise GitRefused(
                    f"A file is in the way of the checkout. {error.message}"
                ) from error
            raise
        self._write_ref(f"refs/heads/{branch}", new)
        self._hand_out_index(self.path / ".git")
        self.depot.note(self.work_item, {"seen": new, "rebasing": ""})

    def _write_ref(self, ref: str, sha: str) -> None:
        """By hand: git itself would follow a link that an agent left among the refs or logs."""
        folder = self.path / ".git"
        for part in Path(ref).parent.parts:
            folder = folder / part
            with disk_errors(f"{folder} cannot be made"):
                if not os.path.lexists(folder):
                    folder.mkdir()
            _insist_on_folders(folder)
        write_anew(folder / Path(ref).name, f"{sha}\n".encode())

    def _hand_out_index(self, git_dir: Path) -> None:
        with disk_errors(f"{self._index} cannot be read"):
            write_anew(git_dir / "index", self._index.read_bytes())

    def _seal(self, git_dir: Path) -> None:
        """Write the parts of a workspace's repository that git would believe or follow anew."""
        _insist_on_folders(git_dir, git_dir / "objects", git_dir / "refs")
        info = git_dir / "objects" / "info"
        with disk_errors(f"{info} cannot be made"):
            if not os.path.lexists(info):
                info.mkdir()
        _insist_on_folders(info)
        if os.path.lexists(git_dir / "commondir"):
            raise GitRefused(f"{git_dir} was made to point to another repository.")
        sha256 = b"sha256" in _content(self.depot.git_dir / "config")
        config = SHA256_CONFIG if sha256 else SHA1_CONFIG
        borrowed = f"{self.depot.git_dir / 'objects'}\n".encode()
        for path, content in (
            (git_dir / "config", config.encode()),
            (git_dir / "objects" / "info" / "alternates", borrowed),
        ):
            if path.is_symlink() or _content(path) != content:
                write_anew(path, content)


EITHER: Final = Ask(ok=(0, 1))
"""For questions that git answers by its exit code."""


def topic_of(work_item: str) -> str:
    """The branch a task's work is on, here and at the remote."""
    return f"feature/{names.work_item(work_item)}"


def _insist_on_folders(*paths: Path) -> None:
    for path in paths:
        if not is_folder(path):
            raise GitRefused(
                f"{path} is not the folder that orch made.",
                suggested_fix=FRESH,
            )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
