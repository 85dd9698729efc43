"""The pictures of the pages in the README and the docs: of the pages as they are, by the tests.

`make pictures` takes them anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Seat, Site, WalkingClock
from tests.browser.scenery import a_day, ring

IMAGES = Path(__file__).parents[2] / "docs" / "img"
STAMP = IMAGES / "pages.json"
PAGES = {
    "page-overview": "/ui/",
    "page-line": "/ui/line",
    "page-task": "/ui/tasks/SHOP-102",
    "page-repo": "/ui/repos/shop/api",
    "page-time": "/ui/report",
    "page-what-if": "/ui/simulate?control=unfreeze+lib-dates&go=1",
    "page-ledger": "/ui/ledger",
}


@pytest.fixture
def day(seat: Seat, site: Site) -> Seat:
    clock = seat.rig.clock
    assert isinstance(clock, WalkingClock)
    clock.offset = -timedelta(hours=2, minutes=35)
    a_day(seat.rig, site.folder)
    clock.catch_up()
    seat.rig.workers(slots=4)
    seat.rig.store.write(lambda conn: ring(conn, clock()))
    return seat


def made_from() -> str:
    """What the pictures show: the pages' files and the day that is played, as one hash."""
    web, here = IMAGES.parents[1] / "web", Path(__file__).parent
    files = [*web.glob("templates/*.html"), *web.glob("static/*.*"), *web.glob("pages/*.py")]
    files += [here / "scenery.py", here / "test_pictures.py"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()


def test_the_pictures_show_the_pages_as_they_are() -> None:
    if os.environ.get("ORCH_PICTURES"):
        return  # they are just being taken
    known = json.loads(STAMP.read_text("utf-8")) if STAMP.exists() else {}
    assert known.get("made_from") == made_from(), "The pages changed: run make pictures."


def take(page: Page, name: str, folder: Path) -> None:
    """Take the picture, and hold its size against the committed one."""
    file = Path(os.environ.get("ORCH_PICTURES") or folder) / f"{name}.png"
    page.screenshot(path=file, animations="disabled")
    assert size(file) == size(IMAGES / file.name)
    if os.environ.get("ORCH_PICTURES"):
        STAMP.write_text(json.dumps({"made_from": made_from()}) + "\n", "utf-8")


def size(file: Path) -> tuple[int, int]:
    """Width and height of a PNG."""
    wide, high = struct.unpack(">II", file.read_bytes()[16:24])
    return wide, high


def test_every_page_is_worth_a_picture_and_has_one(day: Seat, tmp_path: Path) -> None:
    page = day.open()
    for name, address in PAGES.items():
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        take(page, name, tmp_path)


def test_preview_has_a_picture(day: Seat, tmp_path: Path) -> None:
    page = day.open("/ui/line", color_scheme="dark")
    page.get_by_role("button", name="Unfreeze lib-dates").first.click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("Why").fill("main is green again")
    dialog.get_by_role("button", name="Preview").click()
    expect(dialog).to_contain_text("LIB-9 starts")
    take(page, "page-preview-dark", tmp_path)
