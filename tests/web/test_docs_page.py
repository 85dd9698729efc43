"""docs/http.md lists the calls there are, with the role each asks for, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from web.api import ROUTES

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")


def test_the_page_and_the_routes_agree() -> None:
    listed = {}
    for row in re.findall(r"^\| (`(?:GET|POST|DELETE) .*)$", PAGE, re.MULTILINE):
        calls, role, *_ = (cell.strip() for cell in row.split("|"))
        for call in re.findall(r"`((?:GET|POST|DELETE) [^`]+)`", calls):
            listed[call] = None if role == "–" else role
    assert listed == {f"{route.method} {route.path}": route.role for route in ROUTES.all}
