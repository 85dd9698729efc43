"""The project's own files, as the tests of this folder look at them."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
VENDORED = "web/static/vendor/"


@cache
def files() -> tuple[str, ...]:
    """Every file that is committed or would be, as a path from the root; vendored ones left out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    there = {name for name in listed if name and (ROOT / name).is_file()}
    return tuple(sorted(name for name in there if not name.startswith(VENDORED)))


def modules(*folders: str) -> tuple[str, ...]:
    """The Python files under these folders; all of the project's when none is named."""
    under = tuple(f"{folder}/" for folder in folders)
    return tuple(
        name for name in files() if name.endswith(".py") and (not under or name.startswith(under))
    )


def text(name: str) -> str:
    """What the file says; empty when it is not text."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@cache
def parsed(name: str) -> ast.Module:
    """The syntax tree of one Python file."""
    return ast.parse(text(name), filename=name)


def nodes(*folders: str) -> Iterator[tuple[str, ast.AST]]:
    """Every syntax node under these folders, beside the file it stands in."""
    for name in modules(*folders):
        for node in ast.walk(parsed(name)):
            yield name, node
