"""Workspaces on real git: cut, looked into, rebased, shown, discarded. Implements two ports."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from orch import names
from orch.adapters.git.carrying import carry_over
from orch.adapters.git.command import Ask, GitCommand
from orch.adapters.git.depot import Depot, Depots
from orch.adapters.git.desk import Desk, topic_of
from orch.adapters.git.folders import Folders, disk_errors, is_folder, used
from orch.adapters.git.trees import changes, paths_shown, too_large
from orch.errors import GitMissing, GitRefused
from orch.ports import Change, Commit, Cut, DiskUse, Rebased, Remote, Tree, Turn
from orch.qg.verdict import storable

COMMITS_SHOWN: Final = 200


class GitWorkspaces:
    """The Workspaces and Upkeep ports."""

    def __init__(self, command: GitCommand, data: Path, patience: float = 1800.0) -> None:
        self._folders = Folders(data)
        self._depots = Depots(command, self._folders, patience)

    def cut(
        self, remote: Remote, work_item: str, turn: Turn, *, known: str = "", fresh: bool = False
    ) -> Cut:
        """The task's workspace, put right or made, and taken over by this turn. Raises GitError."""
        topic = topic_of(work_item)
        if known:
            names.sha(known)
        with self._depots.open(remote) as depot:
            depot.take_over(work_item, turn)
            desk = Desk(depot, self._folders, work_item)
            notes = {**depot.notes(work_item), "known": known}
            if fresh or not desk.whole:
                self._make(depot, desk, notes, fresh=fresh)
            elif "base" not in notes:
                self._adopt(depot, desk, notes)
            desk.repair()
            base = depot.notes(work_item)["base"]
            filled = replace(remote, default_branch=depot.default_branch())
        return Cut(filled, work_item, desk.path, topic, base, turn)

    def inspect(self, cut: Cut, *, file_limit: int = 100_000_000) -> Tree:
        """What is in the workspace; nothing in it is executed. Raises GitError."""
        with self._at(cut) as (depot, desk):
            head = desk.look()
            base = depot.notes(cut.work_item).get("base", cut.base_sha)
            tracked, untracked = desk.dirty(head.sha)
            found = changes(depot, base, head.sha, file_limit)
            span = f"{base}..{head.sha}"
            return Tree(
                head_sha=head.sha,
                branch=head.branch,
                dirty=paths_shown([*tracked, *untracked]),
                on_base=depot.descends(head.sha, base),
                commits=depot.count(span),
                merges=depot.count("--merges", span),
                changed=paths_shown(found.paths),
                escaping_symlinks=paths_shown(found.escaping),
                oversize=paths_shown(
                    [*found.oversize, *too_large(desk.path, [*tracked, *untracked], file_limit)]
                ),
                submodules=paths_shown(found.submodules),
            )

    def rebase(self, cut: Cut) -> Rebased:
        """Carry the task's commits over to the default branch as it is now. Raises GitError."""
        with self._at(cut) as (depot, desk):
            depot.insist(cut.work_item, cut.turn)
            head = _landable(depot, desk, cut)
            heads, tip = self._depots.fetch(depot)
            base = depot.notes(cut.work_item).get("base", cut.base_sha)
            # A main that was set back is a move as well: what was taken out of it must not return.
            if depot.descends(head, tip) and depot.descends(tip, base):
                depot.note(cut.work_item, {"base": tip})
                return Rebased(tip, head, moved=False)
            new = carry_over(depot, base, head, tip)
            desk.move_to(new, heads.default, tip)
            depot.note(cut.work_item, {"base": tip})
            return Rebased(tip, new, moved=True)

    def diff(self, cut: Cut, limit: int = 200_000) -> Change:
        """The task's commits and what they change, at most `limit` bytes of it. Raises GitError."""
        with self._at(cut) as (depot, desk):
            head = desk.look().sha
            base = depot.notes(cut.work_item).get("base", cut.base_sha)
            form = "--format=%H%n%an%n%ct%n%s"
            listed = depot.git("log", "-z", f"-{COMMITS_SHOWN}", form, f"{base}..{head}")
            asked = ("diff-tree", "-p", "-M", "--stat", "--no-ext-diff", "--no-textconv")
            said = depot.git(*asked, base, head, ask=Ask(limit=limit))
        text = storable(said.out.decode("utf-8", "replace"))
        return Change(tuple(commit_of(part) for part in listed.fields), text, said.truncated)

    def discard(self, cut: Cut, *, force: bool = False) -> bool:
        """Remove the workspace and what is kept of the task; False if there is none.

        Raises GitRefused when work would be lost, unless forced.
        """
        with self._depots.open(cut.remote) as depot:
            notes = depot.notes(cut.work_item)
            path = self._folders.workspace(cut.remote.repo, cut.work_item)
            if not notes and not os.path.lexists(path):
                depot.forget(cut.work_item)  # a cut that never came about leaves its turn
                return False
            depot.take_over(cut.work_item, cut.turn)
            desk = Desk(depot, self._folders, cut.work_item)
            if not force:
                self._insist_nothing_is_lost(depot, desk, notes)
            desk.remove()
            depot.forget(cut.work_item)
            depot.git("-c", "gc.auto=6700", "gc", "--auto", "--quiet")
        return True

    def workspaces(self, repo: str) -> list[str]:
        """The work items that have a workspace here, sorted."""
        folder = self._folders.work(repo)
        with disk_errors(f"{folder} cannot be read"):
            inside = sorted(folder.iterdir()) if is_folder(folder) else []
        return [path.name for path in inside if is_folder(path) and not path.name.startswith(".")]

    def disk_use(self, repo: str) -> DiskUse:
        """What the repo takes on disk, and what is left there."""
        free = shutil.disk_usage(self._folders.root).free
        return DiskUse(used(self._folders.depot(repo)), used(self._folders.work(repo)), free)

    @contextmanager
    def _at(self, cut: Cut) -> Iterator[tuple[Depot, Desk]]:
        with self._depots.open(cut.remote) as depot:
            desk = Desk(depot, self._folders, cut.work_item)
            if not desk.whole:
                raise GitMissing(f"The workspace of {cut.work_item} is not there any more.")
            yield depot, desk

    def _make(self, depot: Depot, desk: Desk, notes: dict[str, str], *, fresh: bool) -> None:
        """Make the workspace from what orch saw of the task, from what it offered, or from main."""
        topic = topic_of(desk.work_item)
        heads, tip = self._depots.fetch(depot, topic)
        if topic == heads.default:
            raise GitRefused(f"{topic} is the default branch of {depot.remote.repo}.")
        base = head = tip
        _insist_topic_is_ours(heads.topic, topic, notes)
        if heads.topic:
            depot.fetch_topic(desk.work_item, topic, heads.topic)
            head = heads.topic
            base = notes.get("base") or depot.merge_base(head, tip)
        if notes.get("seen") and notes.get("base") and not fresh:
            head, base = notes["seen"], notes["base"]
        # Who dies in between leaves no base, so that the next one looks for it: see `_adopt`.
        depot.note(desk.work_item, {"base": "", "rebasing": ""})
        desk.make(topic, head, (f"refs/remotes/origin/{heads.default}", tip))
        kept = {"base": base, "seen": head, "offered": heads.topic, "offering": ""}
        depot.note(desk.work_item, kept)

    def _adopt(self, depot: Depot, desk: Desk, notes: dict[str, str]) -> None:
        """Learn anew of a workspace that outlived what the depot knew of it; else make it anew."""
        topic = topic_of(desk.work_item)
        heads, tip = self._depots.fetch(depot, topic)
        try:
            desk.repair()
            head = desk.look().sha
            base = depot.merge_base(head, tip)
        except (GitMissing, GitRefused):
            self._make(depot, desk, notes, fresh=True)
            return
        if not depot.resolve(heads.topic) or not depot.descends(head, heads.topic):
            _insist_topic_is_ours(heads.topic, topic, notes)
        depot.note(desk.work_item, {"base": base, "offered": heads.topic})

    def _insist_nothing_is_lost(self, depot: Depot, desk: Desk, notes: dict[str, str]) -> None:
        if not desk.whole:
            if is_folder(desk.path) and any(desk.path.iterdir()):
                raise GitRefused(f"{desk.path} holds files, but no repository that can be read.")
            return
        head, base, offered = desk.look().sha, notes.get("base"), notes.get("offered")
        dirty = paths_shown([path for paths in desk.dirty(head) for path in paths])
        if not dirty and (head == base or (offered and depot.descends(offered, head))):
            return
        _, tip = self._depots.fetch(depot)
        if head != base and depot.descends(tip, head):
            return  # landed: whatever else lies about was not asked for
        if dirty:
            raise GitRefused(
                f"The workspace of {desk.work_item} holds {len(dirty)} uncommitted changes, "
                f"{dirty[0]!r} first.",
                suggested_fix="Commit them, or discard the workspace by force.",
            )
        raise GitRefused(
            f"The workspace of {desk.work_item} holds commits that are neither landed nor offered.",
            suggested_fix="Offer or land them, or discard the workspace by force.",
        )


