"""Axe looks at every page there is, in both schemes; no page that is declared is forgotten."""

from __future__ import annotations

import re
from typing import Final

from playwright.sync_api import Page, expect

from orch import invitations, people
from orch.passwords import Passwords
from orch.people import NewPerson
from tests.browser.conftest import Seat, fits, violations
from tests.browser.test_door import WORDS, line_of, sign_in
from web.pages.frame import PAGES

NO_PAGES: Final = re.compile(
    r"/$|/ui/do$|/ui/welcome$|/static/|.*(\.csv|\.jsonl|/json|/raw|/part|/stream)$"
)
"""What answers with something else: the way to a page, files, text, data; and an invitation, which
is looked at by itself."""
SHOWN: Final = {
    "/ui/control": "/ui/control?verb=freeze&target=orch",
    "/ui/jobs/<job_id>/log": "/ui/jobs/1/log",
    "/ui/jobs/<job_id>/prompt": "/ui/jobs/1/prompt",
    "/ui/line": "/ui/line",
    "/ui/repos/<path:repo>": "/ui/repos/orch",
    "/ui/simulate": "/ui/simulate?go=1",
    "/ui/tasks/<work_item>": "/ui/tasks/ORCH-116",
    "/ui/tasks/<work_item>/diff": "/ui/tasks/ORCH-116/diff",
}
"""An address of each page that does not stand for itself."""
BASE, HEAD = "a" * 40, "b" * 40


def addresses() -> list[str]:
    """One of every page that is got, by the routes themselves."""
    paths = [route.path for route in PAGES.all if route.method == "GET"]
    pages = [path for path in paths if not NO_PAGES.match(path)]
    missing = [path for path in pages if "<" in path and path not in SHOWN]
    assert not missing, f"say in SHOWN which one of these axe shall look at: {missing}"
    return [SHOWN.get(path, path) for path in pages]


def look(page: Page, where: str) -> None:
    """All rules in the light, what colours decide in the dark, and the width of a telephone."""
    assert violations(page) == [], where
    page.emulate_media(color_scheme="dark")
    assert violations(page, ("color-contrast",)) == [], f"{where}, dark"
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 320, "height": 700})
    assert fits(page), where
    page.set_viewport_size({"width": 1280, "height": 900})


def full(seat: Seat) -> None:
    """Something to be seen on each page: a prompt, a log, a change, a freeze, a pause, a notice."""
    rig = seat.rig
    folder = seat.site.folder.resolve() / "jobs" / "1" / "held-1"
    folder.mkdir(parents=True)
    (folder / "log").write_text("one line\n")
    (folder / "prompt.md").write_text("Do this.\n")
    rig.task("DONE-1", repo="web", base_sha=BASE, head_sha=HEAD)
    seat.site.changes.tell("web", BASE, HEAD, "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new\n")
    rig.order("pause", "ORCH-130", "later")
    rig.order("freeze", "lib", "main is red")


def test_every_page_is_clean_in_both_schemes_and_fits_a_telephone(busy: Seat) -> None:
    full(busy)
    page = busy.open()
    for address in addresses():
        page.goto(address.replace("ORCH-116/diff", "DONE-1/diff"))
        look(page, address)
    for address in ("/ui/nothing", "/ui/tasks/NONE-1"):
        assert page.goto(address).status == 404  # type: ignore[union-attr]
        look(page, address)
    page.goto("/ui/control?verb=freeze&target=orch")
    page.get_by_label("Why").fill("main is red")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator(".preview")).to_be_visible()
    look(page, "a filled preview")
    page.goto("/ui/line")
    page.locator("#w-ORCH-123 [name=item]").check()
    page.get_by_role("button", name="Pause…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Pause 1 task?")
    look(page, "the confirmation of many")
    busy.forgive("404 (NOT FOUND)")


def test_the_door_and_what_is_refused_are_clean_as_well(seat: Seat) -> None:
    line = line_of(seat)
    secret = invitations.first(line)
    assert secret
    page = seat.open(invitations.welcome_path(secret))
    look(page, "an invitation")
    people.add(line, Passwords(), NewPerson("vera", "viewer", (), WORDS), "root")
    page.goto("/ui/me")
    look(page, "the door")
    sign_in(page, "vera")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    look(page, "/ui/me")
    expect(page.get_by_role("link", name="Settings")).to_have_count(0)
    assert page.goto("/ui/settings").status == 403  # type: ignore[union-attr]
    look(page, "403")
    page.get_by_role("link", name="To the overview").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.goto("/ui/line")
    expect(page.get_by_role("button", name=re.compile("Freeze"))).to_have_count(0)
    seat.forgive("403 (FORBIDDEN)")
