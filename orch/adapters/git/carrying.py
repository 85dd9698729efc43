"""Carries commits over to another base without a checkout, so a conflict leaves nothing behind.

Each commit is merged as a tree: between two stand-in commits whose common parent is the state the
commit was made on. That works from git 2.38 on and asks no merge driver.
"""

from __future__ import annotations

from typing import Final

from orch.adapters.git.command import Ask
from orch.adapters.git.depot import Depot
from orch.errors import GitConflict
from orch.qg.verdict import storable

HUNKS_LIMIT: Final = 20_000
"""Bytes of conflicting hunks that are handed on."""
FILES_LIMIT: Final = 50
"""Conflicting files that are shown."""


def carry_over(depot: Depot, base: str, head: str, onto: str) -> str:
    """The head of the commits since `base` on another one, without those that change nothing there.

    Raises GitConflict with `files` and `hunks`; nothing was changed then.
    """
    listed = depot.git("rev-list", "--reverse", "--topo-order", head, f"^{base}", f"^{onto}")
    committer = depot.git("var", "GIT_COMMITTER_IDENT").line
    for commit in listed.line.split():
        onto = _carry(depot, commit, onto, committer)
    return onto


def _carry(depot: Depot, commit: str, onto: str, committer: str) -> str:
    before, after, here = (
        depot.git("rev-parse", "--verify", "--end-of-options", f"{name}^{{tree}}").line
        for name in (f"{commit}^", commit, onto)
    )
    tree = after if here == before else _merged(depot, commit, (before, here, after))
    if tree == here:
        return onto
    raw = depot.git("cat-file", "commit", commit).out
    head, _, message = raw.partition(b"\n\n")
    kept = b"\n".join(_headers(head))
    lines = f"tree {tree}\nparent {onto}\n".encode() + kept
    lines += f"\ncommitter {committer}\n".encode()
    made = Ask(stdin=lines + b"\n" + message)
    return depot.git("hash-object", "-t", "commit", "-w", "--stdin", ask=made).line


def _headers(head: bytes) -> list[bytes]:
    """The author's line and the encoding; a signature would not hold for the new commit."""
    kept: list[bytes] = []
    for line in head.split(b"\n"):
        if line.startswith((b"author ", b"encoding ")):
            kept.append(line)
    return kept


def _merged(depot: Depot, commit: str, trees: tuple[str, str, str]) -> str:
    base = _stand_in(depot, trees[0])
    ours, theirs = (_stand_in(depot, tree, base) for tree in trees[1:])
    asked = ("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", ours, theirs)
    said = depot.git(*asked, ask=Ask(ok=(0, 1)))
    tree, *files = said.fields
    if said.code == 0:
        return tree.decode()
    shown = [name.decode("utf-8", "backslashreplace") for name in files]
    raise GitConflict(
        f"{len(files)} files conflict with the default branch, {shown[0]!r} first.",
        files=tuple(shown),
        hunks=_hunks(depot, trees[1], tree.decode(), files[:FILES_LIMIT]),
        commit=commit,
    )


def _hunks(depot: Depot, here: str, merged: str, files: list[bytes]) -> str:
    """What the merge would make of these files, its conflict marks included."""
    names = [name.decode("utf-8", "surrogateescape") for name in files]
    asked = ("diff-tree", "-p", "--no-ext-diff", "--no-textconv", here, merged, "--", *names)
    said = depot.git(*asked, ask=Ask(limit=HUNKS_LIMIT))
    return storable(said.out.decode("utf-8", "replace"))


def _stand_in(depot: Depot, tree: str, parent: str = "") -> str:
    parents = ("-p", parent) if parent else ()
    return depot.git("commit-tree", tree, *parents, ask=Ask(stdin=b"stand-in\n")).line
