"""Whoever steers over a wire signs with name and reach: no way forgets an operator's globs."""

from __future__ import annotations

import re

from tests.architecture import tree

WIRES = ("web/", "orch/mcp_")
# A name alone would let an operator of some repos steer all of them; notices are of no repo.
UNSIGNED = re.compile(
    r"\b(?:Order|Several)\((?![^()]*(?:\([^()]*\)[^()]*)*\*\*)|^(?!.*\bnotices\.\w+\().*\bholder\.name\b",
    re.MULTILINE,
)
OF_NO_REPO = {
    "orch/mcp_server.py",
    "web/entrance.py",
    "web/visits.py",
    "web/pages/door.py",
    "web/pages/frame.py",
    "web/pages/people.py",
}
"""What steers nothing in a repo, or only says who somebody is."""


def test_every_order_from_a_wire_carries_the_reach_of_its_holder() -> None:
    unsigned = [
        f"{name}: {found[0]}"
        for name in tree.modules()
        if name.startswith(WIRES) and name not in OF_NO_REPO
        for found in UNSIGNED.finditer(tree.text(name))
    ]
    assert unsigned == []


def test_what_would_be_unsigned_is_found() -> None:
    for line in (
        'Order("pause", call.given.work_item, call.holder.name)',
        "Order(verb, target, actor=name)",
        "controls.add_task(call.desk.line, task, call.holder.name)",
        "agents.resume(line, given.agent, actor=holder.name)",
    ):
        assert UNSIGNED.search(line), line
    assert not UNSIGNED.search("Order(verb, names(of), **call.holder.signing)")