def _landable(depot: Depot, desk: Desk, cut: Cut) -> str:
    """The head of a workspace whose work may be carried over. Raises GitRefused."""
    head, base = desk.look(), depot.notes(cut.work_item).get("base", cut.base_sha)
    dirty = paths_shown([path for paths in desk.dirty(head.sha) for path in paths])
    wrong = ""
    if head.branch != cut.branch:
        wrong = f"has {head.branch or 'no branch'} checked out, not {cut.branch}"
    elif dirty:
        wrong = f"holds {len(dirty)} uncommitted changes, {dirty[0]!r} first"
    elif not depot.descends(head.sha, base):
        wrong = "holds commits that do not descend from the one it was cut from"
    elif depot.count("--merges", f"{base}..{head.sha}"):
        wrong = "holds a merge commit"
    if wrong:
        raise GitRefused(f"The workspace of {cut.work_item} {wrong}.")
    return head.sha


def _insist_topic_is_ours(there: str, topic: str, notes: dict[str, str]) -> None:
    ours = {notes.get(word) for word in ("offered", "offering", "known")} - {None, ""}
    if there and there not in ours:
        raise GitRefused(
            f"The remote has a branch {topic} at {there}, and orch did not put that there.",
            suggested_fix=f"Delete or rename {topic} at the remote, then retry the task.",
            branch=topic,
            actual=there,
        )
    if not there and (notes.get("offered") or notes.get("known")):
        raise GitMissing(f"Somebody deleted the branch {topic} at the remote.", branch=topic)


def commit_of(part: bytes) -> Commit:
    """A commit as `git log` was asked to print it: id, author, time, subject."""
    sha, author, at, subject = storable(part.decode("utf-8", "replace")).split("\n", 3)
    try:
        when = datetime.fromtimestamp(int(at), UTC)
    except (OverflowError, ValueError, OSError):  # an agent may claim any year
        when = datetime.fromtimestamp(0, UTC)
    return Commit(sha, author, when, subject)
