"""The bare repository orch keeps of each repo's remote: one writer at a time, made anew if broken.

No agent is given a way into it. What orch knows of a task is kept in refs of its own,
`refs/orch/<ID>/…`, which also keep the commits from being swept away:
`base` what the task stands on, `seen` its newest head, `offered` what the remote's topic branch is
as far as orch knows, `offering` what is about to be pushed, `rebasing` what is about to be checked
out.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from orch import names
from orch.adapters.git.command import Ask, GitCommand, Output, Place
from orch.adapters.git.folders import (
    Folders,
    clear_locks,
    disk_errors,
    is_folder,
    locked,
    write_anew,
)
from orch.errors import GitBroken, GitError, GitFenced, GitMissing
from orch.ports import Remote, Turn

log = structlog.get_logger(__name__)

CONFIG: Final = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
SHA256: Final = "[extensions]\n\tobjectformat = sha256\n"
SHA256_DIGITS: Final = 64
DAMAGED: Final = "orch-damaged"
"""A file that says: make this depot anew before anything else is done with it."""
FETCH: Final = (
    "fetch",
    "--quiet",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--no-recurse-submodules",
)
REMOTE: Final = Ask(remote=True)


@dataclass(frozen=True)
class Heads:
    """What the remote says of its branches at one moment."""

    default: str
    tip: str
    topic: str = ""
    """Empty when there is no such branch."""


class Depot:
    """One repo's depot, while its lock is held."""

    def __init__(self, command: GitCommand, remote: Remote, git_dir: Path, lock: int) -> None:
        self.command = command
        self.remote = remote
        self.git_dir = git_dir
        self.place = Place(git_dir, lock=lock)

    def git(self, *arguments: str, ask: Ask | None = None) -> Output:
        """Run git here."""
        return self.command.run(self.place, *arguments, ask=ask or Ask())

    def look(self, topic: str = "") -> Heads:
        """Ask the remote where the default branch and this topic branch are."""
        wanted = self.remote.default_branch
        patterns = [f"refs/heads/{name}" for name in (wanted, topic) if name]
        patterns += [] if wanted else ["HEAD"]
        said = self.git(
            "ls-remote", "--symref", "--end-of-options", self.remote.url, *patterns, ask=REMOTE
        )
        pairs = [line.split("\t", 1) for line in said.line.splitlines() if "\t" in line]
        found = {name: value for value, name in pairs if not value.startswith("ref: ")}
        named = {name: value[5:] for value, name in pairs if value.startswith("ref: ")}
        default = wanted or named.get("HEAD", "").removeprefix("refs/heads/")
        tip = found.get(f"refs/heads/{default}") or ("" if wanted else found.get("HEAD", ""))
        if not default or not tip:
            raise GitMissing(
                f"The remote of {self.remote.repo} has no branch {default or 'to start from'}.",
                suggested_fix="Push a first commit, or name the default branch in the settings.",
            )
        return Heads(names.branch(default), names.sha(tip), found.get(f"refs/heads/{topic}", ""))

    def topics(self, wanted: Sequence[str]) -> dict[str, str]:
        """Ask the remote where these branches are; those it does not have are left out."""
        refs = [f"refs/heads/{name}" for name in wanted]
        said = self.git("ls-remote", "--end-of-options", self.remote.url, *refs, ask=REMOTE).line
        pairs = [line.split("\t", 1) for line in said.splitlines() if "\t" in line]
        return {ref.removeprefix("refs/heads/"): sha for sha, ref in pairs if ref in refs}

    def fetch(self, heads: Heads) -> str:
        """Bring the default branch here; the commit it is at."""
        ref = f"refs/remotes/origin/{heads.default}"
        self.git("symbolic-ref", "HEAD", f"refs/heads/{heads.default}")
        if self.resolve(ref) == heads.tip:
            return heads.tip
        spec = f"+refs/heads/{heads.default}:{ref}"
        self.git(*FETCH, "--end-of-options", self.remote.url, spec, ask=REMOTE)
        return self.resolve(ref)

    def default_branch(self) -> str:
        """The default branch as it was when the remote was last asked."""
        said = self.git("symbolic-ref", "HEAD").line
        return self.remote.default_branch or said.removeprefix("refs/heads/")

    def fetch_topic(self, work_item: str, topic: str, sha: str) -> None:
        """Bring the topic branch here, as the newest head of the task."""
        if self.resolve(sha) == sha:
            return
        spec = f"+refs/heads/{topic}:{_ref(work_item, 'seen')}"
        self.git(*FETCH, "--end-of-options", self.remote.url, spec, ask=REMOTE)

    def resolve(self, name: str) -> str:
        """The commit of that name; empty when there is none."""
        if not name:
            return ""
        asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return self.git(*asked, ask=Ask(ok=(0, 1))).line

    def descends(self, head: str, ancestor: str) -> bool:
        """Whether this commit is that one or comes after it."""
        asked = ("merge-base", "--is-ancestor", "--end-of-options", ancestor, head)
        return self.git(*asked, ask=Ask(ok=(0, 1))).code == 0

    def merge_base(self, one: str, other: str) -> str:
        """The newest commit that both descend from. Raises GitMissing when there is none."""
        said = self.git("merge-base", "--end-of-options", one, other, ask=Ask(ok=(0, 1)))
        if said.code:
            raise GitMissing(f"{one} and {other} have no history in common.")
        return said.line

    def count(self, *arguments: str) -> int:
        """How many commits `git rev-list` finds."""
        return int(self.git("rev-list", "--count", *arguments).line)

    def notes(self, work_item: str) -> dict[str, str]:
        """What is kept of a task: a word for each commit."""
        prefix = _ref(work_item, "")
        listed = self.git("for-each-ref", "--format=%(objectname) %(refname)", prefix).line
        pairs = (line.split(" ", 1) for line in listed.splitlines())
        return {ref.removeprefix(prefix): sha for sha, ref in pairs}

    def note(self, work_item: str, shas: Mapping[str, str]) -> None:
        """Keep these, all or none; an empty one is forgotten."""
        there = self.notes(work_item)
        orders = [
            f"update {_ref(work_item, word)} {sha}" if sha else f"delete {_ref(work_item, word)}"
            for word, sha in shas.items()
            if sha or word in there
        ]
        self.git("update-ref", "--stdin", ask=Ask(stdin="\n".join([*orders, ""]).encode()))

    def drawer(self, work_item: str) -> Path:
        """The folder for what is kept of a task beside commits: its index, its turn."""
        folder = self.git_dir / "orch" / names.work_item(work_item)
        with disk_errors(f"{folder} cannot be made"):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def take_over(self, work_item: str, turn: Turn) -> None:
        """Let this turn have the task. Raises GitFenced when a later one has it."""
        holder = self._holder(work_item)
        if holder is not None and holder.number > turn.number:
            raise GitFenced(work_item=work_item)
        if holder != turn:
            said = f"{turn.number} {turn.token}".encode()
            write_anew(self.drawer(work_item) / "turn", said)

    def insist(self, work_item: str, turn: Turn) -> None:
        """Raises GitFenced when another turn has the task, or none."""
        if self._holder(work_item) != turn:
            raise GitFenced(work_item=work_item)

    def forget(self, work_item: str) -> None:
        """Keep nothing of a task any more."""
        self.note(work_item, dict.fromkeys(self.notes(work_item), ""))
        shutil.rmtree(self.drawer(work_item))

    def _holder(self, work_item: str) -> Turn | None:
        path = self.git_dir / "orch" / names.work_item(work_item) / "turn"
        try:
            number, _, token = path.read_text(encoding="utf-8").partition(" ")
            return Turn(int(number), token)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise GitBroken(f"{path} does not say whose turn it is.") from error


