"""Nothing grows past what fits in the eye."""

from __future__ import annotations

import ast

from tests.architecture import tree

MODULE, CLASS, FUNCTION, TEST = 400, 200, 50, 40
PAGES = {"README.md": 200, "CONTRIBUTING.md": 150}
ADR = 60
VERBS_OF_A_PORT = 5
MIGRATIONS = "orch/store/migrations/"
"""A migration lists the schema, however long that is."""


def _limit(name: str, node: ast.AST) -> int | None:
    if isinstance(node, ast.ClassDef):
        return CLASS
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        is_test = name.startswith("tests/") and node.name.startswith("test_")
        return TEST if is_test else FUNCTION
    return None


def _length(name: str) -> int:
    return len(tree.text(name).splitlines())


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {name: _length(name) for name in tree.modules()}
    assert {name: lines for name, lines in lengths.items() if lines > MODULE} == {}


def test_no_class_function_or_test_is_longer_than_its_limit() -> None:
    too_long = []
    for name, node in tree.nodes():
        limit = None if name.startswith(MIGRATIONS) else _limit(name, node)
        if limit is None:
            continue
        assert isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > limit:
            too_long.append(f"{name}:{node.lineno} {node.name}: {lines} lines, {limit} allowed")
    assert too_long == []


def test_pages_stay_short_enough_to_be_read() -> None:
    limits = {name: PAGES.get(name) for name in tree.files()}
    limits |= {name: ADR for name in tree.files() if name.startswith("docs/adr/")}
    lengths = {name: _length(name) for name, limit in limits.items() if limit}
    assert {name: lines for name, lines in lengths.items() if lines > (limits[name] or 0)} == {}


def test_a_port_has_at_most_five_verbs() -> None:
    ports = {
        node.name: [verb.name for verb in node.body if isinstance(verb, ast.FunctionDef)]
        for name, node in tree.nodes("orch")
        if name == "orch/ports.py" and isinstance(node, ast.ClassDef)
    }
    assert {port: verbs for port, verbs in ports.items() if len(verbs) > VERBS_OF_A_PORT} == {}
