"""The files of the pages: nothing from elsewhere, only what the list names, kept for ever."""

from __future__ import annotations

import gzip
import hashlib
import re
import tomllib
from pathlib import Path

import pytest

from tests.web.conftest import Web
from web.pages.frame import FOREVER, STATIC, asset

VENDOR = STATIC / "vendor"
LISTED = tomllib.loads((VENDOR / "VENDOR.toml").read_text("utf-8"))["file"]
TEMPLATES = sorted((STATIC.parent / "templates").rglob("*.html"))


def test_every_vendored_file_is_the_one_that_is_listed() -> None:
    found = {
        str(file.relative_to(VENDOR)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in VENDOR.rglob("*.*")
        if file.is_file() and file.name != "VENDOR.toml"
    }
    assert found == {each["path"]: each["sha256"] for each in LISTED}


@pytest.mark.parametrize("each", LISTED, ids=lambda each: each["name"])
def test_every_vendored_file_has_its_licence_and_version_beside_it(each: dict[str, str]) -> None:
    folder = (VENDOR / each["path"]).parent
    assert (folder / "LICENSE").read_text("utf-8").strip()
    assert folder.name.endswith(each["version"])


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_no_page_asks_another_host_for_anything(file: Path) -> None:
    text = file.read_text("utf-8")
    assert not re.search(r"(?:src|href|action)=[\"']\s*(?:https?:)?//", text)
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\bstyle=|javascript:", text)


def test_a_file_asked_for_by_its_content_may_be_kept_for_ever(web: Web) -> None:
    for address, kept in ((asset("orch.css"), FOREVER), ("/static/orch.css?v=old", "no-cache")):
        with web.client.get(address) as response:
            assert response.headers["Cache-Control"] == kept


@pytest.mark.parametrize("name", ["../__init__.py", "%2e%2e/given.py", "vendor", "nothing.js"])
def test_nothing_else_is_served(web: Web, name: str) -> None:
    assert web.client.get(f"/static/{name}").status_code == 404


def test_what_every_page_loads_is_small() -> None:
    frame = STATIC.parent / "templates" / "base.html"
    loaded = re.findall(r"asset\('([^']+\.(?:css|js))'\)", frame.read_text("utf-8"))
    assert len(loaded) >= 4
    assert sum((STATIC / name).stat().st_size for name in loaded) < 150_000
    assert sum(len(gzip.compress((STATIC / name).read_bytes())) for name in loaded) < 60_000
    own = [file for file in STATIC.glob("*.*") if file.suffix in (".css", ".js")]
    assert max(file.stat().st_size for file in own) < 20_000
