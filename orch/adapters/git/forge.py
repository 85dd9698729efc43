"""Plain git as a whole forge: a topic branch is offered and merged by pushes with a lease.

The push is the compare-and-swap: the remote moves a branch only from the commit orch expects. What
a push came to is never read from its answer alone but looked up at the remote.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from orch import names
from orch.adapters.git.command import Ask, GitCommand
from orch.adapters.git.depot import REMOTE, Depot, Depots, Heads
from orch.adapters.git.folders import Folders
from orch.errors import GitError, GitMissing, GitMoved, GitRefused
from orch.ports import Cut, Landed, Outlook, Pull, Remote, Showing

PUSH: Final = ("push", "--quiet", "--no-verify", "--no-signed", "--no-recurse-submodules")


class PlainForge:
    """The Forge port on any git remote."""

    def __init__(self, command: GitCommand, data: Path, patience: float = 1800.0) -> None:
        self._depots = Depots(command, Folders(data), patience)

    def look(self, remote: Remote, branches: Sequence[str] = ()) -> Outlook:
        """The default branch as it is now, and these topic branches. Raises GitError."""
        with self._depots.open(remote) as depot:
            first, rest = branches[:1], [names.branch(name) for name in branches[1:]]
            heads = depot.look(names.branch(first[0]) if first else "")
            found = dict.fromkeys(first, heads.topic) | (depot.topics(rest) if rest else {})
            return Outlook(heads.tip, {name: Pull(name, found.get(name, "")) for name in branches})

    def offer(self, cut: Cut, head_sha: str, showing: Showing | None = None) -> Pull:
        """Push this head as the topic branch, over nothing but what orch put there. Plain git
        shows nothing beside it.

        Raises GitError.
        """
        with self._depots.open(cut.remote) as depot:
            depot.insist(cut.work_item, cut.turn)
            notes = depot.notes(cut.work_item)
            if depot.resolve(names.sha(head_sha)) != head_sha:
                raise GitMissing(f"The commit {head_sha} is not among what orch has seen.")
            expected, unsettled = notes.get("offered", ""), notes.get("offering", "")
            if unsettled and depot.look(cut.branch).topic == unsettled:
                expected = unsettled  # it got through, and whoever pushed it died before noting it
            depot.note(cut.work_item, {"offered": expected, "offering": head_sha})
            try:
                _push(depot, cut.branch, head_sha, expected)
            except GitError as error:
                there = depot.look(cut.branch).topic
                if there != head_sha:
                    raise _not_taken(cut.branch, expected, there, error) from error
            depot.note(cut.work_item, {"offered": head_sha, "offering": ""})
            return Pull(cut.branch, head_sha)

    def land(self, cut: Cut, tested_sha: str, expected_base: str, title: str = "") -> Landed:
        """Merge exactly this head into the default branch, which must be exactly there.

        Raises GitError.
        """
        with self._depots.open(cut.remote) as depot:
            heads, found = self._landable(depot, cut, tested_sha, expected_base)
            if found is not None:
                return found
            message = _message(cut, heads.default, title)
            parents = ("-p", expected_base, "-p", tested_sha)
            made = depot.git("commit-tree", f"{tested_sha}^{{tree}}", *parents, ask=message)
            self._push_merge(depot, heads.default, made.line, expected_base)
            heads, tip = self._depots.fetch(depot)
            if not depot.descends(tip, tested_sha):
                raise GitMoved.between(
                    heads.default, made.line, tip
                )  # somebody wrote over it at once
            return _found(depot, tested_sha, expected_base, tip, anew=True)

    def landed(self, cut: Cut, tested_sha: str, expected_base: str) -> Landed | None:
        """What has become of this landing; None when nothing has, and nothing is in its way.

        Raises GitError, as `land` does.
        """
        with self._depots.open(cut.remote) as depot:
            return self._landable(depot, cut, tested_sha, expected_base)[1]

    def _landable(
        self, depot: Depot, cut: Cut, tested_sha: str, expected_base: str
    ) -> tuple[Heads, Landed | None]:
        for sha in (tested_sha, expected_base):
            names.sha(sha)
        depot.insist(cut.work_item, cut.turn)
        heads, tip = self._depots.fetch(depot, cut.branch)
        _insist_landable(depot, tested_sha, expected_base)
        if depot.descends(tip, tested_sha):
            return heads, _found(depot, tested_sha, expected_base, tip, anew=False)
        _insist_nothing_moved(heads, tip, cut.branch, (tested_sha, expected_base))
        return heads, None

    def contains(self, remote: Remote, sha: str) -> bool:
        """Whether the default branch, read anew, contains this commit. Raises GitError."""
        with self._depots.open(remote) as depot:
            _, tip = self._depots.fetch(depot)
            return bool(depot.resolve(names.sha(sha))) and depot.descends(tip, sha)

    def withdraw(self, cut: Cut) -> bool:
        """Delete the topic branch if it is as orch offered it; whether it is gone.

        Raises GitError.
        """
        with self._depots.open(cut.remote) as depot:
            there = depot.look(cut.branch).topic
            offered = depot.notes(cut.work_item).get("offered", "")
            if there and there == offered:
                _push(depot, cut.branch, "", there)
                there = ""
            if not there:
                depot.note(cut.work_item, {"offered": "", "offering": ""})
            return not there

    def _push_merge(self, depot: Depot, branch: str, merge: str, base: str) -> None:
        """Push the merge; an answer that got lost is looked up, not believed."""
        try:
            _push(depot, branch, merge, base)
        except GitError as error:
            heads, tip = self._depots.fetch(depot)
            if depot.descends(tip, merge):
                return
            if tip != base:
                raise GitMoved.between(heads.default, base, tip) from error
            raise


def _push(depot: Depot, branch: str, sha: str, expected: str) -> None:
    """Move a branch of the remote from one commit to another; an empty one is no branch."""
    ref = f"refs/heads/{branch}"
    lease = f"--force-with-lease={ref}:{expected}"
    depot.git(*PUSH, lease, "--end-of-options", depot.remote.url, f"{sha}:{ref}", ask=REMOTE)


def _insist_landable(depot: Depot, tested: str, base: str) -> None:
    wrong = ""
    if not depot.resolve(tested) or not depot.resolve(base):
        raise GitMissing(f"{tested} or {base} is not among the commits orch has seen.")
    if not depot.descends(tested, base):
        wrong = f"does not stand on {base}: what was tested is not what would land"
    elif tested == base:
        wrong = "is the default branch itself: there is nothing to land"
    elif depot.count("--merges", f"{base}..{tested}"):
        wrong = "holds a merge commit"
    if wrong:
        raise GitRefused(f"{tested} {wrong}.")


def _insist_nothing_moved(heads: Heads, tip: str, topic: str, wanted: tuple[str, str]) -> None:
    tested, base = wanted
    if tip != base:
        raise GitMoved.between(heads.default, base, tip)
    if not heads.topic:
        raise GitMissing(f"The branch {topic} is not at the remote.", branch=topic)
    if heads.topic != tested:
        raise GitMoved.between(topic, tested, heads.topic)


def _found(depot: Depot, tested: str, base: str, tip: str, *, anew: bool) -> Landed:
    """The oldest commit on the default branch's own line that contains the tested head."""
    asked = ("rev-list", "--first-parent", "--reverse", "--ancestry-path", f"{tested}..{tip}")
    line = depot.git(*asked).line.split()
    before = depot.resolve(f"{line[0]}^1") if line else tested
    if before == tested:  # somebody moved the branch to the very head
        return Landed(base, tested, tested, anew)
    return Landed(before, tested, line[0], anew)


def _message(cut: Cut, default: str, title: str) -> Ask:
    """The subject is made of checked names only; the title is data, on a line of its own."""
    subject = f"{cut.work_item}: land {names.branch(cut.branch)} on {default}\n"
    plain = names.cleaned(title)
    return Ask(stdin=(subject + (f"\n“{plain}”\n" if plain else "")).encode("utf-8", "replace"))


def _not_taken(branch: str, expected: str, there: str, error: GitError) -> GitError:
    """Why the remote did not take an offer."""
    if there == expected:
        return error  # nobody was in the way: it was refused, or did not get through
    if not there:
        return GitMissing(f"Somebody deleted the branch {branch} at the remote.", branch=branch)
    return GitMoved.between(branch, expected, there)
