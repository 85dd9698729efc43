"""What differs between two commits, and what in it must not land unseen."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orch.adapters.git.command import Ask
from orch.adapters.git.depot import Depot

LINK: Final = b"120000"
MODULE: Final = b"160000"
FILES: Final = frozenset({b"100644", b"100755"})
LONGEST_TARGET: Final = 4096
"""Bytes a link's target may have: more is not a path on any system."""


@dataclass(frozen=True)
class Changes:
    """Paths that differ, and those among them that want a second look."""

    paths: list[bytes]
    escaping: list[bytes]
    submodules: list[bytes]
    oversize: list[bytes]


def changes(depot: Depot, base: str, head: str, file_limit: int) -> Changes:
    """Compare two commits."""
    raw = depot.git("diff-tree", "-r", "-z", "--no-renames", "--raw", "--no-abbrev", base, head)
    pairs = zip(raw.fields[::2], raw.fields[1::2], strict=True)
    entries = [(*facts[1:].split(b" ")[:4], path) for facts, path in pairs]
    modules = [
        path
        for old, new, _, _, path in entries
        if MODULE in (old, new) or path.lower() == b".gitmodules"
    ]
    links = {path: sha for _, new, _, sha, path in entries if new == LINK}
    files = {path: sha for _, new, _, sha, path in entries if new in FILES}
    targets = _targets(depot, links)
    sizes = _sizes(depot, files)
    return Changes(
        [path for *_, path in entries],
        [path for path, target in targets.items() if escapes(path, target)],
        modules,
        [path for path, size in sizes.items() if size > file_limit],
    )


def escapes(path: bytes, target: bytes) -> bool:
    """Whether a link may lead out of the tree, or into a `.git`.

    Going up is fine at the start of the target only: further on, what is gone up from may itself
    be a link, and then the way does not lead where it seems to.
    """
    parts = target.split(b"/")
    if target.startswith(b"/") or not target or len(target) > LONGEST_TARGET:
        return True
    down = [number for number, part in enumerate(parts) if part not in (b"", b".", b"..")]
    if down and b".." in parts[down[0] :]:
        return True
    if any(part.lower() == b".git" for part in parts):
        return True
    end = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return end == b".." or end.startswith(b"../")


def too_large(root: Path, paths: Iterable[bytes], limit: int) -> list[bytes]:
    """Those of these files on disk that are larger; a link is measured itself."""
    found = []
    for path in paths:
        try:
            if (root / os.fsdecode(path)).lstat().st_size > limit:
                found.append(path)
        except OSError:
            continue  # it was deleted: that is why it is dirty
    return found


def paths_shown(paths: Iterable[bytes]) -> tuple[str, ...]:
    """Paths as text that any database and any page can take, sorted."""
    return tuple(path.decode("utf-8", "backslashreplace") for path in sorted(set(paths)))


def _targets(depot: Depot, links: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """What each of these links points to."""
    said = depot.git("cat-file", "--batch", ask=_asking(links)).out if links else b""
    found, at = {}, 0
    for path in links:
        end = said.index(b"\n", at)
        size = int(said[at:end].rsplit(b" ", 1)[1])
        found[path] = said[end + 1 : end + 1 + size]
        at = end + 1 + size + 1
    return found


def _sizes(depot: Depot, files: dict[bytes, bytes]) -> dict[bytes, int]:
    if not files:
        return {}
    said = depot.git("cat-file", "--batch-check=%(objectsize)", ask=_asking(files)).out
    return {path: int(size) for path, size in zip(files, said.split(), strict=True)}


def _asking(objects: dict[bytes, bytes]) -> Ask:
    return Ask(stdin=b"".join(sha + b"\n" for sha in objects.values()))
