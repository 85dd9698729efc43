"""A stage or a status changes in the store's two writers and nowhere else."""

from __future__ import annotations

import ast
import re

import pytest

from tests.architecture import tree

WRITERS = ("orch/store/ledger.py", "orch/store/claims.py", "orch/store/migrations/")
STATE_COLUMNS = {"stage", "status"}
STATE_IN_SQL = re.compile(r"\bSET\b[^;]*\b(stage|status)\s*=", re.IGNORECASE)


def _key(node: ast.expr | None) -> str:
    """The column a dictionary key names, whether written "status" or jobs.c.status."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return node.attr if isinstance(node, ast.Attribute) else ""


def _columns_in(call: ast.Call) -> set[str]:
    """The columns named by the call's keywords, and by the dictionaries among its arguments."""
    named = {keyword.arg or "" for keyword in call.keywords}
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    for argument in given:
        rows = argument.elts if isinstance(argument, ast.List | ast.Tuple) else [argument]
        named |= {_key(key) for row in rows if isinstance(row, ast.Dict) for key in row.keys}
    return named


def _changes_rows(call: ast.Call) -> bool:
    """`.values(…)`, or `.execute(insert(…) or update(…), rows)`."""
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr == "execute" and call.args:
        inside = {node.id for node in ast.walk(call.args[0]) if isinstance(node, ast.Name)}
        return bool(inside & {"insert", "update"})
    return call.func.attr == "values"


def _is_write(node: ast.AST) -> bool:
    """Whether this node writes a state, as SQLAlchemy or as SQL text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return bool(STATE_IN_SQL.search(node.value))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _changes_rows(node) and bool(_columns_in(node) & STATE_COLUMNS)
    return False


def test_no_other_file_assigns_a_stage_or_a_status() -> None:
    found = [
        f"{name}:{getattr(node, 'lineno', 0)}"
        for name, node in tree.nodes("orch", "web")
        if not name.startswith(WRITERS) and _is_write(node)
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "update(jobs).values(status='queued')",
        "update(tasks).where(mine).values({'stage': 'done'})",
        "update(tasks).values({tasks.c.stage: 'done'})",
        "update(tasks).values(**{'stage': 'done'})",
        "session.execute(insert(jobs), [{'repo': 'r', 'status': 'queued'}])",
        "text('update jobs set lease = null, status = 1')",
    ],
)
def test_every_way_of_writing_a_state_is_seen(source: str) -> None:
    assert any(_is_write(node) for node in ast.walk(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "select(jobs).where(jobs.c.status == 'queued')",
        "update(tasks).values(title='stage')",
        "text('select status from jobs where stage = 1')",
        "session.execute(select(jobs), {'status': 'queued'})",
        "Response(body, status=404)",
    ],
)
def test_reading_a_state_is_no_writing(source: str) -> None:
    assert not any(_is_write(node) for node in ast.walk(ast.parse(source)))
