"""docs/api.md is what the code says now, and lists each call with the role it asks for."""

from __future__ import annotations

import re
from pathlib import Path

from web import reference
from web.api import ROUTES

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_code_says() -> None:
    assert reference.page() == PAGE


def test_the_page_and_the_routes_agree() -> None:
    rows = re.findall(
        r"^\| \[`((?:GET|POST|DELETE) [^`]+)`\]\(#[\w-]+\) \| (\S+) \|", PAGE, re.MULTILINE
    )
    listed = {call: None if role == "–" else role for call, role in rows}
    assert listed == {f"{route.method} {route.path}": route.role for route in ROUTES.all}