class Depots:
    """Opens depots, and makes them when they are not there or cannot be used."""

    def __init__(self, command: GitCommand, folders: Folders, patience: float = 1800.0) -> None:
        self.command = command
        self.folders = folders
        self._patience = patience

    @contextmanager
    def open(self, remote: Remote) -> Iterator[Depot]:
        """The repo's depot, for this caller alone until the end of the block. Raises GitError."""
        names.remote_url(remote.url)
        if remote.default_branch:
            names.branch(remote.default_branch)
        path = self.folders.depot(remote.repo)
        with locked(self.folders.lock(remote.repo), self._patience) as lock:
            depot = Depot(self.command.to(remote.repo), remote, path, lock)
            if not _whole(path):
                self._make(depot)
            else:
                clear_locks(path)
                _seal(path)
            try:
                yield depot
            except GitBroken:
                with disk_errors(f"{path} cannot be marked"):
                    (path / DAMAGED).touch()
                raise

    def fetch(self, depot: Depot, topic: str = "") -> tuple[Heads, str]:
        """What the remote has, and its default branch fetched, into a new depot if need be."""
        try:
            heads = depot.look(topic)
            return heads, depot.fetch(heads)
        except GitBroken as error:
            log.warning("depot.broken", repo=depot.remote.repo, error=error.message)
            self._make(depot)
            heads = depot.look(topic)
            return heads, depot.fetch(heads)

    def _make(self, depot: Depot) -> None:
        """Put a new depot in the place of the old one, and save what can be saved of that."""
        path = depot.git_dir
        new, old = path.with_name(f"{path.name}.new"), path.with_name(f"{path.name}.old")
        fresh = Depot(depot.command, depot.remote, new, depot.place.lock or 0)
        self.folders.remove(new)
        if path.exists():
            self.folders.remove(old)
        source = path if path.exists() else old  # only the old one: we died between two renames
        self._init(fresh, "sha1")
        heads = fresh.look()
        if len(heads.tip) == SHA256_DIGITS:
            self.folders.remove(new)
            self._init(fresh, "sha256")
        fresh.fetch(heads)
        if source.exists():
            _save(source, fresh)
        with disk_errors(f"{path} cannot be put in place"):
            if path.exists():
                path.rename(old)
            new.rename(path)
        self.folders.remove(old)

    def _init(self, depot: Depot, form: str) -> None:
        with disk_errors(f"{depot.git_dir} cannot be made"):
            depot.git_dir.parent.mkdir(parents=True, exist_ok=True)
        depot.git("init", "--quiet", "--bare", "--template=", f"--object-format={form}")


