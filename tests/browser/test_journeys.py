"""What operators come for, played in a real browser from the first look to the last."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Seat, fits, violations

HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "{{ 7 * 7 }} {% x %}",
    "wide" * 2500,
    "left \u202eright",
)


def reason_in_dialog(page: Page, why: str, verb: str) -> None:
    """Fill in a control's dialog, look at what it would do, and do it."""
    dialog = page.locator("#dialog")
    dialog.get_by_label("Why").fill(why)
    dialog.get_by_role("button", name="Preview").click()
    dialog.get_by_role("button", name=re.compile(f"^{verb}")).click()
    expect(dialog).to_be_hidden()


def test_why_a_task_waits_is_found_in_two_actions(busy: Seat) -> None:
    page = busy.open("/ui/")
    page.get_by_role("link", name="Line", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Line")
    expect(page.locator("#help-button")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("ORCH-123")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("q=ORCH-123"))
    waits = page.locator("#w-ORCH-123")
    expect(waits).to_contain_text("ORCH-116 holds the repo at development: developer is at work")
    expect(waits.get_by_role("link", name="ORCH-116")).to_have_attribute(
        "href", "/ui/tasks/ORCH-116"
    )
    expect(waits.get_by_role("button", name="Pause ORCH-116")).to_be_visible()


def test_the_first_page_says_it_without_any_action(busy: Seat) -> None:
    page = busy.open("/ui/")
    why = page.locator("#o-ORCH-123")
    expect(why).to_contain_text("ORCH-116 holds the repo")
    expect(why.get_by_role("link", name="Pause ORCH-116")).to_be_visible()


def test_a_pause_with_a_reason_shows_on_the_page_of_another(busy: Seat) -> None:
    mine, theirs = busy.open("/ui/line"), busy.open("/ui/line")
    mine.locator("#h-" + str(busy.rig.job("ORCH-116")["id"])).get_by_role("button").click()
    dialog = mine.locator("#dialog")
    expect(dialog.get_by_label("Why")).to_be_focused()
    dialog.get_by_label("Why").fill("moved to Backlog")
    dialog.get_by_role("button", name="Preview").click()
    expect(dialog).to_contain_text("ORCH-116 is paused")
    assert busy.rig.row("ORCH-116")["paused_at"] is None
    dialog.get_by_role("button", name="Pause ORCH-116").click()
    expect(mine.locator("#flash")).to_contain_text("ORCH-116 was paused")
    expect(mine.locator("#p-ORCH-116")).to_contain_text("moved to Backlog")
    busy.later(theirs)
    expect(theirs.locator("#p-ORCH-116")).to_contain_text("moved to Backlog by local")
    expect(theirs.locator("#said")).to_have_text(re.compile("tasks? changed"))
    theirs.locator("#p-ORCH-116").get_by_role("button", name="Resume ORCH-116").click()
    reason_in_dialog(theirs, "back on it", "Resume")
    expect(theirs.locator("#p-ORCH-116")).to_have_count(0)


def test_one_repo_is_frozen_and_the_other_goes_on(busy: Seat) -> None:
    page = busy.open("/ui/line")
    page.locator("#lane-orch").get_by_role("button", name="Freeze orch").click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("Why").fill(" ")
    dialog.get_by_label("Until").fill("+2h")
    dialog.get_by_role("button", name="Preview").click()
    expect(dialog.get_by_role("alert")).to_contain_text("A reason is required")
    expect(dialog.get_by_label("Until")).to_have_value("+2h")
    reason_in_dialog(page, "main is red", "Freeze")
    expect(page.locator("#lane-orch header")).to_contain_text("main is red")
    expect(page.locator("#w-ORCH-123")).to_contain_text("orch is frozen by local: main is red")
    expect(page.locator("#lane-lib header .chip")).not_to_have_text("frozen")
    assert busy.rig.claimed("LIB-1")
    busy.forgive("400 (BAD REQUEST)")


def test_what_failed_is_retried_by_filter(busy: Seat) -> None:
    for number in range(10):
        busy.rig.task(f"WEB-{number}", repo="web")
        busy.rig.order("pause", f"WEB-{number}", "failed three times")
    page = busy.open("/ui/line")
    page.get_by_label("Text").fill("failed three")
    page.get_by_label("Waits because").select_option("paused")
    page.get_by_role("button", name="Filter").click()
    page.get_by_label("all 10 that match").check()
    page.get_by_role("button", name="Retry…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Retry 10 tasks?")
    page.get_by_label("Why").fill("the disk is free again")
    page.get_by_role("button", name="Retry 10").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("10 of 10 tried again")
    assert violations(page) == []
    page.get_by_role("link", name="Back to the line").click()
    expect(page.locator("#live")).to_contain_text("Nothing matches")


def test_everything_can_be_done_with_the_keyboard(busy: Seat) -> None:
    page = busy.open("/ui/line")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("next, previous task")
    page.keyboard.press("Escape")
    for key in ("j", "j", "j", "k"):
        page.keyboard.press(key)
    expect(page.locator("#w-LIB-2 a.item")).to_be_focused()
    page.keyboard.press("x")
    expect(page.locator("#w-LIB-2 [name=item]")).to_be_checked()
    expect(page.locator("#selected")).to_have_text("1 selected")
    page.keyboard.press("p")
    expect(page.locator("#dialog").get_by_label("Why")).to_be_focused()
    page.keyboard.type("j x p / ?")
    page.keyboard.press("Enter")
    expect(page.locator("#dialog").get_by_role("button", name="Pause LIB-2")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#p-LIB-2")).to_contain_text("j x p / ?")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_label("Text")).to_be_focused()


def test_without_javascript_pages_still_steer(busy: Seat) -> None:
    page = busy.open("/ui/line", java_script_enabled=False)
    page.locator("#w-ORCH-123").get_by_role("button", name="Pause ORCH-116").click()
    page.get_by_label("Why").fill("moved to Backlog")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator(".preview")).to_contain_text("ORCH-116 is paused")
    page.get_by_role("button", name="Pause ORCH-116").click()
    expect(page.locator("#flash")).to_contain_text("ORCH-116 was paused")
    page.locator("#w-LIB-1 [name=item]").check()
    page.locator("#w-LIB-2 [name=item]").check()
    page.get_by_role("button", name="Cancel…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cancel 2 tasks?")
    page.get_by_role("button", name="Cancel 2").click()
    assert busy.rig.row("LIB-2")["stage"] == "cancelled"


def test_targets_are_large_enough_for_a_finger(busy: Seat) -> None:
    page = busy.open("/ui/line", width=320)
    small = page.evaluate(
        """[...document.querySelectorAll('button, .act, .row > label, nav a, select')]
           .filter(each => each.checkVisibility())
           .map(each => [each.textContent, each.getBoundingClientRect()])
           .filter(([, box]) => box.height < 24 || box.width < 24).map(([name]) => name)"""
    )
    assert small == []


def test_hostile_titles_stay_text(busy: Seat) -> None:
    for number, title in enumerate(HOSTILE):
        busy.rig.task(f"BAD-{number}", repo="bad", title=title)
    page = busy.open("/ui/line")
    expect(page.locator("#w-BAD-0")).to_contain_text("<script>")
    for address in ("/ui/", "/ui/line"):
        page.goto(address)
        expect(page).to_have_title(re.compile("orch"))
        assert page.locator("img[src=x]").count() == 0
        assert fits(page)
