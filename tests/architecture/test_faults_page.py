"""docs/faults.md speaks of every fault of the pipeline, and of no test that is not there."""

from __future__ import annotations

import ast
import re
from typing import Final

from tests.architecture import tree

ROWS: Final = {"F02", "F03", "F06", "F27", "F29", "F30", *(f"F{n}" for n in range(46, 68))}
SCENES: Final = (
    "main moves between the re-test and the push",
    "a zombie worker tries to push",
    "two tasks of one repo are past entry",
    "the topic branch is force-pushed",
    "the topic branch is deleted",
    "a dirty tree",
    "another branch",
    "a merge commit",
    "no commit",
    "a symlink out of the tree",
    "a 200 MB file",
)


def _rows() -> list[list[str]]:
    lines = tree.text("docs/faults.md").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    return [row for row in rows if not {row[0]} <= {"what", "row", "---"}]


def _tests() -> set[str]:
    named = (node for _, node in tree.nodes("tests") if isinstance(node, ast.FunctionDef))
    return {node.name for node in named if node.name.startswith("test_")}


def test_every_fault_has_a_row_of_its_own() -> None:
    numbered = [row[0] for row in _rows() if re.fullmatch(r"F\d+", row[0])]
    assert sorted(numbered) == sorted(ROWS)


def test_every_scene_has_a_row() -> None:
    told = [row[0] for row in _rows()]
    assert [scene for scene in SCENES if not any(cell.startswith(scene) for cell in told)] == []


def test_every_row_names_a_test_and_every_test_named_exists() -> None:
    named = {row[0]: re.findall(r"`(\w+)`", row[-1]) for row in _rows()}
    assert [what for what, tests in named.items() if not tests] == []
    assert {test for tests in named.values() for test in tests} - _tests() == set()
