"""Paths of a repository that steer agents or the machines that test their work.

Cloning is enough for such a file to be obeyed by some program, so a change to one needs a person.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

PROTECTED_PATHS: Final = (
    "**/.claude/**",
    "**/.mcp.json",
    "**/CLAUDE.md",
    "**/CLAUDE.local.md",
    "**/.codex/**",
    "**/.agents/**",
    "**/AGENTS.md",
    "**/AGENTS.override.md",
    "**/opencode.json",
    "**/opencode.jsonc",
    "**/.opencode/**",
    "**/.env",
    "**/.env.local",
    "**/.envrc",
    ".gitea/workflows/**",
    ".forgejo/workflows/**",
    ".github/workflows/**",
)
"""`**/` is any folder or none, `/**` is everything below, and the folder's own name."""


def protected(paths: Iterable[str]) -> list[str]:
    """Those of the paths, from the root of a repository, that need a person; in their order.

    Case does not count: a file system may not know it either.
    """
    return [path for path in paths if _MATCH.fullmatch(_plain(path))]


def fingerprints(worktree: Path, paths: Iterable[str]) -> dict[str, str]:
    """What stands at each of the paths that need a person, so that a later change of it shows.

    The worktree is clean, and nobody works in it any more.
    """
    return {path: _fingerprint(worktree / _plain(path)) for path in protected(paths)}


def _fingerprint(path: Path) -> str:
    """Of a file its digest, of a link where it leads; what is not there has none."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return f"-> {str(path.readlink())!a}"
        if not stat.S_ISREG(mode):
            return ""
        with path.open("rb") as file:
            return f"{mode & 0o111:o} {hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError:
        return ""


def _plain(path: str) -> str:
    """The path as it will be on disk: without `./`, `//` and `a/../`."""
    parts: list[str] = []
    for part in path.replace("\\", "/").split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    return "/".join(parts)


def _pattern(glob: str) -> str:
    anywhere, below = glob.startswith("**/"), glob.endswith("/**")
    middle = re.escape(glob.removeprefix("**/").removesuffix("/**"))
    return ("(?:.*/)?" if anywhere else "") + middle + ("(?:/.*)?" if below else "")


_MATCH: Final = re.compile(
    "|".join(_pattern(glob) for glob in PROTECTED_PATHS), re.IGNORECASE | re.DOTALL
)