def _save(source: Path, fresh: Depot) -> None:
    """Bring the tasks' commits and turns over from a broken depot, as far as they can be read."""
    if is_folder(source / "orch"):
        with disk_errors(f"{source} cannot be copied"):
            shutil.copytree(source / "orch", fresh.git_dir / "orch", symlinks=True)
    try:
        fresh.git(*FETCH, "--end-of-options", str(source), "+refs/orch/*:refs/orch/*")
    except GitError as error:
        log.warning("depot.not_saved", repo=fresh.remote.repo, error=error.message)


def _seal(path: Path) -> None:
    """Put the configuration back to what it is to be: nobody else has a word in it."""
    config = path / "config"
    with disk_errors(f"{config} cannot be read"):
        found = config.read_bytes() if config.is_file() else b""
    wanted = CONFIG
    if b"sha256" in found:
        wanted = CONFIG.replace("version = 0", "version = 1") + SHA256
    if found != wanted.encode():
        write_anew(config, wanted.encode())


def _whole(path: Path) -> bool:
    """Whether there is a repository at first sight; git says the rest."""
    sound = (path / "HEAD").is_file() and not (path / DAMAGED).exists()
    return sound and all(is_folder(path / name) for name in ("objects", "refs"))


def _ref(work_item: str, word: str) -> str:
    return f"refs/orch/{names.work_item(work_item)}/{word}"
